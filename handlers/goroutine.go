package handlers

import (
	"runtime"
	"sync"
)

// goroutineID reads the running goroutine's number from its stack trace: about a microsecond. It is
// only used where a call is about to wait, to refuse it on a lane's own goroutine.
func goroutineID() uint64 {
	var buf [64]byte
	const prefix = len("goroutine ")
	var id uint64
	for _, c := range buf[:runtime.Stack(buf[:], false)][prefix:] {
		if c < '0' || c > '9' {
			break
		}
		id = id*10 + uint64(c-'0')
	}
	return id
}

// OnLane reports whether the caller runs on the goroutine of one of the lanes.
func OnLane(lanes []*Lane) bool {
	id := goroutineID()
	for _, l := range lanes {
		if l.Goroutine() == id {
			return true
		}
	}
	return false
}

// Routines are the goroutines on which functions of the application run that an engine's end waits for. The zero value
// has none. Its methods may be called from any goroutine.
type Routines struct {
	mu  sync.Mutex
	ids map[uint64]int // how often each is inside
}

// Enter notes that the caller's goroutine goes into such a function, and returns what Leave wants to know.
func (r *Routines) Enter() uint64 {
	id := goroutineID()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ids == nil {
		r.ids = map[uint64]int{}
	}
	r.ids[id]++
	return id
}

// Leave takes back one Enter.
func (r *Routines) Leave(id uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ids[id]--; r.ids[id] == 0 {
		delete(r.ids, id)
	}
}

// Here tells whether the caller's goroutine is one of them.
func (r *Routines) Here() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.ids) > 0 && r.ids[goroutineID()] > 0
}
