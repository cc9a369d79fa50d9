#include "textflag.h"

// func frame(crc uint32, body []byte, w *Words) uint32
TEXT ·frame(SB), NOSPLIT, $0-44
	MOVL crc+0(FP), AX
	MOVQ body_base+8(FP), SI
	MOVQ body_len+16(FP), CX
	MOVQ w+32(FP), DI
	NOTL AX

	SUBQ $32, CX
	JB   words

lines:
	CRC32Q (SI), AX
	CRC32Q 8(SI), AX
	CRC32Q 16(SI), AX
	CRC32Q 24(SI), AX
	ADDQ   $32, SI
	SUBQ   $32, CX
	JAE    lines

words:
	ADDQ $24, CX // of the remainder less 8
	JLT  bytes

word:
	CRC32Q (SI), AX
	ADDQ   $8, SI
	SUBQ   $8, CX
	JGE    word

bytes:
	ADDQ $8, CX
	JZ   tail

byte:
	CRC32B (SI), AX
	INCQ   SI
	DECQ   CX
	JNZ    byte

tail:
	CRC32Q (DI), AX
	CRC32Q 8(DI), AX
	CRC32Q 16(DI), AX
	CRC32Q 24(DI), AX
	CRC32Q 32(DI), AX
	CRC32Q 40(DI), AX
	NOTL   AX
	MOVL   AX, ret+40(FP)
	RET

// func record(rec *byte, length int, salt, offset uint64) uint32
TEXT ·record(SB), NOSPLIT, $0-36
	MOVQ rec+0(FP), DI
	MOVQ length+8(FP), R8
	MOVQ salt+16(FP), R9
	MOVQ offset+24(FP), R10
	MOVL $0xffffffff, AX
	LEAQ 32(DI), SI
	LEAQ -64(R8), CX // of the body, less 32
	TESTQ CX, CX
	JL   rwords

rlines:
	CRC32Q (SI), AX
	CRC32Q 8(SI), AX
	CRC32Q 16(SI), AX
	CRC32Q 24(SI), AX
	ADDQ   $32, SI
	SUBQ   $32, CX
	JGE    rlines

rwords:
	ADDQ $24, CX // of the remainder, less 8
	JLT  rbytes

rword:
	CRC32Q (SI), AX
	ADDQ   $8, SI
	SUBQ   $8, CX
	JGE    rword

rbytes:
	TESTQ  $4, CX // less 8 leaves the lower bits as they are
	JZ     rtwo
	CRC32L (SI), AX
	ADDQ   $4, SI

rtwo:
	TESTQ  $2, CX
	JZ     rone
	CRC32W (SI), AX
	ADDQ   $2, SI

rone:
	TESTQ  $1, CX
	JZ     rtail
	CRC32B (SI), AX

rtail:
	CRC32Q R9, AX
	CRC32Q R10, AX
	CRC32Q R8, AX
	CRC32Q 8(DI), AX
	CRC32Q 16(DI), AX
	CRC32Q 24(DI), AX
	NOTL   AX
	MOVL   AX, ret+32(FP)
	RET

// func records3(rec *byte, length, stride int, salt, offset uint64) (a, b, c uint32)
//
// Three chains side by side: CRC32Q takes three cycles and can begin every one.
TEXT ·records3(SB), NOSPLIT, $0-52
	MOVQ rec+0(FP), DI
	MOVQ length+8(FP), R8
	MOVQ stride+16(FP), R11
	MOVQ salt+24(FP), R9
	MOVQ offset+32(FP), R10
	MOVL $0xffffffff, AX
	MOVL $0xffffffff, BX
	MOVL $0xffffffff, DX
	LEAQ 32(DI), SI
	LEAQ -48(R8), CX // of the body, less 16
	TESTQ CX, CX
	JL   tword

tlines:
	CRC32Q (SI), AX
	CRC32Q (SI)(R11*1), BX
	CRC32Q (SI)(R11*2), DX
	CRC32Q 8(SI), AX
	CRC32Q 8(SI)(R11*1), BX
	CRC32Q 8(SI)(R11*2), DX
	ADDQ   $16, SI
	SUBQ   $16, CX
	JGE    tlines

tword:
	ADDQ   $8, CX // of the remainder, less 8
	JLT    tbytes
	CRC32Q (SI), AX
	CRC32Q (SI)(R11*1), BX
	CRC32Q (SI)(R11*2), DX
	ADDQ   $8, SI

tbytes:
	TESTQ  $4, CX
	JZ     ttwo
	CRC32L (SI), AX
	CRC32L (SI)(R11*1), BX
	CRC32L (SI)(R11*2), DX
	ADDQ   $4, SI

ttwo:
	TESTQ  $2, CX
	JZ     tone
	CRC32W (SI), AX
	CRC32W (SI)(R11*1), BX
	CRC32W (SI)(R11*2), DX
	ADDQ   $2, SI

tone:
	TESTQ  $1, CX
	JZ     ttail
	CRC32B (SI), AX
	CRC32B (SI)(R11*1), BX
	CRC32B (SI)(R11*2), DX

ttail:
	CRC32Q R9, AX
	CRC32Q R9, BX
	CRC32Q R9, DX
	CRC32Q R10, AX
	ADDQ   R11, R10
	CRC32Q R10, BX
	ADDQ   R11, R10
	CRC32Q R10, DX
	CRC32Q R8, AX
	CRC32Q R8, BX
	CRC32Q R8, DX
	CRC32Q 8(DI), AX
	CRC32Q 8(DI)(R11*1), BX
	CRC32Q 8(DI)(R11*2), DX
	CRC32Q 16(DI), AX
	CRC32Q 16(DI)(R11*1), BX
	CRC32Q 16(DI)(R11*2), DX
	CRC32Q 24(DI), AX
	CRC32Q 24(DI)(R11*1), BX
	CRC32Q 24(DI)(R11*2), DX
	NOTL   AX
	NOTL   BX
	NOTL   DX
	MOVL   AX, a+40(FP)
	MOVL   BX, b+44(FP)
	MOVL   DX, c+48(FP)
	RET
