package headrace

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"

	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/journal"
	"github.com/headrace/headrace/ring"
)

// Lanes side by side, in Replay.
//
// One goroutine, the caller's, reads the log and verifies it, once for all lanes: a reader of a directory may have to
// judge all of it before it begins. It copies records into spans and hands each span to every lane, which has a
// goroutine of its own. So every lane sees every record, in the order of the log, and computes what it would
// compute alone; lanes share no state, live neither.
//
// Which error is returned does not depend on how far the lanes are from each other. Replaying lane after lane,
// record by record, would return the failure at the lowest sequence, and where two lanes fail on one record, that of
// the first lane. To find the same one, a lane that fails lowers a bound to the sequence it failed at, and the others go on
// up to the bound at least. A fault of the log counts only if no lane fails before it.

const (
	replaySpanRecords = 1024
	replaySpanBytes   = 256 << 10 // of bodies, after which a span is handed on
	replaySpans       = 16        // one that is filled, and as many as lanes that are not equally fast now and then are apart
)

// replaySpan is a piece of the log. The reader owns it while it fills it; lanes only read it; the last lane that is
// done with it gives it back.
type replaySpan struct {
	records []journal.Record
	bodies  []byte // the records' bodies, until it had to grow
	pending atomic.Int32
}

func (s *replaySpan) add(rec journal.Record) {
	off := len(s.bodies)
	s.bodies = append(s.bodies, rec.Body...) // may move: records before keep the old memory
	rec.Body = s.bodies[off:len(s.bodies):len(s.bodies)]
	s.records = append(s.records, rec)
}

func (s *replaySpan) reset() {
	clear(s.records)
	s.records, s.bodies = s.records[:0], s.bodies[:0]
	if cap(s.bodies) > 4*replaySpanBytes { // one event was that large
		s.bodies = nil
	}
}

// laneReplay is a replay under way: of all lanes in one go, or first of some and then of the others.
type laneReplay struct {
	lanes []*handlers.Lane
	span  int                // records, at most
	spans []chan *replaySpan // by lane; nil: it gets none
	after []int64            // by lane: what it has handled, of what it gets
	free  chan *replaySpan
	bound atomic.Int64 // the lowest sequence at which a lane has failed
	wg    sync.WaitGroup

	filling  *replaySpan // the reader's
	failures []laneFailure
	before   func(sequence int64) error // tests: comes before each record
}

// laneFailure is written by the lane's goroutine, and read when that has ended.
type laneFailure struct {
	sequence int64
	err      error
}

func newLaneReplay(lanes []placed, o ReplayOptions) *laneReplay {
	r := &laneReplay{span: cmp.Or(o.span, replaySpanRecords), free: make(chan *replaySpan, replaySpans), before: o.before}
	r.spans, r.after, r.failures = make([]chan *replaySpan, len(lanes)), make([]int64, len(lanes)), make([]laneFailure, len(lanes))
	r.bound.Store(math.MaxInt64)
	for range replaySpans {
		r.free <- new(replaySpan)
	}
	for _, p := range lanes {
		r.lanes = append(r.lanes, p.lane)
	}
	return r
}

// run hands what read delivers to some of the lanes, and returns when they have handled it.
func (r *laneReplay) run(gets []bool, read reading) error {
	err := r.feed(gets, func() error {
		return read(func(rec journal.Record) error {
			if r.before != nil {
				if err := r.before(rec.Sequence); err != nil {
					return err
				}
			}
			if r.give(rec) && rec.Sequence > r.bound.Load() {
				return journal.ErrStop
			}
			return nil
		})
	})
	if failed := r.failed(); failed != nil {
		return failed // read can only have failed behind it, or because of it
	}
	return err
}

// reading calls fn for each record of the log, or a part of it, in turn.
type reading func(fn func(journal.Record) error) error

// failed returns the failure that is to be reported, nil for none, when no lane is at work.
func (r *laneReplay) failed() error {
	var first laneFailure
	for _, f := range r.failures {
		if f.err != nil && (first.err == nil || f.sequence < first.sequence) {
			first = f
		}
	}
	return first.err
}

// feed is the reader's part: read gives records. When feed returns, or panics as read did, the lanes have ended.
func (r *laneReplay) feed(gets []bool, read func() error) error {
	for i := range r.lanes {
		if r.spans[i] = nil; gets[i] {
			r.spans[i] = make(chan *replaySpan, replaySpans)
			r.wg.Add(1)
			go r.lane(i)
		}
	}
	defer func() {
		for _, c := range r.spans {
			if c != nil {
				close(c)
			}
		}
		r.wg.Wait()
	}()
	r.filling = <-r.free
	err := read()
	r.handOn() // before an error too: a lane may fail before it
	r.free <- r.filling
	return err
}

// give adds a record to the span that is being filled, and tells whether that was handed on.
func (r *laneReplay) give(rec journal.Record) bool {
	r.filling.add(rec)
	if len(r.filling.records) < r.span && len(r.filling.bodies) < replaySpanBytes {
		return false
	}
	r.handOn()
	return true
}

func (r *laneReplay) handOn() {
	s, n := r.filling, int32(0)
	for _, c := range r.spans {
		if c != nil {
			n++
		}
	}
	if n == 0 {
		s.reset()
		return
	}
	s.pending.Store(n)
	for _, c := range r.spans {
		if c != nil {
			c <- s
		}
	}
	r.filling = <-r.free
}

// await returns when the lanes have handled all that they were given.
func (r *laneReplay) await() {
	r.handOn()
	var idle [replaySpans - 1]*replaySpan
	for i := range idle {
		idle[i] = <-r.free
	}
	for _, s := range idle {
		r.free <- s
	}
}

// lane is the goroutine of one lane. It takes every span, so that the reader never waits for a lane that has failed.
func (r *laneReplay) lane(i int) {
	defer r.wg.Done()
	for s := range r.spans[i] {
		r.take(i, s)
	}
}

// take handles a span, if no lane has failed before it, and gives it back.
func (r *laneReplay) take(i int, s *replaySpan) {
	ended := true // a handler has ended the goroutine, as t.FailNow does in a test
	defer func() {
		if ended {
			r.interrupted(i, s.records[0].Sequence)
			r.wg.Add(1)
			go r.lane(i) // in place of this goroutine
		}
		if s.pending.Add(-1) == 0 {
			s.reset()
			r.free <- s
		}
	}()
	records := s.records
	for len(records) > 0 && records[0].Sequence <= r.after[i] {
		records = records[1:]
	}
	if len(records) > 0 && records[0].Sequence <= r.bound.Load() && r.failures[i].err == nil {
		if n, err := r.lanes[i].ReplaySpan(records); err != nil {
			r.fail(i, records[n].Sequence, err)
		}
	}
	ended = false
}

func (r *laneReplay) interrupted(i int, sequence int64) {
	err := r.lanes[i].Interrupted()
	if err == nil { // not in a handler: in a decoder
		err = fmt.Errorf("lane %q: %w", r.lanes[i].Name(), ring.ErrGoexit)
	}
	var at *handlers.HandlerError
	if errors.As(err, &at) {
		sequence = at.Sequence
	}
	r.fail(i, sequence, fmt.Errorf("headrace: replay: %w", err))
}

// fail notes the failure of a lane, and lowers the bound to it.
func (r *laneReplay) fail(i int, sequence int64, err error) {
	r.failures[i] = laneFailure{sequence, err}
	for b := r.bound.Load(); sequence < b && !r.bound.CompareAndSwap(b, sequence); {
		b = r.bound.Load()
	}
}
