/*
 * Close with one producer and plain stores: the store of claimed and the load of state against
 * the closed bit and a membarrier (sequencer_single.go, sequencer.go, lifecycle.go), with parked
 * goroutines everywhere.
 *
 * The producer makes CLAIMS claims of one or two events and tries once more after each Close that
 * returned; CLOSERS goroutines close. Consumers: the second after the first; its cursor gates.
 * A claim is the fast path of Ring.Claim as long as the cached ceiling allows, then tryClaimSingle,
 * or, of one event, Producer.Next, which stores the claim first and looks for room then; what it
 * takes back for want of room wakes nobody. HALT: the closers halt instead.
 *
 * Checked:
 *   - when Close has returned, each consumer has handled exactly what was claimed with success,
 *     and a claim that began after the fence fails, as does one that ends after Close returned,
 *   - a consumer that ends by itself has handled the last event there is,
 *   - everybody ends: no lost wake-up, no claim that is waited for though it was taken back.
 * Under HALT only the last.
 *
 * Breakages: NO_CLOSE_MEMBARRIER, NO_CLOSED_CHECK (a claim does not look at state), NO_TAKE_BACK,
 * NO_TAKE_BACK_WAKE, NO_CEILING (others look at claimed alone, and not at the ceiling), NO_SETTLED
 * (closed is taken for settled), NO_CLOSE_WAKE, END_ON_CLOSED (a consumer ends at the closed bit
 * when it has nothing to read, as a reader does that is closed by itself), NO_RECHECK_STATE (a
 * parking goroutine looks at the cursor alone).
 */
#ifndef SLOTS
#define SLOTS 2
#endif
#ifndef CLAIMS
#define CLAIMS 2
#endif
#ifndef CLOSERS
#define CLOSERS 1
#endif
#define LE(a, b) ((a) <= (b))

#define THREADS 1
#define WORDS 3
#define CURSOR 0
#define CLAIMED 1
#define CEILING 2
#ifndef BUFFER
#define BUFFER 3
#endif
#include "tso.inc"

/* Gate and parker c are consumer c's; the last are the ring's cursor's and the producer's. */
#define CONSUMERS 2
#define GATES 3
#define PARKERS 3
#define PUBLISHED 2
#define PRODUCER 2
#include "gate.inc"

bit closed, settled, halted; /* bits of state; set by locked instructions */
byte cursor[CONSUMERS];
bit stopped[CONSUMERS];
bit complete[CONSUMERS];

/* What is true, known to nobody in the ring. */
byte held;     /* last sequence of the last claim that succeeded */
bit fenced;    /* some fence has returned */
byte returned; /* closers whose Close has returned */

inline wakeEverybody() { wake(PUBLISHED, 0, 1); wake(0, 0, 1); wake(1, 0, 1) }

#ifdef HALT
#define STOP halted
#else
#define STOP 0
#endif

/*
 * drained(CUR) sets d: loads of settled, claimed and ceiling, in this order. Neither of the last two is
 * below CUR, so that the lesser is CUR if one of them is.
 */
#ifdef NO_SETTLED
#define SETTLED closed
#else
#define SETTLED settled
#endif
inline drained(CUR) {
	d = 0;
	if
	:: SETTLED ->
		if
		:: mem[CLAIMED] == CUR -> d = 1
#ifndef NO_CEILING
		:: else -> if :: mem[CEILING] == CUR -> d = 1 :: else fi
#else
		:: else
#endif
		fi
	:: else
	fi
}

inline takeBack() {
	limit = claimed; ceiling = claimed;
	store(0, CEILING, claimed);
#ifndef NO_TAKE_BACK
	if
	:: shown != claimed ->
		xchg(0, CLAIMED, claimed); shown = claimed;
#ifndef NO_TAKE_BACK_WAKE
		wakeEverybody()
#endif
	:: else
	fi
#endif
}

inline publish() {
	store(0, CURSOR, claimed);
	notify(0, PUBLISHED, claimed)
}

/* tryClaim() goes on until there is room or the ring is closed. */
inline tryClaim() {
	do
	:: if
#ifndef NO_CLOSED_CHECK
	   :: closed -> takeBack(); break
#endif
	   :: else
	   fi;
	   if
	   :: ceiling - claimed < n ->
		ceiling = cursor[1] + SLOTS; limit = ceiling;
		store(0, CEILING, ceiling)
	   :: else
	   fi;
	   if
	   :: ceiling - claimed >= n ->
		store(0, CLAIMED, claimed + n); shown = claimed + n;
		if
#ifndef NO_CLOSED_CHECK
		:: closed -> takeBack()
#endif
		:: else -> ok = 1
		fi;
		break
	   :: else -> /* full */
		need = claimed + n - SLOTS;
		if
		:: cursor[1] < need ->
			list(PRODUCER, 1, need);
			if
			:: cursor[1] >= need -> leave(PRODUCER, 1)
			:: else ->
				if
#ifndef NO_RECHECK_STATE
				:: closed -> leave(PRODUCER, 1)
#endif
				:: else -> block(PRODUCER)
				fi
			fi
		:: else
		fi;
		need = 0
	   fi
	od
}

/* claim() sets ok. claimed is the last sequence that is ours, shown what CLAIMED says. */
inline claim() {
	late = fenced;
	ok = 0;
	if
	:: limit - claimed >= n -> /* fast */
		store(0, CLAIMED, claimed + n); shown = claimed + n;
		if
#ifndef NO_CLOSED_CHECK
		:: closed -> takeBack()
#endif
		:: else -> ok = 1
		fi
	:: n == 1 -> /* Next */
		store(0, CLAIMED, claimed + 1); shown = claimed + 1;
		if
#ifndef NO_CLOSED_CHECK
		:: closed -> takeBack()
#endif
		:: else ->
			if
			:: ceiling > claimed -> ok = 1
			:: else -> store(0, CLAIMED, claimed); shown = claimed; tryClaim()
			fi
		fi
	:: else -> tryClaim()
	fi;
	if
	:: ok ->
		d_step {
			claimed = claimed + n;
#ifndef HALT
			assert(!late && returned == 0);
#endif
			held = claimed
		}
	:: else
	fi;
	late = 0; n = 0
}

proctype Producer() {
	byte claimed, shown, limit = SLOTS, ceiling = SLOTS, n, need, left = CLAIMS;
	bit ok, late;
	do
	:: left == 0 -> break
	:: else ->
		left--;
		if
		:: n = 1
#if SLOTS > 1
		:: n = 2
#endif
		fi;
		claim();
		if
		:: ok -> publish()
		:: else
		fi
	od;
	returned == CLOSERS; /* and once more */
	n = 1;
	claim();
	assert(!ok)
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
	   :: me == 0 -> hi = mem[CURSOR]
	   :: else -> hi = cursor[0]
	   fi;
	   notify(NOBODY, me, cur);
	   if
	   :: hi > cur ->
		if
		:: STOP -> break
		:: else
		fi;
		cursor[me] = hi; cur = hi
	   :: else ->
		/* Idle: state first looked at after the barrier */
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
			:: mem[CURSOR] >= hi -> leave(0, PUBLISHED)
			:: else ->
				recheck(0, PUBLISHED)
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
		hi = 0; d = 0
	   fi
	od;
	d = 0;
	stopped[me] = 1;
	wake(me, 0, 1)
}

proctype Closer() {
#ifdef HALT
	d_step { closed = 1; halted = 1 };
#else
	closed = 1;
#endif
#ifndef NO_CLOSE_MEMBARRIER
	membarrier();
#endif
	settled = 1;
	fenced = 1;
#ifndef NO_CLOSE_WAKE
	wakeEverybody();
#endif
	stopped[0] && stopped[1];
	d_step {
#ifndef HALT
		assert(complete[0] && complete[1]);
		assert(cursor[0] == held && cursor[1] == held);
#endif
		returned++
	}
}

init {
	atomic {
		initGates();
		mem[CEILING] = SLOTS;
		run Producer();
		run Consumer(0);
		run Consumer(1);
		run Closer();
#if CLOSERS == 2
		run Closer()
#endif
	}
}
