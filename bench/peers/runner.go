package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

// Settings say how the runner measures.
type Settings struct {
	Rounds  int           // measured rounds, >= 1
	Warmup  int           // rounds before them that are not counted, >= 0
	Scale   float64       // multiplies every scenario's event counts, > 0
	Timeout time.Duration // for one round of one system, > 0
	Dir     string        // parent of the systems' directories
}

// Outcome is a scenario's result, its systems in the scenario's order.
type Outcome struct {
	Scenario Scenario
	Procs    int     // GOMAXPROCS
	Stats    []Stats // Stats[i] belongs to Scenario.Systems[i]
}

// ErrTimeout reports a round that did not end in Settings.Timeout.
var ErrTimeout = errors.New("round did not end in time")

// runScenario measures every system of sc, rounds interleaved, and checks every sum. The first
// failure ends it, as a *RoundError; the systems' directories are gone when it returns.
func runScenario(ctx context.Context, sc Scenario, set Settings) (out Outcome, err error) {
	sc.Work = sc.Work.scaled(set.Scale)
	want := sc.Want(sc.Work)

	benches := make([]Bench, len(sc.Systems))
	var dirs []string
	defer func() {
		for _, d := range dirs { // after what uses them is closed
			os.RemoveAll(d)
		}
	}()
	fail := func(i, round int, err error) error {
		return &RoundError{Scenario: sc.Name, System: sc.Systems[i].Name, Round: round, Err: err}
	}
	defer func() {
		if errors.Is(err, ErrTimeout) {
			return // a goroutine is still inside a system; the process ends now
		}
		for i, b := range benches {
			if b == nil {
				continue
			}
			if cerr := b.Close(); cerr != nil && err == nil {
				err = fail(i, 0, cerr)
			}
		}
	}()

	for i, sys := range sc.Systems {
		w := sc.Work
		w.Dir, err = os.MkdirTemp(set.Dir, "system-")
		if err != nil {
			return out, fail(i, 0, err)
		}
		dirs = append(dirs, w.Dir)
		benches[i], err = sys.Open(w)
		if err != nil {
			benches[i] = nil
			return out, fail(i, 0, err)
		}
	}

	rates := make([][]float64, len(benches))
	latency := make([]*Histogram, len(benches))
	for round := 1; round <= set.Warmup+set.Rounds; round++ {
		for _, i := range rotation(round-1, len(benches)) {
			if err := ctx.Err(); err != nil {
				return out, fail(i, round, err)
			}
			h := NewHistogram() // a warm-up round's is thrown away
			if round > set.Warmup {
				if latency[i] == nil {
					latency[i] = h
				}
				h = latency[i]
			}
			r, err := runRound(benches[i], sc, want, h, set.Timeout)
			if err != nil {
				return out, fail(i, round, err)
			}
			if round > set.Warmup {
				rates[i] = append(rates[i], r)
			}
		}
	}

	out = Outcome{Scenario: sc, Procs: runtime.GOMAXPROCS(0), Stats: make([]Stats, len(benches))}
	for i := range benches {
		if latency[i].Count() == 0 {
			latency[i] = nil
		}
		out.Stats[i] = newStats(rates[i], latency[i])
	}
	return out, nil
}

// runRound does one round of one system, its latency part included, and returns events a second.
func runRound(b Bench, sc Scenario, want uint64, h *Histogram, limit time.Duration) (perSecond float64, err error) {
	if !sc.LatencyOnly {
		res, err := guarded(limit, b.Round)
		if err != nil {
			return 0, err
		}
		if res.Sum != want {
			return 0, &SumError{Got: res.Sum, Want: want}
		}
		perSecond = rate(sc.Work.Events, res.Elapsed)
	}
	res, err := runPaced(b, sc, h, limit)
	if sc.LatencyOnly {
		perSecond = rate(sc.Work.PacedEvents, res.Elapsed)
	}
	return perSecond, err
}

// runPaced does the latency part of a round where scenario and system have one.
func runPaced(b Bench, sc Scenario, h *Histogram, limit time.Duration) (Result, error) {
	p, ok := b.(Pacer)
	if sc.LatencyOnly && !ok {
		return Result{}, errors.New("system has no latency part")
	}
	if !ok || sc.Work.PacedEvents == 0 {
		return Result{}, nil
	}
	paced := sc.Work
	paced.Events, paced.Batch = sc.Work.PacedEvents, 1
	before := h.Count()
	res, err := guarded(limit, func() (Result, error) { return p.Paced(h) })
	if err != nil {
		return res, err
	}
	if want := sc.Want(paced); res.Sum != want {
		return res, &SumError{Got: res.Sum, Want: want}
	}
	if got := h.Count() - before; got != int64(paced.Events) {
		return res, fmt.Errorf("latency of %d events recorded, %d published", got, paced.Events)
	}
	return res, nil
}

// rotation is the order in which n systems run round r (from 0): each first in turn, and forwards and
// backwards by turns, so that none always runs behind the same one.
func rotation(r, n int) []int {
	is := make([]int, n)
	for k := range is {
		if r%2 == 1 {
			is[k] = (r%n + n - k) % n
		} else {
			is[k] = (r + k) % n
		}
	}
	return is
}

// guarded collects the last round's garbage, runs f and gives up after limit: a lost wake-up in a
// system must not hang the program. What f started goes on then, so the caller has to end the
// process.
func guarded[R any](limit time.Duration, f func() (R, error)) (R, error) {
	runtime.GC()
	type answer struct {
		res R
		err error
	}
	done := make(chan answer, 1)
	go func() {
		res, err := f()
		done <- answer{res, err}
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case a := <-done:
		return a.res, a.err
	case <-timer.C:
		var zero R
		return zero, fmt.Errorf("%w (%v)", ErrTimeout, limit)
	}
}

// emptyDir removes what is in dir, for systems that write it anew each round.
func emptyDir(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		errs = append(errs, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return errors.Join(errs...)
}
