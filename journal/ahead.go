package journal

import (
	"errors"
	"os"
	"sync"
	"time"
)

// ahead prepares what the writer needs next, in a goroutine of its own: it touches pages in a
// window before the writer, and makes the next segment file when a quarter of the active one is
// used.
type ahead struct {
	j      *Journal
	wake   chan struct{} // capacity 1
	nextID uint64        // the goroutine's after Open

	mu    sync.Mutex
	ready sync.Cond // for the writer: spare, err or stopped changed
	seg   *segment  // to touch
	goal  int64     // up to here
	want  bool      // a spare is wanted
	waits bool      // the writer waits for it
	spare *segment
	// recycled are segments that retention gave up, the oldest first.
	recycled []spent
	err      error // of the last attempt, for the writer that waits
	stopped  bool
}

func (a *ahead) init(j *Journal) {
	a.j = j
	a.wake = make(chan struct{}, 1)
	a.ready.L = &a.mu
}

func (a *ahead) poke() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// moved tells how far the writer wants pages touched, and whether it wants a spare.
func (a *ahead) moved(s *segment, goal int64, spare bool) {
	a.mu.Lock()
	a.seg, a.goal = s, goal
	a.want = a.want || spare
	a.mu.Unlock()
	a.poke()
}

// take returns the next segment, waiting for it if it is not ready; that is a stall.
func (a *ahead) take() (*segment, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.spare == nil {
		a.j.stats.stalls.Add(1)
		defer a.j.stats.named[StallSegment].since(time.Now())
		a.err, a.want, a.waits = nil, true, true
		defer func() { a.waits = false }()
		a.poke()
		for a.spare == nil && a.err == nil && !a.stopped {
			a.ready.Wait()
		}
	}
	if s := a.spare; s != nil {
		a.spare, a.want = nil, false
		return s, nil
	}
	if a.err != nil {
		return nil, a.err
	}
	return nil, ErrClosed
}

// ballast gives up the segment that lies ready, so that on a full disk there is room for something small.
// The next one is made when the writer wants it again. It returns false if there was none.
func (a *ahead) ballast() bool {
	a.mu.Lock()
	s := a.spare
	if s != nil {
		a.spare, a.want = nil, false
	}
	a.mu.Unlock()
	return s != nil && a.drop(s) == nil
}

// giveBack returns a segment that could not be put in its place.
func (a *ahead) giveBack(s *segment) {
	a.mu.Lock()
	a.spare = s
	a.mu.Unlock()
}

func (a *ahead) stop() {
	a.mu.Lock()
	a.stopped = true
	a.ready.Broadcast()
	a.mu.Unlock()
	a.poke()
}

// discard removes spares at Close.
func (a *ahead) discard() (err error) {
	if a.spare != nil {
		err = a.drop(a.spare)
		a.spare = nil
	}
	for _, r := range a.recycled {
		err = errors.Join(err, a.drop(r.s))
	}
	a.recycled = nil
	return err
}

// run is the goroutine.
func (a *ahead) run() {
	const step = 1 << 20
	for {
		a.mu.Lock()
		stopped, seg, goal := a.stopped, a.seg, a.goal
		make := a.want && a.spare == nil && a.err == nil
		a.mu.Unlock()
		switch {
		case stopped:
			return
		case seg != nil && seg.touched.Load() < goal:
			if err := seg.touchTo(min(goal, seg.touched.Load()+step)); err != nil {
				// The writer meets it too, and has somebody to tell.
				a.forget(seg)
			}
		case make:
			a.makeSpare()
		default:
			<-a.wake
		}
	}
}

// forget stops touching seg.
func (a *ahead) forget(seg *segment) {
	a.mu.Lock()
	if a.seg == seg {
		a.seg = nil
	}
	a.mu.Unlock()
}

func (a *ahead) makeSpare() {
	j := a.j
	s, err := a.reuse(), error(nil)
	if s == nil {
		s, err = a.fresh()
	}
	a.mu.Lock()
	a.spare, a.err = s, err
	a.ready.Broadcast()
	a.mu.Unlock()
	if err != nil {
		j.o.Logger.Warn("journal: no spare segment", "dir", j.dir, "err", err)
	}
}

// fresh makes a new file.
func (a *ahead) fresh() (*segment, error) {
	j := a.j
	s, err := makeSpare(j.st, j.dir, j.o.SegmentBytes, a.nextID, j.o.TouchAheadBytes, !j.w.buffered)
	for errors.Is(err, os.ErrExist) {
		// An earlier attempt failed and could not remove its file either. The next Open will.
		a.nextID++
		s, err = makeSpare(j.st, j.dir, j.o.SegmentBytes, a.nextID, j.o.TouchAheadBytes, !j.w.buffered)
	}
	if err != nil {
		var n *NoSpaceError
		if !errors.As(err, &n) {
			err = errorf("make the next segment: %w", err)
		}
		return nil, err
	}
	a.nextID++
	if j.prewrites() {
		if err := s.prewrite(s.hdr.size, a.hurried); err != nil {
			return nil, errors.Join(err, a.drop(s))
		}
	}
	return s, nil
}
