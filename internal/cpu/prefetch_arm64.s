#include "textflag.h"

// func PrefetchWrite(p unsafe.Pointer, bytes int64)
TEXT ·PrefetchWrite(SB), NOSPLIT, $0-16
	MOVD p+0(FP), R0
	MOVD bytes+8(FP), R1
	CMP  $0, R1
	BLE  done
	ADD  R0, R1
	AND  $~63, R0
loop:
	CMP  R1, R0
	BHS  done
	PRFM (R0), PSTL1KEEP
	ADD  $64, R0
	B    loop
done:
	RET

// func PrefetchRead(p unsafe.Pointer)
TEXT ·PrefetchRead(SB), NOSPLIT, $0-8
	MOVD p+0(FP), R0
	PRFM (R0), PLDL1KEEP
	RET
