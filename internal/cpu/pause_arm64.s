#include "textflag.h"

// func Pause(n int32)
TEXT ·Pause(SB), NOSPLIT, $0-4
	MOVW n+0(FP), R0
loop:
	CMPW $0, R0
	BLE  done
	YIELD
	SUBW $1, R0, R0
	B    loop
done:
	RET
