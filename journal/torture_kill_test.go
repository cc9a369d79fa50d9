package journal

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestTorture_Kill kills a writer with SIGKILL at a random moment, in Open as well as later, and
// starts another on the same journal, again and again: each in another mode, with another back end,
// other segment sizes and bodies, and retention that recycles files. What was committed is there, in order and unaltered, for a reader before any
// recovery and after it; nothing is cut, nothing put aside; an atomic batch is whole or absent.
//
// The page cache survives, so every mode promises the same.
func TestTorture_Kill(t *testing.T) {
	c := newCampaign(t, 30, 10_000)
	t.Parallel()
	k := &killer{campaign: c, rnd: c.rand(1), dir: filepath.Join(t.TempDir(), "journal"), page: newPage(t)}
	require.NoError(t, os.MkdirAll(k.dir, 0o700))
	for life := uint32(1); c.more(); life++ {
		k.cycle(life)
	}
	k.everything()
}

type killer struct {
	*campaign
	rnd     *rand.Rand
	dir     string
	page    *page
	lives   lives
	acked   int64 // highest sequence that was ever committed
	first   int64 // lower bound of what retention may have given up
	rolls   int64
	inOpen  int
	records int64

	archived int64
	closed   int64 // lives that closed the journal
}

const killLarge = 20_000

func (k *killer) cycle(life uint32) {
	rnd := k.rnd
	o := order{Dir: k.dir, Life: life, Seed: k.seed, Mode: int(life) % len(tortureModes), Large: killLarge,
		SegmentBytes: []int64{64 << 10, 64 << 10, 128 << 10, 256 << 10, 1 << 20}[rnd.IntN(5)],
		Records:      int64(rnd.IntN(4000)), Chain: rnd.IntN(4) == 0, Pause: time.Duration(rnd.IntN(300)) * time.Microsecond,
		Backend: Backend(rnd.IntN(3))}
	if rnd.IntN(4) == 0 {
		o.Keep, o.Recycle = []int64{300, 3_000, 40_000}[rnd.IntN(3)], rnd.IntN(3)*32
	}
	limit := 20 * time.Millisecond
	if rnd.IntN(3) == 0 {
		o.Archive, limit = 1+rnd.Uint32N(2), 100*time.Millisecond // each segment is synced
	}
	if o.Archive == 0 && rnd.IntN(4) == 0 {
		o.Close, o.Pause, o.Records = true, 0, int64(1+shortInt(rnd, 300))
	}
	child, err := k.page.launch(o)
	k.check(err, "start")
	phase := int64(phaseOpened)
	if rnd.IntN(4) == 0 {
		phase = phaseStarted
	}
	if o.Close && rnd.IntN(2) == 0 { // else some time before, or in the middle of Close
		phase = phaseDone
	}
	k.check(child.reach(phase), "life %d", life)
	k.check(child.killAfter(shortly(rnd, limit)), "life %d (%s)", life, tortureModes[o.Mode].name)
	p := k.page
	if p.load(wordPhase) < phaseOpened {
		k.inOpen++
	} else {
		if p.load(wordLast) < k.acked {
			k.fail("life %d: %d was committed, recovery left %d", life, k.acked, p.load(wordLast))
		}
		if p.load(wordTorn) != 0 {
			k.fail("life %d: recovery took the death of a process for a torn tail", life)
		}
		k.lives.recovered(p.load(wordLast), life)
		k.acked = max(k.acked, p.load(wordWritten))
		k.first = max(k.first, p.load(wordTrimmed))
		k.rolls += p.load(wordRolls)
		k.archived += p.load(wordArchived)
		k.closed += p.load(wordClosed)
	}
	if names, err := os.ReadDir(filepath.Join(k.dir, asideName)); !errors.Is(err, os.ErrNotExist) {
		k.fail("life %d (%+v, phase %d): put aside: %v (%v)", life, o, p.load(wordPhase), names, err)
	}
	from := max(0, k.acked-3000)
	if life%500 == 0 {
		from = 0
	}
	k.read(from)
}

// read checks what is there from sequence from on, which retention may have removed.
func (k *killer) read(from int64) {
	segs, _, _, err := listSegments(osStorage{}, k.dir)
	k.check(err, "list")
	if len(segs) == 0 {
		return
	}
	from = max(from, segs[0].first)
	if segs[0].first > max(1, k.first) {
		k.fail("the journal begins at %d, retention gave up what is before %d", segs[0].first, k.first)
	}
	r, err := OpenReader(k.dir, from, ReaderOptions{Internal: true, Archives: tortureKeys})
	if err != nil {
		k.fail("reader from %d: %v", from, err)
	}
	defer r.Close()
	check := k.lives.reader(from, killLarge)
	n, err := r.Read(check.record)
	k.records += int64(n)
	if err == nil {
		err = check.end()
	}
	k.check(err, "read from %d", from)
	if check.next <= k.acked {
		k.fail("%d was committed, a reader sees %d", k.acked, check.next-1)
	}
}

// everything checks the whole journal at the end.
func (k *killer) everything() {
	k.read(0)
	rep, err := Verify(k.dir, VerifyOptions{Archives: tortureKeys})
	k.check(err, "verify")
	if rep.Last < k.acked {
		k.fail("verify sees %d of %d", rep.Last, k.acked)
	}
	k.notes = note("%d records, %d roll-overs, %d segments, %d archived, killed inside Open %d times, after Close %d; every record read", k.acked, k.rolls, len(rep.Segments), k.archived, k.inOpen, k.closed)
}

// shortly is a random time up to limit, most of them much shorter: what can go wrong early gets as
// many trials as what goes wrong late.
func shortly(rnd *rand.Rand, limit time.Duration) time.Duration {
	return time.Duration(rnd.Int64N(int64(limit>>rnd.IntN(9)) + 1))
}
