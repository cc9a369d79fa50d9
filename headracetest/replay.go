package headracetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/handlers"
)

// ReplayEqualsLive proves that the log alone determines the state: it waits until nothing is under way, replays the log
// from its beginning, and once more from a snapshot that it takes, with new topologies, and compares the states of all
// lanes, what is parked and the timers. What differs is a handler that asks the system for the time, that keeps
// something outside its states, or the like; and behind a snapshot a state whose encoding leaves something out.
//
// Every lane has to declare its state: see handlers.Keep and handlers.Lane.Stateless.
func (a *App[P]) ReplayEqualsLive() *App[P] {
	a.t.Helper()
	a.Settle()
	live, err := a.live.Hashes()
	if err != nil {
		a.t.Fatalf("headracetest: ReplayEqualsLive: %v", explained(err))
	}
	a.compare("from its beginning", live, headrace.ReplayOptions{FromStart: true})
	if _, err := a.snapshot(); err != nil {
		a.t.Fatalf("headracetest: ReplayEqualsLive: snapshot: %v", err)
	}
	a.Settle()
	if live, err = a.live.Hashes(); err != nil {
		a.t.Fatalf("headracetest: ReplayEqualsLive: %v", err)
	}
	a.compare("from a snapshot", live, headrace.ReplayOptions{})
	return a
}

// explained adds what is to be done.
func explained(err error) error {
	var u *headrace.UndeclaredStateError
	if errors.As(err, &u) {
		return fmt.Errorf("%w\n    a state that nobody has declared cannot be compared", err)
	}
	return err
}

func (a *App[P]) compare(how string, live []handlers.StateHash, o headrace.ReplayOptions) {
	a.t.Helper()
	top, _ := a.make()
	r, err := headrace.Replay(a.dir, top, o)
	if err != nil {
		a.t.Fatalf("headracetest: replay of the log %s: %v", how, err)
	}
	if !o.FromStart && r.Snapshot == 0 {
		a.t.Fatalf("headracetest: the snapshot does not fit: %v", errors.Join(r.PassedOver...))
	}
	replayed, err := top.Hashes()
	if err != nil {
		a.t.Fatalf("headracetest: replay of the log %s: %v", how, err)
	}
	if text := diffStates(live, replayed); text != "" {
		a.t.Fatalf("headracetest: replay of the log %s leads to other states than the live engine has:\n%s", how, text)
	}
}

// diffStates shows what differs, "" for nothing.
func diffStates(live, replayed []handlers.StateHash) string {
	var b strings.Builder
	name := func(s handlers.StateHash) string {
		if s.Lane == "" {
			return s.Name
		}
		return fmt.Sprintf("%s of lane %q", s.Name, s.Lane)
	}
	same := func(s handlers.StateHash) func(handlers.StateHash) bool {
		return func(o handlers.StateHash) bool { return o.Lane == s.Lane && o.Name == s.Name }
	}
	for _, s := range live {
		i := slices.IndexFunc(replayed, same(s))
		switch {
		case i < 0:
			fmt.Fprintf(&b, "    %s: live %d bytes, replayed none\n", name(s), s.Bytes)
		case replayed[i].SHA256 != s.SHA256:
			fmt.Fprintf(&b, "    %s: live %d bytes with hash %.8x, replayed %d bytes with hash %.8x\n", name(s), s.Bytes, s.SHA256, replayed[i].Bytes, replayed[i].SHA256)
		}
	}
	for _, s := range replayed {
		if !slices.ContainsFunc(live, same(s)) {
			fmt.Fprintf(&b, "    %s: live none, replayed %d bytes\n", name(s), s.Bytes)
		}
	}
	return b.String()
}
