package main

import (
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/tidwall/wal"
)

// homemadeBatch is how many events at most share an append.
const homemadeBatch = 64

// homemade is the engine that a careful programmer builds in an afternoon: the producer encodes and
// sends over a channel; one goroutine takes what is there, appends it to a log as one batch, and
// hands each event to the handler. Messages are pooled, and the handler gets the event itself and
// never decodes.
type homemade struct {
	log *wal.Log
	in  chan *homemadeMessage
	out chan error // the consumer's result, once in is closed

	ledger *ledger
	meter  *meter // nil: not measured
}

type homemadeMessage struct {
	order order
	body  []byte
}

var homemadeMessages = sync.Pool{New: func() any { return new(homemadeMessage) }}

// homemadeEngine opens a log anew, publishes, waits until all is handled, and reads the log back
// untimed.
func homemadeEngine(w Work, m *meter) (Result, error) {
	defer emptyDir(w.Dir)
	log, err := wal.Open(filepath.Join(w.Dir, "log"), tidwallOptions())
	if err != nil {
		return Result{}, err
	}
	defer log.Close()
	e := &homemade{
		log: log, ledger: newLedger(), meter: m,
		in: make(chan *homemadeMessage, channelEvents), out: make(chan error, 1),
	}
	go func() { e.out <- e.consume() }()

	start := time.Now()
	err = m.publishAll(w.Events, e.publisher())
	close(e.in)
	if cerr := <-e.out; cerr != nil {
		err = cerr
	}
	if err != nil {
		return Result{}, err
	}
	res := Result{Elapsed: time.Since(start), Sum: e.ledger.sum}
	return res, e.verify()
}

// publisher returns the producer's function; it belongs to one goroutine.
func (e *homemade) publisher() func(i int) error {
	return func(i int) (err error) {
		m := homemadeMessages.Get().(*homemadeMessage)
		newOrder(&m.order, i)
		if m.body, err = m.order.AppendMsgpack(m.body[:0]); err != nil {
			return err
		}
		e.in <- m
		return nil
	}
}

// consume appends and handles until the channel is closed. After an error it still empties the
// channel: the producer must not hang.
func (e *homemade) consume() error {
	batch := new(wal.Batch)
	taken := make([]*homemadeMessage, 0, homemadeBatch)
	index := uint64(0)
	var failed error
	for m := range e.in {
		taken = append(taken[:0], m)
		for len(taken) < homemadeBatch && len(e.in) > 0 {
			taken = append(taken, <-e.in)
		}
		for _, m := range taken {
			index++
			batch.Write(index, m.body)
		}
		if failed == nil {
			failed = e.log.WriteBatch(batch)
		}
		for _, m := range taken {
			if failed == nil {
				e.ledger.apply(&m.order)
				if e.meter != nil {
					e.meter.handled(int(m.order.Number), int(m.order.Number))
				}
			}
			homemadeMessages.Put(m)
		}
	}
	return failed
}

// verify decodes the log and compares it with what was handled.
func (e *homemade) verify() error {
	last, err := e.log.LastIndex()
	if err != nil {
		return err
	}
	read, o := newLedger(), order{}
	for i := uint64(1); i <= last; i++ {
		body, err := e.log.Read(i)
		if err != nil {
			return fmt.Errorf("read %d: %w", i, err)
		}
		if err := o.DecodeMsgpackBytes(body); err != nil {
			return fmt.Errorf("decode %d: %w", i, err)
		}
		read.apply(&o)
	}
	if read.sum != e.ledger.sum {
		return &SumError{Got: read.sum, Want: e.ledger.sum}
	}
	return nil
}
