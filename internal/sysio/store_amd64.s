//go:build !race

#include "textflag.h"

// func StoreRelease64(p *uint64, v uint64)
// x86 does not reorder a store with earlier loads or stores: MOV is a release store.
TEXT ·StoreRelease64(SB), NOSPLIT, $0-16
	MOVQ p+0(FP), AX
	MOVQ v+8(FP), CX
	MOVQ CX, (AX)
	RET
