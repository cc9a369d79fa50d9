//go:build headrace_explore

package ring

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/headrace/headrace/internal/explore"
)

// TestExplore_Share has a lane leave, or join, or first one and then the other, while two producers publish.
func TestExplore_Share(t *testing.T) {
	for _, m := range memories {
		for _, change := range []string{"leave", "join", "join-leave", "leave-join"} {
			t.Run(m.name+"/"+change, func(t *testing.T) { exploreLanes(t, m.plain, strings.Split(change, "-")) })
		}
	}
}

func exploreLanes(t *testing.T, plain bool, changes []string) {
	ctx := context.Background()
	// Keys of lane 1, which leaves, and of lane 0 that a lane 3 gets, and one that stays.
	three, four := &epoch{lanes: []int{0, 1, 2}}, &epoch{lanes: []int{0, 1, 2, 3}}
	keys := make([]uint64, 3)
	for i, lanes := range [][2]int{{1, 3}, {0, 3}, {1, 1}} {
		for three.lane(keys[i]) != lanes[0] || four.lane(keys[i]) != lanes[1] {
			keys[i]++
		}
	}
	exploreRandomly(t, plain, func(run *explore.Run) {
		r := must(newRing[int64](Options{Slots: 4, Wait: parkingAtOnce}, plain))
		s := &stage{Run: run, r: r, first: 1, ends: map[int64]int64{}}
		handled, last := map[int64]int{}, map[uint64]int64{}
		key := func(v *int64) uint64 { return keys[uint64(s.load(v))/2%uint64(len(keys))] }
		handler := func(i int) Handler[int64] {
			return HandlerFunc[int64](func(lo int64, span []int64) error {
				for k := range span {
					seq := lo + int64(k)
					if by, twice := handled[seq]; twice {
						explore.Fail("event %d is handled by lanes %d and %d", seq, by, i)
					}
					handled[seq] = i
					if of := key(&span[k]); last[of] > seq {
						explore.Fail("event %d of key %d is handled after %d", seq, of, last[of])
					} else {
						last[of] = seq
					}
				}
				return nil
			})
		}
		handlers := []Handler[int64]{handler(0), handler(1), handler(2)}
		g := must(r.Share("share", key, handlers, ConsumerOptions{}))
		end := must(r.Consume("end", HandlerFunc[int64](func(lo int64, span []int64) error {
			for k := range span {
				if _, ok := handled[lo+int64(k)]; !ok {
					explore.Fail("event %d is passed on and was not handled", lo+int64(k))
				}
			}
			return nil
		}), ConsumerOptions{After: g.Lanes()}))
		if err := r.Start(); err != nil {
			panic(err)
		}
		s.Daemons()
		for p := range 2 {
			run.Go(fmt.Sprint("producer ", p), func() { s.produce([]int{1, 2, 1}) })
		}
		run.Go("changer", func() {
			for _, change := range changes {
				switch change {
				case "leave":
					if err := g.LeaveLane(ctx, 1); err != nil {
						explore.Fail("leave lane: %v", err)
					}
				case "join":
					if _, err := g.JoinLane(ctx, handler(3)); err != nil {
						explore.Fail("join lane: %v", err)
					}
				}
			}
			if slices.Contains(changes, "join") { // it is no daemon
				if err := end.WaitFor(ctx, 8); err != nil {
					explore.Fail("wait: %v", err)
				}
				if err := g.LeaveLane(ctx, 3); err != nil {
					explore.Fail("leave lane: %v", err)
				}
			}
		})
		run.Check(func() error {
			if len(handled) != 8 {
				return fmt.Errorf("%d of 8 events are handled: %v", len(handled), handled)
			}
			return nil
		})
	})
}
