package ring

import (
	"bytes"
	"runtime"
	"strconv"
)

// goroutineID returns the caller's goroutine id, 0 if it cannot be told. It takes about a
// microsecond and serves only to notice, before a goroutine blocks, that it is a handler which
// would wait for itself. Go shows the id nowhere but in a stack trace, "goroutine 18 [running]:".
func goroutineID() int64 {
	var buf [64]byte
	head := buf[:runtime.Stack(buf[:], false)]
	head, ok := bytes.CutPrefix(head, []byte("goroutine "))
	if !ok {
		return 0
	}
	if i := bytes.IndexByte(head, ' '); i >= 0 {
		head = head[:i]
	}
	id, err := strconv.ParseInt(string(head), 10, 64)
	if err != nil {
		return 0
	}
	return id
}

// current returns the consumer on whose goroutine the caller runs, else nil.
func (s *sequencer) current() *Consumer {
	all := s.everybody.Load()
	if all == nil {
		return nil
	}
	id := goroutineID()
	if id == 0 {
		return nil
	}
	for _, c := range *all {
		if c.goroutine.Load() == id {
			return c
		}
	}
	return nil
}
