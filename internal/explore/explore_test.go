package explore

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// memory is what the goroutines of a test share.
type memory [3]uint64

func (m *memory) at(i int) unsafe.Pointer { return unsafe.Pointer(&m[i]) }

func (m *memory) load(i int) uint64 {
	Step(Load, m.at(i))
	if v, ok := Forward(m.at(i)); ok {
		return v
	}
	return m[i]
}

func (m *memory) store(i int, v uint64) {
	Step(Store, m.at(i))
	m[i] = v
}

func (m *memory) release(i int, v uint64) {
	if !Put(m.at(i), 8, v) {
		m[i] = v
	}
}

// An instruction of a random program.
type instruction struct {
	what  int // load, plain store, fenced store, add, membarrier
	where int
	value uint64
}

const (
	doLoad = iota
	doPlain
	doFenced
	doAdd
	doBarrier
)

// outcomes are what a program's loads can see, found by going through all orders without leaving
// any out: what All is compared with.
func outcomes(program [][]instruction, weak bool) map[string]bool {
	type store struct {
		where int
		value uint64
	}
	type state struct {
		m       memory
		pc      []int
		drained []int // threads that the membarrier of each has passed
		seen    []string
		buffers [][]store
	}
	out, visited := map[string]bool{}, map[string]bool{}
	var walk func(s state)
	clone := func(s state) state {
		s.pc, s.seen, s.drained = slices.Clone(s.pc), slices.Clone(s.seen), slices.Clone(s.drained)
		s.buffers = slices.Clone(s.buffers)
		return s
	}
	walk = func(s state) {
		key := fmt.Sprint(s)
		if visited[key] {
			return
		}
		visited[key] = true
		ended := true
		for i, b := range s.buffers {
			if len(b) > 0 {
				ended = false
				n := clone(s)
				n.m[b[0].where] = b[0].value
				n.buffers[i] = b[1:]
				walk(n)
			}
		}
		for i, code := range program {
			if s.pc[i] == len(code) {
				continue
			}
			ended = false
			in := code[s.pc[i]]
			fenced := in.what != doLoad && in.what != doPlain
			if fenced && len(s.buffers[i]) > 0 {
				continue
			}
			n := clone(s)
			n.pc[i]++
			switch in.what {
			case doLoad:
				v := n.m[in.where]
				for _, b := range n.buffers[i] {
					if b.where == in.where {
						v = b.value
					}
				}
				n.seen[i] += fmt.Sprint(v, ",")
			case doPlain:
				if weak {
					n.buffers[i] = append(slices.Clone(n.buffers[i]), store{in.where, in.value})
				} else {
					n.m[in.where] = in.value
				}
			case doFenced:
				n.m[in.where] = in.value
			case doAdd:
				n.seen[i] += fmt.Sprint(n.m[in.where], ",")
				n.m[in.where] += in.value
			case doBarrier:
				if !weak {
					break
				}
				k := n.drained[i]
				if k < len(program) {
					if k != i {
						for _, b := range n.buffers[k] {
							n.m[b.where] = b.value
						}
						n.buffers[k] = nil
					}
					n.drained[i]++
					n.pc[i]-- // there is more of it
				} else {
					n.drained[i] = 0
				}
			}
			walk(n)
		}
		if ended {
			out[fmt.Sprint(s.m, s.seen)] = true
		}
	}
	n := len(program)
	walk(state{pc: make([]int, n), seen: make([]string, n), drained: make([]int, n), buffers: make([][]store, n)})
	return out
}

// run is the scenario of a program.
func scenarioOf(program [][]instruction, out map[string]bool) func(*Run) {
	return func(r *Run) {
		m := new(memory)
		seen := make([]string, len(program))
		for i, code := range program {
			r.Go(fmt.Sprint(i), func() {
				for _, in := range code {
					switch in.what {
					case doLoad:
						seen[i] += fmt.Sprint(m.load(in.where), ",")
					case doPlain:
						m.release(in.where, in.value)
					case doFenced:
						m.store(in.where, in.value)
					case doAdd:
						Step(Update, m.at(in.where))
						seen[i] += fmt.Sprint(m[in.where], ",")
						m[in.where] += in.value
					case doBarrier:
						Membarrier()
					}
				}
			})
		}
		r.Check(func() error {
			out[fmt.Sprint(*m, seen)] = true
			return nil
		})
	}
}

// TestAll_RandomPrograms_EveryOutcome compares with a search that leaves nothing out.
func TestAll_RandomPrograms_EveryOutcome(t *testing.T) {
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	runs := 300
	if testing.Short() {
		runs = 50
	}
	for i := range runs {
		weak := i%2 == 0
		program := make([][]instruction, 2+rng.IntN(2))
		for k := range program {
			for range 1 + rng.IntN(3) {
				program[k] = append(program[k], instruction{rng.IntN(5), rng.IntN(2), rng.Uint64N(3) + 1})
			}
		}
		name := fmt.Sprintf("seed=%d run=%d weak=%v %v", seed, i, weak, program)
		want, got := outcomes(program, weak), map[string]bool{}
		res, err := All(Options{Weak: weak}, scenarioOf(program, got))
		require.NoError(t, err, name)
		require.True(t, res.Complete, name)
		require.Equal(t, slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got)), name)
	}
}

func TestAll_IndependentSteps_OneRun(t *testing.T) {
	res, err := All(Options{}, func(r *Run) {
		m := new(memory)
		for i := range m {
			r.Go(fmt.Sprint(i), func() { m.store(i, 1); m.store(i, 2) })
		}
	})
	require.NoError(t, err)
	require.Equal(t, 1, res.Runs)
}

// twoLocks is the textbook's deadlock.
func twoLocks(r *Run) {
	var held [2]bool
	lock := func(i int) {
		Wait(Lock, unsafe.Pointer(&held[i]), func() bool { return !held[i] })
		held[i] = true
	}
	unlock := func(i int) {
		Step(Unlock, unsafe.Pointer(&held[i]))
		held[i] = false
	}
	for i := range 2 {
		r.Go(fmt.Sprint("philosopher ", i), func() {
			lock(i)
			lock(1 - i)
			unlock(1 - i)
			unlock(i)
		})
	}
}

func TestSearches_FindDeadlock_AndReplayIt(t *testing.T) {
	_, err := All(Options{}, twoLocks)
	var f *Failure
	require.ErrorIs(t, err, ErrDeadlock)
	require.ErrorAs(t, err, &f)
	require.ErrorIs(t, Replay(Options{}, f.Schedule, twoLocks), ErrDeadlock)
	require.Contains(t, f.Trace, "philosopher 1")

	_, err = Random(Options{Runs: 100}, twoLocks)
	require.ErrorIs(t, err, ErrDeadlock)
	require.ErrorAs(t, err, &f)
	_, again := Random(Options{Runs: 1, Seed: f.Seed}, twoLocks)
	require.ErrorIs(t, again, ErrDeadlock)
	var g *Failure
	require.ErrorAs(t, again, &g)
	require.Equal(t, f.Schedule, g.Schedule)
}

// TestRandom_EachRunAgainByItsSeed: a run is the same within a search, after longer ones too, and alone.
func TestRandom_EachRunAgainByItsSeed(t *testing.T) {
	var order []int
	long := func(r *Run) {
		order = nil
		m := new(memory)
		for i := range 3 {
			r.Go(fmt.Sprint(i), func() {
				for range 200 {
					m.store(i, 1)
					order = append(order, i)
				}
			})
		}
	}
	var search [][]int
	const runs, seed = 30, 100
	_, err := Random(Options{Runs: runs, Seed: seed}, func(r *Run) {
		if order != nil {
			search = append(search, order)
		}
		long(r)
	})
	require.NoError(t, err)
	search = append(search, order)
	require.Len(t, search, runs)
	for i, want := range search {
		_, err := Random(Options{Runs: 1, Seed: seed + uint64(i)}, long)
		require.NoError(t, err)
		require.Equal(t, want, order, "seed %d", seed+i)
	}
}

func TestPolling_EndsWhenOthersAreDone(t *testing.T) {
	poll := func(store bool) func(*Run) {
		return func(r *Run) {
			m := new(memory)
			r.Go("waits", func() {
				for m.load(0) == 0 {
					Pause()
				}
			})
			r.Go("works", func() {
				if store {
					m.store(0, 1)
				}
			})
		}
	}
	res, err := All(Options{}, poll(true))
	require.NoError(t, err)
	require.True(t, res.Complete)
	_, err = All(Options{MaxSteps: 100}, poll(false))
	require.ErrorIs(t, err, ErrSteps)
}

func TestFailures_InGoroutineAndCheck(t *testing.T) {
	cause := errors.New("cause")
	_, err := All(Options{}, func(r *Run) { r.Check(func() error { return cause }) })
	require.ErrorIs(t, err, cause)
	_, err = All(Options{}, func(r *Run) {
		r.Go("a", func() { Fail("found %d", 1) })
		r.Go("b", func() {})
	})
	require.ErrorContains(t, err, "found 1")
	_, err = All(Options{}, func(r *Run) { r.Go("a", func() { panic("oh") }) })
	require.ErrorContains(t, err, "oh")
}

func TestSchedule_RoundTrip(t *testing.T) {
	order := []actor{0, 0, 0, 3, bufferOf + 2, -1, -3, 1}
	got, err := parseSchedule(schedule(order))
	require.NoError(t, err)
	require.Equal(t, order, got)
	_, err = parseSchedule("x")
	require.Error(t, err)
}
