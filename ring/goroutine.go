package ring

import (
	"bytes"
	"runtime"
	"sync"
)

// headers are what stack traces begin with; a buffer of the caller's would escape.
var headers = sync.Pool{New: func() any { return new([64]byte) }}

// goroutineID returns the caller's goroutine id, 0 if it cannot be told. It takes about a
// microsecond and serves only to notice, before a goroutine blocks, that it is a handler which
// would wait for itself. Go shows the id nowhere but in a stack trace, "goroutine 18 [running]:".
func goroutineID() int64 {
	buf := headers.Get().(*[64]byte)
	defer headers.Put(buf)
	head, ok := bytes.CutPrefix(buf[:runtime.Stack(buf[:], false)], []byte("goroutine "))
	id := int64(0)
	for i, c := range head {
		switch {
		case c >= '0' && c <= '9':
			id = 10*id + int64(c-'0')
		case c == ' ' && i > 0 && ok:
			return id
		default:
			return 0
		}
	}
	return 0
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
