package explore

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"unsafe"
)

// Kind is what a step does.
type Kind uint8

// The kinds of steps.
const (
	Begin  Kind = iota // of a goroutine
	Load               // of memory
	Store              // of memory, with a full fence
	Update             // load and store in one, with a full fence
	Lock               // of a mutex, or of what works like one
	Unlock             // of a mutex
	Recv               // from a channel, blocking
	Try                // of a channel, not blocking, or with a way out
	Send               // to a channel, or closing it
	Spin               // waiting for a moment, for others to do something
	Buffer             // putting a store into the store buffer
	Flush              // the oldest of a store buffer reaching memory
	Drain              // seeing another's store buffer empty
)

var kindNames = [...]string{"begin", "load", "store", "update", "lock", "unlock", "recv", "try", "send", "spin", "buffer", "flush", "drain"}

func (k Kind) String() string { return kindNames[k] }

// fenced kinds wait for the store buffer of their goroutine to be empty.
func (k Kind) fenced() bool {
	switch k {
	case Store, Update, Lock, Unlock, Recv, Try, Send, Drain:
		return true
	}
	return false
}

// access is what a step touches.
type access struct {
	addr  uintptr
	write bool
}

// op is a step that a goroutine is about to make.
type op struct {
	kind    Kind
	touches []access
	ready   func() bool // nil: always
	pcs     []uintptr   // who makes it, if traced
}

func (o *op) conflicts(p *op) bool {
	for _, a := range o.touches {
		for _, b := range p.touches {
			if a.addr == b.addr && (a.write || b.write) {
				return true
			}
		}
	}
	return false
}

const (
	maxThreads = 24
	// bufferOf is added to a goroutine's number to name its store buffer.
	bufferOf = 32
	// bufferSlots is how many stores a buffer holds.
	bufferSlots = 8
)

// An actor is a goroutine, in [0, bufferOf), or the store buffer of one.
type actor int8

func (a actor) bit() uint64 { return 1 << uint(a) }

// clock is how many steps of the run are known to each actor to lie behind it: the number of the last.
type clock [2 * bufferOf]int32

func (c *clock) join(d *clock) {
	for i := range c {
		c[i] = max(c[i], d[i])
	}
}

// pendingStore is a store in a buffer.
type pendingStore struct {
	at    unsafe.Pointer
	bytes int
	value uint64
	clock *clock
}

func (s pendingStore) commit() {
	if s.bytes == 8 {
		atomic.StoreUint64((*uint64)(s.at), s.value)
	} else {
		atomic.StoreUint32((*uint32)(s.at), uint32(s.value))
	}
}

// A thread is a goroutine under control.
type thread struct {
	id       actor
	name     string
	op       op
	touches  [2]access // memory of op.touches
	wake     chan struct{}
	exited   chan struct{}
	finished bool
	daemon   bool
	spunAt   uint64 // Run.version at the last Spin
	stores   []pendingStore
	bufferAt byte    // its address stands for what goes into the buffer
	drained  *thread // whose buffer a Drain waits for
}

// A Run is one execution of a scenario.
type Run struct {
	weak     bool
	threads  []*thread
	cur      *thread
	running  bool
	aborting bool
	pruned   bool
	version  uint64 // counts what may have changed
	steps    int
	maxSteps int
	chooser  chooser
	order    []actor // as chosen
	choices  []int8  // as chosen by pick, between them
	trace    *trace
	failure  error
	checks   []func() error
	end      chan struct{}
	flushOps [bufferOf]op
	flushTo  [bufferOf]access
}

// chooser decides.
type chooser interface {
	// next returns one of enabled.
	next(r *Run, enabled uint64) (actor, bool)
	// pick returns one of [0, n).
	pick(r *Run, n int) int
	// spun tells that the current goroutine waits for others.
	spun(a actor)
}

// active is the run of now, nil if there is none.
var active atomic.Pointer[Run]

// current returns the run if the caller is one of its goroutines.
func current() *Run {
	if r := active.Load(); r != nil && r.running {
		return r
	}
	return nil
}

// ErrDeadlock says that every goroutine that has not returned waits for another.
var ErrDeadlock = errors.New("explore: deadlock")

// ErrSteps says that a run took more than Options.MaxSteps.
var ErrSteps = errors.New("explore: too many steps: goroutines poll for what never comes, or the limit is too low")

// Go adds a goroutine. Scenarios call it before the run; while it runs, goroutines may call the
// function Go.
func (r *Run) Go(name string, f func()) {
	t := &thread{
		id: actor(len(r.threads)), name: name,
		wake: make(chan struct{}, 1), exited: make(chan struct{}),
	}
	if len(r.threads) == maxThreads {
		panic("explore: too many goroutines")
	}
	t.op.kind = Begin
	r.threads = append(r.threads, t)
	go func() {
		defer close(t.exited)
		defer r.exit(t)
		<-t.wake
		if r.aborting {
			return
		}
		f()
	}()
}

// Daemon is Go for a goroutine that need not return: the run ends when those that must have
// returned and every daemon waits for a channel, or polls.
func (r *Run) Daemon(name string, f func()) {
	r.Go(name, f)
	r.threads[len(r.threads)-1].daemon = true
}

// Daemons makes daemons of the goroutines that the scenario has started so far.
func (r *Run) Daemons() {
	for _, t := range r.threads {
		t.daemon = true
	}
}

// Check adds what must hold after the run, when every goroutine has returned.
func (r *Run) Check(f func() error) { r.checks = append(r.checks, f) }

// Fail ends the run with an error, and the calling goroutine with it.
func Fail(format string, args ...any) {
	r := active.Load()
	if r == nil {
		panic(fmt.Sprintf(format, args...))
	}
	if !r.running {
		r.fail(fmt.Errorf(format, args...))
		return
	}
	r.fail(fmt.Errorf(format, args...))
	r.stop()
	runtime.Goexit()
}

func (r *Run) fail(err error) {
	if r.failure == nil {
		r.failure = err
	}
}

// exit is the last thing that a goroutine does.
func (r *Run) exit(t *thread) {
	if v := recover(); v != nil {
		r.fail(fmt.Errorf("explore: goroutine %q panics: %v\n%s", t.name, v, debug.Stack()))
		if !r.aborting {
			r.stop()
		}
	}
	t.finished = true
	if !r.aborting {
		r.version++
		r.dispatch(nil)
	}
}

// stop makes the controlling goroutine end the run.
func (r *Run) stop() {
	r.aborting = true
	close(r.end)
}

// execute runs the scenario once.
func (r *Run) execute(scenario func(*Run)) error {
	r.end = make(chan struct{})
	if !active.CompareAndSwap(nil, r) {
		panic("explore: another run is active")
	}
	defer active.Store(nil)
	scenario(r)
	if r.failure != nil {
		return r.failure
	}
	r.running = true
	r.dispatch(nil)
	<-r.end
	for _, t := range r.threads {
		select {
		case t.wake <- struct{}{}:
		default:
		}
		<-t.exited
	}
	r.running = false
	if r.failure != nil || r.pruned {
		return r.failure
	}
	for _, check := range r.checks {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// step stops the calling goroutine before t.op, which it has set, until it is chosen.
func (r *Run) step(t *thread) {
	if r.aborting { // deferred calls of a goroutine that is being ended
		runtime.Goexit()
	}
	if r.trace != nil {
		t.op.pcs = callers()
	}
	if r.dispatch(t) != t {
		<-t.wake
	}
	if r.aborting {
		runtime.Goexit()
	}
}

// dispatch chooses until it has chosen a goroutine, and wakes that, unless it is self. It is called
// by whoever runs, once it has said what it does next.
func (r *Run) dispatch(self *thread) *thread {
	for {
		enabled := r.enabled()
		if enabled == 0 {
			r.finish()
			return nil
		}
		if r.steps++; r.steps > r.maxSteps {
			r.fail(ErrSteps)
			r.stop()
			return nil
		}
		a, ok := r.chooser.next(r, enabled)
		if !ok {
			r.pruned = true
			r.stop()
			return nil
		}
		r.order = append(r.order, a)
		if r.trace != nil {
			r.trace.add(r, a)
		}
		if a >= bufferOf {
			t := r.threads[a-bufferOf]
			t.stores[0].commit()
			t.stores = t.stores[1:]
			r.version++
			continue
		}
		t := r.threads[a]
		if t.op.kind != Load && t.op.kind != Spin && t.op.kind != Begin {
			r.version++
		}
		r.cur = t
		if t != self {
			t.wake <- struct{}{}
		}
		return t
	}
}

// enabled returns the actors that can go on.
func (r *Run) enabled() (set uint64) {
	var spinning uint64
	for i, t := range r.threads {
		if len(t.stores) > 0 {
			set |= (actor(i) + bufferOf).bit()
		}
		switch {
		case t.finished:
		case len(t.stores) > 0 && t.op.kind.fenced():
		case t.op.kind == Buffer && len(t.stores) == bufferSlots:
		case t.op.kind == Spin && t.spunAt == r.version:
			if !t.daemon {
				spinning |= t.id.bit()
			}
		case t.op.ready != nil && !t.op.ready():
		default:
			set |= t.id.bit()
		}
	}
	if set == 0 {
		return spinning // nobody else can do anything: it is not for a change that they wait
	}
	return set
}

// finish ends a run in which nobody can go on.
func (r *Run) finish() {
	waits := ""
	for _, t := range r.threads {
		if !t.finished && !(t.daemon && (t.op.kind == Recv || t.op.kind == Try || t.op.kind == Spin)) {
			waits += fmt.Sprintf("\n\t%s waits before %s", t.name, t.op.kind)
		}
	}
	if waits != "" {
		r.fail(fmt.Errorf("%w:%s", ErrDeadlock, waits))
	}
	r.stop()
}

// opOf returns what an actor does next.
func (r *Run) opOf(a actor) *op {
	if a < bufferOf {
		return &r.threads[a].op
	}
	i := a - bufferOf
	o := &r.flushOps[i]
	o.kind = Flush
	r.flushTo[i] = access{uintptr(r.threads[i].stores[0].at), true}
	o.touches = r.flushTo[i : i+1]
	return o
}
