#include "textflag.h"

// func Pause(n int32)
TEXT ·Pause(SB), NOSPLIT, $0-4
	MOVL n+0(FP), AX
loop:
	TESTL AX, AX
	JLE   done
	PAUSE
	DECL  AX
	JMP   loop
done:
	RET
