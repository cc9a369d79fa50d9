package headracetest

import (
	"errors"
	"slices"
	"time"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
)

// Step is what a When led to.
type Step[P any] struct {
	app    *App[P]
	before int64 // last sequence before it
	own    int64 // of the last event that was published
	last   int64 // of the log when all was at rest
	got    []logged
}

// When publishes events or commands, one after the other, and waits until nothing is under way. Each is a value, or with
// a key or other headers a headrace.Message such as Key makes.
func (a *App[P]) When(events ...any) *Step[P] {
	a.t.Helper()
	if len(events) == 0 {
		a.t.Fatalf("headracetest: When without an event; to let time pass use WhenAdvanced")
	}
	a.Settle()
	before := a.engine.Written()
	a.publish(events)
	a.Settle()
	return a.step(before)
}

// WhenAdvanced is Advance, for a Then.
func (a *App[P]) WhenAdvanced(d time.Duration) *Step[P] {
	a.t.Helper()
	a.Settle()
	before := a.engine.Written()
	a.Advance(d)
	return a.step(before)
}

// step is what is in the log behind a sequence.
func (a *App[P]) step(before int64) *Step[P] {
	a.t.Helper()
	s := &Step[P]{app: a, before: before, last: a.engine.Written()}
	s.got, s.own = a.consequences(a.dir, before)
	return s
}

// consequences returns what is in the log of dir behind a sequence but for what the test has published, and the last
// sequence of that.
func (a *App[P]) consequences(dir string, before int64) (got []logged, own int64) {
	a.t.Helper()
	own = before
	got = slices.DeleteFunc(a.read(dir, before), func(l logged) bool {
		mine := l.producer == producerName && !l.caused
		if mine {
			own = l.sequence
		}
		return mine
	})
	return got, own
}

// producerName is that of what a test publishes.
const producerName = "headracetest"

// And goes on with the App, where nothing is expected.
func (s *Step[P]) And() *App[P] { return s.app }

// Events returns what the step led to, in the order of the log: pointers to values of the registered types,
// *handlers.Rejected and *handlers.Failed among them.
func (s *Step[P]) Events() []any {
	all := make([]any, len(s.got))
	for i, l := range s.got {
		all[i] = l.value
	}
	return all
}

// Then wants exactly these events, in this order. Each is a value, and with a key, from Key, that must be the event's
// too. Other headers are not compared. A handlers.Rejected without a reason stands for any, and so does a
// handlers.Failed in every field that is zero.
func (s *Step[P]) Then(events ...any) *App[P] {
	s.app.t.Helper()
	want := s.expected(events)
	if !matchAll(want, s.got) {
		s.app.t.Fatalf("headracetest: other events than expected:\n%s", diff(want, s.got))
	}
	return s.app
}

// ThenIncludes wants these events, in this order, whatever stands before, between and behind them.
func (s *Step[P]) ThenIncludes(events ...any) *App[P] {
	s.app.t.Helper()
	want := s.expected(events)
	i := 0
	for _, l := range s.got {
		if i < len(want) && want[i].matches(l) {
			i++
		}
	}
	if i < len(want) {
		s.app.t.Fatalf("headracetest: events are missing, from %s on:\n%s", want[i].line(), diff(want, s.got))
	}
	return s.app
}

// ThenNothing wants no event.
func (s *Step[P]) ThenNothing() *App[P] {
	s.app.t.Helper()
	return s.Then()
}

// ThenRejected wants a rejection with this code, and nothing else.
func (s *Step[P]) ThenRejected(code string) *App[P] {
	s.app.t.Helper()
	return s.Then(handlers.Rejected{Code: code})
}

func (s *Step[P]) expected(events []any) []expected {
	s.app.t.Helper()
	all := make([]expected, len(events))
	for i, v := range events {
		m := message(v)
		e, err := expect(s.app.registry(), m)
		if err != nil {
			s.app.t.Fatalf("headracetest: expected event %d, %T: %v", i+1, m.Value, err)
		}
		all[i] = e
	}
	return all
}

func (a *App[P]) registry() *event.Registry { return a.live.Registry() }

// message makes v one.
func message(v any) headrace.Message {
	switch v := v.(type) {
	case headrace.Message:
		return v
	case *headrace.Message:
		return *v
	}
	return headrace.Message{Value: v}
}

// isCommand tells whether m is one: it is no part of a stream.
func isCommand(types *event.Registry, m headrace.Message) bool {
	if m.Meta.Kind != 0 {
		return m.Meta.Kind == event.Command
	}
	c, err := codecOf(types, m.Value)
	return err == nil && c.Kind() == event.Command
}

var errNoType = errors.New("its type is not registered")
