//go:build headrace_explore

package ring

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace/internal/atomic"
	"github.com/headrace/headrace/internal/explore"
)

// exploreRandomly runs a scenario in random orders. HEADRACE_EXPLORE_SEED repeats one of them, with
// -run for the test; HEADRACE_EXPLORE_RUNS changes their number.
func exploreRandomly(t *testing.T, weak bool, scenario func(*explore.Run)) {
	t.Helper()
	o := explore.Options{Weak: weak, Runs: 400, Seed: uint64(time.Now().UnixNano())}
	if n, err := strconv.Atoi(os.Getenv("HEADRACE_EXPLORE_RUNS")); err == nil {
		o.Runs = n
	} else if os.Getenv("HEADRACE_LONG") != "" {
		o.Runs = 50_000
	}
	if seed, err := strconv.ParseUint(os.Getenv("HEADRACE_EXPLORE_SEED"), 10, 64); err == nil {
		o.Seed, o.Runs = seed, 1
	}
	res, err := explore.Random(o, scenario)
	require.NoError(t, err)
	t.Logf("%d runs from seed %d, %d steps, at most %d", res.Runs, o.Seed, res.Steps, res.Longest)
}

// exploreAll runs a scenario in all orders that differ. In long campaigns, and where whole says so,
// it must come to an end; else it may stop after some thousands.
func exploreAll(t *testing.T, weak, whole bool, scenario func(*explore.Run)) {
	t.Helper()
	o := explore.Options{Weak: weak}
	if !whole && os.Getenv("HEADRACE_LONG") == "" {
		o.Runs = 5_000
	}
	res, err := explore.All(o, scenario)
	require.NoError(t, err)
	require.True(t, res.Complete || o.Runs > 0)
	t.Logf("%d runs, %d steps, at most %d; complete: %v", res.Runs, res.Steps, res.Longest, res.Complete)
}

// memories are stores with a fence, and without under x86's memory.
var memories = []struct {
	name  string
	plain bool
}{{"fenced", false}, {"plain", true}}

// scenes are small enough for all orders. whole says which are quick.
var scenes = []struct {
	name string
	scene
	wholeFenced, wholePlain bool
}{
	{"two-producers_two-slots_two-consumers_polling", scene{
		options: Options{Slots: 2, Wait: polling}, claims: [][]int{{1}, {1}}, graph: [][]int{{}, {}}}, true, true},
	{"two-producers_two-slots_two-consumers_parking", scene{
		options: Options{Slots: 2, Wait: parkingAtOnce}, claims: [][]int{{1}, {1}}, graph: [][]int{{}, {}}}, false, false},
	{"one-of-many_two-slots_one-consumer_parking", scene{
		options: Options{Slots: 2, Wait: parkingAtOnce}, claims: [][]int{{1}}, graph: [][]int{{}}}, true, true},
	{"one-of-many_two-slots_two-consumers_parking", scene{
		options: Options{Slots: 2, Wait: parkingAtOnce}, claims: [][]int{{1}}, graph: [][]int{{}, {}}}, true, true},
	{"two-producers_two-slots_one-consumer_parking", scene{
		options: Options{Slots: 2, Wait: parkingAtOnce}, claims: [][]int{{1}, {1}}, graph: [][]int{{}}}, true, true},
	{"one-of-many_one-slot_one-consumer_two-claims_parking", scene{
		options: Options{Slots: 1, Wait: parkingAtOnce}, claims: [][]int{{1, 1}}, graph: [][]int{{}}}, true, false},
	{"single-producer_two-slots_one-consumer_parking", scene{
		options: Options{Slots: 2, Producers: SingleProducer, Wait: parkingAtOnce}, claims: [][]int{{1}}, graph: [][]int{{}}}, true, true},
	{"single-producer_two-slots_two-consumers_one-claim_parking", scene{
		options: Options{Slots: 2, Producers: SingleProducer, Wait: parkingAtOnce}, claims: [][]int{{1}}, graph: [][]int{{}, {}}}, true, false},
	{"single-producer_one-slot_one-consumer_two-claims_parking", scene{
		options: Options{Slots: 1, Producers: SingleProducer, Wait: parkingAtOnce}, claims: [][]int{{1, 1}}, graph: [][]int{{}}}, true, false},
	{"two-producers_two-slots_pipeline_polling", scene{
		options: Options{Slots: 2, Wait: polling}, claims: [][]int{{1}, {1}}, graph: [][]int{{}, {0}}}, false, false},
	{"two-producers_full-ring_two-slots_one-consumer_parking", scene{
		options: Options{Slots: 2, Wait: parkingAtOnce}, claims: [][]int{{1}, {1}}, graph: [][]int{{}}, before: 2}, false, false},
	{"single-producer_one-slot_pipeline_parking", scene{
		options: Options{Slots: 1, Producers: SingleProducer, Wait: parkingAtOnce}, claims: [][]int{{1, 1}}, graph: [][]int{{}, {0}}}, false, false},
	{"single-producer_two-slots_two-consumers_parking", scene{
		options: Options{Slots: 2, Producers: SingleProducer, Wait: parkingAtOnce}, claims: [][]int{{1, 2}}, graph: [][]int{{}, {}}}, false, false},
}

func TestExplore_AllOrders(t *testing.T) {
	for _, sc := range scenes {
		for _, m := range memories {
			t.Run(sc.name+"/"+m.name, func(t *testing.T) {
				s := sc.scene
				s.plain = m.plain
				whole := m.plain && sc.wholePlain || !m.plain && sc.wholeFenced
				exploreAll(t, m.plain, whole, s.scenario)
			})
		}
	}
}

// TestExplore_TryClaimFailsOnlyWhenFull: of two that try at once both get a slot where there are two, and exactly one
// where there is one.
func TestExplore_TryClaimFailsOnlyWhenFull(t *testing.T) {
	for _, m := range memories {
		for _, slots := range []int{1, 2} {
			t.Run(fmt.Sprint(m.name, "/slots=", slots), func(t *testing.T) {
				exploreAll(t, m.plain, true, func(run *explore.Run) {
					r := must(newRing[int64](Options{Slots: slots}, m.plain))
					won := 0
					for p := range 2 {
						run.Go(fmt.Sprint("producer ", p), func() {
							switch _, err := r.TryClaim(1); {
							case err == nil:
								won++
							case !errors.Is(err, ErrFull):
								explore.Fail("try: %v", err)
							}
						})
					}
					run.Check(func() error {
						if won != slots {
							return fmt.Errorf("%d of two got one of %d slots", won, slots)
						}
						return nil
					})
				})
			})
		}
	}
}

func TestExplore_Graphs(t *testing.T) {
	diamond := [][]int{{}, {}, {0, 1}}
	for name, sc := range map[string]scene{
		"single/diamond":  {options: Options{Slots: 4, Producers: SingleProducer}, claims: [][]int{{1, 2, 3, 1, 4, 1}}, graph: diamond},
		"single/pipeline": {options: Options{Slots: 2, Producers: SingleProducer}, claims: [][]int{{1, 2, 1, 2, 1}}, graph: [][]int{{}, {0}, {1}}, batch: 1},
		"multi/diamond":   {options: Options{Slots: 4}, claims: [][]int{{1, 2, 1}, {3, 1}, {1, 1, 1}}, graph: diamond},
		"multi/one-slot":  {options: Options{Slots: 1}, claims: [][]int{{1, 1}, {1, 1}, {1}}, graph: [][]int{{}, {0}}},
		"multi/wrap":      {options: Options{Slots: 2, FirstSequence: 1<<32 - 2}, claims: [][]int{{1, 2, 1}, {2, 1}}, graph: [][]int{{}, {}}},
	} {
		for _, m := range memories {
			for _, wait := range []WaitStrategy{parkingAtOnce, polling} {
				t.Run(name+"/"+m.name+"/"+wait.name, func(t *testing.T) {
					s := sc
					s.plain, s.options.Wait = m.plain, wait
					exploreRandomly(t, m.plain, s.scenario)
				})
			}
		}
	}
}

// stopping is a scene that is closed, or halted, while everybody is at work.
func stopping(sc scene, closers int, halt bool) func(*explore.Run) {
	sc.loose = true
	return func(run *explore.Run) {
		s := sc.open(run)
		for i := range closers {
			run.Go(fmt.Sprint("closer ", i), func() {
				if halt {
					s.r.Halt()
					return
				}
				if err := s.r.Close(context.Background()); err != nil {
					explore.Fail("close: %v", err)
				}
			})
		}
		run.Check(func() error {
			if !halt {
				return s.allSeen()
			}
			for i, got := range s.seen {
				if s.cs[i].Cursor() != got || got > s.first-1+s.total {
					return fmt.Errorf("consumer %d is at %d, has handled %d of %d", i, s.cs[i].Cursor(), got, s.total)
				}
			}
			return nil
		})
	}
}

func TestExplore_CloseAndHalt(t *testing.T) {
	for _, m := range memories {
		for _, halt := range []bool{false, true} {
			name := map[bool]string{false: "close", true: "halt"}[halt] + "/" + m.name
			for _, slots := range []int{1, 2} {
				t.Run(fmt.Sprint(name, "/single/slots=", slots), func(t *testing.T) {
					exploreRandomly(t, m.plain, stopping(scene{
						options: Options{Slots: slots, Producers: SingleProducer, Wait: parkingAtOnce}, plain: m.plain,
						claims: [][]int{{1, 1, 1}}, graph: [][]int{{}, {0}}}, 2, halt))
				})
				t.Run(fmt.Sprint(name, "/multi/slots=", slots), func(t *testing.T) {
					exploreRandomly(t, m.plain, stopping(scene{
						options: Options{Slots: slots, Wait: parkingAtOnce}, plain: m.plain,
						claims: [][]int{{1, 1}, {1, 1}}, graph: [][]int{{}, {}}}, 2, halt))
				})
			}
			t.Run(name+"/all-orders", func(t *testing.T) {
				exploreAll(t, m.plain, false, stopping(scene{
					options: Options{Slots: 1, Producers: SingleProducer, Wait: parkingAtOnce}, plain: m.plain,
					claims: [][]int{{1}}, graph: [][]int{{}}}, 1, halt))
			})
		}
	}
}

// guest is a handler of a consumer that comes and goes: it must get events without a gap.
func (s *stage) guest(next *int64) HandlerFunc[int64] {
	return func(lo int64, span []int64) error {
		if a := &s.r.seq.aborts; *next != 0 && lo > *next && a.last.Load() >= lo-1 { // by Join
			if n, aborted := a.run(*next, lo-1); aborted {
				*next += n
			}
		}
		if *next != 0 && lo != *next {
			explore.Fail("a guest gets %d instead of %d", lo, *next)
		}
		for range 2 {
			for k := range span {
				if got := s.load(&span[k]); got != value(lo+int64(k)) {
					explore.Fail("a guest finds %d in event %d", got, lo+int64(k))
				}
			}
		}
		*next = lo + int64(len(span))
		return nil
	}
}

func TestExplore_JoinAndLeave(t *testing.T) {
	ctx := context.Background()
	for _, producers := range []Producers{SingleProducer, MultiProducer} {
		for _, m := range memories {
			for _, where := range []string{"head", "behind", "from", "two", "chain", "before", "before-head"} {
				t.Run(fmt.Sprint(producers, "/", m.name, "/", where), func(t *testing.T) {
					claims := [][]int{{1, 1, 2, 1}}
					if producers == MultiProducer {
						claims = [][]int{{1, 2}, {1, 1}}
					}
					exploreRandomly(t, m.plain, func(run *explore.Run) {
						s := scene{options: Options{Slots: 2, Producers: producers, Wait: parkingAtOnce}, plain: m.plain,
							claims: claims, graph: [][]int{{}, {0}}, pushed: where == "before-head"}.open(run)
						guests := 1
						if where == "two" {
							guests = 2
						}
						for g := range guests {
							run.Go(fmt.Sprint("joiner ", g), func() {
								var next int64
								o := ConsumerOptions{}
								switch where {
								case "behind":
									o.After = s.cs[:1]
								case "from", "chain":
									o.From, next = s.first, s.first
								case "before":
									o.After, o.Before = s.cs[:1], s.cs[1:]
								case "before-head":
									o.Before = s.cs[:1]
								}
								h := s.guest(&next)
								c, err := s.r.Join(ctx, fmt.Sprint("guest ", g), HandlerFunc[int64](func(lo int64, span []int64) error {
									for _, d := range o.Before {
										if at := d.Cursor(); at >= lo {
											explore.Fail("the guest gets %d when %q, which comes later, is at %d", lo, d.Name(), at)
										}
									}
									return h(lo, span)
								}), o)
								var gone *GoneError
								if errors.As(err, &gone) {
									return
								}
								if err != nil {
									explore.Fail("join: %v", err)
								}
								if where == "chain" { // another behind it
									next := new(int64)
									d, err := s.r.Join(ctx, "behind the guest", s.guest(next), ConsumerOptions{After: []*Consumer{c}})
									if err != nil {
										explore.Fail("join: %v", err)
									}
									if err := s.r.Leave(ctx, d); err != nil {
										explore.Fail("leave: %v", err)
									}
								}
								if err := s.r.Leave(ctx, c); err != nil {
									explore.Fail("leave: %v", err)
								}
							})
						}
						run.Check(func() error { return s.allPassed() })
					})
				})
			}
		}
	}
}

func TestExplore_Aborts(t *testing.T) {
	for _, producers := range []Producers{SingleProducer, MultiProducer} {
		for _, m := range memories {
			t.Run(fmt.Sprint(producers, "/", m.name), func(t *testing.T) {
				exploreRandomly(t, m.plain, func(run *explore.Run) {
					r := must(newRing[int64](Options{Slots: 2, Producers: producers, Wait: parkingAtOnce}, m.plain))
					s := &stage{Run: run, r: r, first: 1, ends: map[int64]int64{}}
					var got []int64
					for i := range 2 {
						o := ConsumerOptions{}
						if i > 0 {
							o.After = s.cs[:1]
						}
						s.cs = append(s.cs, must(r.Consume(fmt.Sprint(i), HandlerFunc[int64](func(lo int64, span []int64) error {
							for k := range span {
								if v := s.load(&span[k]); v != value(lo+int64(k)) {
									explore.Fail("consumer %d finds %d in event %d", i, v, lo+int64(k))
								}
								if i == 1 {
									got = append(got, lo+int64(k))
								}
							}
							return nil
						}), o)))
					}
					if err := r.Start(); err != nil {
						panic(err)
					}
					run.Daemons()
					threads := 1
					if producers == MultiProducer {
						threads = 2
					}
					kept := map[int64]bool{}
					for p := range threads {
						run.Go(fmt.Sprint("producer ", p), func() {
							for k := range 3 {
								hi, err := r.Claim(1)
								if err != nil {
									explore.Fail("claim: %v", err)
								}
								if k == 1 {
									r.Abort(hi, hi)
									continue
								}
								kept[hi] = true
								s.write(hi)
								r.Publish(hi, hi)
							}
						})
					}
					run.Check(func() error {
						last := int64(3 * threads)
						if c := s.cs[1].Cursor(); c != last || len(got) != len(kept) {
							return fmt.Errorf("the last consumer is at %d of %d and got %v of %v", c, last, got, kept)
						}
						for _, seq := range got {
							if !kept[seq] {
								return fmt.Errorf("event %d was aborted and handled", seq)
							}
						}
						return nil
					})
				})
			})
		}
	}
}

func TestExplore_Poller(t *testing.T) {
	ctx := context.Background()
	for _, m := range memories {
		for _, leave := range []bool{false, true} {
			t.Run(fmt.Sprint(m.name, "/leave=", leave), func(t *testing.T) {
				exploreRandomly(t, m.plain, func(run *explore.Run) {
					s := scene{options: Options{Slots: 2, Wait: parkingAtOnce}, plain: m.plain,
						claims: [][]int{{1, 1}, {1, 1}}, graph: [][]int{{}}, loose: true, poller: true}.open(run)
					run.Go("poller", func() {
						next := s.first
						for {
							if err := s.poller.Wait(ctx); err != nil {
								explore.Fail("wait: %v", err)
							}
							lo, span, err := s.poller.Poll(2)
							if err != nil {
								if !errors.Is(err, ErrClosed) {
									explore.Fail("poll: %v", err)
								}
								return
							}
							if len(span) > 0 && lo != next {
								explore.Fail("the poller gets %d instead of %d", lo, next)
							}
							for k := range span {
								if got := s.load(&span[k]); got != value(lo+int64(k)) {
									explore.Fail("the poller finds %d in event %d", got, lo+int64(k))
								}
							}
							next += int64(len(span))
							if leave && next > s.first {
								if err := s.poller.Leave(); err != nil {
									explore.Fail("leave: %v", err)
								}
								return
							}
						}
					})
					run.Go("closer", func() {
						if err := s.r.Close(ctx); err != nil {
							explore.Fail("close: %v", err)
						}
					})
					run.Check(s.allSeen)
				})
			})
		}
	}
}

// TestExplore_Producer has the one producer, or two, publish by a Producer while the ring is closed or a
// consumer joins.
func TestExplore_Producer(t *testing.T) {
	ctx := context.Background()
	for _, producers := range []Producers{SingleProducer, MultiProducer} {
		for _, m := range memories {
			for _, joins := range []bool{false, true} {
				t.Run(fmt.Sprint(producers, "/", m.name, "/join=", joins), func(t *testing.T) {
					exploreRandomly(t, m.plain, func(run *explore.Run) {
						s := scene{options: Options{Slots: 2, Producers: producers, Wait: parkingAtOnce}, plain: m.plain,
							graph: [][]int{{}, {0}}, loose: !joins}.open(run)
						threads := 1
						if producers == MultiProducer {
							threads = 2
						}
						for i := range threads {
							run.Go(fmt.Sprint("producer ", i), func() {
								p := s.r.Producer()
								for range 4 / threads {
									seq, err := p.Next()
									if s.loose && errors.Is(err, ErrClosed) {
										return
									}
									if err != nil {
										explore.Fail("next: %v", err)
									}
									s.total++
									atomic.StoreRelease(p.Slot(seq), value(seq))
									p.Publish(seq, seq)
								}
							})
						}
						if joins {
							run.Go("joiner", func() {
								var next int64
								c, err := s.r.Join(ctx, "guest", s.guest(&next), ConsumerOptions{})
								if err != nil {
									explore.Fail("join: %v", err)
								}
								if err := s.r.Leave(ctx, c); err != nil {
									explore.Fail("leave: %v", err)
								}
							})
							run.Check(s.allPassed)
							return
						}
						run.Go("closer", func() {
							if err := s.r.Close(ctx); err != nil {
								explore.Fail("close: %v", err)
							}
						})
						run.Check(s.allSeen)
					})
				})
			}
		}
	}
}
