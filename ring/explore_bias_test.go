//go:build headrace_explore

package ring

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/headrace/headrace/internal/atomic"
	"github.com/headrace/headrace/internal/explore"
)

// TestExplore_BiasInAllOrders has Producers claim, each of which gets the bias with its first claim,
// and somebody who claims by the ring, or fences, or asks what is claimed. Nobody gets a sequence twice, and none
// is left out.
func TestExplore_BiasInAllOrders(t *testing.T) {
	for name, sc := range map[string]struct {
		claims []int // of each Producer
		slots  int
		other  func(r *Ring[int64], got func(seq int64, err error))
		whole  bool
	}{
		"two-producers": {claims: []int{2, 1}, slots: 4, whole: true},
		"three-claims":  {claims: []int{3, 2}, slots: 8},
		"full": {claims: []int{2, 1}, slots: 2, other: func(r *Ring[int64], got func(int64, error)) {
			r.seq.fence() // or a producer would wait for ever
		}},
		"claim": {claims: []int{2}, slots: 4, whole: true, other: func(r *Ring[int64], got func(int64, error)) {
			got(r.TryClaim(1))
		}},
		"two-revoke": {claims: []int{2, 1}, slots: 4, other: func(r *Ring[int64], got func(int64, error)) {
			got(r.TryClaim(1))
		}},
		"fence": {claims: []int{2, 1}, slots: 4, other: func(r *Ring[int64], got func(int64, error)) {
			r.seq.fence()
		}},
		"ask": {claims: []int{2}, slots: 4, whole: true, other: func(r *Ring[int64], got func(int64, error)) {
			if before, after := r.seq.exactly(), r.seq.exactly(); before > after {
				explore.Fail("%d was claimed, then %d", before, after)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			exploreAll(t, true, sc.whole, func(run *explore.Run) {
				r := must(newRing[int64](Options{Slots: sc.slots, Wait: polling}, true))
				held, fenced := map[int64]bool{}, int64(-1)
				got := func(seq int64, err error) {
					if errors.Is(err, ErrFull) || errors.Is(err, ErrClosed) {
						return
					}
					if err != nil || held[seq] {
						explore.Fail("%d is claimed twice, or %v", seq, err)
					}
					if fenced >= 0 && seq > fenced {
						explore.Fail("%d is claimed after the fence at %d", seq, fenced)
					}
					held[seq] = true
				}
				for i, n := range sc.claims {
					run.Go(fmt.Sprint("producer ", i), func() {
						p := r.Producer()
						for range n {
							got(p.Next())
						}
					})
				}
				if sc.other != nil {
					run.Go("other", func() {
						sc.other(r, got)
						if r.seq.stopping() {
							fenced = r.seq.claimed()
						}
					})
				}
				run.Check(func() error {
					if n := r.seq.exactly(); n != int64(len(held)) {
						return fmt.Errorf("%d are claimed, and %d was handed out", n, len(held))
					}
					return nil
				})
			})
		})
	}
}

// TestExplore_Bias has Producers, and one who claims by the ring, publish through a small ring, where the
// bias ends whenever it is full, while it is closed or halted, or a consumer joins at an old event.
func TestExplore_Bias(t *testing.T) {
	ctx := context.Background()
	for _, end := range []string{"close", "halt", "join", "from", "none"} {
		for _, slots := range []int{1, 2, 4} {
			t.Run(fmt.Sprint(end, "/slots=", slots), func(t *testing.T) {
				exploreRandomly(t, true, func(run *explore.Run) {
					loose := end == "close" || end == "halt"
					sc := scene{options: Options{Slots: slots, Wait: parkingAtOnce}, plain: true, graph: [][]int{{}, {0}}, loose: loose}
					if end != "from" {
						sc.claims = [][]int{{1}}
					}
					s := sc.open(run)
					for i := range 2 {
						run.Go(fmt.Sprint("rival ", i), func() {
							p := s.r.Producer()
							for range 3 {
								seq, err := p.Next()
								if loose && errors.Is(err, whyStopped(s.r)) {
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
					switch end {
					case "join", "from":
						run.Go("joiner", func() {
							var next int64
							o := ConsumerOptions{}
							if end == "from" {
								o.From, next = s.first, s.first
							}
							c, err := s.r.Join(ctx, "guest", s.guest(&next), o)
							var gone *GoneError
							if errors.As(err, &gone) {
								return
							}
							if err != nil {
								explore.Fail("join: %v", err)
							}
							if err := s.r.Leave(ctx, c); err != nil {
								explore.Fail("leave: %v", err)
							}
						})
						run.Check(s.allPassed)
					case "close":
						run.Go("closer", func() {
							if err := s.r.Close(ctx); err != nil {
								explore.Fail("close: %v", err)
							}
						})
						run.Check(s.allSeen)
					case "halt":
						run.Go("closer", s.r.Halt)
					default:
						run.Check(s.allSeen)
					}
				})
			})
		}
	}
}
