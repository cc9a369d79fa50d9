/*
 * Park and wake: one producer with plain stores, consumers, and the producer when the ring is
 * full, each parked at the gate of the cursor that holds it back (gate.go, consumer.go,
 * sequencer.go).
 *
 * The store of a cursor, the load of wakeAt, listing, the membarrier, the look after it and
 * the blocking are steps of their own. Whoever has nothing to do may park at once: spinning and
 * yielding only put that off. Sequences are kept modulo 8 and the run never ends.
 *
 * Graph: PAIR two consumers at the head; CHAIN the second after the first; DIAMOND a third
 * after both. CANCEL: a parked producer may give up at any time, as with a context.
 * FENCED: stores with XCHG, no membarrier.
 *
 * Checked:
 *   - no lost wake-up: a state in which everybody is parked has no successor, and the checker
 *     reports it,
 *   - a token is never sent to a parker that has one, which would block under the mutex,
 *   - whoever leaves a gate where it is not listed finds its token,
 *   - a claim never laps a consumer.
 * ltl served (-DLTL): each consumer goes on for ever, if each goroutine goes on that can.
 *
 * Breakages: NO_MEMBARRIER, NO_RECHECK, ARM_LATE, ARM_LAST, WAKE_ONE, NO_NOTIFY, NO_IDLE_NOTIFY,
 * NOTIFY_FIRST, RECHECK_ALL, LEAVE_KEEPS_TOKEN.
 */
#ifndef SLOTS
#define SLOTS 2
#endif
#define M (4 * SLOTS)
#define SEQ(x) ((x) & (M - 1))
#define LE(a, b) (SEQ((b) - (a)) < M / 2)

#define THREADS 1
#define WORDS 1
#define CURSOR 0
#include "tso.inc"

#ifdef DIAMOND
#define CONSUMERS 3
#else
#define CONSUMERS 2
#endif

/* Gate and parker c are consumer c's; the last are the ring's cursor's and the producer's. */
#define GATES (CONSUMERS + 1)
#define PARKERS (CONSUMERS + 1)
#define PUBLISHED CONSUMERS
#define PRODUCER CONSUMERS
#include "gate.inc"

byte cursor[CONSUMERS]; /* stored with a full fence */
#ifdef LTL
bit parity[CONSUMERS];  /* flips when the consumer has gone on */
ltl served { []<> (parity[0] == 0) && []<> (parity[0] == 1) && []<> (parity[1] == 0) && []<> (parity[1] == 1) }
#endif

/* parkAt(P, G, S, READY) parks P at G for S unless READY holds once the gate is armed. */
#if defined(ARM_LATE)
#define parkAt(P, G, S, READY) \
	if :: READY :: else -> list(P, G, S); block(P) fi
#elif defined(NO_RECHECK)
#define parkAt(P, G, S, READY) \
	list(P, G, S); fence(G); block(P)
#else
#define parkAt(P, G, S, READY) \
	list(P, G, S); fence(G); \
	if :: READY -> leave(P, G) :: else -> blockOrCancel(P, G) fi
#endif

/* Only the ring's cursor is moved by a plain store. */
inline fence(G) {
	if
	:: G == PUBLISHED -> membarrier()
	:: else
	fi
}

inline blockOrCancel(P, G) {
#ifdef CANCEL
	if
	:: block(P)
	:: P == PRODUCER -> leave(P, G)
	fi
#else
	block(P)
#endif
}

proctype Producer() {
	byte claimed, n, c, g, x;
	do
	:: if
	   :: n = 1
#if SLOTS > 1
	   :: n = 2
#endif
	   fi;
	   do
	   :: /* look at the gating sequence; the ceiling is not kept */
#if defined(DIAMOND)
	      g = cursor[2];
#elif defined(CHAIN)
	      g = cursor[1];
#else
	      g = cursor[0];
	      x = cursor[1];
	      if
	      :: LE(x, g) -> g = x
	      :: else
	      fi;
	      x = 0;
#endif
	      if
	      :: SEQ(claimed + n - g) <= SLOTS -> break
	      :: else
	      fi;
	      g = SEQ(claimed + n - SLOTS); /* park at the first that holds back */
#if defined(DIAMOND)
	      c = 2;
#elif defined(CHAIN)
	      c = 1;
#else
	      c = 0;
	      if
	      :: LE(g, cursor[0]) -> c = 1
	      :: else
	      fi;
#endif
	      if
	      :: LE(g, cursor[c])
	      :: else -> parkAt(PRODUCER, c, g, LE(g, cursor[c]))
	      fi;
	      c = 0
	   od;
	   g = 0; c = 0;
	   claimed = SEQ(claimed + n);
	   n = 0;
#ifdef NOTIFY_FIRST
	   notify(0, PUBLISHED, claimed);
	   store(0, CURSOR, claimed)
#else
	   store(0, CURSOR, claimed)
#ifndef NO_NOTIFY
	   ; notify(0, PUBLISHED, claimed)
#endif
#endif
	od
}

#define HEAD 255

proctype Consumer(byte me; byte up; byte up2) {
	byte cur, hi, x;
	do
	:: if
	   :: up == HEAD -> hi = mem[CURSOR]
	   :: else ->
		hi = cursor[up];
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
	   fi;
	   if
	   :: hi != cur ->
		notify(NOBODY, me, cur); /* for the store of the round before */
		assert(LE(cur, hi) && SEQ(hi - cur) <= SLOTS);
		atomic {
			cursor[me] = hi; cur = hi; hi = 0;
#ifdef LTL
			parity[me] = 1 - parity[me]
#endif
		}
	   :: else ->
#ifndef NO_IDLE_NOTIFY
		notify(NOBODY, me, cur);
#endif
		hi = SEQ(cur + 1); /* the next one, from here */
		if
		:: up == HEAD ->
			if
			:: LE(hi, mem[CURSOR])
			:: else -> parkAt(me, PUBLISHED, hi, LE(hi, mem[CURSOR]))
			fi
		:: up != HEAD && !LE(hi, cursor[up]) ->
#ifdef RECHECK_ALL
			parkAt(me, up, hi, (LE(hi, cursor[up]) && (up2 == HEAD || LE(hi, cursor[up2]))))
#else
			parkAt(me, up, hi, LE(hi, cursor[up]))
#endif
		:: else ->
			if
			:: up2 != HEAD ->
				if
				:: LE(hi, cursor[up2])
				:: else -> parkAt(me, up2, hi, LE(hi, cursor[up2]))
				fi
			:: else
			fi
		fi;
		hi = 0
	   fi
	od
}

init {
	atomic {
		initGates();
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
