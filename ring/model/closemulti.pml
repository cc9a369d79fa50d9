/*
 * Close with many producers (sequencer_multi.go, sequencer.go, lifecycle.go): the closed bit in the
 * claim word against claims by compare-and-swap, and goroutines parked wherever there is nothing to do.
 *
 * Two producers make CLAIMS claims each, of one event, or of one or two with PAIRS; MORE gives the
 * first one more. CLOSERS goroutines close. Consumers: the second after the first; its cursor
 * gates. HALT: the closers halt instead. MORE, PAIRS and two closers are for longer searches than
 * run makes.
 *
 * Marks are plain stores, with a store buffer for each producer. A mark is the sequence itself, and the
 * producers look at the gating cursor each time: multi.pml has laps and the cache.
 *
 * Checked:
 *   - no claim succeeds once the fence has returned, and none for which there is no room,
 *   - when Close has returned, each consumer has handled all that was claimed, and a
 *     consumer that ends by itself has handled the last event there is,
 *   - a producer that is refused finds a reason in state: closed, or halted where the closers halt,
 *   - everybody ends: no lost wake-up, and no producer that is told twice by the same half-done close to
 *     look again.
 * Under HALT all but the second.
 *
 * Breakages: NO_CLOSED_CHECK (a producer takes the bit for a part of the number), NO_CLOSE_BIT (fence
 * sets state alone), CLOSED_BY_STATE (a producer looks at state instead of the bit), OR_NOT_ATOMIC
 * (the bit is set by a load and a store), BIT_FIRST (it is set before state), NO_SETTLED (closed is
 * taken for settled), SETTLED_FIRST (state says so before the bit is set), NO_CLOSE_WAKE,
 * END_ON_CLOSED (a consumer ends at the closed bit of state when it has nothing to read),
 * NO_RECHECK_STATE (a parking goroutine looks at the cursor alone), NO_MEMBARRIER, NO_FULL (a
 * producer that finds the ring full leaves a half-done close as it is).
 */
#ifndef SLOTS
#define SLOTS 2
#endif
#ifndef CLAIMS
#define CLAIMS 1
#endif
#ifndef CLOSERS
#define CLOSERS 1
#endif
#define LE(a, b) ((a) <= (b))

#define THREADS 2
#define WORDS SLOTS
#define MARK(s) ((s) & (SLOTS - 1))
#ifndef BUFFER
#define BUFFER 2
#endif
#include "tso.inc"

/* Gate and parker c are consumer c's; the last gate is the ring's cursor's, the last parkers are the
 * producers'. */
#define CONSUMERS 2
#define GATES 3
#define PARKERS 4
#define PUBLISHED 2
#define PRODUCER(p) (2 + (p))
#include "gate.inc"

byte word; bit shut;         /* the claim word, and its closed bit: loaded and exchanged together */
bit closed, settled, halted; /* bits of state */
byte cursor[CONSUMERS];
bit stopped[CONSUMERS];
bit complete[CONSUMERS];

/* What is true, known to nobody in the ring. */
byte held;  /* last sequence of the last claim that succeeded */
bit fenced; /* some fence has returned */

inline wakeEverybody() { wake(PUBLISHED, 0, 1); wake(0, 0, 1); wake(1, 0, 1) }

#ifdef HALT
#define STOP halted
#else
#define STOP 0
#endif

#ifdef NO_SETTLED
#define SETTLED closed
#else
#define SETTLED settled
#endif
/* drained(CUR) sets d: two loads, settled first. */
inline drained(CUR) {
	d = 0;
	if
	:: SETTLED -> d = (word == CUR)
	:: else
	fi
}

inline parkProducer() {
	need = word + n - SLOTS;
	if
	:: cursor[1] < need ->
		list(PRODUCER(me), 1, need);
		if
		:: cursor[1] >= need -> leave(PRODUCER(me), 1)
		:: else ->
			if
#ifndef NO_RECHECK_STATE
			:: closed -> leave(PRODUCER(me), 1); d_step { assert(!told); told = 1 }
#endif
			:: else -> block(PRODUCER(me))
			fi
		fi
	:: else
	fi;
	need = 0
}

proctype Producer(byte me; byte claims) {
	byte n, w, s, need;
	bit told, ok, bitSeen;
	do
	:: claims == 0 -> break
	:: else ->
		atomic {
			claims--; n = 1;
#ifdef PAIRS
			if
			:: n = 2
			:: true
			fi
#endif
		};
		do
		:: ok -> break
		:: else ->
#ifdef CLOSED_BY_STATE
			if
			:: closed -> goto refused
			:: else
			fi;
			w = word;
#else
			atomic { w = word; bitSeen = shut };
#endif
#if !defined(NO_CLOSED_CHECK) && !defined(CLOSED_BY_STATE)
			if
			:: bitSeen -> goto refused
			:: else
			fi;
#endif
			if
			:: w + n > cursor[1] + SLOTS && !bitSeen ->
#ifndef NO_FULL
				if
				:: closed -> atomic { flush(me); shut = 1 }; goto refused
				:: else
				fi;
#endif
				parkProducer()
			:: else ->
				d_step {
					flush(me);
					if
#ifdef CLOSED_BY_STATE
					:: word == w ->
#else
					:: word == w && shut == bitSeen ->
#endif
						word = w + n; ok = 1; held = word;
						assert(!fenced);
						assert(bitSeen || held <= cursor[1] + SLOTS)
					:: else
					fi
				}
			fi
		od;
		atomic { s = w + n; ok = 0; told = 0 };
		do
		:: s == w -> break
		:: else -> store(me, MARK(s), s); s--
		od;
		s = w + n;
		notify(me, PUBLISHED, s);
		atomic { s = 0; w = 0; n = 0; bitSeen = 0 }
	od;
	goto out;
refused:
#ifdef HALT
	assert(halted);
#else
	assert(closed);
#endif
out:	atomic { n = 0; w = 0; s = 0; told = 0; bitSeen = 0; claims = 0 }
}

/* recheck(P, G) is the rest of ready: halted or drained. */
inline recheck(P, G) {
#ifdef NO_RECHECK_STATE
	block(P)
#else
	if
	:: STOP -> leave(P, G)
	:: else ->
		drained(cur);
		if
		:: d -> leave(P, G)
		:: else -> block(P)
		fi
	fi
#endif
}

proctype Consumer(byte me) {
	byte cur, hi;
	bit d;
	do
	:: if
	   :: me == 0 ->
		hi = cur;
		do
		:: mem[MARK(hi + 1)] == hi + 1 -> hi++
		:: else -> break
		od
	   :: else -> hi = cursor[0]
	   fi;
	   notify(NOBODY, me, cur);
	   if
	   :: hi > cur ->
		if
		:: STOP -> break
		:: else
		fi;
		atomic { cursor[me] = hi; cur = hi }
	   :: else ->
		if
		:: closed ->
#ifdef END_ON_CLOSED
			break;
#else
			drained(cur);
			if
			:: d -> complete[me] = 1; break
			:: else
			fi;
#endif
			if
			:: STOP -> break
			:: else
			fi
		:: else
		fi;
		hi = cur + 1;
		if
		:: me == 0 ->
			list(0, PUBLISHED, hi); membarrier();
			if
			:: mem[MARK(hi)] == hi -> leave(0, PUBLISHED)
			:: else -> recheck(0, PUBLISHED)
			fi
		:: else ->
			if
			:: cursor[0] < hi ->
				list(1, 0, hi);
				if
				:: cursor[0] >= hi -> leave(1, 0)
				:: else -> recheck(1, 0)
				fi
			:: else
			fi
		fi;
		atomic { hi = 0; d = 0 }
	   fi
	od;
	atomic { hi = 0; d = 0; cur = 0 };
	stopped[me] = 1;
	wake(me, 0, 1)
}

proctype Closer() {
	byte w;
#ifdef BIT_FIRST
	shut = 1;
#endif
#ifdef HALT
	d_step { closed = 1; halted = 1 };
#else
	closed = 1;
#endif
#ifdef SETTLED_FIRST
	settled = 1;
#endif
#ifndef NO_CLOSE_BIT
#ifdef OR_NOT_ATOMIC
	w = word;
	d_step { word = w; shut = 1; w = 0 };
#else
	shut = 1;
#endif
#endif
	settled = 1;
	fenced = 1;
#ifndef NO_CLOSE_WAKE
	wakeEverybody();
#endif
	stopped[0] && stopped[1];
#ifndef HALT
	d_step {
		assert(complete[0] && complete[1]);
		assert(cursor[0] == held && cursor[1] == held)
	}
#endif
}

init {
	atomic {
		initGates();
#ifdef MORE
		run Producer(0, CLAIMS + 1);
#else
		run Producer(0, CLAIMS);
#endif
		run Producer(1, CLAIMS);
		run Consumer(0);
		run Consumer(1);
		run Closer();
#if CLOSERS == 2
		run Closer()
#endif
	}
}
