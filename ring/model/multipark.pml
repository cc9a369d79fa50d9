/*
 * Park and wake with many producers (gate.go, place.go, sequencer_multi.go): two producers that claim by
 * compare-and-swap and publish by marks stored plainly, before two consumers at the head. Whoever has nothing
 * to do parks at once: consumers at the gate of the ring's cursor, which is nobody's store but a run of
 * marks; producers at that of the first consumer that holds them back.
 *
 * Each producer makes CLAIMS claims of one event, or of one or two with PAIRS; MORE gives the first one more.
 * Each load and store, the look at each cursor and at each mark, listing, the membarrier, the look after
 * it and the blocking are steps of their own. A mark is the sequence itself, and producers look at the
 * gating sequence each time: multi.pml has laps, the cache and what is in the slots.
 *
 * Checked:
 *   - no lost wake-up: the run ends, with everything claimed handled by both; a state in which everybody is
 *     parked before has no successor,
 *   - a token is never sent to a parker that has one, and whoever leaves a gate where it is not listed finds
 *     its token,
 *   - a claim never laps a consumer, and what a Publish published is seen whole or not at all.
 *
 * Breakages: NO_MEMBARRIER, NO_RECHECK, ARM_LATE, ARM_LAST, WAKE_ONE, NO_NOTIFY, NO_IDLE_NOTIFY, NOTIFY_FIRST,
 * RECHECK_ALL (a producer parks at one consumer and looks at the least of all), and LO_MARKED_FIRST with PAIRS.
 */
#ifndef SLOTS
#define SLOTS 2
#endif
#ifndef CLAIMS
#define CLAIMS 1
#endif
#define LE(a, b) ((a) <= (b))
#define MOST (4 * CLAIMS + 2)

#define THREADS 2
#define WORDS SLOTS
#define MARK(s) ((s) & (SLOTS - 1))
#include "tso.inc"

/* Gate and parker c are consumer c's; the last gate is the ring's cursor's, the last parkers are the
 * producers'. */
#define CONSUMERS 2
#define GATES 3
#define PARKERS 4
#define PUBLISHED 2
#define PRODUCER(p) (2 + (p))
#include "gate.inc"

byte word;              /* last claimed sequence */
byte cursor[CONSUMERS]; /* stored with a full fence */

/* What is true, known to nobody in the ring. */
bit ends[MOST + 1]; /* the event is the last of its claim */
byte finished;

#define OVER (finished == 2 && cur == word)

proctype Producer(byte me; byte claims) {
	byte n, w, g, x, s, c;
	bit ok;
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
			w = word;
			g = cursor[0];
			x = cursor[1];
			if
			:: x < g -> g = x
			:: else
			fi;
			x = 0;
			if
			:: w + n > g + SLOTS -> /* park at the first that holds back */
				g = word + n - SLOTS;
				c = 0;
				if
				:: cursor[0] >= g -> c = 1
				:: else
				fi;
				if
				:: c == 1 && cursor[1] >= g
				:: else ->
#ifdef ARM_LATE
					if
					:: cursor[c] >= g
					:: else -> list(PRODUCER(me), c, g); block(PRODUCER(me))
					fi
#else
					atomic { flush(me); list(PRODUCER(me), c, g) };
					if
#ifdef NO_RECHECK
					:: block(PRODUCER(me))
#else
#ifdef RECHECK_ALL
					:: cursor[0] >= g && cursor[1] >= g -> leave(PRODUCER(me), c)
#else
					:: cursor[c] >= g -> leave(PRODUCER(me), c)
#endif
					:: else -> block(PRODUCER(me))
#endif
					fi
#endif
				fi;
				c = 0
			:: else ->
				d_step {
					flush(me);
					if
					:: word == w ->
						word = w + n; ok = 1;
						ends[word] = 1;
						assert(word <= cursor[0] + SLOTS && word <= cursor[1] + SLOTS)
					:: else
					fi
				}
			fi;
			g = 0
		od;
		atomic { s = w + n; ok = 0 };
#ifdef NOTIFY_FIRST
		notify(me, PUBLISHED, s);
#endif
#ifdef LO_MARKED_FIRST
		s = w;
		do
		:: s == w + n -> break
		:: else -> s++; store(me, MARK(s), s)
		od;
#else
		do
		:: s == w -> break
		:: else -> store(me, MARK(s), s); s--
		od;
#endif
		s = w + n;
#if !defined(NO_NOTIFY) && !defined(NOTIFY_FIRST)
		notify(me, PUBLISHED, s);
#endif
		atomic { s = 0; w = 0; n = 0 }
	od;
	finished++
}

/* sleep() is block, but that nothing is left to wait for at the end of the run. */
inline sleep() {
	if
	:: block(me)
	:: OVER -> break
	fi
}

/* scan() moves hi to the end of the published run. */
inline scan() {
	do
	:: mem[MARK(hi + 1)] == hi + 1 -> hi++
	:: else -> break
	od
}

proctype Consumer(byte me) {
	byte cur, hi;
	do
	:: OVER -> break
	:: else ->
		hi = cur;
		scan();
#ifdef NO_IDLE_NOTIFY
		if
		:: hi > cur -> notify(NOBODY, me, cur)
		:: else
		fi;
#else
		notify(NOBODY, me, cur); /* for the store of the round before */
#endif
		if
		:: hi > cur ->
			atomic { assert(ends[hi]); cursor[me] = hi; cur = hi }
		:: else ->
			hi = cur + 1; /* the next one, from here */
#ifdef ARM_LATE
			if
			:: mem[MARK(hi)] == hi
			:: else -> list(me, PUBLISHED, hi); sleep()
			fi;
#else
			list(me, PUBLISHED, hi);
			membarrier();
			if
#ifdef NO_RECHECK
			:: sleep()
#else
			:: mem[MARK(hi)] == hi -> leave(me, PUBLISHED)
			:: else -> sleep()
#endif
			fi;
#endif
			hi = 0
		fi
	od
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
		run Consumer(1)
	}
}
