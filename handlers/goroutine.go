package handlers

import "runtime"

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
