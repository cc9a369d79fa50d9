/*
 * A consumer joins and leaves under many producers (sequencer_multi.go, join.go, graph.go): how far
 * a claim may go that was checked against a gating set which is in force no more (Ring.regate,
 * Ring.settle).
 *
 * Two producers make CLAIMS claims, MORE gives the first one more, of one event, or of one or two with
 * PAIRS, which run does not try. A runs from the beginning. X joins at the head, or behind A
 * (BEHIND), from an event of its choice or with what comes next, and leaves at any time. AGAIN: it
 * joins once more after that. MIDDLE: no join, but the chain A, X, D from the beginning, of which X
 * leaves. The context of Join may end wherever Join looks at it. Joiner and leaver hold the ring's
 * mutex where the code does.
 *
 * All that matters here is claimed by compare-and-swap and shown by locked instructions, so there are
 * no store buffers: a mark that stays in one is a producer that is slow. Goroutines that wait look
 * again once there is something to see; park.pml and live.pml have the rest. A mark is the sequence
 * itself, and is what the slot holds: multi.pml has laps.
 *
 * Checked:
 *   - from the moment at which a join has succeeded until X leaves, nothing is claimed whose slot X has
 *     not released, and X finds each event in its slot: no gap, no repeat,
 *   - nor does any other consumer lose an event by it, or handle one before those it comes after,
 *   - what Join claims itself reaches no handler, and everything else does,
 *   - everything ends: producers and consumers get through all events, with nobody in the way.
 *
 * Breakages: NO_SECOND_LOOK (a producer does not look the set up again), CACHE_EARLY (the cache of a
 * set is filled before the second look), CACHE_KEPT (a new set begins with the cache of the old one),
 * BOUND_FIRST (outdated is taken before the set is exchanged), NO_BOUND (every cursor is taken for
 * safe), NO_MOVE (Join does not wait for the word to move), NO_FITS (where it has moved, X stays where
 * it is), NO_MARK (Join's own claim is not published), NO_ABORT (it is not aborted), DROP_GATE (a
 * leaving consumer is taken out of the set and what it came after is not put back). WORD_LATE (a
 * producer loads the word after the set) is not found by the searches of run: see README.md.
 */
#ifndef SLOTS
#define SLOTS 2
#endif
#ifndef CLAIMS
#define CLAIMS 2
#endif
#define SLOT(s) ((s) & (SLOTS - 1))

#define A 0
#define X 1
#define D 2
#define FAR 200 /* the gating sequence of an empty set */
#define BIT(c) (1 << (c))
#define IN(set, c) (((set) >> (c)) & 1)

#define SETS 6
byte word;
byte mark[SLOTS];
byte aborts[SLOTS];  /* the last sequence aborted in the slot */
byte last;           /* no aborted sequence is greater */
byte gating;         /* which set is in force */
byte members[SETS];  /* of each set; written before it is in force */
byte seen[SETS];     /* its cached gating sequence */
byte link[3];        /* what a consumer comes after, 0: the head */
byte cursor[3];
byte outdated;

/* What is true, known to nobody in the ring. */
bit member[3];
byte given;   /* the events that Join claimed and aborted, a bit each */
byte finished;

#define PRODUCERS 2
#ifdef MIDDLE
#define TAIL D /* what gates the producers once X has left */
#define OVER (finished == PRODUCERS)
#else
#define TAIL A
#define OVER (finished == PRODUCERS + 1)
#endif

/* least(SET, G): each cursor is loaded once, and only A and X are ever in a set together. */
inline least(SET, G) {
	G = (IN(SET, A) -> cursor[A] : (IN(SET, X) -> cursor[X] : (IN(SET, D) -> cursor[D] : FAR)));
	if
	:: atomic { SET == BIT(A) + BIT(X) -> G = (cursor[X] < G -> cursor[X] : G) }
	:: else
	fi
}

#define ROOM(N, c) (!IN(members[gating], c) || word + N <= cursor[c] + SLOTS)
#define ROOMS(N) (ROOM(N, A) && ROOM(N, X) && ROOM(N, D))

#define KEPT(c, HI) assert(!member[c] || HI <= cursor[c] + SLOTS)

/* tryClaim(N) sets r: 1 claimed after w, 0 full. */
inline tryClaim(N) {
	do
#ifdef WORD_LATE
	:: g = gating;
	   w = word;
#else
	:: w = word;
	   g = gating;
#endif
	   r = 2;
	   if
	   :: w + N > seen[g] + SLOTS ->
		least(members[g], gate);
		if
		:: atomic { w + N > gate + SLOTS -> r = 0; w = 0; g = 0; gate = 0; break }
		:: else ->
#ifdef CACHE_EARLY
			seen[g] = gate;
#endif
#ifndef NO_SECOND_LOOK
			if
			:: atomic { gating != g -> r = 3; w = 0; g = 0; gate = 0 }
			:: else -> seen[g] = gate
			fi
#else
			seen[g] = gate
#endif
		fi
	   :: else
	   fi;
	   if
	   :: r == 2 ->
		d_step {
			g = 0; gate = 0; r = 0;
			if
			:: word == w ->
				word = w + N; r = 1;
				KEPT(A, word); KEPT(X, word); KEPT(D, word)
			:: else -> w = 0
			fi
		};
		if
		:: r == 1 -> break
		:: else
		fi
	   :: else -> r = 0
	   fi
	od
}

proctype Producer(byte claims) {
	byte w, g, gate, n = 1, r;
	do
	:: claims == 0 -> break
	:: else ->
#ifdef PAIRS
		if
		:: n = 2
		:: n = 1
		fi;
#endif
		tryClaim(n);
		do
		:: r == 1 -> break
		:: else -> ROOMS(n); tryClaim(n)
		od;
#ifdef PAIRS
		if
		:: n == 2 -> mark[SLOT(w + 2)] = w + 2
		:: else
		fi;
#endif
		atomic { mark[SLOT(w + 1)] = w + 1; w = 0; r = 0; n = 1; claims-- }
	od;
	finished++
}

/* exchange(SET, G) is regate. */
inline exchange(SET, G) {
#ifdef BOUND_FIRST
	least(members[gating], G);
	if :: G > outdated -> outdated = G :: else fi;
#endif
	d_step {
		assert(gating + 1 < SETS);
		members[gating + 1] = SET;
#ifdef CACHE_KEPT
		seen[gating + 1] = seen[gating];
#endif
		gating++
	};
#ifndef BOUND_FIRST
	least(members[gating - 1], G);
	if :: G > outdated -> outdated = G :: else fi;
#endif
	G = 0
}

/* leaveRing() is consumerStopped and unlink, under the mutex. */
inline leaveRing() {
	member[X] = 0;
	if
	:: IN(link[D], X) -> link[D] = link[X]
	:: else
	fi;
#ifdef DROP_GATE
	exchange(members[gating] & ~BIT(X), g)
#else
	exchange(BIT(TAIL), g)
#endif
}

/*
 * handle(me) handles the event after the cursor, which is readable. It is one step, with the load of the
 * mark: until cursor is stored nobody claims the slot again, which is asserted where claims are made.
 */
inline handle(me) {
	s = cursor[me] + 1;
	assert(mark[SLOT(s)] == s);
	assert((last >= s && aborts[SLOT(s)] == s) == ((given >> s) & 1));
	assert(me == A || link[me] == 0 || cursor[A] >= s);
	assert(me != D || !member[X] || cursor[X] >= s);
	cursor[me] = s; s = 0
}

#define NEXT(c) (mark[SLOT(cursor[c] + 1)] == cursor[c] + 1)

proctype Consumer(byte me) {
	byte s, k, hi;
	do
	:: OVER && cursor[me] == word -> break
	:: d_step { me == A && NEXT(A) -> handle(A) }
	:: me == D && cursor[(IN(link[D], X) -> X : A)] > cursor[D] ->
		/* the link, the barrier, and the second look at the link */
		k = link[D];
		hi = (IN(k, X) -> cursor[X] : cursor[A]);
		d_step {
			if
			:: link[D] == k && hi > cursor[D] -> handle(D)
			:: else
			fi;
			k = 0; hi = 0
		}
	od
}

/* reached(R) is the cursor that a consumer at X's place could have. */
inline reached(R) {
#ifdef BEHIND
	R = cursor[A]
#else
	R = cursor[A];
	do
	:: mark[SLOT(R + 1)] == R + 1 -> R++
	:: else -> break
	od
#endif
}

inline moveUp() {
	reached(top);
	if
	:: top > cursor[X] -> cursor[X] = top
	:: else
	fi;
	top = 0
}

/* fits(H) sets ok. */
inline fits(H) {
	ok = 1;
#ifndef NO_FITS
	if
	:: from > 0 && cursor[X] + SLOTS < H -> ok = 0
	:: else ->
		do
		:: cursor[X] + SLOTS < H -> moveUp()
		:: else -> break
		od
	fi
#endif
}

/* join() sets ok. */
inline join() {
	/* linkIn, under the mutex */
#ifdef BEHIND
	link[X] = BIT(A);
#endif
	reached(top);
	if
	:: from = 0
	:: from = top + 1
	:: top > 0 -> from = top
	:: top > 1 -> from = top - 1
	fi;
	atomic { cursor[X] = (from > 0 -> from - 1 : top); top = 0 };
	ok = 0;
	if
	:: from > 0 && cursor[X] + SLOTS < word -> from = 0 /* gone, and not linked in */
	:: else ->
#ifdef BEHIND
		exchange(BIT(X), g);
#else
		exchange(BIT(A) | BIT(X), g);
#endif
		/* settle, without the mutex: nobody else changes the graph here */
		if
		:: from == 0 ->
			do
			:: cursor[X] < outdated -> moveUp()
			:: else -> break
			od
		:: else
		fi;
#ifdef NO_BOUND
		ok = 1;
#else
		before = word;
		if
		:: cursor[X] >= outdated -> ok = 1
#ifdef NO_MOVE
		:: else -> fits(before)
#else
		:: else ->
			do
			:: word != before -> h = word; fits(h); break
			:: tryClaim(1);
				if
				:: r == 1 ->
					s = w + 1;
#ifndef NO_ABORT
					d_step { aborts[SLOT(s)] = s; last = (s > last -> s : last) };
#endif
#ifndef NO_MARK
					d_step { given = given | (1 << s); mark[SLOT(s)] = s };
#endif
					fits(s); break
				:: else ->
					if
					:: before >= cursor[X] + SLOTS -> break /* gone */
					:: word != before || ROOMS(1)
					:: break /* the context has ended */
					fi
				fi
			od
#endif
		fi;
#endif
		atomic { before = 0; h = 0; s = 0; r = 0; w = 0 };
		if
		:: ok -> d_step { member[X] = 1; assert(word <= cursor[X] + SLOTS) }
		:: else -> exchange(BIT(A), g)
		fi
	fi;
	from = 0
}

/* X joins and handles events, and leaves, here on one goroutine. */
proctype Joiner(byte joins) {
	byte from, top, g, gate, w, r, s, h, before;
	bit ok;
	do
	:: joins == 0 -> break
	:: else ->
		joins--;
		join();
		do
		:: !ok -> break
		:: d_step { ok && (link[X] == 0 -> NEXT(X) : cursor[A] > cursor[X]) -> handle(X) }
		:: ok && finished >= PRODUCERS && cursor[X] == word -> break
		:: ok -> leaveRing(); ok = 0
		od;
		if
		:: ok -> leaveRing(); ok = 0
		:: else
		fi
	od;
	finished++
}

#ifdef MIDDLE
proctype Leaver() {
	byte s, g;
	do
	:: d_step { cursor[A] > cursor[X] -> handle(X) }
	:: break
	od;
	leaveRing()
}
#endif

init {
	atomic {
		member[A] = 1;
#ifdef MORE
		run Producer(CLAIMS + 1);
#else
		run Producer(CLAIMS);
#endif
		run Producer(CLAIMS);
		run Consumer(A);
#ifdef MIDDLE
		member[X] = 1; member[D] = 1;
		link[X] = BIT(A); link[D] = BIT(X);
		members[0] = BIT(D);
		run Consumer(D);
		run Leaver()
#else
		members[0] = BIT(A);
#ifdef AGAIN
		run Joiner(2)
#else
		run Joiner(1)
#endif
#endif
	}
}
