/*
 * The bias of one among many producers (bias.go): claims by a plain store and a load of revoked, against
 * others that revoke by a locked store and a membarrier, read what is claimed, and make it the word again.
 *
 * Two rivals, Producers, make CLAIMS claims each, MORE gives the first one more; each gets the bias with
 * a claim that nobody came before. A third claims once by compare-and-swap. A reader makes room. CLOSE: one fences.
 * JOIN: a consumer joins at the first event, with the steps of Ring.settle.
 *
 * Store buffers: claimed and ceiling of each rival are plain stores, all else is locked. Tags are TAG and above.
 * The cache of the gating sequence, marks, and waking are in other models: who finds the ring full here waits until
 * something has changed.
 *
 * Checked:
 *   - no sequence is claimed twice, none for which there is no room, none after the fence but those it has counted,
 *   - once joined, none that laps the newcomer,
 *   - at the end, what is claimed is what was handed out, without a gap,
 *   - everybody ends.
 *
 * Breakages: NO_MEMBARRIER, UNASKED (an owner keeps a claim without asking decided), UNDECIDED (who revokes goes by
 * what it has read itself), NO_CEILING (it looks at claimed alone), TAG_AGAIN (tags come again), LOOK_FIRST (an owner
 * that has looked for room does not look at revoked behind that), JOIN_LOOKS (who joins looks at what is claimed
 * and does not revoke), FENCE_LOOKS (so does a fence), CEILING_KEPT (a new bias begins with the ceiling of the last).
 */
#ifndef SLOTS
#define SLOTS 2
#endif
#ifndef CLAIMS
#define CLAIMS 2
#endif
#define THREADS 2
#define WORDS 4
#define CLAIMED(v) (v)
#define CEILING(v) (2 + (v))
#ifndef BUFFER
#define BUFFER 2
#endif
#include "tso.inc"

#define NOBODY 2 /* a thread without plain stores */
#define TAG 32
#define MOST 12
#define MIN(a, b) ((a) < (b) -> (a) : (b))

byte word; bit shut; /* the claim word and its closed bit */
byte owner;          /* 1 + the rival, 0 for none */
byte given;
byte decided[2];
bit revoked[2];
byte gate;           /* cursor of the consumer that holds producers back */
bit set;             /* 1: the newcomer, at 0, is in the gating set */

/* What is true, known to nobody in the ring. */
bit taken[MOST];
byte held;           /* how many are taken */
bit fenced; byte fencedAt;
bit joined;
byte ended;

inline locked(T) { if :: T < THREADS -> flush(T) :: else fi }

inline take(S) {
	assert(!taken[S]); taken[S] = 1; held++;
	assert(S <= gate + SLOTS);
	assert(!fenced || S <= fencedAt);
	assert(!joined || S <= SLOTS)
}

/* settleBias(T, V, G, L): by thread T, of rival V's bias G, at L. */
inline settleBias(T, V, G, L) {
	d_step { locked(T); if :: decided[V] == G -> decided[V] = L :: else fi };
#ifndef UNDECIDED
	L = decided[V];
#endif
	d_step { locked(T); if :: word == G -> word = L; swapped = 1 :: else -> swapped = 0 fi };
	if
	:: swapped -> d_step { locked(T); owner = 0; swapped = 0 }
	:: else
	fi
}

/* revoke(T): of the bias whose tag w is. */
inline revoke(T) {
	v = owner;
	if
	:: v == 0 || word != w -> skip
	:: else ->
		v--;
		d_step { locked(T); revoked[v] = 1 };
		membarrier();
		c = mem[CLAIMED(v)];
#ifndef NO_CEILING
		c = MIN(c, mem[CEILING(v)]);
#endif
		settleBias(T, v, w, c)
	fi;
	atomic { v = 0; c = 0 }
}

/* exactly(T) leaves in w what is claimed. */
inline exactly(T) {
	do
	:: w = word;
		if
		:: w >= TAG -> revoke(T)
		:: else -> break
		fi
	od
}

/* room(L) is how far a set that is in force allows. */
inline room(L) {
	do
	:: g = set;
		L = (g -> 0 : gate) + SLOTS;
		if
		:: set == g -> break
		:: else
		fi
	od;
	g = 0
}

/* swap(T) claims one by compare-and-swap, and leaves it in s, or 0 where the ring is closed. */
inline swap(T) {
	s = 0;
	do
	:: s != 0 -> break
	:: else ->
		atomic { w = word; bitSeen = shut };
		if
		:: bitSeen -> break
		:: w >= TAG && !bitSeen -> revoke(T)
		:: else ->
			room(c);
			if
			:: w + 1 > c -> (word != w || shut || (set -> 0 : gate) + SLOTS != c)
			:: else ->
				d_step {
					locked(T);
					if
					:: word == w && !shut -> word = w + 1; s = w + 1; take(s)
					:: else
					fi
				}
			fi;
			c = 0
		fi
	od;
	atomic { w = 0; bitSeen = 0 }
}

proctype Rival(byte me; byte claims) {
	byte claimed, ceiling, tag; /* copies of its own */
	byte w, v, c, s, last;
	bit g, bitSeen, swapped;
	do
	:: claims == 0 -> break
	:: else ->
		atomic { claims--; claimed++ };
		store(me, CLAIMED(me), claimed);
		if
		:: tag != 0 ->
			last = 0;
#ifdef LOOK_FIRST
			if
			:: revoked[me] -> goto giveUp
			:: else
			fi;
#endif
			if
			:: claimed > ceiling ->
				room(last);
				if
				:: claimed > last -> goto giveUp
				:: else -> ceiling = last; store(me, CEILING(me), ceiling)
				fi
			:: else
			fi;
#ifndef LOOK_FIRST
			if
			:: revoked[me] -> goto giveUp
			:: else
			fi;
#endif
			atomic { last = 0; take(claimed) };
			goto next;
giveUp:			last = MIN(claimed, ceiling);
			settleBias(me, me, tag, last);
			last = decided[me];
			tag = 0;
#ifdef UNASKED
			last = claimed;
#endif
			if
			:: last >= claimed -> atomic { last = 0; take(claimed) }; goto next
			:: else -> last = 0
			fi
		:: else
		fi;
		swap(me);
		if
		:: s == 0 -> break
		:: else
		fi;
		store(me, CLAIMED(me), s);
		if
		:: s == claimed -> /* nobody came before it */
			d_step { flush(me); if :: owner == 0 -> owner = me + 1; swapped = 1 :: else -> swapped = 0 fi };
			if
			:: swapped ->
				swapped = 0;
#ifdef TAG_AGAIN
				tag = TAG;
#else
				given++;
				tag = TAG + given;
#endif
				d_step { flush(me); decided[me] = tag };
				d_step { flush(me); revoked[me] = 0 };
#ifndef CEILING_KEPT
				ceiling = s;
				store(me, CEILING(me), s);
#endif
				d_step {
					flush(me);
					if
					:: word == s && !shut -> word = tag
					:: else -> tag = 0
					fi
				};
				if
				:: tag == 0 -> d_step { flush(me); owner = 0 }
				:: else
				fi
			:: else
			fi
		:: else -> claimed = s
		fi;
next:		atomic { s = 0 }
	od;
	ended++
}

proctype Claimer() {
	byte w, v, c, s;
	bit g, bitSeen, swapped;
	swap(NOBODY);
	ended++
}

/* look leaves in w what is claimed, by looking at the owner's: sequencer.claimedByMany. */
inline look() {
	do
	:: w = word;
		if
		:: w < TAG -> break
		:: else ->
			v = owner;
			if
			:: v == 0
			:: else ->
				c = mem[CLAIMED(v - 1)];
				c = MIN(c, mem[CEILING(v - 1)]);
				if
				:: word == w -> w = c; break
				:: else
				fi
			fi
		fi
	od;
	atomic { v = 0; c = 0 }
}

proctype Closer() {
	byte w, v, c;
	bit swapped;
	shut = 1;
#ifdef FENCE_LOOKS
	look();
#else
	exactly(NOBODY);
#endif
	atomic { fenced = 1; fencedAt = w; w = 0 };
	ended++
}

proctype Joiner() {
	byte w, v, c, before, outdated;
	bit swapped;
	set = 1;
	outdated = gate;
	if
	:: outdated == 0 -> joined = 1 /* nobody has seen more room than there is */
	:: else ->
#ifdef JOIN_LOOKS
		look();
#else
		exactly(NOBODY);
#endif
		before = w;
		do
		::
#ifdef JOIN_LOOKS
			look();
#else
			exactly(NOBODY);
#endif
			if
			:: w != before -> break
			:: w == before && w >= SLOTS -> break
			:: w == before && w < SLOTS -> /* a claim of its own */
				d_step {
					if
					:: word == w && !shut -> word = w + 1; w++; take(w); swapped = 1
					:: else
					fi
				};
				if
				:: swapped -> swapped = 0; break
				:: else
				fi
			fi
		od;
		if
		:: w <= SLOTS && !(w == before && w >= SLOTS) -> joined = 1
		:: else /* gone */
		fi
	fi;
	atomic { w = 0; before = 0; outdated = 0 };
	atomic { joined = 0; set = 0 }; /* it leaves */
	ended++
}

/* Reader handles what is claimed, so that there is room. */
active proctype Reader() {
end:	do
	:: taken[gate + 1] -> gate++
	od
}

init {
	byte w, v, c, i;
	bit swapped;
	atomic {
#ifdef MORE
		run Rival(0, CLAIMS + 1);
#else
		run Rival(0, CLAIMS);
#endif
		run Rival(1, CLAIMS);
#ifdef CLOSE
		run Closer()
#elif defined(JOIN)
		run Joiner()
#else
		run Claimer()
#endif
	};
	ended == 3;
	exactly(NOBODY);
	assert(w == held);
	i = 1;
	do
	:: i > w -> break
	:: else -> assert(taken[i]); i++
	od
}
