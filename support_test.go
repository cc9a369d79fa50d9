package headrace_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vmihailenco/msgpack/v5"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/journal"
)

// deposit is the tests' command, with an encoder of its own.
type deposit struct {
	Account int64
	Amount  int64
}

func (d *deposit) EncodeMsgpack(e *msgpack.Encoder) error {
	return errors.Join(e.EncodeArrayLen(2), e.EncodeInt64(d.Account), e.EncodeInt64(d.Amount))
}

func (d *deposit) DecodeMsgpack(dec *msgpack.Decoder) (err error) {
	n, err := dec.DecodeArrayLen()
	if err != nil || n != 2 {
		return errors.Join(err, errFields)
	}
	if d.Account, err = dec.DecodeInt64(); err != nil {
		return err
	}
	d.Amount, err = dec.DecodeInt64()
	return err
}

var errFields = errors.New("want two fields")

// deposited is the answer to deposit.
type deposited struct{ Account, Amount int64 }

func (d *deposited) EncodeMsgpack(e *msgpack.Encoder) error { return (*deposit)(d).EncodeMsgpack(e) }
func (d *deposited) DecodeMsgpack(e *msgpack.Decoder) error { return (*deposit)(d).DecodeMsgpack(e) }

// note goes through msgpack's reflection, and can be of any size.
type note struct{ Text string }

// refusing cannot be encoded.
type refusing struct{ Panic bool }

func (r *refusing) EncodeMsgpack(*msgpack.Encoder) error {
	if r.Panic {
		panic("encoder panics")
	}
	return errRefusing
}
func (r *refusing) DecodeMsgpack(*msgpack.Decoder) error { return errRefusing }

var errRefusing = errors.New("this value cannot be encoded")

// bank is the tests' read model.
type bank struct {
	Balance map[int64]int64
	Order   []int64 // amounts in the order of their arrival
	Answers int
}

// app is one topology with what hangs on it.
type app struct {
	topology *headrace.Topology
	bank     *handlers.Projection[bank]
}

func registry(t testing.TB) *event.Registry {
	t.Helper()
	r := event.NewRegistry()
	event.MustRegister[deposit](r, "bank.deposit", 1, event.TypeOptions{Kind: event.Command})
	event.MustRegister[deposited](r, "bank.deposited", 1)
	event.MustRegister[note](r, "bank.note", 1)
	event.MustRegister[refusing](r, "bank.refusing", 1)
	return r
}

// newApp is a bank that answers each deposit with a deposited.
func newApp(t testing.TB) app {
	t.Helper()
	return newAppWith(t, func(c *handlers.Context, d deposit) error {
		return handlers.Emit(c, deposited(d))
	})
}

func newAppWith(t testing.TB, teller func(*handlers.Context, deposit) error) app {
	t.Helper()
	top := headrace.NewTopology(registry(t))
	if teller != nil {
		handlers.On(top.Logic(), "teller", teller)
	}
	p := handlers.NewProjection("bank", &bank{Balance: map[int64]int64{}})
	handlers.Apply(p, func(b *bank, c *handlers.Context, d deposited) error {
		b.Balance[d.Account] += d.Amount
		b.Order = append(b.Order, d.Amount)
		b.Answers++
		return nil
	})
	top.Project(p, headrace.LaneOptions{})
	return app{top, p}
}

// small keeps segments small, so that tests roll over.
func small() headrace.Options {
	return headrace.Options{Slots: 256, SlotBytes: 256, Journal: journal.Options{SegmentBytes: 64 << 10, Durability: journal.None()}}
}

func open(t testing.TB, dir string, a app, o headrace.Options) *headrace.Engine {
	t.Helper()
	e, err := headrace.Open(dir, a.topology, o)
	require.NoError(t, err)
	return e
}

func producer(t testing.TB, e *headrace.Engine, name string) *headrace.Producer {
	t.Helper()
	p, err := e.Producer(name)
	require.NoError(t, err)
	return p
}

func publish[T any](t testing.TB, p *headrace.Producer, v T) int64 {
	t.Helper()
	seq, err := headrace.Publish(limit(t), p, v, headrace.Meta{})
	require.NoError(t, err)
	return seq
}

func closeEngine(t testing.TB, e *headrace.Engine) {
	t.Helper()
	require.NoError(t, e.Close(limit(t)))
}

// hang is how long something may take before it is taken for a hang: longer than a slow machine needs that is
// busy with other things, and shorter than the tests of a package may take.
const hang = 5 * time.Minute

// limit is a context that turns a hang into a failure.
func limit(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), hang)
	t.Cleanup(cancel)
	return ctx
}

// state returns a copy of the read model.
func (a app) state() (b bank, sequence int64) {
	a.bank.View(func(s *bank, seq int64) {
		b = bank{Balance: map[int64]int64{}, Order: slices.Clone(s.Order), Answers: s.Answers}
		for k, v := range s.Balance {
			b.Balance[k] = v
		}
		sequence = seq
	})
	return b, sequence
}

// logged is one event of the log as the tests look at it.
type logged struct {
	seq    int64
	kind   journal.Kind
	flags  journal.Flags
	typeID uint16
	header event.Header
}

// readLog reads the log of dir, which nobody writes.
func readLog(t testing.TB, dir string) []logged {
	t.Helper()
	return readFrom(t, dir, 1)
}

// readLogFrom is readLog for a log that may have lost its beginning.
func readLogFrom(t testing.TB, dir string) []logged { return readFrom(t, dir, 0) }

func readFrom(t testing.TB, dir string, from int64) []logged {
	r, err := journal.OpenReader(dir, from, journal.ReaderOptions{})
	require.NoError(t, err)
	defer r.Close()
	var all []logged
	_, err = r.Read(func(rec journal.Record) error {
		l := logged{seq: rec.Sequence, kind: rec.Kind, flags: rec.Flags, typeID: rec.Type}
		if rec.Kind == journal.KindEvent {
			v, err := event.Parse(rec.Body)
			if err != nil {
				return err
			}
			l.header = v.Header()
		}
		all = append(all, l)
		return nil
	})
	require.NoError(t, err)
	return all
}

// copyDir copies the files of a journal, as a crash would leave them: without the lock.
func copyDir(t testing.TB, from string) string {
	t.Helper()
	to := t.TempDir()
	files, err := os.ReadDir(from)
	require.NoError(t, err)
	for _, f := range files {
		if f.Type().IsRegular() {
			data, err := os.ReadFile(filepath.Join(from, f.Name()))
			if errors.Is(err, os.ErrNotExist) {
				continue // a spare segment that got its name meanwhile
			}
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(filepath.Join(to, f.Name()), data, 0o600))
		}
	}
	return to
}
