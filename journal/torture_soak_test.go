package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestTorture_Soak runs for HEADRACE_SOAK (an hour in the long form, some seconds in the short one):
// a writer with roll-overs and retention is killed now and then and replaced, one process follows
// all along, and this one looks on. Every record that the follower gets is the right one, and
// anonymous memory, descriptors and mappings of the follower, and of a writer within its life, do
// not grow.
func TestTorture_Soak(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("figures of other processes are read from /proc")
	}
	c := newCampaign(t, 1, 1)
	t.Parallel()
	total := 2 * time.Second
	if longForm() {
		total = time.Hour
	}
	if s := os.Getenv("HEADRACE_SOAK"); s != "" {
		d, err := time.ParseDuration(s)
		require.NoError(t, err, "HEADRACE_SOAK")
		total = d
	}
	require.True(t, c.more())
	s := &soak{killer: killer{campaign: c, rnd: c.rand(8), dir: filepath.Join(t.TempDir(), "journal"), page: newPage(t)}}
	s.run(total)
	s.everything()
	s.notes = note("%v: %d records, %d writers killed, %d roll-overs; the follower got %d and was left behind %d times; %s",
		total, s.acked, s.kills, s.rolls, s.followed, s.behind, s.figures)
}

type soak struct {
	killer
	kills, followed, behind int64
	figures                 string
}

func (s *soak) run(total time.Duration) {
	s.check(os.MkdirAll(s.dir, 0o700), "mkdir")
	seen := newPage(s.t)
	deadline := time.Now().Add(total)
	every := max(total/400, 20*time.Millisecond)
	pause := min(300*time.Millisecond, total/200) // a writer at ease, so that an hour does not fill the disk
	var follower *exec.Cmd
	var tell io.Writer
	var heard io.Reader
	var out bytes.Buffer
	defer func() {
		if follower != nil {
			_ = follower.Process.Kill()
			_ = follower.Wait()
		}
	}()
	var followers usage
	samples := time.NewTicker(every)
	defer samples.Stop()
	for life := uint32(1); time.Now().Before(deadline); life++ {
		o := order{Dir: s.dir, Life: life, Seed: s.seed, Mode: int(life) % len(tortureModes), Large: killLarge,
			SegmentBytes: []int64{64 << 10, 256 << 10, 1 << 20}[s.rnd.IntN(3)], Keep: 60_000, Pause: pause, Chain: true, Soak: true,
			Backend: Backend(s.rnd.IntN(3)), Recycle: 32}
		child, err := s.page.launch(o)
		s.check(err, "start")
		s.check(child.reach(phaseOpened), "life %d", life)
		if follower == nil {
			follower, tell, err = childCommand(followEnv + "=" + s.dir + ":" + seen.path)
			s.check(err, "follower")
			follower.Stderr = &out
			heard, err = follower.StdoutPipe()
			s.check(err, "follower")
			s.check(follower.Start(), "follower")
		}
		var writer usage
		until := time.Now().Add(min(total/8+shortly(s.rnd, total/4), time.Duration(10+s.rnd.IntN(110))*time.Second))
		for time.Now().Before(until) && time.Now().Before(deadline) {
			<-samples.C
			writer.note(child.cmd.Process.Pid)
			followers.note(follower.Process.Pid)
			if (&trial{cmd: follower}).dead() {
				s.fail("the follower ended: %s", &out)
			}
		}
		s.check(child.kill(), "life %d", life)
		s.kills++
		if s.page.load(wordLast) < s.acked || s.page.load(wordTorn) != 0 {
			s.fail("life %d: recovery left %d of %d, torn %d", life, s.page.load(wordLast), s.acked, s.page.load(wordTorn))
		}
		s.lives.recovered(s.page.load(wordLast), life)
		s.acked = s.page.load(wordWritten)
		s.first = max(s.first, s.page.load(wordTrimmed))
		s.rolls += s.page.load(wordRolls)
		s.read(s.acked - 5000)
		s.check(writer.flat(), "writer of life %d", life)
		s.figures = "writer at the end: " + writer.String()
	}
	// The follower comes to the end by itself, and says so.
	_, err := fmt.Fprintln(tell, s.acked)
	s.check(err, "follower")
	hung := time.AfterFunc(time.Minute, func() { _ = follower.Process.Kill() })
	if _, err := heard.Read(make([]byte, 1)); err != nil {
		s.fail("the follower ended at %d of %d: %s", seen.load(wordWritten), s.acked, &out)
	}
	hung.Stop()
	s.followed, s.behind = seen.load(wordRolls), seen.load(wordLost)
	s.check(followers.flat(), "follower")
	s.figures = "follower: " + followers.String() + "; " + s.figures
}

// usage is what a process had, sample by sample.
type usage struct{ anonymous, descriptors, mappings []int64 }

func (u *usage) note(pid int) {
	dir := fmt.Sprintf("/proc/%d/", pid)
	status, err := os.ReadFile(dir + "status")
	if err != nil {
		return
	}
	fds, err := os.ReadDir(dir + "fd")
	if err != nil {
		return
	}
	maps, err := os.ReadFile(dir + "maps")
	if err != nil {
		return
	}
	for _, line := range strings.Split(string(status), "\n") {
		if v, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kib, err := strconv.ParseInt(strings.Fields(v)[0], 10, 64)
			if err != nil {
				return
			}
			u.anonymous = append(u.anonymous, kib)
		}
	}
	u.descriptors = append(u.descriptors, int64(len(fds)))
	u.mappings = append(u.mappings, int64(bytes.Count(maps, []byte("\n"))))
}

// flat tells whether the last third has no more than the middle one, but for what a runtime that
// collects garbage now and then makes of it.
func (u *usage) flat() error {
	if len(u.anonymous) < 30 {
		return nil
	}
	grown := func(name string, v []int64, room int64) error {
		n := len(v) / 3
		if was, is := high(v[n:2*n]), high(v[2*n:]); is > was+was/4+room {
			return fmt.Errorf("%s: %d at most, then %d", name, was, is)
		}
		return nil
	}
	return errors.Join(grown("KiB of anonymous memory", u.anonymous, 4<<10), grown("descriptors", u.descriptors, 4), grown("mappings", u.mappings, 8))
}

func high(v []int64) (m int64) {
	for _, x := range v {
		m = max(m, x)
	}
	return m
}

func (u *usage) String() string {
	if len(u.anonymous) == 0 {
		return "no sample"
	}
	n := len(u.anonymous) / 3
	return fmt.Sprintf("%d samples, at most in the first and the last third: %d and %d KiB anonymous, %d and %d descriptors, %d and %d mappings",
		len(u.anonymous), high(u.anonymous[:n+1]), high(u.anonymous[2*n:]), high(u.descriptors[:n+1]), high(u.descriptors[2*n:]),
		high(u.mappings[:n+1]), high(u.mappings[2*n:]))
}

const followEnv = "HEADRACE_JOURNAL_TORTURE_FOLLOWER"

func init() { tortureChildren[followEnv] = followChild }

// followChild follows a journal for ever and checks each record by itself: the life in its body must
// be the one before it or a later one. Told a sequence it says when it is there.
func followChild(arg string) error {
	dir, path, _ := strings.Cut(arg, ":")
	p, err := openPage(path)
	if err != nil {
		return err
	}
	life, next := uint32(0), int64(0)
	var buf []byte
	var there sync.Once
	var awaited atomic.Int64
	look := func() { // by the follower after each record, and by who is told: one of them sees both
		if n := awaited.Load(); n > 0 && p.load(wordWritten) >= n {
			there.Do(func() { _, _ = os.Stdout.Write([]byte{1}) })
		}
	}
	go func() {
		for line := range told {
			n, _ := strconv.ParseInt(line, 10, 64)
			awaited.Store(n)
			look()
		}
	}()
	for {
		r, err := OpenReader(dir, next, ReaderOptions{})
		if errors.Is(err, ErrOutOfRange) {
			next = 0
			continue
		}
		if err != nil {
			return err
		}
		err = r.Follow(context.Background(), func(rec Record) error {
			if next != 0 && rec.Sequence != next {
				return fmt.Errorf("sequence %d, want %d", rec.Sequence, next)
			}
			if len(rec.Body) >= 8 {
				l := le.Uint32(rec.Body)
				buf = lifeBody(buf[:0], l, rec.Sequence, int(le.Uint16(rec.Body[4:])), int(le.Uint16(rec.Body[6:])), killLarge)
				if l < life || string(buf) != string(rec.Body) {
					return fmt.Errorf("record %d is not that of life %d or later: %.24x", rec.Sequence, life, rec.Body)
				}
				life = l
			}
			next = rec.Sequence + 1
			p.store(wordWritten, rec.Sequence)
			p.store(wordRolls, p.load(wordRolls)+1)
			look()
			return nil
		})
		if e := r.Close(); err == nil {
			err = e
		}
		if !errors.Is(err, ErrOutOfRange) {
			return fmt.Errorf("follower at %d: %w", next, err)
		}
		// Retention has overtaken it: go on with what there is.
		p.store(wordLost, p.load(wordLost)+1)
		next = 0
	}
}
