package journal

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// The campaigns of damage: a small journal of two segments, of which every bit, every byte, runs of
// bytes, its length and its tail are changed. The long forms try every case there is, the short ones
// draw some.

// each calls try with every case in [0, n) that is this campaign's turn.
func (c *campaign) each(n int64, worker, workers int64, try func(i int64)) {
	rnd := c.rand(uint64(worker))
	c.want = min(c.want, n/workers)
	exhaustive := longForm()
	for i := worker; c.more(); i += workers {
		if exhaustive && i >= n {
			c.cases.Add(-1)
			return
		}
		if exhaustive {
			try(i)
		} else {
			try(rnd.Int64N(n))
		}
	}
}

// workers runs a campaign in two parts at a time.
func workers(t *testing.T, short, long int64, run func(c *campaign, worker, workers int64)) {
	for w := range int64(2) {
		t.Run(fmt.Sprintf("worker=%d", w), func(t *testing.T) {
			t.Parallel()
			run(newCampaign(t, short, long), w, 2)
		})
	}
}

// patient is a journal whose bytes are changed and put back.
type patient struct {
	*campaign
	st    *memStorage
	segs  []*memNode
	names []string
	ends  []int64 // of their records
	last  int64

	firstOf2 int64 // first sequence of the second segment
}

func newPatient(c *campaign, how func(*Journal), boot byte) *patient {
	st, last, end := twoSegments(c.t, how)
	st.id.boot[0] = boot
	p := &patient{campaign: c, st: st, last: last}
	for _, name := range st.segments() {
		p.segs = append(p.segs, st.nodes[name])
		p.names = append(p.names, filepath.Base(name))
	}
	require.Len(c.t, p.segs, 2)
	p.firstOf2, _, _ = parseSegmentName(p.names[1])
	pair := loadPair(p.segs[0].bytes(), 1)
	p.ends = []int64{pair.offset, end}
	return p
}

// TestTorture_Damage changes one place of a journal that was closed and whose machine was started
// anew: everything in it was acknowledged as durable. Verify must find every change of a header, a
// record or the room behind a seal, and name the place or one before it; a reader must deliver what
// is before it, unaltered, and end with an error. A change of a control page may make both refuse,
// or change nothing. Open must refuse damage of the newest segment.
func TestTorture_Damage(t *testing.T) {
	t.Parallel()
	workers(t, 1_000, 1<<40, func(c *campaign, worker, workers int64) {
		p := newPatient(c, func(j *Journal) { _ = j.Close() }, 2)
		families := p.families()
		total := int64(0)
		for _, f := range families {
			total += f.n
		}
		c.each(total, worker, workers, func(i int64) {
			for _, f := range families {
				if i < f.n {
					f.try(i)
					return
				}
				i -= f.n
			}
		})
		for _, f := range families {
			p.notes += note("%s %d", f.name, f.n)
		}
	})
}

type damageFamily struct {
	name string
	n    int64
	try  func(i int64)
}

func (p *patient) families() []damageFamily {
	var fs []damageFamily
	for s := range p.segs {
		b := p.segs[s].bytes()
		size, end := int64(len(b)), p.ends[s]
		if s == 0 {
			end = size // behind a seal there is nothing but zeros, and that is checked
		}
		fs = append(fs,
			damageFamily{fmt.Sprintf("bits of segment %d", s+1), end * 8, func(i int64) {
				p.change(s, i/8, []byte{b[i/8] ^ 1<<(i%8)})
			}},
			damageFamily{fmt.Sprintf("bytes of segment %d", s+1), end * 2, func(i int64) {
				v := byte(0xFF)
				if i%2 == 0 {
					v = 0
				}
				if b[i/2] == v {
					v = ^v
				}
				p.change(s, i/2, []byte{v})
			}},
			damageFamily{fmt.Sprintf("bursts in segment %d", s+1), 10_000, func(i int64) {
				rnd := rand.New(rand.NewPCG(p.seed, uint64(i)))
				burst := make([]byte, 2+rnd.IntN(600))
				switch i % 3 {
				case 0:
					for k := range burst {
						burst[k] = byte(rnd.Uint32())
					}
				case 1: // zeros, as of a block that was never written
				case 2: // another part of the journal
					copy(burst, b[recordsOffset+8*rnd.Int64N(200):])
				}
				p.change(s, rnd.Int64N(end-int64(len(burst))), burst)
			}},
			damageFamily{fmt.Sprintf("bytes behind segment %d", s+1), size - end, func(i int64) {
				p.change(s, end+i, []byte{byte(1 + i%255)})
			}})
	}
	return fs
}

// change puts patch at off of segment s, judges, and takes it back.
func (p *patient) change(s int, off int64, patch []byte) {
	b := p.segs[s].bytes()
	old := bytes.Clone(b[off : off+int64(len(patch))])
	first, last := int64(-1), int64(-1) // what really differs
	for i := range patch {
		if patch[i] != old[i] {
			if first < 0 {
				first = off + int64(i)
			}
			last = off + int64(i)
		}
	}
	if first < 0 {
		p.cases.Add(-1)
		return
	}
	copy(b[off:], patch)
	p.judge(s, first, last)
	copy(b[off:], old)
}

func (p *patient) judge(s int, first, last int64) {
	inControl := first >= controlOffset && last < recordsOffset
	behind := first >= p.ends[s]
	where := func() string { return fmt.Sprintf("segment %d, bytes %d to %d", s+1, first, last) }

	// What lies over the header and both copies of the durable pair takes the segment and every
	// promise about it. That is what a segment looks like that was never synced, and it is put aside.
	least := p.last
	if s == 1 && first < pageBytes && last >= ctlPair1 {
		least = p.firstOf2 - 1
	}

	rep, err := verify(p.st, memDir, VerifyOptions{})
	var bad *CorruptionError
	switch {
	case err == nil && rep.Torn && rep.Last == least && least < p.last:
	case err != nil && !errors.As(err, &bad):
		p.fail("%s: verify: %v", where(), err)
	case err != nil && !inControl && (bad.Segment != p.names[s] || bad.Offset > last):
		p.fail("%s: verify names another place: %v", where(), err)
	case err == nil && !inControl && (s == 0 || !behind):
		p.fail("%s: verify finds nothing: %+v", where(), rep)
	case err == nil && rep.Last != p.last:
		p.fail("%s: verify sees %d of %d", where(), rep.Last, p.last)
	}

	r, err := openReader(p.st, memDir, 0, ReaderOptions{})
	p.check(err, "%s: open reader", where())
	got, err := drainChecked(r, 1)
	_ = r.Close()
	switch {
	case err != nil && !errors.As(err, &bad):
		p.fail("%s: a reader: %v", where(), err)
	case err == nil && got == least && least < p.last:
	case err == nil && got != p.last:
		p.fail("%s: a reader ends at %d of %d without an error", where(), got, p.last)
	case err == nil && !inControl && !behind:
		p.fail("%s: a reader finds nothing", where())
	}

	// The newest segment, and some of the others: Open changes things, so it gets a copy.
	if s == 0 && p.cases.Load()%64 != 0 {
		return
	}
	c := p.st.clone()
	j, err := openMem(c, Options{Durability: None(), VerifyAll: s == 0})
	switch {
	case err != nil && !errors.As(err, &bad):
		p.fail("%s: open: %v", where(), err)
	case err != nil && behind:
		p.fail("%s: open refuses what is behind the end: %v", where(), err)
	case err != nil:
		return
	case !inControl && !behind && j.Recovery().Torn == "":
		p.fail("%s: open finds nothing", where())
	}
	got, err = readAll(j)
	if err != nil || got < least {
		p.fail("%s: after open: %d of %d: %v", where(), got, p.last, err)
	}
	abandon(j)
}

// TestTorture_DamageOfNewest changes every bit of the newest segment in the other states in which a
// writer may leave it and in which what is there is known to be whole: closed or killed, on the
// machine that still has its page cache, and synced, after a power cut.
func TestTorture_DamageOfNewest(t *testing.T) {
	t.Parallel()
	for _, state := range []struct {
		name string
		how  func(*Journal)
		boot byte
	}{
		{"closed-same-boot", func(j *Journal) { _ = j.Close() }, 1},
		{"killed-same-boot", abandon, 1}, // written only, never synced
		{"synced-other-boot", func(j *Journal) { _ = j.Sync(); abandon(j) }, 2},
	} {
		t.Run(state.name, func(t *testing.T) {
			t.Parallel()
			c := newCampaign(t, 250, 1<<40)
			p := newPatient(c, state.how, state.boot)
			b := p.segs[1].bytes()
			c.each(p.ends[1]*8, 0, 1, func(bit int64) {
				off := bit / 8
				b[off] ^= 1 << (bit % 8)
				st := p.st.clone()
				b[off] ^= 1 << (bit % 8)
				j, err := openMem(st, Options{Durability: None()})
				var bad *CorruptionError
				if off >= recordsOffset || off < pageBytes {
					if !errors.As(err, &bad) || bad.Segment != p.names[1] || bad.Offset > off || bad.Sequence <= 0 {
						c.fail("bit %d of byte %d: %v", bit%8, off, err)
					}
					return
				}
				if errors.As(err, &bad) {
					return
				}
				c.check(err, "bit %d of byte %d", bit%8, off)
				if got, err := readAll(j); err != nil || got != p.last {
					c.fail("bit %d of byte %d: %d of %d: %v", bit%8, off, got, p.last, err)
				}
				abandon(j)
			})
		})
	}
}

// TestTorture_Truncation cuts the newest file at every length. What is before the cut is kept, the
// report says what was promised and is gone, and the journal goes on.
func TestTorture_Truncation(t *testing.T) {
	t.Parallel()
	for name, how := range map[string]func(*Journal){"closed": func(j *Journal) { _ = j.Close() }, "killed": abandon} {
		for _, boot := range []byte{1, 2} {
			t.Run(fmt.Sprintf("%s/boot=%d", name, boot), func(t *testing.T) {
				t.Parallel()
				c := newCampaign(t, 120, 1<<40)
				base, last, end := twoSegments(t, how)
				newest := base.segments()[1]
				first, _, _ := parseSegmentName(filepath.Base(newest))
				whole := base.nodes[newest].bytes()
				ends := recordEnds(whole, end)
				c.each(MinSegmentBytes, 0, 1, func(size int64) {
					st := base.clone()
					st.id.boot[0] = boot
					cut := newMemNode(size)
					copy(cut.bytes(), whole)
					st.nodes[newest] = cut
					want := first - 1
					for _, e := range ends {
						if e <= size {
							want++
						}
					}
					j, err := openMem(st, Options{Durability: None()})
					c.check(err, "cut at %d", size)
					rec := j.Recovery()
					if !rec.Cut || j.Written() != want || name == "closed" && size >= recordsOffset && rec.DurableLost != last-want {
						c.fail("cut at %d: %+v, want %d", size, rec, want)
					}
					if got, err := readAll(j); err != nil || got != want {
						c.fail("cut at %d: read %d of %d: %v", size, got, want, err)
					}
					appendTo(t, j, want+3)
					c.check(j.Close(), "cut at %d: close", size)
					if size%8 != 0 {
						return
					}
					j, err = openMem(st, Options{})
					c.check(err, "cut at %d: again", size)
					if got, err := readAll(j); err != nil || got != want+3 || !j.Recovery().Clean {
						c.fail("cut at %d: read again %d of %d: %v, %+v", size, got, want+3, err, j.Recovery())
					}
					abandon(j)
				})
			})
		}
	}
}

// recordEnds returns where each record of a segment ends, up to end.
func recordEnds(m []byte, end int64) (ends []int64) {
	for at := int64(recordsOffset); at < end; {
		at += recordBytes(int(le.Uint32(m[at:])) - recordHeaderBytes)
		ends = append(ends, at)
	}
	return ends
}

// TestTorture_TornTail tears the tail of a journal at every 8 bytes and puts something else behind:
// zeros, garbage, ones, records of the file's earlier life under another salt, or records of this
// very segment from another place. After a power cut what was synced must be there, or be refused if
// the tear is inside it; nothing that was not written there may be delivered. After a mere kill the
// tear can only be inside the one record that was being written.
func TestTorture_TornTail(t *testing.T) {
	t.Parallel()
	workers(t, 200, 1<<40, func(c *campaign, worker, workers int64) {
		st := newMemStorage()
		j, err := openMem(st, Options{Durability: None()})
		require.NoError(t, err)
		appendTo(t, j, 150)
		require.NoError(t, j.Sync())
		synced, durable := j.w.off, j.Written()
		appendTo(t, j, 400)
		end := j.w.off
		abandon(j)
		seg := st.segments()[0]
		whole := bytes.Clone(st.nodes[seg].bytes())
		ends := recordEnds(whole, end)

		// The same records under another salt, as a recycled file would hold them.
		other := newMemStorage()
		rnd := fixedRandomness()
		rnd.salt = func() uint64 { return 77 }
		j, err = open(other, memDir, Options{Durability: None(), SegmentBytes: MinSegmentBytes}, rnd)
		require.NoError(t, err)
		appendTo(t, j, 400)
		abandon(j)
		stale := other.nodes[other.segments()[0]].bytes()

		garbage := make([]byte, MinSegmentBytes)
		for i, r := 0, c.rand(99); i < len(garbage); i++ {
			garbage[i] = byte(r.Uint32())
		}
		fills := []struct {
			name string
			from func(off int64) []byte
		}{
			{"zeros", func(int64) []byte { return make([]byte, MinSegmentBytes) }},
			{"garbage", func(int64) []byte { return garbage }},
			{"ones", func(int64) []byte { return bytes.Repeat([]byte{0xFF}, MinSegmentBytes) }},
			{"stale", func(off int64) []byte { return stale[off:end] }},
			{"moved", func(int64) []byte { return whole[recordsOffset:synced] }},
		}
		places := (end - recordsOffset) / 8
		c.each(places*int64(len(fills))*2, worker, workers, func(i int64) {
			boot := byte(1 + i%2)
			fill := fills[i/2%int64(len(fills))]
			off := recordsOffset + 8*(i/2/int64(len(fills)))
			c.tear(st, seg, boot, off, end, fill.from(off), fill.name, ends, synced, durable)
		})
		c.notes = note("%d places, %d fillings, with and without the page cache", places, len(fills))
	})
}

func (c *campaign) tear(base *memStorage, seg string, boot byte, off, end int64, fill []byte, name string, ends []int64, synced, durable int64) {
	st := base.clone()
	st.id.boot[0] = boot
	b := st.nodes[seg].bytes()
	before := bytes.Clone(b)
	n := copy(b[off:], fill)
	clear(b[min(off+int64(n), max(end, off+int64(n))):max(end, off+int64(n))])
	want, wantEnd := int64(0), int64(recordsOffset)
	for i, e := range ends {
		if e <= off || bytes.Equal(b[:e], before[:e]) {
			want, wantEnd = int64(i+1), e
		}
	}
	where := fmt.Sprintf("torn at %d, then %s, boot %d", off, name, boot)
	if boot == 1 {
		if off < synced {
			c.cases.Add(-1)
			return // the death of a process tears nothing that was committed
		}
		store64(b, ctlCommittedOffset, uint64(wantEnd))
		store64(b, ctlCommittedSequence, uint64(want))
	}
	r, err := openReader(st, memDir, 0, ReaderOptions{})
	c.check(err, "%s: open reader", where)
	got, readErr := drainChecked(r, 1)
	_ = r.Close()
	j, err := openMem(st, Options{Durability: None()})
	var bad *CorruptionError
	if want < durable {
		if !errors.As(err, &bad) || !errors.As(readErr, &bad) || got > want {
			c.fail("%s: durable was %d, %d are whole: open: %v; a reader: %d, %v", where, durable, want, err, got, readErr)
		}
		return
	}
	if readErr != nil || got != want {
		c.fail("%s: a reader sees %d of %d: %v", where, got, want, readErr)
	}
	c.check(err, "%s: open", where)
	if got, err := readAll(j); err != nil || got != want {
		c.fail("%s: %d of %d: %v", where, got, want, err)
	}
	abandon(j)
	rep, err := verify(st, memDir, VerifyOptions{})
	if err != nil || rep.Last != want || rep.Torn {
		c.fail("%s: verify after recovery: %d of %d, torn %v: %v", where, rep.Last, want, rep.Torn, err)
	}
}

// TestTorture_Promise changes every bit of records that were synced, after both copies of the
// durable pair are gone: only a later record says that they were durable. That is enough to refuse.
func TestTorture_Promise(t *testing.T) {
	t.Parallel()
	c := newCampaign(t, 200, 1<<40)
	st := newMemStorage()
	j, err := openMem(st, Options{Durability: None()})
	require.NoError(t, err)
	appendTo(t, j, 60)
	require.NoError(t, j.Sync())
	synced := j.w.off
	appendTo(t, j, 70)
	abandon(j)
	st.id.boot[0]++
	seg := st.segments()[0]
	b := st.nodes[seg].bytes()
	clear(b[ctlPair0 : ctlPair1+32])
	c.each((synced-recordsOffset)*8, 0, 1, func(bit int64) {
		off := recordsOffset + bit/8
		b[off] ^= 1 << (bit % 8)
		damaged := st.clone()
		b[off] ^= 1 << (bit % 8)
		j, err := openMem(damaged, Options{})
		var bad *CorruptionError
		if !errors.As(err, &bad) || bad.Offset > off {
			if err == nil {
				abandon(j)
			}
			c.fail("bit %d of byte %d: %v", bit%8, off, err)
		}
	})
}

// TestTorture_DurablePair tears the store of a durable pair between any two of its words, and each
// word at any byte, over every pair before it: the older promise, or the newer, is read, never none
// and never another.
func TestTorture_DurablePair(t *testing.T) {
	for generation := uint64(2); generation < 10; generation++ {
		page := newPages(2)
		older, newer := pair{generation, 9000, 17}, pair{generation + 1, 0x1234567890, 1 << 40}
		storePair(page, 5, pair{generation - 1, 8200, 3})
		storePair(page, 5, older)
		before := bytes.Clone(page)
		storePair(page, 5, newer)
		for at := ctlPair0; at <= ctlPair1+32; at++ {
			for _, cut := range [][2][]byte{{page, before}, {before, page}} {
				torn := newPages(2)
				copy(torn, cut[0][:at])
				copy(torn[at:], cut[1][at:])
				if p := loadPair(torn, 5); p != older && p != newer {
					t.Fatalf("torn at %d: %+v, want %+v or %+v", at, p, older, newer)
				}
			}
		}
		require.Equal(t, newer, loadPair(page, 5))
		require.Zero(t, loadPair(page, 6), "of another segment")
	}
}
