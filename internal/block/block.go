//go:build !headrace_explore

package block

import (
	"runtime"
	"sync"
	"time"

	"github.com/headrace/headrace/internal/cpu"
)

type (
	// Mutex is sync's.
	Mutex = sync.Mutex
	// Once is sync's.
	Once = sync.Once
	// Pool is sync's.
	Pool = sync.Pool
)

// Patience is n: how many polls a loop makes before it does something else.
func Patience(n int) int { return n }

// Go starts a goroutine.
func Go(f func()) { go f() }

// Pause executes n spin-loop hints between two looks at what others store.
func Pause(n int32) { cpu.Pause(n) }

// Rest executes n spin-loop hints, for no other end than to be slower.
func Rest(n int32) { cpu.Pause(n) }

// Yield lets other goroutines run.
func Yield() { runtime.Gosched() }

// Send sends, and may block.
func Send(ch chan<- struct{}) { ch <- struct{}{} }

// Recv blocks until something was sent or ch is closed.
func Recv(ch <-chan struct{}) { <-ch }

// Recvd receives what is there already, and tells whether there was something, or ch is closed.
func Recvd(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

// RecvOr is Recv that gives up when done is closed, and then returns false.
func RecvOr(ch, done <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	case <-done:
		return false
	}
}

// SendOr is Send that gives up when done is closed, and then returns false.
func SendOr(ch chan<- struct{}, done <-chan struct{}) bool {
	select {
	case ch <- struct{}{}:
		return true
	case <-done:
		return false
	}
}

// Close closes ch.
func Close(ch chan<- struct{}) { close(ch) }

// Sleep blocks for d, or until done is closed, and then returns false.
func Sleep(d time.Duration, done <-chan struct{}) bool {
	if done == nil {
		time.Sleep(d)
		return true
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
