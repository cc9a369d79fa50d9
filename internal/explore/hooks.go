package explore

import "unsafe"

// begin returns the calling goroutine with an empty step of a kind, nil if it is not in a run.
func begin(k Kind) (*Run, *thread) {
	r := current()
	if r == nil {
		return nil, nil
	}
	t := r.cur
	t.op.kind, t.op.ready, t.op.touches = k, nil, t.touches[:0]
	return r, t
}

func (t *thread) touch(p unsafe.Pointer, write bool) {
	t.op.touches = append(t.op.touches, access{uintptr(p), write})
}

// Step is called before an access of p. The access itself follows, at once.
func Step(k Kind, p unsafe.Pointer) {
	if r, t := begin(k); r != nil {
		t.touch(p, k != Load)
		r.step(t)
	}
}

// Wait is called before what can block: it returns when ready holds. ready must not have effects.
func Wait(k Kind, p unsafe.Pointer, ready func() bool) {
	if r, t := begin(k); r != nil {
		t.op.ready = ready
		t.touch(p, true)
		r.step(t)
	}
}

// WaitEither is Wait for one of two channels and the like. The second is only looked at.
func WaitEither(p, q unsafe.Pointer, first, second func() bool) {
	if r, t := begin(Try); r != nil {
		t.op.ready = func() bool { return first() || second() }
		t.touch(p, true)
		t.touch(q, false)
		r.step(t)
	}
}

// Pick returns a number in [0, n), for what Go leaves open. Outside of a run it is 0.
func Pick(n int) int {
	r := current()
	if r == nil {
		return 0
	}
	i := r.chooser.pick(r, n)
	r.choices = append(r.choices, int8(i))
	return i
}

// Pause is called instead of waiting for a moment. Its goroutine goes on when something has
// changed since it called Pause last, or nobody else can. It tells whether it is in a run.
func Pause() bool {
	r, t := begin(Spin)
	if r == nil {
		return false
	}
	r.chooser.spun(t.id)
	r.step(t)
	t.spunAt = r.version
	return true
}

// Put puts a store of v at p, of so many bytes, 4 or 8, into the store buffer. It returns false, and
// the caller has to store, outside of a run.
func Put(p unsafe.Pointer, bytes int, v uint64) bool {
	r := current()
	if r == nil {
		return false
	}
	if !r.weak {
		Step(Store, p)
		return false
	}
	_, t := begin(Buffer)
	t.touch(unsafe.Pointer(&t.bufferAt), false)
	r.step(t)
	s := pendingStore{at: p, bytes: bytes, value: v}
	if d, ok := r.chooser.(*depthFirst); ok {
		s.clock = d.clockOf(t.id)
	}
	t.stores = append(t.stores, s)
	return true
}

// Forward returns what the calling goroutine stored at p last, if that has not reached memory.
func Forward(p unsafe.Pointer) (uint64, bool) {
	r := current()
	if r == nil {
		return 0, false
	}
	s := r.cur.stores
	for i := len(s) - 1; i >= 0; i-- {
		if s[i].at == p {
			return s[i].value, true
		}
	}
	return 0, false
}

// Membarrier waits until it has seen the store buffer of each other goroutine empty, one after
// another. As a buffer can be flushed at any time, this is as good as emptying it.
func Membarrier() {
	r := current()
	if r == nil || !r.weak {
		return
	}
	for i := 0; i < len(r.threads); i++ {
		of := r.threads[i]
		if of == r.cur {
			continue
		}
		_, t := begin(Drain)
		t.drained = of
		t.op.ready = func() bool { return len(of.stores) == 0 }
		t.touch(unsafe.Pointer(&of.bufferAt), true)
		r.step(t)
	}
}

// Go starts a goroutine of the run. It returns false, and the caller has to start it, if there is
// no run.
func Go(f func()) bool {
	r := active.Load()
	if r == nil {
		return false
	}
	if r.aborting {
		return true
	}
	name := "go"
	if r.running {
		name += " of " + r.cur.name
		if d, ok := r.chooser.(*depthFirst); ok {
			d.started(r, r.cur.id, actor(len(r.threads)))
		}
	}
	r.Go(name, f)
	return true
}

// Running tells whether the caller is in a run.
func Running() bool { return current() != nil }
