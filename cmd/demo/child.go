package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/cmd/demo/internal/shop"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
)

// childName is the command by which the demo starts itself as the process to be killed.
const childName = "child"

// childOptions are what a parent asks of a child. They travel as flags.
type childOptions struct {
	dir           string
	orders        int64 // in all; 0 = until killed
	seed          uint64
	ratePerSecond float64 // 0 = as fast as it goes
	durability    mode
	segmentBytes  int64
	window        int64 // orders that may wait for their acknowledgement
	ackedSeq      int64 // acknowledge bodies above this sequence only
}

func (o childOptions) args() []string {
	return []string{
		childName, "--dir", o.dir, "--orders", strconv.FormatInt(o.orders, 10), "--seed", strconv.FormatUint(o.seed, 10),
		"--rate", strconv.FormatFloat(o.ratePerSecond, 'g', -1, 64), "--durability", string(o.durability),
		"--segment-bytes", strconv.FormatInt(o.segmentBytes, 10), "--window", strconv.FormatInt(o.window, 10),
		"--acked", strconv.FormatInt(o.ackedSeq, 10),
	}
}

// flags are what args makes.
func (o *childOptions) flags(f *flags) {
	f.Int64Var(&o.orders, "orders", 0, "")
	f.Uint64Var(&o.seed, "seed", defaultSeed, "")
	f.Float64Var(&o.ratePerSecond, "rate", 0, "")
	f.Var(&o.durability, "durability", "")
	f.Int64Var(&o.segmentBytes, "segment-bytes", runSegmentBytes, "")
	f.Int64Var(&o.window, "window", 256, "")
	f.Int64Var(&o.ackedSeq, "acked", 0, "")
}

func parseChild(args []string) (o childOptions, err error) {
	o.durability = modeGroup
	f := newFlags(childName)
	o.flags(f)
	err = f.parse(args)
	o.dir = f.dir
	if err == nil && (o.window < 1 || o.window > 1<<20 || o.orders < 0 || o.ratePerSecond < 0) {
		err = wrong("a number is out of range")
	}
	return o, err
}

// childCommand takes orders and acknowledges every event on standard output, until it is killed or has
// taken all. It ends as well when standard input ends: its parent is gone.
func childCommand(ctx context.Context, args []string, s streams) error {
	o, err := parseChild(args)
	if err != nil {
		return err
	}
	deaf()
	go func() {
		_, _ = io.Copy(io.Discard, s.in)
		os.Exit(exitFailed)
	}()

	out := newAckWriter(s.out)
	a := newApp()
	addGateAcks(a, out, o.ackedSeq)
	eng, err := headrace.Open(o.dir, a.topology, engineOptions(o.durability, o.segmentBytes))
	if err != nil {
		return err
	}
	err = out.open(eng.Written())
	if err == nil {
		err = acknowledge(ctx, a, eng, out, o)
	}
	return errors.Join(err, eng.Close(ctx), out.flush())
}

// addGateAcks gives a topology a read model behind durable (which in mode none is written) that
// acknowledges the bytes of every event.
func addGateAcks(a *app, out *ackWriter, above int64) {
	p := handlers.NewProjection("acknowledgements", new(acked))
	onCommands(p, func(n *acked, c *handlers.Context, _ shop.Command) error { return n.line(out, c, above) })
	onAnswers(p, func(n *acked, c *handlers.Context, _ shop.Event) error { return n.line(out, c, above) })
	a.topology.Project(p, headrace.LaneOptions{Behind: headrace.Durable})
}

// acked is what a read model that acknowledges keeps: what it has written does not come back after a crash.
type acked struct{ Events int64 }

// line acknowledges an event above a sequence. A child that begins with a snapshot acknowledges what comes behind it.
func (n *acked) line(w *ackWriter, c *handlers.Context, above int64) error {
	n.Events++
	if c.Sequence() <= above {
		return nil
	}
	return w.write(ack{c.Sequence(), c.Event().ID(), checksum(c.Event().Body()), true})
}

// acknowledge takes orders and acknowledges each once the mode's promise for it holds.
func acknowledge(ctx context.Context, a *app, eng *headrace.Engine, out *ackWriter, o childOptions) error {
	at := a.position()
	source := shop.NewGenerator(o.seed, 0)
	if err := at.Resume(source); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	promised := make(chan ack, o.window)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := awaitPromises(ctx, eng, out, o.durability, promised); err != nil {
			cancel(err)
		}
	}()

	var payload []byte
	work := taking{source: source, orders: o.orders, ratePerSecond: o.ratePerSecond}
	work.taken = func(order *shop.Order, seq int64) (err error) {
		if payload, err = appendCommand(a.registry, payload[:0], order.Command()); err != nil {
			return err
		}
		select {
		case promised <- ack{seq, order.ID(), checksum(payload), false}:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	_, err := work.run(ctx, eng, at)
	close(promised)
	<-ended
	return errors.Join(err, context.Cause(ctx))
}

// appendCommand encodes a command as the log should hold it.
func appendCommand(reg *event.Registry, dst []byte, c shop.Command) ([]byte, error) {
	switch c := c.(type) {
	case *shop.PlaceOrder:
		return appendPayload(reg, dst, c)
	case *shop.CancelOrder:
		return appendPayload(reg, dst, c)
	case *shop.AdjustLedger:
		return appendPayload(reg, dst, c)
	}
	return dst, fmt.Errorf("no event type for %T", c)
}

func appendPayload[T any](reg *event.Registry, dst []byte, v *T) ([]byte, error) {
	t, err := event.CodecOf[T](reg)
	if err != nil {
		return dst, err
	}
	return t.AppendPayload(dst, v)
}

// awaitPromises writes an acknowledgement for each event that comes in, once the engine promises it, many
// at a time.
func awaitPromises(ctx context.Context, eng *headrace.Engine, out *ackWriter, m mode, promised <-chan ack) error {
	wait := eng.WaitDurable
	if m == modeNone {
		wait = eng.WaitWritten
	}
	var batch []ack
	for first := range promised {
		batch = append(batch[:0], first)
		for more := len(promised); more > 0; more-- {
			batch = append(batch, <-promised)
		}
		if err := wait(ctx, batch[len(batch)-1].seq); err != nil {
			return err
		}
		for _, a := range batch {
			if err := out.write(a); err != nil {
				return err
			}
		}
		if err := out.flush(); err != nil {
			return err
		}
	}
	return nil
}
