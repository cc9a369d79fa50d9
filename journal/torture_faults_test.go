package journal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestTorture_Faults lets the k-th operation of the storage fail, for every k, with every errno that
// can be expected, once or from then on, in every phase of a journal's life: made new, recovered
// after a kill and after a power cut, with a chain, trimmed, read, verified and backed up. The call
// returns an error that wraps the errno, or goes on without what it could do without; it never
// panics or hangs; a failed sync is final. Afterwards everything that was acknowledged is there for
// the next process, and what was durable survives the worst power cut: every unsynced sector old, no
// unsynced name.
func TestTorture_Faults(t *testing.T) {
	t.Parallel()
	c := newCampaign(t, 100, 1<<40)
	scenarios := faultScenarios(t)
	errnos := []syscall.Errno{syscall.EIO, syscall.ENOSPC, syscall.EDQUOT, syscall.EMFILE, syscall.EROFS, syscall.ENOMEM, syscall.EACCES}
	if longForm() {
		for _, s := range scenarios {
			for _, errno := range errnos {
				for _, persistent := range []bool{false, true} {
					for k := int64(0); c.more(); k++ {
						if what := c.fault(s, errno, k, persistent); what == "" {
							require.Greater(t, k, int64(20), s.name)
							break
						}
					}
				}
			}
		}
	} else {
		rnd := c.rand(5)
		for c.more() {
			s := scenarios[rnd.IntN(len(scenarios))]
			c.fault(s, errnos[rnd.IntN(len(errnos))], rnd.Int64N(s.operations), rnd.IntN(3) == 0)
		}
	}
	for _, s := range scenarios {
		c.notes += note("%s: %d operations", s.name, s.operations)
	}
}

// faultScenario is a piece of a journal's life on a storage as base has it.
type faultScenario struct {
	name       string
	base       *memStorage
	acked      int64 // in base
	operations int64 // of the storage, without a fault
	run        func(st *memStorage, out *faultOutcome) error
}

type faultOutcome struct {
	acked, durable atomic.Int64
	poisoned       bool
}

func faultScenarios(t *testing.T) []*faultScenario {
	torn, _, end := twoSegments(t, func(j *Journal) { _ = j.Sync(); abandon(j) })
	j, err := openMem(torn, Options{Durability: None()})
	require.NoError(t, err)
	tornLast := j.Written()
	for j.Stats().Rolls < 2 {
		appendTo(t, j, j.Written()+1)
	}
	abandon(j)
	killed := torn.clone()
	killedLast := j.Written()
	torn.id.boot[0]++
	torn.nodes[torn.segments()[1]].bytes()[end+40] ^= 1

	whole, wholeLast, _ := twoSegments(t, func(j *Journal) { _ = j.Close() })
	write := func(o Options) func(st *memStorage, out *faultOutcome) error {
		return func(st *memStorage, out *faultOutcome) error { return faultWriter(st, o, out) }
	}
	scenarios := []*faultScenario{
		{name: "new", base: newMemStorage(), run: write(Options{Durability: None()})},
		{name: "new, with a chain, batch", base: newMemStorage(), run: write(Options{Durability: Batch(), Chain: true})},
		{name: "pwrite, group", base: newMemStorage(), run: write(Options{Durability: Group(time.Millisecond, 4096), Backend: BackendPwrite})},
		{name: "recycling", base: killed, acked: killedLast, run: write(Options{Durability: None(), RecycleSegments: 8})},
		{name: "recycling, pwrite", base: killed, acked: killedLast, run: write(Options{Durability: None(), RecycleSegments: 8, Backend: BackendPwrite})},
		{name: "after a kill", base: killed, acked: killedLast, run: write(Options{Durability: None()})},
		{name: "after a power cut", base: torn, acked: tornLast, run: write(Options{Durability: None(), VerifyAll: true})},
		{name: "read, verify, backup", base: whole, acked: wholeLast, run: faultReader},
	}
	for _, s := range scenarios {
		st := s.base.clone()
		st.all = true
		var n atomic.Int64
		st.setHook(func(op, name string) error { n.Add(1); return nil })
		require.NoError(t, s.run(st, &faultOutcome{}), s.name)
		s.operations = n.Load()
	}
	return scenarios
}

// faultWriter opens, appends over some segments, syncs, trims and closes.
func faultWriter(st *memStorage, o Options, out *faultOutcome) error {
	j, err := openMem(st, o)
	if err != nil {
		return err
	}
	rolls := func() uint64 { return j.stats.rolls.Load() }
	for i := 0; err == nil && (rolls() < 2 || i < 300); i++ {
		var seq int64
		if seq, err = j.Append(Entry{Type: 9, Body: bodyOf(j.Written() + 1)}); err != nil {
			// What can be tried again may be: the state must allow it.
			seq, _ = j.Append(Entry{Type: 9, Body: bodyOf(j.Written() + 1)})
		}
		if seq > 0 {
			out.acked.Store(seq)
		}
		if err == nil && i%250 == 249 {
			err = j.Sync()
		}
		out.durable.Store(j.Durable())
	}
	if err == nil {
		err = j.Hold("who", max(1, j.Written()-200), time.Time{})
	}
	if err == nil && j.Written() > 300 {
		_, err = j.Trim(Retention{Before: j.Written() - 300})
	}
	if errors.Is(j.Err(), ErrPoisoned) {
		out.poisoned = true
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
		defer cancel()
		if e := j.Sync(); !errors.Is(e, ErrPoisoned) {
			return fmt.Errorf("a sync after a failed one: %v", e)
		}
		if e := j.WaitDurable(ctx, j.Written()+1); !errors.Is(e, ErrPoisoned) {
			return fmt.Errorf("a wait after a failed sync: %v", e)
		}
	}
	out.durable.Store(j.Durable())
	if e := j.Close(); err == nil {
		err = e
	}
	return err
}

// faultReader reads, verifies and backs up.
func faultReader(st *memStorage, out *faultOutcome) error {
	r, err := openReader(st, memDir, 0, ReaderOptions{})
	if err != nil {
		return err
	}
	last, err := drainChecked(r, 1)
	if err == nil {
		_, err = r.ReadBackward(func(rec Record) error {
			if string(rec.Body) != string(bodyOf(rec.Sequence)) {
				return fmt.Errorf("record %d differs", rec.Sequence)
			}
			return nil
		})
	}
	err = errors.Join(err, r.Close())
	if err != nil {
		return err
	}
	rep, err := verify(st, memDir, VerifyOptions{})
	if err != nil {
		return err
	}
	if rep.Last != last {
		return fmt.Errorf("verify sees %d, a reader %d", rep.Last, last)
	}
	copied, err := backup(st, memDir, "/copy", BackupOptions{})
	if err == nil && copied.Last != last {
		err = fmt.Errorf("the copy ends at %d, want %d", copied.Last, last)
	}
	return err
}

// fault runs one case and returns which operation failed, or nothing if there were not so many.
func (c *campaign) fault(s *faultScenario, errno syscall.Errno, k int64, persistent bool) (what string) {
	st := s.base.clone()
	st.crashy, st.all = true, true
	for name, n := range st.nodes {
		n.image = append([]byte(nil), n.bytes()...)
		st.synced[name] = n
	}
	var count atomic.Int64
	failed := make(chan string, 1)
	st.setHook(func(op, name string) error {
		n := count.Add(1) - 1
		if n == k {
			failed <- op + " " + name
		}
		if n == k || persistent && n > k {
			return errno
		}
		return nil
	})
	var out faultOutcome
	out.acked.Store(s.acked)
	err := s.run(st, &out)
	select {
	case what = <-failed:
	default:
	}
	st.setHook(nil)
	where := fmt.Sprintf("%s: operation %d (%s): %v, persistent %v", s.name, k, what, errno, persistent)
	if err != nil && (what == "" || !errors.Is(err, errno)) {
		c.fail("%s: %v", where, err)
	}
	if err != nil && isNoSpace(errno) && !errors.Is(err, ErrNoSpace) && !errors.Is(err, ErrPoisoned) && isAllocation(what) {
		c.fail("%s: want ErrNoSpace: %v", where, err)
	}
	c.survives(st.clone(), out.acked.Load(), where+": the next process")
	cut := freeze(st, nil, 0, 0)
	m := &pageModel{campaign: c}
	worst := m.materialise(cut, make([]sectorState, len(cut.sectors)), 0)
	c.survives(worst, max(out.durable.Load(), s.acked), where+": after the worst power cut")
	return what
}

func isAllocation(what string) bool {
	op, name, _ := strings.Cut(what, " ")
	return op == "create" && filepath.Ext(name) == spareSuffix && name != holdsName+spareSuffix
}

// survives opens the journal and reads everything.
func (c *campaign) survives(st *memStorage, least int64, where string) {
	j, err := openMem(st, Options{})
	c.check(err, "%s: open", where)
	last, err := readAll(j)
	if err != nil || last != j.Written() || last < least {
		c.fail("%s: %d of %d, %d were promised: %v", where, last, j.Written(), least, err)
	}
	c.check(j.Close(), "%s: close", where)
	if _, err := verify(st, memDir, VerifyOptions{}); err != nil && !(errors.Is(err, ErrNotFound) || errors.Is(err, os.ErrNotExist)) {
		c.fail("%s: verify: %v", where, err)
	}
}
