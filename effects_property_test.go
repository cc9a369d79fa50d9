package headrace_test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/journal"
)

// checkEffect checks what must hold in any log of the outside effect: answers name a cause before them and have the ids
// that derive, a cause has one answer at the end, and the first success of a key's causes are in their order. It
// returns the causes, and those that are done.
func checkEffect(t *testing.T, log []logged, unordered bool) (causes, done map[int64]bool) {
	t.Helper()
	causes, done = map[int64]bool{}, map[int64]bool{}
	hash := event.HandlerID("outside")
	ids := map[event.ID]int64{}
	byID := map[event.ID]int64{}
	last := map[string]int64{} // by key: the last cause that was done
	for i, l := range log {
		require.Equal(t, int64(i+1), l.seq)
		if l.kind != journal.KindEvent {
			continue
		}
		require.Zero(t, ids[l.header.ID], "event %d has the id of event %d", l.seq, ids[l.header.ID])
		ids[l.header.ID] = l.seq
		byID[l.header.ID] = l.seq
		if l.typeID >= handlers.FirstUserType && !l.header.HasOrigin {
			causes[l.seq] = true
		}
		o := l.header.Origin
		if !l.header.HasOrigin || o.Handler != hash {
			continue
		}
		require.Less(t, o.Cause, l.seq)
		require.Equal(t, event.DeriveID(hash, log[o.Cause-1].header.ID, o.Ordinal), l.header.ID)
		cause := byID[l.header.CausationID]
		require.True(t, causes[cause], "event %d answers %d", l.seq, cause)
		if l.typeID < handlers.FirstUserType && l.typeID != 14 { // a failure
			require.False(t, done[cause], "event %d: a failure behind the answer", l.seq)
			continue
		}
		if o.Ordinal == 0 {
			require.False(t, done[cause], "event %d: a second answer to %d", l.seq, cause)
			done[cause] = true
			if key := log[cause-1].header.Key; key != "" && !unordered {
				require.Less(t, last[key], cause, "event %d: key %q out of order", l.seq, key)
				last[key] = cause
			}
		}
	}
	return causes, done
}

// Random outcomes, keys, closes and crashes: what the log says, what was called outside and what a replay makes of it agree.
func TestEffect_RandomLives(t *testing.T) {
	seed := rand.Uint64()
	rounds := 6
	if os.Getenv("HEADRACE_LONG") != "" {
		rounds = 300
	}
	for round := range rounds {
		rng := rand.New(rand.NewPCG(seed, uint64(round)))
		options := handlers.EffectOptions{
			Workers: 1 + rng.IntN(6), Unordered: rng.IntN(2) == 0, MaxWaiting: 1 + rng.IntN(50),
			Failure: handlers.FailurePolicy{Retries: rng.IntN(3), Backoff: handlers.Backoff{First: time.Microsecond, Max: time.Millisecond}, Then: handlers.ThenDeadLetter},
		}
		gate := headrace.Gate(rng.IntN(2))
		var mu sync.Mutex
		faults := rand.New(rand.NewPCG(seed, uint64(round)+1e6))
		running := map[string]bool{} // keys
		var broken error
		draw := func(n int) int { mu.Lock(); defer mu.Unlock(); return faults.IntN(n) }
		fn := func(c *handlers.EffectContext, d deposit) error {
			mu.Lock()
			if running[c.Key()] && c.Key() != "" && !options.Unordered {
				broken = fmt.Errorf("two calls for %q at a time", c.Key())
			}
			running[c.Key()] = true
			mu.Unlock()
			defer func() { mu.Lock(); delete(running, c.Key()); mu.Unlock() }()
			switch draw(8) {
			case 0:
				return errBroken
			case 1:
				panic("poison")
			case 2:
				return handlers.Permanent(errBroken)
			case 3:
				return nil
			}
			for range 1 + draw(3) {
				if err := handlers.Report(c, deposited(d)); err != nil {
					return err
				}
			}
			return nil
		}
		dir := t.TempDir()
		what := fmt.Sprintf("seed %d, round %d, %+v", seed, round, options)
		for range 4 {
			w := newOutside(t, options, gate, fn)
			e := w.open(t, dir, small())
			for range rng.IntN(120) {
				w.publish(t, e, int64(rng.IntN(6)-1), rng.Int64N(100))
			}
			if rng.IntN(2) == 0 { // a crash, somewhere
				dir = copyDir(t, dir)
			}
			closeEngine(t, e)
			mu.Lock()
			clear(running)
			mu.Unlock()
			checkEffect(t, readLog(t, dir), options.Unordered)
		}
		w := newOutside(t, options, gate, func(c *handlers.EffectContext, d deposit) error { return handlers.Report(c, deposited(d)) })
		e := w.open(t, dir, small())
		for {
			w.settle(t, e)
			parked := e.Parked()
			if len(parked) == 0 {
				break
			}
			_, err := e.Redrive(limit(t), "outside", parked[0].Sequence)
			require.NoError(t, err, what)
		}
		live, _, err := w.effect.Lane().Hashes()
		require.NoError(t, err)
		closeEngine(t, e)
		require.NoError(t, broken, what)
		causes, done := checkEffect(t, readLog(t, dir), options.Unordered)
		require.Equal(t, causes, done, what)

		again := newOutside(t, options, gate, fn)
		_, err = headrace.Replay(dir, again.topology, headrace.ReplayOptions{})
		require.NoError(t, err, what)
		require.Zero(t, again.calls())
		replayed, _, err := again.effect.Lane().Hashes()
		require.NoError(t, err)
		require.Equal(t, live, replayed, what)
		require.Equal(t, w.state(), again.state(), what)
	}
}

// The state of an effect survives its codec: what is owed, parked and redelivered.
func TestEffect_StateAtEverySequence_IsThatOfTheLog(t *testing.T) {
	dir := t.TempDir()
	w := newOutside(t, deadLetters(1), headrace.Written, func(c *handlers.EffectContext, d deposit) error {
		if d.Amount%3 == 0 {
			return errBroken
		}
		return handlers.Report(c, deposited(d))
	})
	e := w.open(t, dir, small())
	for i := range int64(12) {
		w.publish(t, e, i%4, i)
	}
	w.settle(t, e)
	for _, p := range e.Parked() {
		_, err := e.Redrive(limit(t), "outside", p.Sequence)
		require.NoError(t, err)
	}
	w.settle(t, e)
	closeEngine(t, e)
	log := readLog(t, dir)
	for until := int64(1); until <= int64(len(log)); until++ {
		at := newOutside(t, deadLetters(1), headrace.Written, nil)
		_, err := headrace.Replay(dir, at.topology, headrace.ReplayOptions{Until: until})
		require.NoError(t, err)
		causes, done := checkEffect(t, log[:until], false)
		st := at.effect.Stats()
		low := until
		for cause := range causes {
			if !done[cause] {
				low = min(low, cause-1)
			}
		}
		require.Equal(t, low, st.LowWater, "at %d", until)
		require.Equal(t, len(at.topology.Parked()), st.Dead+st.Retrying)
	}
}

const effectChild = "HEADRACE_TEST_EFFECT_CHILD"

// TestEffect_Child is no test: it is the process that the next one kills.
func TestEffect_Child(t *testing.T) {
	dir := os.Getenv(effectChild)
	if dir == "" {
		t.Skip("run by TestEffect_KillNine")
	}
	ledger := os.Getenv(effectChild + "_LEDGER")
	w := newOutside(t, handlers.EffectOptions{Workers: 4, MaxWaiting: 20, Failure: handlers.FailurePolicy{Retries: 1000, Backoff: handlers.Backoff{First: time.Millisecond}, Timeout: time.Minute}},
		headrace.Written, func(c *handlers.EffectContext, d deposit) error {
			conn, err := (&net.Dialer{}).DialContext(c, "unix", ledger)
			if err != nil {
				return err
			}
			defer conn.Close()
			if _, err := fmt.Fprintf(conn, "%s %d\n", c.IdempotencyKey(), d.Amount); err != nil {
				return err
			}
			if _, err := bufio.NewReader(conn).ReadString('\n'); err != nil {
				return err
			}
			return handlers.Report(c, deposited(d))
		})
	e := w.open(t, dir, small())
	state := w.state()
	n := int64(0)
	for _, amounts := range state {
		n += int64(len(amounts))
	}
	for i := n; ; i++ {
		w.publish(t, e, i%7, i)
	}
}

// A process with an effect is killed again and again; a ledger in another process counts what it was asked for, by key.
func TestEffect_KillNine_LedgerCountsByKey(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	dir := t.TempDir()
	short, err := os.MkdirTemp("", "hr") // the name of a socket is short
	require.NoError(t, err)
	defer os.RemoveAll(short)
	path := filepath.Join(short, "ledger")
	listener, err := net.Listen("unix", path)
	require.NoError(t, err)
	defer listener.Close()
	var mu sync.Mutex
	asked := map[string]int{}
	amounts := map[string]int64{}
	told := make(chan struct{}, 1<<20)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				line, err := bufio.NewReader(conn).ReadString('\n')
				if err != nil {
					return
				}
				key, amount, _ := strings.Cut(strings.TrimSpace(line), " ")
				mu.Lock()
				asked[key]++
				n := len(asked)
				amounts[key], _ = strconv.ParseInt(amount, 10, 64)
				mu.Unlock()
				told <- struct{}{}
				if n%10 != 0 { // else the reply is lost, and the process asks again
					fmt.Fprintln(conn, "ok")
				}
			}()
		}
	}()
	rng := rand.New(rand.NewPCG(1, 2))
	lives := 4
	for range lives {
		cmd := exec.Command(os.Args[0], "-test.run", "^TestEffect_Child$")
		cmd.Env = append(os.Environ(), effectChild+"="+dir, effectChild+"_LEDGER="+path)
		require.NoError(t, cmd.Start())
		for range 20 + rng.IntN(60) {
			select {
			case <-told:
			case <-limit(t).Done():
				t.Error("the child does not call")
			}
		}
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait()
		for len(told) > 0 {
			<-told
		}
	}
	// In peace: whatever is owed is asked for.
	w := newOutside(t, handlers.EffectOptions{Failure: handlers.FailurePolicy{Retries: 1}}, headrace.Written, func(c *handlers.EffectContext, d deposit) error {
		mu.Lock()
		asked[c.IdempotencyKey()]++
		amounts[c.IdempotencyKey()] = d.Amount
		mu.Unlock()
		return handlers.Report(c, deposited(d))
	})
	e := w.open(t, dir, small())
	for {
		w.settle(t, e)
		parked := e.Parked()
		if len(parked) == 0 {
			break
		}
		_, err := e.Redrive(limit(t), "outside", parked[0].Sequence)
		if err != nil {
			require.ErrorIs(t, err, headrace.ErrNotParked) // its retry was faster
		}
	}
	closeEngine(t, e)
	log := readLog(t, dir)
	causes, done := checkEffect(t, log, false)
	require.Equal(t, causes, done)
	require.Len(t, asked, len(causes), "one key a cause, in all lives")
	repeats := 0
	for _, n := range asked {
		repeats += n - 1
	}
	require.NotZero(t, repeats, "replies were lost")
	for cause := range causes {
		key := event.DeriveID(event.HandlerID("outside"), log[cause-1].header.ID, ^uint32(0)).String()
		require.NotZero(t, asked[key])
	}
}
