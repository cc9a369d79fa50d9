package headracetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/journal"
)

// Options configures an App; the zero value is the default.
type Options struct {
	// Engine is how the engine is opened. Default: small, in durability mode None. Clock is the App's own.
	Engine headrace.Options
	// Now is what the clock says at first. Default the first of January 2030.
	Now time.Time
	// Timeout is how long to wait for one thing before the test fails, by the system's clock. Default a minute.
	Timeout time.Duration
}

// App is an application under test. Its methods belong to the goroutine of the test, but Parts, Engine and Publish,
// which any may call while no other method runs. Those that find a fault end the test as t.FailNow does.
type App[P any] struct {
	t       testing.TB
	make    func() (*headrace.Topology, P)
	options Options
	clock   *Clock
	dir     string
	engine  *headrace.Engine // nil: not open
	live    *headrace.Topology
	parts   P
	begun   bool
}

// New returns an App. topology makes a new one for each engine and each replay.
func New(t testing.TB, topology func() *headrace.Topology, o Options) *App[struct{}] {
	return NewWith(t, func() (*headrace.Topology, struct{}) { return topology(), struct{}{} }, o)
}

// NewWith is New for a topology with parts that the test looks at, such as its read models: Parts returns those of
// the engine that runs.
//
//	type parts struct{ sales *handlers.Projection[Sales] }
//	shop := headracetest.NewWith(t, func() (*headrace.Topology, parts) { … }, headracetest.Options{})
//	shop.When(Order{…})
//	shop.Parts().sales.View(func(s *Sales, _ int64) { … })
func NewWith[P any](t testing.TB, make func() (*headrace.Topology, P), o Options) *App[P] {
	t.Helper()
	if o.Now.IsZero() {
		o.Now = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	if o.Timeout == 0 {
		o.Timeout = time.Minute
	}
	if o.Engine.Clock != nil {
		t.Fatalf("headracetest: Options.Engine.Clock is set: the clock is the App's, see App.Clock")
	}
	if o.Engine.Slots == 0 {
		o.Engine.Slots = 1024
	}
	if o.Engine.Journal.SegmentBytes == 0 {
		o.Engine.Journal.SegmentBytes = 4 << 20
	}
	if o.Engine.Journal.Durability == (journal.Durability{}) {
		o.Engine.Journal.Durability = journal.None()
	}
	a := &App[P]{t: t, make: make, options: o, clock: NewClock(o.Now), dir: t.TempDir()}
	o.Engine.Clock = a.clock
	a.options = o
	t.Cleanup(a.cleanUp)
	return a
}

// Key is an event, or a command, with a key, for Given, When and Then.
func Key(key string, value any) headrace.Message {
	return headrace.Message{Value: value, Meta: headrace.Meta{Key: key}}
}

// Given puts events into the log before the application starts. An event with a key is the next of that stream, so
// what an aggregate or a saga has written can be given too. Commands stand in the log as if they had been
// handled. It comes before everything else.
func (a *App[P]) Given(events ...any) *App[P] {
	a.t.Helper()
	if a.begun {
		a.t.Fatalf("headracetest: Given comes before everything else: the application has started")
	}
	top, _ := a.make()
	e, err := headrace.Open(a.dir, headrace.NewTopology(top.Registry()), a.options.Engine)
	if err != nil {
		a.t.Fatalf("headracetest: Given: %v", err)
	}
	err = a.give(e, top.Registry(), events)
	ctx, cancel := a.limit()
	defer cancel()
	if cerr := e.Close(ctx); err == nil {
		err = cerr
	}
	if err != nil {
		a.t.Fatalf("headracetest: Given: %v", err)
	}
	return a
}

func (a *App[P]) give(e *headrace.Engine, types *event.Registry, events []any) error {
	p, err := e.Producer("given")
	if err != nil {
		return err
	}
	ctx, cancel := a.limit()
	defer cancel()
	for i, v := range events {
		m := message(v)
		if key := m.Meta.Key; key != "" && !isCommand(types, m) {
			_, err = p.Append(ctx, key, headrace.ExpectAny, m)
		} else {
			_, err = p.Publish(ctx, m.Value, m.Meta)
		}
		if err != nil {
			return fmt.Errorf("event %d, %T: %w", i+1, m.Value, err)
		}
	}
	return nil
}

// Engine returns the engine, which it opens if need be.
func (a *App[P]) Engine() *headrace.Engine {
	a.t.Helper()
	a.open()
	return a.engine
}

// Parts returns what belongs to the topology of the engine that runs.
func (a *App[P]) Parts() P {
	a.t.Helper()
	a.open()
	return a.parts
}

// Clock is the application's clock. Advance moves it with what is due on the way.
func (a *App[P]) Clock() *Clock { return a.clock }

// Dir is where the log lies.
func (a *App[P]) Dir() string { return a.dir }

// Publish publishes events, one after the other, and does not wait for what comes of them: for a Crash in the middle.
func (a *App[P]) Publish(events ...any) *App[P] {
	a.t.Helper()
	a.publish(events)
	return a
}

func (a *App[P]) publish(events []any) {
	a.t.Helper()
	a.open()
	p, err := a.engine.Producer(producerName)
	if err != nil {
		a.t.Fatalf("headracetest: %v", err)
	}
	ctx, cancel := a.limit()
	defer cancel()
	for i, v := range events {
		m := message(v)
		if _, err := p.Publish(ctx, m.Value, m.Meta); err != nil {
			a.t.Fatalf("headracetest: event %d, %T: %v", i+1, m.Value, err)
		}
	}
}

// Settle waits until nothing is under way: see headrace.Engine.WaitIdle.
func (a *App[P]) Settle() *App[P] {
	a.t.Helper()
	a.open()
	ctx, cancel := a.limit()
	defer cancel()
	if err := a.engine.WaitIdle(ctx); err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			a.t.Fatalf("headracetest: not at rest within %v: %s", a.options.Timeout, a.busy())
		}
		a.t.Fatalf("headracetest: %v", err)
	}
	return a
}

// busy says what keeps the application from coming to rest.
func (a *App[P]) busy() string {
	h := a.engine.Health()
	text := fmt.Sprintf("published %d events", h.Published)
	for _, l := range h.Lanes {
		if l.Lag > 0 {
			text += fmt.Sprintf(", lane %q is %d behind", l.Name, l.Lag)
		}
	}
	for _, s := range a.engine.Stats().Effects {
		if s.Waiting+s.Running > 0 {
			text += fmt.Sprintf(", effect %q has %d calls running and %d waiting", s.Name, s.Running, s.Waiting)
		}
	}
	return text
}

// Advance moves the clock, and lets the application come to rest each time that a timer is due on the way: what is
// scheduled for an hour from then on fires an hour later, and not at the end.
func (a *App[P]) Advance(d time.Duration) *App[P] {
	a.t.Helper()
	a.Settle()
	end := a.clock.Now().Add(d)
	for {
		next, ok := a.nextWake()
		if !ok || next.After(end) {
			break
		}
		if next.After(a.clock.Now()) {
			a.clock.Set(next)
		}
		a.Settle() // and so nothing is left whose time has come: a circuit, too, is open for later or not at all
	}
	a.clock.Set(end)
	return a.Settle()
}

// nextWake is when the first of what waits for its time wakes.
func (a *App[P]) nextWake() (at time.Time, ok bool) {
	s := a.engine.Stats()
	at, ok = s.NextTimer, !s.NextTimer.IsZero()
	for _, x := range s.Effects {
		if x.Circuit == handlers.CircuitOpen && x.Waiting > 0 && (!ok || x.Until.Before(at)) {
			at, ok = x.Until, true
		}
	}
	return at, ok
}

// limit is a context that ends with the App's patience.
func (a *App[P]) limit() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), a.options.Timeout)
}

func (a *App[P]) open() {
	a.t.Helper()
	if a.engine != nil {
		return
	}
	a.begun = true
	a.live, a.parts = a.make()
	e, err := headrace.Open(a.dir, a.live, a.options.Engine)
	if err != nil {
		a.t.Fatalf("headracetest: the engine does not open: %v", err)
	}
	a.engine = e
}

// Reopen closes the engine in order and opens it again.
func (a *App[P]) Reopen() *App[P] {
	a.t.Helper()
	a.open()
	a.close()
	a.open()
	return a
}

func (a *App[P]) close() {
	a.t.Helper()
	ctx, cancel := a.limit()
	defer cancel()
	e := a.engine
	a.engine = nil
	if err := e.Close(ctx); err != nil {
		a.t.Fatalf("headracetest: close: %v", err)
	}
}

// cleanUp ends what runs, without a word: the test has seen what it wanted to see.
func (a *App[P]) cleanUp() {
	if a.engine == nil {
		return
	}
	a.abandon(a.engine)
	a.engine = nil
}

// abandon stops an engine without letting it finish anything.
func (a *App[P]) abandon(e *headrace.Engine) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = e.Close(ctx)
}

// tempDir is a directory that goes with the test.
func (a *App[P]) tempDir() string {
	a.t.Helper()
	dir, err := os.MkdirTemp(a.t.TempDir(), "log-")
	if err != nil {
		a.t.Fatalf("headracetest: %v", err)
	}
	return dir
}
