//go:build headrace_explore

package block

import (
	"runtime"
	"sync"
	"time"
	"unsafe"

	"github.com/headrace/headrace/internal/cpu"
	"github.com/headrace/headrace/internal/explore"
)

// Mutex is sync's, in steps.
type Mutex struct {
	mu   sync.Mutex
	held bool // guarded by mu, and by goroutines running one at a time
}

// Lock locks.
func (m *Mutex) Lock() {
	explore.Wait(explore.Lock, unsafe.Pointer(m), func() bool { return !m.held })
	m.mu.Lock()
	m.held = true
}

// Unlock unlocks.
func (m *Mutex) Unlock() {
	explore.Step(explore.Unlock, unsafe.Pointer(m))
	m.held = false
	m.mu.Unlock()
}

// Once is sync's, in steps.
type Once struct {
	mu   Mutex
	done bool
}

// Do calls f the first time.
func (o *Once) Do(f func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.done {
		o.done = true
		f()
	}
}

// Pool keeps nothing, so that a run does not depend on those before it.
type Pool struct{ New func() any }

// Get makes a new one.
func (p *Pool) Get() any { return p.New() }

// Put forgets it.
func (p *Pool) Put(any) {}

// Patience is 1 in a run, in which polling is waiting.
func Patience(n int) int {
	if explore.Running() {
		return 1
	}
	return n
}

// Go starts a goroutine.
func Go(f func()) {
	if !explore.Go(f) {
		go f()
	}
}

// Pause waits for a change.
func Pause(n int32) {
	if !explore.Pause() {
		cpu.Pause(n)
	}
}

// Rest does nothing in a run.
func Rest(n int32) {
	if !explore.Running() {
		cpu.Pause(n)
	}
}

// Yield waits for a change.
func Yield() {
	if !explore.Pause() {
		runtime.Gosched()
	}
}

// Sleep waits for a change.
func Sleep(d time.Duration, done <-chan struct{}) bool {
	if explore.Pause() {
		return !readable(done)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-done:
		return false
	}
}

func recvAddr(ch <-chan struct{}) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&ch)) }
func sendAddr(ch chan<- struct{}) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&ch)) }

// readable tells whether a receive would not block. Nothing is ever sent through a channel without
// a buffer, so that looking takes nothing away.
func readable(ch <-chan struct{}) bool {
	if len(ch) > 0 {
		return true
	}
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

// Send sends, and may block.
func Send(ch chan<- struct{}) {
	explore.Wait(explore.Send, sendAddr(ch), func() bool { return len(ch) < cap(ch) })
	ch <- struct{}{}
}

// Recv blocks until something was sent or ch is closed.
func Recv(ch <-chan struct{}) {
	explore.Wait(explore.Recv, recvAddr(ch), func() bool { return readable(ch) })
	<-ch
}

// Recvd receives what is there already, and tells whether there was something, or ch is closed.
func Recvd(ch <-chan struct{}) bool {
	explore.Step(explore.Try, recvAddr(ch))
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

// RecvOr is Recv that gives up when done is closed, and then returns false.
func RecvOr(ch, done <-chan struct{}) bool {
	if explore.Running() {
		explore.WaitEither(recvAddr(ch), recvAddr(done), func() bool { return readable(ch) }, func() bool { return readable(done) })
		if readable(done) && (!readable(ch) || explore.Pick(2) == 1) {
			return false
		}
		<-ch
		return true
	}
	select {
	case <-ch:
		return true
	case <-done:
		return false
	}
}

// SendOr is Send that gives up when done is closed, and then returns false.
func SendOr(ch chan<- struct{}, done <-chan struct{}) bool {
	if explore.Running() {
		room := func() bool { return len(ch) < cap(ch) }
		explore.WaitEither(sendAddr(ch), recvAddr(done), room, func() bool { return readable(done) })
		if readable(done) && (!room() || explore.Pick(2) == 1) {
			return false
		}
		ch <- struct{}{}
		return true
	}
	select {
	case ch <- struct{}{}:
		return true
	case <-done:
		return false
	}
}

// Close closes ch.
func Close(ch chan<- struct{}) {
	explore.Step(explore.Send, sendAddr(ch))
	close(ch)
}
