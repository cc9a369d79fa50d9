/*
 * Litmus tests of tso.inc: the memory model has to allow what x86 allows and forbid the rest,
 * or all that is proved on top of it is void.
 *
 *   SB (store buffering)        x = 1; r0 = y   |   y = 1; r1 = x
 *      plain stores:            r0 == 0 && r1 == 0 is allowed, so the assertion must fail
 *      FENCED                   forbidden
 *      ASYMMETRIC               forbidden: the right side pays with membarrier for both
 *      ONE_FENCE                allowed: a fence on one side alone is not enough
 *   MP (message passing)        x = 1; y = 1    |   r0 = y; r1 = x
 *      plain stores:            r0 == 1 && r1 == 0 is forbidden
 *      NO_RELEASE               allowed
 */
#define THREADS 2
#define WORDS 2
#include "tso.inc"

#define X 0
#define Y 1

byte r0, r1;
byte over;

#ifdef MP
active proctype Left() { store(0, X, 1); store(0, Y, 1); over++ }
active proctype Right() { r0 = mem[Y]; r1 = mem[X]; over++ }
active proctype Check() { over == 2; assert(!(r0 == 1 && r1 == 0)) }
#else
active proctype Left() { store(0, X, 1); r0 = mem[Y]; over++ }
active proctype Right() {
#if defined(ASYMMETRIC)
	xchg(1, Y, 1); membarrier();
#elif defined(ONE_FENCE)
	xchg(1, Y, 1);
#else
	store(1, Y, 1);
#endif
	r1 = mem[X]; over++
}
active proctype Check() { over == 2; assert(r0 == 1 || r1 == 1) }
#endif
