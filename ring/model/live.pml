/*
 * A consumer joins and leaves while one producer with plain stores claims by its cached ceiling
 * (join.go, graph.go, sequencer_single.go).
 *
 * A runs from the beginning. X joins at the head, or behind A (BEHIND), from an event of its
 * choice or with what comes next; then it is told to leave at any time. MIDDLE: no join, but
 * the chain A, X, D from the beginning, of which X leaves. The producer makes CLAIMS claims of one
 * or two events; one of one event is Producer.Next where the cached ceiling does not allow it.
 * Joiner and leaver hold the ring's mutex where the code does; loads and stores that others see
 * without it are steps of their own.
 *
 * Checked:
 *   - from the moment at which a join has succeeded until it leaves, no slot is written that X has
 *     not handled, and X finds each event in its slot: no gap, no repeat,
 *   - nor does any other consumer lose an event by it, or handle one before those it comes after,
 *   - everything ends: the producer, A and D get through all events, and Leave returns.
 *
 * Breakages: NO_MEMBARRIER, NO_REGATE, SET_AFTER_BIT (the bit is set before the set is stored),
 * CLEAR_LATE (the producer clears the bit after it has looked at the set), NO_FITS (the newcomer
 * stays where it is whatever was claimed), DROP_GATE (a leaving consumer is taken out of the set
 * and what it came after is not put back), LEFT_NO_WAKE, LEAVE_NO_KICK (the leaver is told, and not
 * woken), WAKE_FIRST (waiters are woken before the links are exchanged and left is
 * set).
 */
#ifndef SLOTS
#define SLOTS 2
#endif
#ifndef CLAIMS
#define CLAIMS 3
#endif
#define MOST (2 * CLAIMS)
#define LE(a, b) ((a) <= (b))

#define THREADS 1
#define WORDS (3 + SLOTS)
#define CURSOR 0
#define CLAIMED 1
#define CEILING 2
#define SLOT(s) (3 + ((s) & (SLOTS - 1)))
#ifndef BUFFER
#define BUFFER 2
#endif
#include "tso.inc"

#define A 0
#define X 1
#define D 2
#define BIT(c) (1 << (c))
#define IN(set, c) (((set) >> (c)) & 1)

/* Gate and parker c are consumer c's; the last are the ring's cursor's and the producer's. */
#define GATES 4
#define PARKERS 4
#define PUBLISHED 3
#define PRODUCER 3
#include "gate.inc"

bit regate;
byte gating;   /* the set in force; exchanged as a whole */
byte link[3];  /* what a consumer comes after, 0: the head */
byte cursor[3];
bit left[3];
bit leaving;   /* X.leaveAt is set */
bit gone;      /* X has stopped */

/* What is true, known to nobody in the ring. */
byte handled[3];
bit member[3];
bit over;      /* the producer has ended */
byte final;    /* and this was its last sequence */

inline wakeEverybody() { wake(PUBLISHED, 0, 1); wake(A, 0, 1); wake(X, 0, 1); wake(D, 0, 1) }

/* Each cursor is loaded once. */
#define lower(SET, G, c) atomic { if :: IN(SET, c) && cursor[c] < G -> G = cursor[c] :: else fi }
inline least(SET, G) {
	G = NEVER;
	lower(SET, G, A);
	lower(SET, G, X);
	lower(SET, G, D)
}

inline takeBack() {
	limit = claimed; ceiling = claimed;
	store(0, CEILING, claimed);
	if
	:: shown != claimed -> xchg(0, CLAIMED, claimed); shown = claimed
	:: else
	fi;
#ifndef CLEAR_LATE
	atomic { flush(0); regate = 0 }
#endif
}

inline parkProducer() {
	need = claimed + n - SLOTS;
	set = gating;
	if
	:: IN(set, A) && cursor[A] < need -> c = A
	:: else ->
		if
		:: IN(set, X) && cursor[X] < need -> c = X
		:: else ->
			if
			:: IN(set, D) && cursor[D] < need -> c = D
			:: else -> c = NEVER
			fi
		fi
	fi;
	if
	:: c == NEVER
	:: else ->
		list(PRODUCER, c, need);
		if
		:: cursor[c] >= need -> leave(PRODUCER, c)
		:: else ->
			if
			:: left[c] -> leave(PRODUCER, c)
			:: else -> block(PRODUCER)
			fi
		fi
	fi;
	need = 0; set = 0; c = 0
}

proctype Producer() {
	byte claimed, shown, limit = SLOTS, ceiling = SLOTS, n, need, g, set, c, s, k = CLAIMS;
	do
	:: k == 0 -> break
	:: else ->
		k--;
		if
		:: n = 1
#if SLOTS > 1
		:: n = 2
#endif
		fi;
		if
		:: limit - claimed >= n ->
			store(0, CLAIMED, claimed + n); shown = claimed + n;
			if
			:: regate -> takeBack()
			:: else -> goto claimedIt
			fi
		:: else ->
			if
			:: n == 1 -> /* Next: the claim first, room later */
				store(0, CLAIMED, claimed + 1); shown = claimed + 1;
				if
				:: regate -> takeBack()
				:: else ->
					if
					:: ceiling > claimed -> goto claimedIt
					:: else -> store(0, CLAIMED, claimed); shown = claimed
					fi
				fi
			:: else
			fi
		fi;
		do
		:: if
		   :: regate -> takeBack()
		   :: else
		   fi;
		   if
		   :: ceiling < claimed + n ->
			set = gating; least(set, g);
			ceiling = (g == NEVER -> MOST : (g + SLOTS < claimed -> claimed : g + SLOTS));
			limit = ceiling; set = 0; g = 0;
			store(0, CEILING, ceiling)
#ifdef CLEAR_LATE
			; atomic { flush(0); regate = 0 }
#endif
		   :: else
		   fi;
		   if
		   :: ceiling >= claimed + n ->
			store(0, CLAIMED, claimed + n); shown = claimed + n;
			if
			:: regate -> takeBack()
			:: else -> break
			fi
		   :: else -> parkProducer()
		   fi
		od;
claimedIt:	skip;
		s = claimed;
		do
		:: s == claimed + n -> break
		:: else ->
			s++;
			atomic {
				assert(!member[A] || s <= handled[A] + SLOTS);
				assert(!member[X] || s <= handled[X] + SLOTS);
				assert(!member[D] || s <= handled[D] + SLOTS)
			};
			store(0, SLOT(s), s)
		od;
		claimed = s; s = 0; n = 0;
		store(0, CURSOR, claimed);
		notify(0, PUBLISHED, claimed)
	od;
	final = claimed;
	over = 1
}

inline blockUnlessOver(P, G) {
	if
	:: block(P)
	:: atomic { P != X && over && cur == final && token[P] == 0 -> leave(P, G) }
	fi
}

/* The run ends for a consumer that has everything; close.pml has the rest. */
proctype Consumer(byte me) {
	byte cur, hi, k, s;
	cur = cursor[me];
	do
	:: k = link[me];
	   do /* the barrier, and the second look at the link */
	   :: if
	      :: k == 0 -> hi = mem[CURSOR]
	      :: else -> least(k, hi)
	      fi;
	      if
	      :: link[me] == k -> break
	      :: else -> k = link[me]
	      fi
	   od;
	   k = 0;
	   notify(NOBODY, me, cur);
	   if
	   :: me == X && leaving -> break
	   :: else
	   fi;
	   if
	   :: hi > cur ->
		s = cur;
		do
		:: s == hi -> break
		:: else ->
			s++;
			atomic {
				assert(mem[SLOT(s)] == s);
				assert(me == A || me != D || left[X] || handled[X] >= s || leaving);
				assert(me == A || link[me] == 0 || handled[A] >= s)
			};
			atomic { assert(mem[SLOT(s)] == s); handled[me] = s }
		od;
		cursor[me] = hi; cur = hi; s = 0
	   :: else ->
		k = link[me];
		hi = cur + 1;
		if
		:: k == 0 ->
			list(me, PUBLISHED, hi); membarrier();
			if
			:: mem[CURSOR] >= hi -> leave(me, PUBLISHED)
			:: else ->
				if
				:: me == X && leaving -> leave(me, PUBLISHED)
				:: else -> blockUnlessOver(me, PUBLISHED)
				fi
			fi
		:: else ->
			k = (IN(k, X) -> X : A); /* nobody here has two */
			if
			:: cursor[k] >= hi
			:: else ->
				list(me, k, hi);
				if
				:: cursor[k] >= hi || left[k] -> leave(me, k)
				:: else ->
					if
					:: me == X && leaving -> leave(me, k)
					:: else -> blockUnlessOver(me, k)
					fi
				fi
			fi
		fi;
		k = 0; hi = 0;
		if
		:: me != X && over && cur == final -> goto out
		:: else
		fi
	   fi;
	   hi = 0
	od;
	/* X leaves: consumerStopped and unlink, under the mutex */
	member[X] = 0;
#ifdef WAKE_FIRST
	wake(X, 0, 1);
#endif
	if
	:: link[D] != NEVER && IN(link[D], X) -> link[D] = link[X]
	:: else
	fi;
#ifdef DROP_GATE
	gating = gating & ~BIT(X);
#else
	if
	:: link[D] != NEVER -> gating = BIT(D)
	:: else -> gating = BIT(A)
	fi;
#endif
	left[X] = 1;
#if !defined(LEFT_NO_WAKE) && !defined(WAKE_FIRST)
	wake(X, 0, 1);
#endif
	gone = 1;
out:	skip
}

proctype Leaver() {
	leaving = 1;
#ifndef LEAVE_NO_KICK
	wakeEverybody();
#endif
	gone
}

proctype Joiner() {
	byte from, top, h;
	bit ok;
#ifdef BEHIND
	link[X] = BIT(A);
	top = cursor[A];
#else
	top = mem[CURSOR];
#endif
	if
	:: from = 0; cursor[X] = top
	:: top > 0 -> from = top; cursor[X] = top - 1
	:: top > 1 -> from = top - 1; cursor[X] = top - 2
	fi;
#ifdef SET_AFTER_BIT
	regate = 1;
#endif
#ifdef BEHIND
	gating = BIT(X);
#else
	gating = BIT(A) | BIT(X);
#endif
#if !defined(SET_AFTER_BIT) && !defined(NO_REGATE)
	regate = 1;
#endif
	membarrier();
	h = mem[CLAIMED];
	if
	:: mem[CEILING] < h -> h = mem[CEILING]
	:: else
	fi;
	ok = 1;
#ifndef NO_FITS
	if
	:: cursor[X] + SLOTS < h ->
		if
		:: from > 0 -> ok = 0 /* gone */
		:: else ->
#ifdef BEHIND
			top = cursor[A];
#else
			top = mem[CURSOR];
#endif
			assert(top + SLOTS >= h);
			cursor[X] = top;
			notify(NOBODY, X, top)
		fi
	:: else
	fi;
#endif
	if
	:: ok ->
		d_step { handled[X] = cursor[X]; member[X] = 1 };
		run Consumer(X);
		run Leaver()
	:: else ->
		gating = BIT(A);
		left[X] = 1;
		wake(X, 0, 1)
	fi;
	from = 0; top = 0; h = 0; ok = 0
}

init {
	atomic {
		initGates();
		mem[CEILING] = SLOTS;
		member[A] = 1;
		run Producer();
		run Consumer(A);
#ifdef MIDDLE
		member[X] = 1; member[D] = 1;
		link[X] = BIT(A); link[D] = BIT(X);
		gating = BIT(D);
		run Consumer(X);
		run Consumer(D);
		run Leaver()
#else
		link[D] = NEVER;
		gating = BIT(A);
		run Joiner()
#endif
	}
}
