package ring

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// meeting has what handlers of one ring call, each in its first event, or where it says so, once all are there.
type meeting struct {
	r     *Ring[int64]
	calls map[string]func() error
	at    map[string]int64
	there sync.WaitGroup
	errs  chan error
}

func newMeeting(r *Ring[int64]) *meeting {
	return &meeting{r: r, calls: map[string]func() error{}, at: map[string]int64{}, errs: make(chan error, 4)}
}

func (m *meeting) start(t *testing.T) {
	m.there.Add(len(m.calls))
	require.NoError(t, m.r.Start())
}

func (m *meeting) consume(t *testing.T, name string, o ConsumerOptions) *Consumer {
	o.MaxBatch = max(o.MaxBatch, 1)
	return mustConsume(t, m.r, name, func(first int64, _ []int64) error {
		if call := m.calls[name]; call != nil && first == max(m.at[name], 1) {
			m.there.Done()
			m.there.Wait()
			m.errs <- call()
		}
		return nil
	}, o)
}

// noted returns once the handler of c waits, or somebody has been told something.
func (m *meeting) noted(t *testing.T, ctx context.Context, c *Consumer) {
	for len(m.errs) == 0 {
		c.seq.waiting.mu.Lock()
		w := c.wait
		c.seq.waiting.mu.Unlock()
		if w != (wait{}) {
			return
		}
		require.NoError(t, ctx.Err(), "nobody waits")
		runtime.Gosched()
	}
}

// TestHandlers_ThatWouldWaitForEachOther: the last to wait closes the circle, is told so, and the others get what they
// waited for. None has a deadline.
func TestHandlers_ThatWouldWaitForEachOther(t *testing.T) {
	for name, plan := range map[string]func(ctx context.Context, t *testing.T, m *meeting) (left []*Consumer){
		"each makes the other leave": func(ctx context.Context, t *testing.T, m *meeting) []*Consumer {
			a, b := m.consume(t, "a", ConsumerOptions{}), m.consume(t, "b", ConsumerOptions{})
			m.calls["a"] = func() error { return m.r.Leave(ctx, b) }
			m.calls["b"] = func() error { return m.r.Leave(ctx, a) }
			return []*Consumer{a, b}
		},
		"each waits for the other": func(ctx context.Context, t *testing.T, m *meeting) []*Consumer {
			a, b := m.consume(t, "a", ConsumerOptions{}), m.consume(t, "b", ConsumerOptions{})
			m.calls["a"] = func() error { return b.WaitFor(ctx, 1) }
			m.calls["b"] = func() error { return a.WaitFor(ctx, 1) }
			return nil
		},
		"three": func(ctx context.Context, t *testing.T, m *meeting) []*Consumer {
			a, b, c := m.consume(t, "a", ConsumerOptions{}), m.consume(t, "b", ConsumerOptions{}), m.consume(t, "c", ConsumerOptions{})
			m.calls["a"] = func() error { return m.r.Leave(ctx, b) }
			m.calls["b"] = func() error { return c.WaitFor(ctx, 1) }
			m.calls["c"] = func() error { return a.WaitFor(ctx, 1) }
			return []*Consumer{b}
		},
		"one behind the other": func(ctx context.Context, t *testing.T, m *meeting) []*Consumer {
			a, b := m.consume(t, "a", ConsumerOptions{}), m.consume(t, "b", ConsumerOptions{})
			middle := m.consume(t, "middle", ConsumerOptions{After: []*Consumer{b}})
			down := m.consume(t, "down", ConsumerOptions{After: []*Consumer{middle}})
			m.calls["a"] = func() error { return down.WaitFor(ctx, 1) }
			m.calls["b"] = func() error { return m.r.Leave(ctx, a) }
			return []*Consumer{a}
		},
		"a claim": func(ctx context.Context, t *testing.T, m *meeting) []*Consumer {
			a := m.consume(t, "a", ConsumerOptions{})
			m.consume(t, "b", ConsumerOptions{})
			m.at["a"] = 2 // there a does not wait for its own slot
			m.calls["a"] = func() error {
				hi, err := m.r.Claim(1)
				if err == nil {
					m.r.Publish(hi, hi)
				}
				return err
			}
			m.calls["b"] = func() error { return m.r.Leave(ctx, a) }
			return []*Consumer{a}
		},
	} {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, mk maker) {
				for _, w := range append(waits(), eagerPark()) {
					m := newMeeting(mk(Options{Slots: 2, Wait: w}))
					ctx := within(t)
					stays := m.consume(t, "stays", ConsumerOptions{})
					left := plan(context.Background(), t, m)
					publish(t, m.r, 2)
					m.start(t)
					told := 0
					for range m.calls {
						select {
						case err := <-m.errs:
							if err != nil {
								require.ErrorIs(t, err, ErrWouldDeadlock)
								told++
							}
						case <-ctx.Done():
							require.FailNow(t, "they wait for each other")
						}
					}
					require.Equal(t, 1, told)
					for _, c := range left {
						require.NoError(t, m.r.Leave(ctx, c), "it leaves, whoever was told")
					}
					require.NoError(t, stays.WaitFor(ctx, 2))
					require.NoError(t, m.r.Close(ctx))
				}
			})
		})
	}
}

// TestHandlers_ThatWaitInNoCircle get what they wait for.
func TestHandlers_ThatWaitInNoCircle(t *testing.T) {
	t.Run("a chain", func(t *testing.T) {
		both(t, func(t *testing.T, mk maker) {
			m := newMeeting(mk(Options{Slots: 2}))
			ctx := within(t)
			a, b, c := m.consume(t, "a", ConsumerOptions{}), m.consume(t, "b", ConsumerOptions{}), m.consume(t, "c", ConsumerOptions{})
			d := m.consume(t, "d", ConsumerOptions{})
			m.calls["a"] = func() error { m.noted(t, ctx, b); return m.r.Leave(ctx, b) }
			m.calls["b"] = func() error { m.noted(t, ctx, c); return c.WaitFor(ctx, 1) }
			m.calls["c"] = func() error { return d.WaitFor(ctx, 1) }
			m.calls["d"] = func() error { m.noted(t, ctx, a); return nil }
			publish(t, m.r, 2)
			m.start(t)
			for range m.calls {
				require.NoError(t, <-m.errs)
			}
			require.NoError(t, m.r.Close(ctx))
		})
	})
	t.Run("what is released is handled", func(t *testing.T) {
		both(t, func(t *testing.T, mk maker) {
			m := newMeeting(mk(Options{Slots: 2}))
			ctx := within(t)
			m.consume(t, "stays", ConsumerOptions{})
			a, b := m.consume(t, "a", ConsumerOptions{}), m.consume(t, "b", ConsumerOptions{MaxBatch: 2})
			m.calls["a"] = func() error { return b.WaitFor(ctx, 1) }
			m.calls["b"] = func() error { m.noted(t, ctx, a); b.Release(1); return m.r.Leave(ctx, a) }
			publish(t, m.r, 2)
			m.start(t)
			require.NoError(t, <-m.errs)
			require.NoError(t, <-m.errs)
			require.NoError(t, m.r.Close(ctx))
		})
	})
	t.Run("who leaves waits for nobody", func(t *testing.T) {
		both(t, func(t *testing.T, mk maker) {
			m := newMeeting(mk(Options{Slots: 2}))
			ctx := within(t)
			m.consume(t, "stays", ConsumerOptions{})
			a, b := m.consume(t, "a", ConsumerOptions{}), m.consume(t, "b", ConsumerOptions{})
			p, err := m.r.Poller("down", ConsumerOptions{After: []*Consumer{b}})
			require.NoError(t, err)
			m.calls["a"] = func() error { return p.Consumer().WaitFor(ctx, 1) }
			m.calls["b"] = func() error { m.noted(t, ctx, a); return m.r.Leave(ctx, a) }
			m.start(t)
			soon, cancel := context.WithCancel(ctx)
			cancel()
			require.ErrorIs(t, m.r.Leave(soon, p.Consumer()), context.Canceled, "it leaves in its next call")
			publish(t, m.r, 2)
			m.noted(t, ctx, b)
			_, _, err = p.Poll(1)
			require.ErrorIs(t, err, ErrLeft)
			for range 2 {
				if err := <-m.errs; !errors.Is(err, ErrLeft) { // a's
					require.NoError(t, err)
				}
			}
			require.NoError(t, m.r.Close(ctx))
		})
	})
	t.Run("what was given up is over", func(t *testing.T) {
		both(t, func(t *testing.T, mk maker) {
			m := newMeeting(mk(Options{Slots: 2}))
			ctx := within(t)
			m.consume(t, "stays", ConsumerOptions{})
			a, b := m.consume(t, "a", ConsumerOptions{}), m.consume(t, "b", ConsumerOptions{})
			gone := make(chan struct{})
			m.calls["a"] = func() error {
				soon, cancel := context.WithCancel(ctx)
				cancel()
				err := b.WaitFor(soon, 1)
				close(gone)
				m.noted(t, ctx, b)
				if errors.Is(err, context.Canceled) {
					err = nil
				}
				return err
			}
			m.calls["b"] = func() error { <-gone; return a.WaitFor(ctx, 1) }
			publish(t, m.r, 2)
			m.start(t)
			require.NoError(t, <-m.errs)
			require.NoError(t, <-m.errs)
			require.NoError(t, m.r.Close(ctx))
		})
	})
	t.Run("a closed ring gives no room", func(t *testing.T) {
		both(t, func(t *testing.T, mk maker) {
			m := newMeeting(mk(Options{Slots: 2}))
			ctx := within(t)
			m.consume(t, "stays", ConsumerOptions{})
			a := m.consume(t, "a", ConsumerOptions{})
			m.consume(t, "b", ConsumerOptions{})
			m.at["a"] = 2
			m.calls["a"] = func() error { _, err := m.r.Claim(1); return err }
			m.calls["b"] = func() error {
				m.noted(t, ctx, a)
				require.ErrorIs(t, m.r.Close(ctx), ErrWouldDeadlock)
				return m.r.Leave(ctx, a)
			}
			publish(t, m.r, 2)
			m.start(t)
			for range 2 { // a may have stopped with the ring before it could leave
				if err := <-m.errs; !errors.Is(err, ErrClosed) {
					require.NoError(t, err)
				}
			}
			<-m.r.Done()
		})
	})
}
