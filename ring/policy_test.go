package ring

import (
	"errors"
	"io"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// failing makes a handler fail in each of the ways.
var failing = map[string]func(seq int64) error{
	"error":  func(int64) error { return io.EOF },
	"at":     func(seq int64) error { return At(seq, io.EOF) },
	"panic":  func(int64) error { panic(io.EOF) },
	"goexit": func(int64) error { runtime.Goexit(); return nil },
}

func TestErrorPolicy_GoesOnBehindTheFailedEvents(t *testing.T) {
	for how, fail := range failing {
		for _, action := range []ErrorAction{SkipOnError, ParkOnError} {
			for _, retries := range []int{0, 2} {
				t.Run(how+"/"+action.String(), func(t *testing.T) {
					both(t, func(t *testing.T, mk maker) {
						before := runtime.NumGoroutine()
						r := mk(Options{Slots: 16})
						var got []int64
						var reported []*ConsumerError
						calls := map[int64]int{}
						c := mustConsume(t, r, "c", func(first int64, span []int64) error {
							for i, v := range span {
								seq := first + int64(i)
								calls[seq]++
								if v%5 == 0 {
									return fail(seq)
								}
								got = append(got, v)
							}
							return nil
						}, ConsumerOptions{MaxBatch: 1, OnError: ErrorPolicy{
							Action: action, Retries: retries, Backoff: time.Microsecond,
							Report: func(e *ConsumerError) { reported = append(reported, e); panic("swallowed") },
						}})
						var behind []int64
						mustConsume(t, r, "behind", func(_ int64, span []int64) error {
							behind = append(behind, span...)
							return nil
						}, ConsumerOptions{After: []*Consumer{c}})
						require.NoError(t, r.Start())
						for range 20 {
							publish(t, r, 1)
						}
						require.NoError(t, r.Close(within(t)))
						require.NoError(t, r.Err())
						require.Equal(t, []int64{1, 2, 3, 4, 6, 7, 8, 9, 11, 12, 13, 14, 16, 17, 18, 19}, got)
						require.Len(t, behind, 20, "others are not concerned")
						require.Len(t, reported, 4)
						for i, e := range reported {
							seq := int64(5 * (i + 1))
							require.Equal(t, seq, e.Sequence)
							require.Equal(t, seq, e.Last)
							require.Equal(t, 1+retries, e.Attempts)
							require.Equal(t, 1+retries, calls[seq])
							require.Equal(t, how == "goexit", errors.Is(e, ErrGoexit))
							require.Equal(t, how != "goexit", errors.Is(e, io.EOF))
							require.Equal(t, how == "panic", e.Stack != nil)
						}
						st := r.Stats().Consumers[0]
						require.Equal(t, int64(4*retries), st.Retries)
						require.Equal(t, map[ErrorAction][2]int64{SkipOnError: {4, 0}, ParkOnError: {0, 4}}[action], [2]int64{st.Skipped, st.Parked})
						parked := r.Parked(c)
						if action == SkipOnError {
							require.Empty(t, parked)
						} else {
							require.Len(t, parked, 4)
							for i, p := range parked {
								require.Equal(t, Parked[int64]{int64(5 * (i + 1)), int64(5 * (i + 1)), reported[i]}, p)
							}
							require.Empty(t, r.Parked(c), "taken")
						}
						requireGoroutines(t, before)
					})
				})
			}
		}
	}
}

// TestErrorPolicy_RetrySucceeds: an event that fails twice is handled once in the end, and those
// before it in its span are not handled again.
func TestErrorPolicy_RetrySucceeds(t *testing.T) {
	both(t, func(t *testing.T, mk maker) {
		r := mk(Options{Slots: 16})
		var got []int64
		failures := 0
		mustConsume(t, r, "c", func(first int64, span []int64) error {
			for i, v := range span {
				if v == 4 && failures < 2 {
					failures++
					return At(first+int64(i), io.EOF)
				}
				got = append(got, v)
			}
			return nil
		}, ConsumerOptions{MaxBatch: 16, OnError: ErrorPolicy{Retries: 2, Backoff: time.Microsecond}})
		publish(t, r, 8)
		require.NoError(t, r.Start())
		require.NoError(t, r.Close(within(t)))
		require.Equal(t, []int64{1, 2, 3, 4, 5, 6, 7, 8}, got)
	})
}

// TestAt_NilIsNoFailure: a handler may wrap whatever it has.
func TestAt_NilIsNoFailure(t *testing.T) {
	r, err := New[int64](Options{Slots: 16})
	require.NoError(t, err)
	c := mustConsume(t, r, "c", func(first int64, _ []int64) error { return At(first, nil) }, ConsumerOptions{})
	publish(t, r, 8)
	require.NoError(t, r.Start())
	require.NoError(t, r.Close(within(t)))
	require.Equal(t, int64(8), c.Cursor())
}

func TestErrorPolicy_RetriesUsedUp_Halts(t *testing.T) {
	r, err := New[int64](Options{Slots: 16})
	require.NoError(t, err)
	calls := 0
	c := mustConsume(t, r, "c", func(first int64, span []int64) error {
		calls++
		return At(3, io.EOF)
	}, ConsumerOptions{MaxBatch: 16, OnError: ErrorPolicy{Retries: 3, Backoff: time.Microsecond}})
	publish(t, r, 8)
	require.NoError(t, r.Start())
	<-r.Done()
	var e *ConsumerError
	require.ErrorAs(t, r.Err(), &e)
	require.Equal(t, int64(3), e.Sequence)
	require.Equal(t, 4, e.Attempts)
	require.Equal(t, 4, calls)
	require.Equal(t, int64(2), c.Cursor(), "those before the named event count as handled")
}

func TestErrorPolicy_UnnamedErrorFailsTheRestBehindTheRelease(t *testing.T) {
	both(t, func(t *testing.T, mk maker) {
		r := mk(Options{Slots: 16})
		var c *Consumer
		var firsts []int64
		c = mustConsume(t, r, "c", func(first int64, span []int64) error {
			firsts = append(firsts, first)
			if first == 1 {
				c.Release(3)
				return io.EOF
			}
			return nil
		}, ConsumerOptions{MaxBatch: 8, OnError: ErrorPolicy{Action: ParkOnError}})
		publish(t, r, 8)
		require.NoError(t, r.Start())
		require.NoError(t, c.WaitFor(within(t), 8))
		publish(t, r, 1)
		require.NoError(t, r.Close(within(t)))
		require.Equal(t, []int64{1, 9}, firsts, "it goes on behind all of them")
		parked := r.Parked(c)
		require.Len(t, parked, 5)
		for i, p := range parked {
			require.Equal(t, int64(4+i), p.Sequence)
			require.Equal(t, int64(4), p.Err.Sequence)
			require.Equal(t, int64(8), p.Err.Last)
		}
	})
}

func TestErrorPolicy_ParkedFull_Halts(t *testing.T) {
	r, err := New[int64](Options{Slots: 16})
	require.NoError(t, err)
	c := mustConsume(t, r, "c", func(int64, []int64) error { return io.EOF },
		ConsumerOptions{MaxBatch: 1, OnError: ErrorPolicy{Action: ParkOnError, MaxParked: 3}})
	publish(t, r, 8)
	require.NoError(t, r.Start())
	<-r.Done()
	require.ErrorIs(t, r.Err(), ErrParkedFull)
	require.ErrorIs(t, r.Err(), io.EOF)
	require.Len(t, r.Parked(c), 3)
	require.Equal(t, int64(3), c.Cursor())
	require.Nil(t, r.Parked(nil))
}

// parkingHandler keeps what is parked itself.
type parkingHandler struct {
	parked []int64
	full   int
}

func (p *parkingHandler) HandleSpan(first int64, _ []int64) error { return At(first, io.EOF) }

func (p *parkingHandler) Park(seq int64, event *int64, _ *ConsumerError) error {
	if len(p.parked) == p.full {
		panic("no room")
	}
	p.parked = append(p.parked, *event)
	*event = seq
	return nil
}

func TestParkHandler(t *testing.T) {
	r, err := New[int64](Options{Slots: 16})
	require.NoError(t, err)
	h := &parkingHandler{full: 5}
	_, err = r.Consume("c", h, ConsumerOptions{OnError: ErrorPolicy{Action: ParkOnError}})
	require.NoError(t, err)
	publish(t, r, 8)
	require.NoError(t, r.Start())
	<-r.Done()
	require.Equal(t, []int64{1, 2, 3, 4, 5}, h.parked)
	var p *PanicError
	require.ErrorAs(t, r.Err(), &p)
	require.ErrorIs(t, r.Err(), io.EOF)
}

// TestErrorPolicy_HaltEndsTheBackoff: nobody waits an hour.
func TestErrorPolicy_HaltEndsTheBackoff(t *testing.T) {
	r, err := New[int64](Options{Slots: 16})
	require.NoError(t, err)
	failed := make(chan struct{}, 9)
	mustConsume(t, r, "c", func(int64, []int64) error { failed <- struct{}{}; return io.EOF },
		ConsumerOptions{OnError: ErrorPolicy{Retries: 3, Backoff: time.Hour}})
	publish(t, r, 1)
	require.NoError(t, r.Start())
	<-failed
	r.Halt()
	select {
	case <-r.Done():
	case <-within(t).Done():
		t.Fatal("the back-off was not ended")
	}
}

func TestErrorPolicy_BadOptions(t *testing.T) {
	r, err := New[int64](Options{})
	require.NoError(t, err)
	_, err = r.Consume("c", HandlerFunc[int64](ignore), ConsumerOptions{From: -1, OnError: ErrorPolicy{
		Action: 9, Retries: -1, Backoff: -1, MaxBackoff: -1, MaxParked: -1}})
	for _, field := range []string{"From", "OnError.Action", "OnError.Retries", "OnError.Backoff", "OnError.MaxBackoff", "OnError.MaxParked"} {
		require.ErrorContains(t, err, "ring: "+field+": ")
	}
	_, err = r.Consume("c", HandlerFunc[int64](ignore), ConsumerOptions{OnError: ErrorPolicy{Backoff: 2, MaxBackoff: 1}})
	require.ErrorContains(t, err, "OnError.MaxBackoff")
}

func TestErrorPolicy_BackoffDoublesUpToItsBound(t *testing.T) {
	p := ErrorPolicy{Backoff: time.Millisecond, MaxBackoff: 5 * time.Millisecond}
	for attempt, want := range []time.Duration{1, 2, 4, 5, 5} {
		require.Equal(t, want*time.Millisecond, p.backoff(attempt+1))
	}
	huge := ErrorPolicy{Backoff: 1, MaxBackoff: 1<<63 - 1}
	require.Equal(t, time.Duration(1<<63-1), huge.backoff(1000))
	require.Equal(t, time.Hour, ErrorPolicy{Backoff: time.Hour}.withDefaults().backoff(1))
}

// TestErrorPolicy_EachRetryWaitsLonger. Only what is too short is a fault: a busy machine takes its time.
func TestErrorPolicy_EachRetryWaitsLonger(t *testing.T) {
	r, err := New[int64](Options{Slots: 16})
	require.NoError(t, err)
	var at []time.Time
	mustConsume(t, r, "c", func(int64, []int64) error {
		at = append(at, time.Now())
		return io.EOF
	}, ConsumerOptions{OnError: ErrorPolicy{Action: SkipOnError, Retries: 4, Backoff: 10 * time.Millisecond, MaxBackoff: 30 * time.Millisecond}})
	publish(t, r, 1)
	require.NoError(t, r.Start())
	require.NoError(t, r.Close(within(t)))
	require.Len(t, at, 5)
	for i, least := range []time.Duration{10, 20, 30, 30} {
		require.GreaterOrEqual(t, at[i+1].Sub(at[i]), least*time.Millisecond, "retry %d", i+1)
	}
}

// TestOnError_OnceForTheFirstFailure: one that fails when the ring is halted already is no news.
func TestOnError_OnceForTheFirstFailure(t *testing.T) {
	var called []*ConsumerError
	r, err := New[int64](Options{OnError: func(e *ConsumerError) { called = append(called, e) }})
	require.NoError(t, err)
	entered, halted := make(chan struct{}), make(chan struct{})
	mustConsume(t, r, "second", func(int64, []int64) error { close(entered); <-halted; return io.ErrNoProgress }, ConsumerOptions{})
	mustConsume(t, r, "first", func(int64, []int64) error { <-entered; return io.EOF }, ConsumerOptions{})
	publish(t, r, 1)
	require.NoError(t, r.Start())
	waitUntil(within(t), t, func() bool { return r.Err() != nil })
	close(halted)
	<-r.Done()
	require.ErrorIs(t, r.Err(), io.EOF)
	require.Len(t, called, 1)
	require.Same(t, r.Err(), called[0])
}

// TestHooks_BatchIsToldOnce: events that come again after a Rewind, a retry or a Goexit, which takes a new
// goroutine, are no new batch.
func TestHooks_BatchIsToldOnce(t *testing.T) {
	for how, fail := range map[string]func(first int64) error{
		"rewind": func(first int64) error { return Rewind(first) },
		"error":  failing["error"], "panic": failing["panic"], "goexit": failing["goexit"],
	} {
		t.Run(how, func(t *testing.T) {
			r, err := New[int64](Options{Slots: 16, Producers: SingleProducer})
			require.NoError(t, err)
			h := &failsTwice{fail: fail}
			_, err = r.Consume("c", h, ConsumerOptions{MaxBatch: 2, OnError: ErrorPolicy{Retries: 2, Backoff: time.Microsecond}})
			require.NoError(t, err)
			publish(t, r, 5)
			require.NoError(t, r.Start())
			require.NoError(t, r.Close(within(t)))
			require.Equal(t, [][2]int64{{1, 5}}, h.batches)
			require.Equal(t, []int64{1, 3, 3, 3, 5}, h.firsts)
			require.Equal(t, []string{"start", "stop"}, h.calls)
		})
	}
}

// failsTwice fails twice on the span that begins with 3.
type failsTwice struct {
	hooked
	fail   func(first int64) error
	firsts []int64
	failed int
}

func (h *failsTwice) HandleSpan(first int64, _ []int64) error {
	h.firsts = append(h.firsts, first)
	if first == 3 && h.failed < 2 {
		h.failed++
		return h.fail(first)
	}
	return nil
}

func TestRewind_SpanAgainFromASequence(t *testing.T) {
	both(t, func(t *testing.T, mk maker) {
		r := mk(Options{Slots: 16})
		var firsts []int64
		rewinds := []int64{1, 3, 8, 6} // 6 is behind the rewind to 8: out of range
		c := mustConsume(t, r, "c", func(first int64, span []int64) error {
			firsts = append(firsts, first)
			if len(rewinds) > 0 {
				to := rewinds[0]
				rewinds = rewinds[1:]
				return Rewind(to)
			}
			return nil
		}, ConsumerOptions{MaxBatch: 8})
		publish(t, r, 8)
		require.NoError(t, r.Start())
		<-r.Done()
		require.Equal(t, []int64{1, 1, 3, 8}, firsts)
		require.ErrorIs(t, r.Err(), ErrRewindRange)
		require.Equal(t, int64(7), c.Cursor())
	})
}

// hooked has every hook.
type hooked struct {
	abortRecorder
	c       *Consumer
	calls   []string
	batches [][2]int64
	start   func() error
	stopped []error
}

func (h *hooked) OnStart(c *Consumer) error {
	h.c = c
	h.calls = append(h.calls, "start")
	if h.start != nil {
		return h.start()
	}
	return nil
}

func (h *hooked) OnBatch(lo, hi int64) {
	h.batches = append(h.batches, [2]int64{lo, hi})
}

func (h *hooked) OnStop(err error) {
	h.calls = append(h.calls, "stop")
	h.stopped = append(h.stopped, err)
	panic("swallowed")
}

func TestHooks(t *testing.T) {
	both(t, func(t *testing.T, mk maker) {
		r := mk(Options{Slots: 16})
		h := new(hooked)
		c, err := r.Consume("c", h, ConsumerOptions{MaxBatch: 2})
		require.NoError(t, err)
		publish(t, r, 5)
		hi, err := r.Claim(2)
		require.NoError(t, err)
		r.Abort(hi-1, hi)
		require.NoError(t, r.Start())
		require.NoError(t, c.WaitFor(within(t), 7))
		publish(t, r, 3)
		require.NoError(t, r.Close(within(t)))
		require.Same(t, c, h.c)
		require.Equal(t, []string{"start", "stop"}, h.calls)
		require.Equal(t, []error{nil}, h.stopped)
		require.Equal(t, []int64{1, 2, 3, 4, 5, 8, 9, 10}, h.seen)
		require.Equal(t, []int64{6, 7}, h.aborted)
		next := int64(1)
		for _, b := range h.batches {
			require.Equal(t, next, b[0])
			next = b[1] + 1
		}
		require.Equal(t, int64(11), next)
		if !r.seq.multi { // every batch was readable at once
			require.Equal(t, [2]int64{1, 7}, h.batches[0])
		}
	})
}

func TestHooks_StopTellsWhy(t *testing.T) {
	r, err := New[int64](Options{Slots: 16})
	require.NoError(t, err)
	h := new(hooked)
	_, err = r.Consume("c", h, ConsumerOptions{})
	require.NoError(t, err)
	mustConsume(t, r, "bad", func(int64, []int64) error { return io.EOF }, ConsumerOptions{})
	publish(t, r, 1)
	require.NoError(t, r.Start())
	<-r.Done()
	require.Len(t, h.stopped, 1)
	require.ErrorIs(t, h.stopped[0], io.EOF)
	require.ErrorIs(t, h.stopped[0], ErrHalted)
}

func TestHooks_StartFails(t *testing.T) {
	for how, fail := range failing {
		if how == "at" {
			continue
		}
		t.Run(how, func(t *testing.T) {
			r, err := New[int64](Options{Slots: 16})
			require.NoError(t, err)
			h := &hooked{start: func() error { return fail(0) }}
			_, err = r.Consume("c", h, ConsumerOptions{OnError: ErrorPolicy{Action: SkipOnError}})
			require.NoError(t, err)
			publish(t, r, 1)
			require.NoError(t, r.Start())
			<-r.Done()
			var e *ConsumerError
			require.ErrorAs(t, r.Err(), &e)
			require.Equal(t, how == "goexit", errors.Is(e, ErrGoexit))
			require.Equal(t, []string{"start"}, h.calls, "no stop without a start")
			require.Empty(t, h.seen)
		})
	}
}

type batchPanics struct{ HandlerFunc[int64] }

func (batchPanics) OnBatch(int64, int64) { panic("batch") }

func TestHooks_BatchPanics_Halts(t *testing.T) {
	r, err := New[int64](Options{})
	require.NoError(t, err)
	_, err = r.Consume("c", batchPanics{ignore}, ConsumerOptions{OnError: ErrorPolicy{Action: SkipOnError}})
	require.NoError(t, err)
	publish(t, r, 1)
	require.NoError(t, r.Start())
	<-r.Done()
	var p *PanicError
	require.ErrorAs(t, r.Err(), &p)
}

type abortFails struct{ abortRecorder }

func (a *abortFails) OnAbort(lo, hi int64) error {
	_ = a.abortRecorder.OnAbort(lo, hi)
	return io.EOF
}

func TestAbortHandler_FailureFollowsThePolicy(t *testing.T) {
	for _, action := range []ErrorAction{HaltOnError, SkipOnError, ParkOnError} {
		r, err := New[int64](Options{})
		require.NoError(t, err)
		h := new(abortFails)
		_, err = r.Consume("c", h, ConsumerOptions{OnError: ErrorPolicy{Action: action}})
		require.NoError(t, err)
		hi, err := r.Claim(2)
		require.NoError(t, err)
		r.Abort(hi-1, hi)
		publish(t, r, 1)
		require.NoError(t, r.Start())
		err = r.Close(within(t))
		require.Equal(t, []int64{1, 2}, slices.Compact(h.aborted))
		if action == HaltOnError {
			require.ErrorIs(t, err, io.EOF)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, []int64{3}, h.seen)
	}
}

// exiting ends its goroutine in a hook that is no handling.
type exiting struct{}

func (*exiting) HandleSpan(int64, []int64) error { return io.EOF }

func (e *exiting) Park(int64, *int64, *ConsumerError) error {
	runtime.Goexit()
	return nil
}

// TestErrorPolicy_GoexitOfAHook_Halts: a consumer whose goroutine is gone must not hold everybody
// up without a word.
func TestErrorPolicy_GoexitOfAHook_Halts(t *testing.T) {
	for name, o := range map[string]ErrorPolicy{
		"Park":   {Action: ParkOnError},
		"Report": {Action: SkipOnError, Report: func(*ConsumerError) { runtime.Goexit() }},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := New[int64](Options{Slots: 2})
			require.NoError(t, err)
			_, err = r.Consume("c", &exiting{}, ConsumerOptions{OnError: o})
			require.NoError(t, err)
			mustConsume(t, r, "other", ignore, ConsumerOptions{})
			require.NoError(t, r.Start())
			publish(t, r, 1)
			for err == nil { // blocks until the ring halts, when it is full
				var hi int64
				if hi, err = r.ClaimContext(within(t), 1); err == nil {
					r.Publish(hi, hi)
				}
			}
			require.ErrorIs(t, err, ErrHalted)
			require.ErrorIs(t, err, ErrGoexit)
			require.ErrorIs(t, r.Close(within(t)), ErrGoexit)
			var c *ConsumerError
			require.ErrorAs(t, r.Err(), &c)
			require.Equal(t, "c", c.Consumer)
			require.Equal(t, int64(1), c.Sequence)
		})
	}
}
