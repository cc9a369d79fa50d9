/*
 * Many producers: claims by compare-and-swap, a shared cache of the gating sequence, and a mark
 * per slot (sequencer_multi.go), before consumers that scan the marks (barrier.go).
 *
 * Two producers make CLAIMS claims each, of one or two events; MORE gives the first one more.
 * Load of the claim word, load of the cached gate, look at each cursor, store of the cache, CAS,
 * write of each event and each mark are steps of their own. Marks are plain stores; laps
 * are kept modulo 4, as the code keeps them modulo 2^32.
 *
 * Graph: ONE consumer at the head, or PAIR. ABORTS: what is claimed is published or aborted, of two
 * events perhaps one (abort.go): entries and the last of all are stored by locked instructions before the
 * mark, and a consumer looks at the entries only if the last is not below what it reads.
 *
 * Asserted:
 *   - no sequence is claimed twice,
 *   - a slot is written only after every consumer has handled the event that was in it,
 *   - a consumer finds the event that it expects in each slot, when its handler begins and ends,
 *   - a mark of this lap belongs to a claimed sequence, and a consumer
 *     sees what one Publish published whole or not at all,
 *   - the handler gets exactly the events that were not aborted,
 *   - a try fails only if the ring was really full at some moment of the call,
 *   - the run ends: everything claimed is handled by all.
 *
 * Breakages: NO_CAS, GATE_OFF_BY_ONE, CACHE_TOO_NEW, CACHE_GREATEST, LO_MARKED_FIRST, NO_LAP,
 * NO_RELEASE, GATE_FIRST (a false ErrFull), FAIL_ON_RACE (likewise). Of aborts: ABORT_LATE (the entry is
 * stored behind the mark), LAST_LATE (the last of all is raised behind the mark), LAST_FALLS (it is stored
 * whatever it was), NO_LAST (it is never raised), BIT_ONLY (an entry says that something was aborted in the
 * slot, not what).
 */
#ifndef SLOTS
#define SLOTS 2
#endif
#ifndef CLAIMS
#define CLAIMS 2
#endif
#if SLOTS == 2
#define SHIFT 1
#elif SLOTS == 4
#define SHIFT 2
#else
#define SHIFT 0
#endif
#define MOST (4 * CLAIMS + 2)
#ifdef NO_LAP
#define LAP(s) 1
#else
#define LAP(s) (((s) >> SHIFT) & 3)
#endif

#define THREADS 2
#define WORDS (2 * SLOTS)
#define SLOT(s) ((s) & (SLOTS - 1))
#define MARK(s) (SLOTS + ((s) & (SLOTS - 1)))
#include "tso.inc"

#ifdef PAIR
#define CONSUMERS 2
#else
#define CONSUMERS 1
#endif

byte word;              /* last claimed sequence; the first event is 1 */
byte gate;              /* a gating sequence seen lately */
byte cursor[CONSUMERS]; /* stored with a full fence */

/* What is true, known to nobody in the ring. */
byte handled[CONSUMERS];
bit taken[MOST + 1];
bit ends[MOST + 1]; /* the event is the last of its claim */
byte trying[2];     /* events that a producer tries to claim; 0 outside of calls */
bit wasFull[2];     /* at some moment of that call */
byte finished;

#ifdef ABORTS
byte entry[SLOTS]; /* the last sequence aborted in the slot */
byte last;         /* no aborted sequence is greater */
bit aborted[MOST + 1]; /* what is true */
#endif

#ifdef PAIR
#define LEAST (cursor[0] < cursor[1] -> cursor[0] : cursor[1])
#else
#define LEAST cursor[0]
#endif

/* A ring gets fuller by claims only, so it is enough to look when a call begins and when the
 * other producer claims. */
inline noteFull(p) {
	if
	:: trying[p] > 0 && word + trying[p] > LEAST + SLOTS -> wasFull[p] = 1
	:: else
	fi
}

inline look(g, x) {
	g = cursor[0];
#ifdef PAIR
	x = cursor[1];
	if
#ifdef CACHE_GREATEST
	:: x > g -> g = x
#else
	:: x < g -> g = x
#endif
	:: else
	fi;
	x = 0
#endif
}

/* raise() makes last at least part: a load, and a CAS if that is needed. */
inline raise() {
#ifdef LAST_FALLS
	atomic { flush(me); last = part };
#else
	do
	:: x = last;
	   if
	   :: x >= part -> break
	   :: else
	   fi;
	   atomic {
		flush(me);
		if
		:: last == x -> last = part; break
		:: else
		fi
	   }
	od;
#endif
	x = 0
}

proctype Producer(byte me; byte claims) {
	byte n, w, g, x, s;
#ifdef ABORTS
	byte part;
#endif
	bit ok;
	do
	:: claims == 0 -> break
	:: else ->
	   claims--;
again:
	   atomic {
		if
		:: n == 0 ->
			n = 1;
#if SLOTS > 1
			if
			:: n = 2
			:: true
			fi
#endif
		:: else
		fi;
		trying[me] = n; noteFull(me)
	   };
#ifdef GATE_FIRST
	   look(g, x);
#endif
	   do
	   :: w = word;
#ifdef GATE_FIRST
	      if
	      :: w + n > g + SLOTS -> goto noRoom
	      :: else
	      fi;
#else
	      g = gate;
	      if
#ifdef GATE_OFF_BY_ONE
	      :: w + n > g + SLOTS + 1 ->
#else
	      :: w + n > g + SLOTS ->
#endif
		look(g, x);
		if
#ifdef GATE_OFF_BY_ONE
		:: w + n > g + SLOTS + 1 -> goto noRoom
#else
		:: w + n > g + SLOTS -> goto noRoom
#endif
		:: else ->
#ifdef CACHE_TOO_NEW
			atomic { flush(me); gate = w }
#else
			atomic { flush(me); gate = g }
#endif
		fi
	      :: else
	      fi;
#endif
#ifdef NO_CAS
	      atomic { w == word -> ok = 1 };
	      atomic { flush(me); word = w + n };
#else
	      atomic {
		flush(me);
		if
		:: word == w -> word = w + n; ok = 1; noteFull(1 - me)
		:: else -> ok = 0
		fi
	      };
#endif
	      if
	      :: ok -> break
	      :: else ->
		skip
#ifdef FAIL_ON_RACE
		; goto noRoom
#endif
	      fi
	   od;
	   atomic { trying[me] = 0; wasFull[me] = 0; g = 0; ok = 0; n = w + n };
	   /* [w+1, n] is claimed */
#ifdef ABORTS
	   /* [w+1, part] is aborted, the rest published. */
	   if
	   :: part = n
	   :: part = w
	   :: n == w + 2 -> part = w + 1
	   fi;
#endif
	   s = w;
	   do
	   :: s == n -> break
	   :: else ->
		s++;
		d_step {
			assert(!taken[s]); taken[s] = 1;
#ifdef ABORTS
			ends[s] = (s == n || s == part);
#else
			ends[s] = (s == n);
#endif

			assert(s <= handled[0] + SLOTS);
#ifdef PAIR
			assert(s <= handled[1] + SLOTS)
#endif
		};
		store(me, SLOT(s), s)
	   od;
#ifdef ABORTS
	   if
	   :: part > w ->
		s = w;
#if !defined(ABORT_LATE)
		do
		:: s == part -> break
		:: else -> s++; d_step { flush(me); entry[SLOT(s)] = s; aborted[s] = 1 }
		od;
#endif
#if !defined(LAST_LATE) && !defined(NO_LAST)
		raise();
#endif
#ifdef ABORT_LATE
		d_step { s = part; aborted[part] = 1; aborted[w + 1] = 1 };
#endif
		do
		:: s == w -> break
		:: else -> store(me, MARK(s), LAP(s)); s--
		od;
#ifdef ABORT_LATE
		do
		:: s == part -> break
		:: else -> s++; d_step { flush(me); entry[SLOT(s)] = s }
		od;
#endif
#ifdef LAST_LATE
		raise();
#endif
		w = part; s = n
	   :: else
	   fi;
	   part = 0;
#endif
#ifdef LO_MARKED_FIRST
	   s = w;
	   do
	   :: s == n -> break
	   :: else -> s++; store(me, MARK(s), LAP(s))
	   od;
#else
	   do
	   :: s == w -> break
	   :: else -> store(me, MARK(s), LAP(s)); s--
	   od;
#endif
	   n = 0; w = 0; s = 0
	od;
	finished++;
	goto over;
noRoom:	atomic {
		assert(wasFull[me]); trying[me] = 0; wasFull[me] = 0; w = 0; ok = 0 };
	LEAST >= g + 1; /* blocked, by whatever means, until a consumer has gone on */
	g = 0;
	goto again;
over:	skip
}

proctype Consumer(byte me) {
	byte cur, seen, s;
#ifdef ABORTS
	bit a;
#endif
	do
	:: finished == 2 && cur == word -> break
	:: true ->
	   do
	   :: mem[MARK(seen + 1)] == LAP(seen + 1) -> seen++; assert(seen <= MOST && taken[seen])
	   :: else -> break
	   od;
	   if
	   :: seen == cur -> mem[MARK(seen + 1)] == LAP(seen + 1) || (finished == 2 && cur == word)
	   :: else ->
		assert(ends[seen]);
		s = cur;
		do
		:: s == seen -> break
		:: else ->
			s++;
			assert(mem[SLOT(s)] == s);
#ifdef ABORTS
			if
			:: last >= s ->
#ifdef BIT_ONLY
				a = (entry[SLOT(s)] > 0)
#else
				a = (entry[SLOT(s)] == s)
#endif
			:: else -> a = 0
			fi;
			assert(a == aborted[s]); a = 0;
#endif
			d_step { assert(mem[SLOT(s)] == s); handled[me] = s }
		od;
		cursor[me] = seen;
		cur = seen; s = 0
	   fi
	od
}

init {
	atomic {
		byte i;
		for (i : 1 .. SLOTS) { mem[MARK(i)] = (LAP(i) + 3) & 3 };
		i = 0;
#ifdef MORE
		run Producer(0, CLAIMS + 1);
#else
		run Producer(0, CLAIMS);
#endif
		run Producer(1, CLAIMS);
		run Consumer(0);
#ifdef PAIR
		run Consumer(1)
#endif
	}
}
