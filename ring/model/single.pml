/*
 * One producer with plain stores: Ring.Claim and Ring.Publish of a SingleProducer ring
 * (sequencer_single.go), and consumers that read spans (consumer.go, barrier.go).
 *
 * The look at the gating sequence, cursor by cursor, the cached ceiling, the write of each event
 * of a batch and the store of the cursor are steps of their own. The run never ends: sequences
 * are kept modulo 4*SLOTS, and compared by the sign of their difference, so that any number of
 * laps is covered. Goroutines that wait poll here; park.pml has the rest.
 *
 * Graph: PAIR two consumers at the head; CHAIN the second after the first; DIAMOND a third
 * after both.
 *
 * WHOLE_SPANS: a handler does not release events before the end of what is readable.
 *
 * Asserted:
 *   - a slot is written only after every consumer has handled the event that was in it,
 *   - a consumer finds in each slot the event that it expects, when its handler begins and when
 *     it ends: no gap, no repeat, no order but that of sequences, no overwriting meanwhile,
 *   - it handles an event after each consumer that it comes after,
 *   - at the head it sees a batch whole or not at all.
 * ltl moves (-DLTL): the last consumer goes on for ever.
 *
 * Breakages: GATE_OFF_BY_ONE, CLAIM_IGNORES_N, CACHE_TOO_NEW, GATE_ON_FIRST, GATE_ON_HEAD,
 * PUBLISH_FIRST, PUBLISH_EACH, NO_RELEASE, RELEASE_FIRST, BARRIER_OF_ONE.
 */
#ifndef SLOTS
#define SLOTS 2
#endif
#define M (4 * SLOTS)
#define SEQ(x) ((x) & (M - 1))
#define LE(a, b) (SEQ((b) - (a)) < M / 2)

#define THREADS 1
#define WORDS (1 + SLOTS)
#define CURSOR 0
#define SLOT(s) (1 + ((s) & (SLOTS - 1)))
#include "tso.inc"

#ifdef DIAMOND
#define CONSUMERS 3
#else
#define CONSUMERS 2
#endif

byte cursor[CONSUMERS]; /* stored with a full fence */

/* What is true, known to nobody in the ring. */
byte handled[CONSUMERS]; /* last event whose handler has returned */
bit ends[M];             /* the event is the last of its batch */

#ifdef LTL
bit parity;  /* flips whenever the last consumer has gone on, for ltl */
ltl moves { []<> (parity == 0) && []<> (parity == 1) }
#endif

inline look(g, x) { /* g = gating sequence: the least cursor of the consumers with nobody after them */
#if defined(DIAMOND)
#ifdef GATE_ON_HEAD
	g = cursor[0];
#else
	g = cursor[2];
#endif
#elif defined(CHAIN)
#ifdef GATE_ON_HEAD
	g = cursor[0];
#else
	g = cursor[1];
#endif
#else
	g = cursor[0];
#ifndef GATE_ON_FIRST
	x = cursor[1];
	if
	:: LE(x, g) -> g = x
	:: else
	fi;
#endif
#endif
	x = 0
}

proctype Producer() {
	byte claimed, ceiling = SLOTS, n, s, hi, g, x;
	do
	:: if
	   :: n = 1
#if SLOTS > 1
	   :: n = 2
#endif
	   fi;
	   do
#ifdef CLAIM_IGNORES_N
	   :: SEQ(ceiling - claimed) >= 1 -> break
#else
	   :: SEQ(ceiling - claimed) >= n -> break
#endif
	   :: else ->
		look(g, x);
#if defined(GATE_OFF_BY_ONE)
		ceiling = SEQ(g + SLOTS + 1);
#elif defined(CACHE_TOO_NEW)
		ceiling = SEQ(g + n + SLOTS);
#else
		ceiling = SEQ(g + SLOTS);
#endif
		g = 0
	   od;
	   hi = SEQ(claimed + n);
#ifdef PUBLISH_FIRST
	   store(0, CURSOR, hi);
#endif
	   do
	   :: claimed == hi -> break
	   :: else ->
		s = SEQ(claimed + 1);
		d_step {
			assert(LE(SEQ(s - SLOTS), handled[0]));
			assert(LE(SEQ(s - SLOTS), handled[1]));
#ifdef DIAMOND
			assert(LE(SEQ(s - SLOTS), handled[2]));
#endif
			ends[s] = (s == hi)
		};
		store(0, SLOT(s), s);
#ifdef PUBLISH_EACH
		store(0, CURSOR, s);
#endif
		claimed = s
	   od;
#ifndef PUBLISH_FIRST
	   store(0, CURSOR, hi);
#endif
	   s = 0; hi = 0; n = 0
	od
}

#define HEAD 255

/* A consumer behind up and up2, or at the head. */
proctype Consumer(byte me; byte up; byte up2) {
	byte cur, s, hi, x;
	do
	:: if
	   :: up == HEAD -> hi = mem[CURSOR]; assert(ends[hi])
	   :: else ->
		hi = cursor[up];
#ifndef BARRIER_OF_ONE
		if
		:: up2 != HEAD ->
			x = cursor[up2];
			if
			:: LE(x, hi) -> hi = x
			:: else
			fi;
			x = 0
		:: else
		fi
#endif
	   fi;
	   assert(LE(cur, hi));
	   s = cur;
	   do
	   :: s == hi -> break
	   :: else ->
		s = SEQ(s + 1);
#ifdef RELEASE_FIRST
		cursor[me] = s;
#endif
		d_step {
			assert(mem[SLOT(s)] == s);
			if
			:: up != HEAD -> assert(LE(s, handled[up]))
			:: else
			fi;
			if
			:: up2 != HEAD -> assert(LE(s, handled[up2]))
			:: else
			fi
		};
		d_step {
			assert(mem[SLOT(s)] == s);
			handled[me] = s
		}
#ifndef WHOLE_SPANS
		;
		if /* the span ends here, or the handler releases it early, or goes on */
		:: s != hi -> cursor[me] = s
		:: true
		fi
#endif
	   od;
#ifdef LTL
	   atomic {
		cursor[me] = hi;
		if
		:: me == CONSUMERS - 1 && hi != cur -> parity = 1 - parity
		:: else
		fi
	   };
#else
	   cursor[me] = hi;
#endif
	   cur = hi; s = 0; hi = 0
	od
}

init {
	atomic {
		ends[0] = 1;
		run Producer();
		run Consumer(0, HEAD, HEAD);
#if defined(CHAIN)
		run Consumer(1, 0, HEAD)
#else
		run Consumer(1, HEAD, HEAD)
#endif
#ifdef DIAMOND
		; run Consumer(2, 0, 1)
#endif
	}
}
