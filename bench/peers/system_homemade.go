package main

import (
	"bytes"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/tidwall/wal"
	"github.com/vmihailenco/msgpack/v5"
)

// homemadeBatch is how many events at most share an append.
const homemadeBatch = 64

// homemade is the engine that a careful programmer builds in an afternoon: the producer encodes and
// sends over a channel; one goroutine takes what is there, appends it to a log as one batch, and
// hands each event to the handler. Messages are pooled, and the handler gets the event itself and
// never decodes.
type homemade struct {
	w   Work
	log *wal.Log
	in  chan *homemadeMessage
	out chan error // the consumer's result, once in is closed

	ledger  *ledger
	latency *Histogram // nil: not measured
}

type homemadeMessage struct {
	order order
	body  bytes.Buffer
}

var homemadeMessages = sync.Pool{New: func() any { return new(homemadeMessage) }}

// homemadeEngine opens a log anew each round; the bench itself keeps nothing.
func homemadeEngine(w Work) (Bench, error) { return homemadeBench(w), nil }

type homemadeBench Work

func (b homemadeBench) Close() error { return nil }

// Round publishes Work.Events as fast as it can.
func (b homemadeBench) Round() (Result, error) {
	w := Work(b)
	return homemadeRun(w, nil, func(publish func(i int, due time.Duration) error) error {
		for i := 1; i <= w.Events; i++ {
			if err := publish(i, 0); err != nil {
				return err
			}
		}
		return nil
	})
}

// Paced publishes Work.PacedEvents at Work.PacedRate.
func (b homemadeBench) Paced(h *Histogram) (uint64, error) {
	w := Work(b)
	w.Events = w.PacedEvents
	res, err := homemadeRun(w, h, func(publish func(i int, due time.Duration) error) error {
		return pace(w.PacedEvents, w.PacedRate, publish)
	})
	return res.Sum, err
}

// homemadeRun opens, lets produce publish, waits until all is handled, and reads the log back
// untimed.
func homemadeRun(w Work, h *Histogram, produce func(publish func(int, time.Duration) error) error) (Result, error) {
	defer emptyDir(w.Dir)
	log, err := wal.Open(filepath.Join(w.Dir, "log"), tidwallOptions())
	if err != nil {
		return Result{}, err
	}
	defer log.Close()
	e := &homemade{
		w: w, log: log, ledger: newLedger(), latency: h,
		in: make(chan *homemadeMessage, channelEvents), out: make(chan error, 1),
	}
	go func() { e.out <- e.consume() }()

	start := time.Now()
	err = produce(e.publisher())
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
func (e *homemade) publisher() func(i int, due time.Duration) error {
	enc := msgpack.NewEncoder(nil)
	return func(i int, due time.Duration) error {
		m := homemadeMessages.Get().(*homemadeMessage)
		newOrder(&m.order, i)
		m.order.Due = int64(due)
		m.body.Reset()
		enc.Reset(&m.body)
		if err := m.order.EncodeMsgpack(enc); err != nil {
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
			batch.Write(index, m.body.Bytes())
		}
		if failed == nil {
			failed = e.log.WriteBatch(batch)
		}
		for _, m := range taken {
			if failed == nil {
				e.ledger.apply(&m.order)
				if e.latency != nil {
					e.latency.Record(sinceStart() - time.Duration(m.order.Due))
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
	read, o, dec := newLedger(), order{}, msgpack.NewDecoder(nil)
	var src bytes.Reader
	for i := uint64(1); i <= last; i++ {
		body, err := e.log.Read(i)
		if err != nil {
			return fmt.Errorf("read %d: %w", i, err)
		}
		src.Reset(body)
		dec.Reset(&src)
		if err := o.DecodeMsgpack(dec); err != nil {
			return fmt.Errorf("decode %d: %w", i, err)
		}
		read.apply(&o)
	}
	if read.sum != e.ledger.sum {
		return &SumError{Got: read.sum, Want: e.ledger.sum}
	}
	return nil
}
