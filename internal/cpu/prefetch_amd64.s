#include "textflag.h"

// func PrefetchWrite(p unsafe.Pointer, bytes int64)
TEXT ·PrefetchWrite(SB), NOSPLIT, $0-16
	MOVQ p+0(FP), AX
	MOVQ bytes+8(FP), CX
	TESTQ CX, CX
	JLE  done
	ADDQ AX, CX
	ANDQ $~63, AX
loop:
	CMPQ AX, CX
	JAE  done
	BYTE $0x0F; BYTE $0x0D; BYTE $0x08 // PREFETCHW (AX)
	ADDQ $64, AX
	JMP  loop
done:
	RET

// func PrefetchRead(p unsafe.Pointer)
TEXT ·PrefetchRead(SB), NOSPLIT, $0-8
	MOVQ p+0(FP), AX
	PREFETCHT0 (AX)
	RET
