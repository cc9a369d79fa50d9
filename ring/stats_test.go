package ring

import (
	"encoding/json"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestStats_BatchesWaitsAndBlocking(t *testing.T) {
	both(t, func(t *testing.T, mk maker) {
		ctx := within(t)
		r := mk(Options{Slots: 8, Wait: eagerPark()})
		entered, leave := make(chan struct{}), make(chan struct{})
		slow := mustConsume(t, r, "slow", func(first int64, _ []int64) error {
			if first == 1 {
				close(entered)
				<-leave
			}
			return nil
		}, ConsumerOptions{})
		mustConsume(t, r, "behind", ignore, ConsumerOptions{After: []*Consumer{slow}})
		publish(t, r, 5)
		require.NoError(t, r.Start())
		<-entered
		publish(t, r, 3)
		claimed := make(chan error)
		go func() {
			hi, err := r.Claim(1)
			r.Abort(hi, hi)
			claimed <- err
		}()
		// All of these come about by themselves; a test that hangs here fails.
		until := func(what func(st Stats) bool) Stats {
			for {
				st := r.Stats()
				if what(st) {
					return st
				}
				require.NoError(t, ctx.Err())
				runtime.Gosched()
			}
		}
		until(func(st Stats) bool { // "behind" waits for "slow", and it shows while it does
			return len(st.Consumers[1].Waits) == 1 && st.Consumers[1].Waits[0].On == "slow" && st.Consumers[1].Waits[0].Time > 0
		})
		for r.snapshot()[1].gate.wakeAt.Load() == never { // the producer waits for "behind"
			require.NoError(t, ctx.Err())
			runtime.Gosched()
		}
		st := until(func(st Stats) bool { return st.Waiting == 1 && st.Blocked > 0 && st.Consumers[1].Blocking > 0 })
		require.LessOrEqual(t, st.Blocked, r.Stats().Blocked, "it goes on")
		require.Zero(t, st.Consumers[0].Blocking)
		close(leave)
		require.NoError(t, <-claimed)
		st = until(func(st Stats) bool {
			return st.Blocked > 0 && len(st.Consumers[0].Waits) == 1 && st.Consumers[0].Waits[0].On == ""
		})
		require.Zero(t, st.Waiting)
		require.Equal(t, st.Blocked, st.Consumers[1].Blocking)
		require.Zero(t, st.Consumers[0].Blocking)
		require.Equal(t, []string{"slow"}, st.Consumers[1].After)
		require.Equal(t, int64(1), st.Aborted)
		require.NoError(t, r.Close(ctx))
		st = r.Stats()
		require.GreaterOrEqual(t, len(st.Consumers[0].Batches), 3)
		require.Equal(t, int64(1), st.Consumers[0].Batches[2], "five at once")
		for _, c := range st.Consumers {
			low, high := int64(0), int64(0)
			for i, n := range c.Batches {
				low, high = low+n<<i, high+n*(2<<i-1)
			}
			require.LessOrEqual(t, low, int64(9), c.Name)
			require.GreaterOrEqual(t, high, int64(9), c.Name)
		}
	})
}

// TestStats_BlockingIsOfTheOneBehind: of several that hold producers back it counts for the one that does.
func TestStats_BlockingIsOfTheOneBehind(t *testing.T) {
	both(t, func(t *testing.T, mk maker) {
		ctx := within(t)
		r := mk(Options{Slots: 2, Wait: eagerPark()})
		hold := make(chan struct{})
		fast := mustConsume(t, r, "fast", ignore, ConsumerOptions{})
		mustConsume(t, r, "slow", func(int64, []int64) error { <-hold; return nil }, ConsumerOptions{})
		require.NoError(t, r.Start())
		publish(t, r, 2)
		require.NoError(t, fast.WaitFor(ctx, 2))
		claimed := make(chan error)
		go func() {
			hi, err := r.Claim(1)
			r.Abort(hi, hi)
			claimed <- err
		}()
		waitUntil(ctx, t, func() bool { return r.Stats().Waiting == 1 })
		close(hold)
		require.NoError(t, <-claimed)
		st := r.Stats()
		require.Zero(t, st.Consumers[0].Blocking)
		require.Positive(t, st.Consumers[1].Blocking)
		require.Equal(t, st.Blocked, st.Consumers[1].Blocking)
		require.NoError(t, r.Close(ctx))
	})
}

// TestStats_ReadersStopNobody: while a reader holds what Stats locks, events are claimed, published, handled and
// passed on as ever.
func TestStats_ReadersStopNobody(t *testing.T) {
	both(t, func(t *testing.T, mk maker) {
		r := mk(Options{Slots: 4, Wait: eagerPark()})
		up := mustConsume(t, r, "up", ignore, ConsumerOptions{})
		down := mustConsume(t, r, "down", ignore, ConsumerOptions{After: []*Consumer{up}})
		require.NoError(t, r.Start())
		ctx := within(t)
		r.mu.Lock() // as Stats does, for longer
		for range 40 {
			publish(t, r, 1)
		}
		err := down.WaitFor(ctx, 40)
		r.mu.Unlock()
		require.NoError(t, err)
		require.NoError(t, r.Close(ctx))
	})
}

func TestCounts_Histogram(t *testing.T) {
	var c counts
	for _, n := range []int64{1, 2, 3, 4, 1 << 20, MaxSlots, 1 << 40} {
		c.batch(n)
	}
	h := c.histogram()
	require.Equal(t, int64(1), h[0])
	require.Equal(t, int64(2), h[1])
	require.Equal(t, int64(1), h[2])
	require.Equal(t, int64(1), h[20])
	require.Equal(t, int64(2), h[30])
}

func TestCounts_WaitsAddUpByName(t *testing.T) {
	var c counts
	require.Nil(t, c.waits())
	for range 3 {
		for _, on := range []string{"a", ""} {
			c.unblock()
			c.block(on)
		}
	}
	c.unblock()
	c.unblock()
	w := c.waits()
	require.Len(t, w, 2)
	require.Equal(t, "a", w[0].On)
	require.Equal(t, "", w[1].On)
	require.Equal(t, w, c.waits(), "it is over")
}

func TestUnpublished_NamesTheStuckSlots(t *testing.T) {
	r, err := New[int64](Options{Slots: 16, FirstSequence: 1<<35 - 3})
	require.NoError(t, err)
	first := r.seq.first
	c := consumerForTest(r)
	require.Empty(t, r.Unpublished(10))
	for range 16 {
		_, err := r.Claim(1)
		require.NoError(t, err)
	}
	r.Publish(first, first)
	r.Publish(first+3, first+5)
	r.Abort(first+8, first+8)
	unpublished := func(r *Ring[int64], limit int) (out []sequences) {
		for _, u := range r.Unpublished(limit) {
			require.Equal(t, debugging, strings.Contains(u.Claimant, "TestUnpublished"), u.Claimant)
			out = append(out, sequences{u.Lo, u.Hi})
		}
		return out
	}
	want := []sequences{{first + 1, first + 2}, {first + 6, first + 7}, {first + 9, first + 15}}
	require.Equal(t, want, unpublished(r, 10))
	require.Equal(t, want[:2], unpublished(r, 2))
	require.Empty(t, r.Unpublished(0))
	r.Publish(first+1, first+2)
	c.progress(first + 5)
	hi, err := r.Claim(6)
	require.NoError(t, err)
	r.Publish(hi-2, hi)
	require.Equal(t, []sequences{{first + 6, first + 7}, {first + 9, first + 18}}, unpublished(r, 10))

	single, err := New[int64](Options{Slots: 16, Producers: SingleProducer})
	require.NoError(t, err)
	_, err = single.Claim(4)
	require.NoError(t, err)
	single.Publish(1, 1)
	require.Equal(t, []sequences{{2, 4}}, unpublished(single, 10))
}

func TestStats_DOTAndJSON(t *testing.T) {
	r, err := New[int64](Options{Slots: 8})
	require.NoError(t, err)
	a := mustConsume(t, r, `a "quoted"`, ignore, ConsumerOptions{})
	b := mustConsume(t, r, "b", ignore, ConsumerOptions{})
	mustConsume(t, r, "c", ignore, ConsumerOptions{After: []*Consumer{a, b}})
	publish(t, r, 3)
	st := r.Stats()
	require.Equal(t, `digraph ring {
	rankdir=LR;
	node [shape=box];
	ring [shape=cylinder, label="ring of 8\ncursor 3\nfree 5"];
	c0 [label="a \"quoted\"\ncursor 0\nlag 3"];
	c1 [label="b\ncursor 0\nlag 3"];
	c2 [label="c\ncursor 0\nlag 3"];
	ring -> c0;
	ring -> c1;
	c0 -> c2;
	c1 -> c2;
	c2 -> ring [style=dashed, constraint=false];
}
`, st.DOT())
	text, err := json.Marshal(st)
	require.NoError(t, err)
	require.True(t, strings.Contains(string(text), `"name":"c","cursor":0,"lag":3,"after":["a \"quoted\"","b"]`), string(text))
	var back Stats
	require.NoError(t, json.Unmarshal(text, &back))
	require.Equal(t, st, back)
	require.Equal(t, time.Duration(0), back.Blocked)
}
