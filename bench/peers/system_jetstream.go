package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	jetStreamName    = "ORDERS"
	jetStreamSubject = "orders"
	// jetStreamPending is how many published messages may wait for their acknowledgement. 512 came out slower,
	// 16,384 no faster.
	jetStreamPending = 4096
	jetStreamWait    = 30 * time.Second
)

// jetStream is an embedded NATS server with a stream in files, and a connection to it that goes through no
// socket. The server syncs every two minutes, as it does by default: not in a round.
type jetStream struct {
	server *server.Server
	conn   *nats.Conn
	js     jetstream.JetStream
}

func openJetStream(dir string) (j *jetStream, err error) {
	s, err := server.NewServer(&server.Options{
		ServerName: "bench", DontListen: true, JetStream: true, StoreDir: dir, NoLog: true, NoSigs: true,
		JetStreamMaxStore: 8 << 30, JetStreamMaxMemory: 1 << 28,
	})
	if err != nil {
		return nil, err
	}
	j = &jetStream{server: s}
	defer func() {
		if err != nil {
			j.close()
		}
	}()
	go s.Start()
	if !s.ReadyForConnections(jetStreamWait) {
		return nil, errors.New("the NATS server does not become ready")
	}
	if j.conn, err = nats.Connect("", nats.InProcessServer(s)); err != nil {
		return nil, err
	}
	if j.js, err = jetstream.New(j.conn, jetstream.WithPublishAsyncMaxPending(jetStreamPending)); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), jetStreamWait)
	defer cancel()
	_, err = j.js.CreateStream(ctx, jetstream.StreamConfig{
		Name: jetStreamName, Subjects: []string{jetStreamSubject}, Storage: jetstream.FileStorage,
	})
	return j, err
}

func (j *jetStream) close() {
	if j.conn != nil {
		j.conn.Close()
	}
	j.server.Shutdown()
	j.server.WaitForShutdown()
}

// jetStreamEngine publishes asynchronously; a consumer in the same process, which need not acknowledge, decodes and
// keeps the read model.
func jetStreamEngine(w Work, m *meter) (res Result, err error) {
	defer emptyDir(w.Dir)
	j, err := openJetStream(filepath.Join(w.Dir, "log"))
	if err != nil {
		return Result{}, err
	}
	defer j.close()
	model := &jetStreamModel{ledger: newLedger(), want: w.Events, all: make(chan struct{}), meter: m}
	stop, err := j.consume(model)
	if err != nil {
		return Result{}, err
	}
	defer stop()

	start := time.Now()
	if err := m.publishAll(w.Events, j.publisher()); err != nil {
		return Result{}, err
	}
	if err := j.acknowledged(); err != nil {
		return Result{}, err
	}
	if err := model.wait(); err != nil {
		return Result{}, err
	}
	return Result{Elapsed: time.Since(start), Sum: model.ledger.sum}, nil
}

// publisher returns the producer's function; it belongs to one goroutine.
func (j *jetStream) publisher() func(i int) error {
	var o order
	return func(i int) error {
		newOrder(&o, i)
		body, err := o.AppendMsgpack(make([]byte, 0, orderBytes)) // it is kept until the acknowledgement
		if err != nil {
			return err
		}
		_, err = j.js.PublishAsync(jetStreamSubject, body)
		return err
	}
}

// acknowledged waits until all that was published is in the log.
func (j *jetStream) acknowledged() error {
	select {
	case <-j.js.PublishAsyncComplete():
		return nil
	case <-time.After(jetStreamWait):
		return fmt.Errorf("%d messages without acknowledgement", j.js.PublishAsyncPending())
	}
}

// jetStreamModel is the handler and its read model.
type jetStreamModel struct {
	ledger *ledger
	want   int
	meter  *meter // nil: not measured
	order  order
	failed atomic.Pointer[error]
	all    chan struct{} // closed when want orders were handled
}

func (h *jetStreamModel) handle(msg jetstream.Msg) {
	if err := h.order.DecodeMsgpackBytes(msg.Data()); err != nil {
		h.failed.CompareAndSwap(nil, &err)
	}
	h.ledger.apply(&h.order)
	if h.meter != nil {
		h.meter.handled(int(h.order.Number), int(h.order.Number))
	}
	if h.ledger.orders == h.want {
		close(h.all)
	}
}

func (h *jetStreamModel) wait() error {
	select {
	case <-h.all:
	case <-time.After(jetStreamWait):
		return errors.New("not all messages were handled")
	}
	if err := h.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// consume delivers the stream from its beginning, in order.
func (j *jetStream) consume(h *jetStreamModel) (stop func(), err error) {
	ctx, cancel := context.WithTimeout(context.Background(), jetStreamWait)
	defer cancel()
	c, err := j.js.OrderedConsumer(ctx, jetStreamName, jetstream.OrderedConsumerConfig{})
	if err != nil {
		return nil, err
	}
	run, err := c.Consume(h.handle, jetstream.PullMaxMessages(jetStreamPending))
	if err != nil {
		return nil, err
	}
	return run.Stop, nil
}

// jetStreamReplay fills a stream once; a round is a new consumer of all of it.
func jetStreamReplay(w Work) (Bench, error) {
	j, err := openJetStream(filepath.Join(w.Dir, "log"))
	if err != nil {
		return nil, err
	}
	round := func() (Result, error) {
		model := &jetStreamModel{ledger: newLedger(), want: w.Events, all: make(chan struct{})}
		start := time.Now()
		stop, err := j.consume(model)
		if err != nil {
			return Result{}, err
		}
		defer stop()
		err = model.wait()
		return Result{Elapsed: time.Since(start), Sum: model.ledger.sum}, err
	}
	var none *meter
	err = none.publishAll(w.Events, j.publisher())
	if err == nil {
		err = j.acknowledged()
	}
	if err != nil {
		j.close()
		return nil, err
	}
	return closeToo{roundFunc(round), func() error { j.close(); return nil }}, nil
}
