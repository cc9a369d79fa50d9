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
