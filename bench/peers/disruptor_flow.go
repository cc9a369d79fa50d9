package main

import "time"

// disruptorFlow runs a graph of consumers on a disruptor that leaves the slots to the caller. open
// builds one for the handlers, group by group; it returns what publishes n events from number first
// on, what runs the consumers until stop is called, and stop.
func disruptorFlow[E words](
	newFlow func() flow[E], slots int,
	open func(w Work, ring []E, groups [][]*flowHandler[E]) (opened, error),
) func(Work) (Result, error) {
	return func(w Work) (Result, error) {
		f := newFlow()
		ring := make([]E, slots)
		done := make(chan struct{}, len(f.stages))
		waits := 0
		var groups [][]*flowHandler[E]
		for _, indices := range f.groups() {
			var group []*flowHandler[E]
			for _, i := range indices {
				h := &flowHandler[E]{slots: ring, handle: f.stages[i].handle, last: -1}
				if f.last(i) {
					waits++
					h.last, h.done = int64(w.Events)-1, done
				}
				group = append(group, h)
			}
			groups = append(groups, group)
		}
		d, err := open(w, ring, groups)
		if err != nil {
			return Result{}, err
		}
		stopped := make(chan struct{})
		go func() {
			d.run()
			close(stopped)
		}()

		start := time.Now()
		err = produce(w, d.publish)
		for range waits {
			<-done
		}
		res := Result{Start: start, Elapsed: time.Since(start), Sum: f.sum()}
		if serr := d.stop(); err == nil {
			err = serr
		}
		<-stopped
		return res, err
	}
}

// opened is a disruptor with its consumers.
type opened struct {
	publish func(first, n int) error
	run     func() // returns when it was stopped
	stop    func() error
}

// flowHandler is a stage as a handler of the go-disruptors and of seqflow. Their sequences begin at 0,
// events at 1.
type flowHandler[E words] struct {
	slots  []E
	handle func(span []E)
	last   int64           // sequence after which done gets its token, -1 = none
	done   chan<- struct{} // never blocks
	_      [64]byte
}

// Handle is the callback's name in v0.5.0 and in seqflow.
func (h *flowHandler[E]) Handle(lower, upper int64) {
	for lo := lower; lo <= upper; {
		at := lo & int64(len(h.slots)-1)
		n := min(upper-lo+1, int64(len(h.slots))-at)
		h.handle(h.slots[at : at+n])
		lo += n
	}
	if upper == h.last {
		h.done <- struct{}{}
	}
}

// Consume is the 2020 version's.
func (h *flowHandler[E]) Consume(lower, upper int64) { h.Handle(lower, upper) }

// rawHandler counts sequences and looks at no slot.
type rawHandler struct {
	_    [128]byte
	seen uint64
	last int64
	done chan struct{}
	_    [128]byte
}

func (h *rawHandler) Handle(lower, upper int64) {
	h.seen += uint64(upper - lower + 1)
	if upper == h.last {
		close(h.done)
	}
}

func (h *rawHandler) Consume(lower, upper int64) { h.Handle(lower, upper) }

// disruptorRaw times sequences that carry no events.
func disruptorRaw(open func(w Work, h *rawHandler) (opened, error)) func(Work) (Result, error) {
	return func(w Work) (Result, error) {
		h := &rawHandler{last: int64(w.Events) - 1, done: make(chan struct{})}
		d, err := open(w, h)
		if err != nil {
			return Result{}, err
		}
		stopped := make(chan struct{})
		go func() {
			d.run()
			close(stopped)
		}()
		start := time.Now()
		err = d.publish(1, w.Events)
		<-h.done
		res := Result{Start: start, Elapsed: time.Since(start), Sum: h.seen}
		if serr := d.stop(); err == nil {
			err = serr
		}
		<-stopped
		return res, err
	}
}

// echo is the far side of a ping-pong on disruptors that leave the slots to the caller, and with
// back its near side.
type echo struct {
	slots *[pingPongSlots]uint64
	on    func(i uint64)
}

func (e *echo) Handle(lower, upper int64) {
	for seq := lower; seq <= upper; seq++ {
		e.on(e.slots[seq&(pingPongSlots-1)])
	}
}

func (e *echo) Consume(lower, upper int64) { e.Handle(lower, upper) }

// oneWay is a disruptor for a ping-pong.
type oneWay struct {
	send func(i uint64) error // one goroutine at a time
	run  func()
	stop func() error
}

// disruptorPingPong plays on two disruptors.
func disruptorPingPong(open func(e *echo) (oneWay, error)) func(Work, *meter) (Result, error) {
	return func(w Work, m *meter) (Result, error) {
		p := newPinger(w, m)
		far, near := &echo{slots: new([pingPongSlots]uint64)}, &echo{slots: new([pingPongSlots]uint64), on: p.back}
		ping, err := open(far)
		if err != nil {
			return Result{}, err
		}
		pong, err := open(near)
		if err != nil {
			return Result{}, err
		}
		p.send = ping.send
		far.on = func(i uint64) {
			if err := pong.send(i); err != nil {
				p.done <- err
			}
		}
		stopped := make(chan struct{}, 2)
		for _, d := range []oneWay{ping, pong} {
			go func() {
				d.run()
				stopped <- struct{}{}
			}()
		}
		start := time.Now()
		err = p.start()
		if err == nil {
			err = <-p.done
		}
		res := Result{Start: start, Elapsed: time.Since(start), Sum: p.sum}
		for _, d := range []oneWay{ping, pong} {
			if serr := d.stop(); err == nil {
				err = serr
			}
		}
		<-stopped
		<-stopped
		return res, err
	}
}
