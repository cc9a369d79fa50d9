package headrace

import (
	"slices"
	"time"

	"github.com/headrace/headrace/handlers"
)

// States of an engine.
const (
	StateRunning = "running"
	StateClosing = "closing"
	StateClosed  = "closed"
	StateHalted  = "halted"
)

// Health is how an engine is, for people and for probes. It marshals to JSON:
//
//	http.HandleFunc("/health", func(w http.ResponseWriter, _ *http.Request) {
//		h := eng.Health()
//		if h.State != headrace.StateRunning {
//			w.WriteHeader(http.StatusServiceUnavailable)
//		}
//		json.NewEncoder(w).Encode(h)
//	})
//
// Its parts are read one after the other, each right by itself.
type Health struct {
	State string `json:"state"`           // StateRunning, …
	Error string `json:"error,omitempty"` // why it has halted

	Published int64 `json:"published"` // last sequence in the ring
	Written   int64 `json:"written"`   // last sequence that the death of the process cannot take
	Durable   int64 `json:"durable"`   // last sequence that a power cut cannot take

	AtRisk   AtRisk    `json:"at_risk"`
	LastSync time.Time `json:"last_sync,omitzero"` // when the journal was last synced; zero if not since Open

	Lanes     []Position `json:"lanes"` // journal and sync stages, lanes, projections, effects
	Followers []Position `json:"followers,omitempty"`

	DeadLetters   int   `json:"dead_letters"`   // events that wait for Redrive or Discard
	ParkedKeys    int   `json:"parked_keys"`    // keys, or events without one, that are held up; dead letters included
	WaitingEvents int   `json:"waiting_events"` // events that wait behind those
	Timers        int64 `json:"timers"`         // events that wait for their time
	FeedbackBytes int64 `json:"feedback_bytes"` // emitted and not yet in the ring

	OpenCircuits    []string `json:"open_circuits,omitempty"`    // effects that are kept from calling
	MissingHandlers []string `json:"missing_handlers,omitempty"` // they owe answers: see Topology.RetireHandler
}

// AtRisk is what a power cut would take now.
type AtRisk struct {
	Events int64         `json:"events"`
	Bytes  int64         `json:"bytes"` // of records
	Age    time.Duration `json:"age_ns"`
}

// Position is how far somebody is who reads events.
type Position struct {
	Name     string `json:"name"`
	Sequence int64  `json:"sequence"` // last one handled
	Lag      int64  `json:"lag"`      // events behind what it could have handled

	Paused     bool `json:"paused,omitempty"`      // see Engine.Pause
	CatchingUp bool `json:"catching_up,omitempty"` // it was, and reads the log still

	Members []MemberPosition `json:"members,omitempty"` // of a group, in the order in which they came; see Engine.FollowShared
}

// MemberPosition is what a member of a group has to do.
type MemberPosition struct {
	Member   int64 `json:"member"`   // its number in the group, from 1; none is given twice while the group lasts
	Sequence int64 `json:"sequence"` // the event that it handles, 0 = none
	Waiting  int   `json:"waiting"`  // events that wait for it, besides
	Keys     int   `json:"keys"`     // that it has, and keeps while something of them is on its way
}

// Health looks at the engine. It may be called at any time, from any goroutine, also after Close. It costs the
// hot path nothing. It takes in the order of ten microseconds, more with more lanes and followers, and in proportion to what is
// parked and what effects have not answered.
func (e *Engine) Health() Health {
	j := e.journal.Stats()
	h := Health{
		State: e.state(), Published: e.ring.Cursor(), Written: j.Written, Durable: j.Durable,
		AtRisk: AtRisk{Events: j.LossEvents, Bytes: j.LossBytes, Age: j.LossTime}, LastSync: j.LastSync,
		FeedbackBytes: e.feedback.Bytes(), MissingHandlers: slices.Clone(e.missing),
	}
	if err := e.Err(); err != nil {
		h.Error = err.Error()
	}
	for _, c := range e.consumers {
		at := c.Cursor()
		p := Position{Name: c.Name(), Sequence: at, Lag: max(0, h.Published-at)}
		for _, l := range e.lanes {
			if l.Name() == c.Name() && l.Away() {
				p.Sequence = l.Sequence()
				p.Lag, p.Paused, p.CatchingUp = max(0, h.Published-p.Sequence), l.Paused(), !l.Paused()
			}
		}
		h.Lanes = append(h.Lanes, p)
	}
	var groups []*group
	e.mu.Lock()
	for f := range e.reading {
		last := h.Durable
		if f.provisional() {
			last = h.Written
		}
		at := f.shown.Load()
		h.Followers = append(h.Followers, Position{Name: f.options.Name, Sequence: at, Lag: max(0, last-at)})
		if g, ok := f.taker.(*group); ok {
			groups = append(groups, g)
		}
	}
	e.mu.Unlock()
	for _, g := range groups { // each has a name that nobody else has
		i := slices.IndexFunc(h.Followers, func(p Position) bool { return p.Name == g.options.Name })
		h.Followers[i].Members = g.positions()
	}
	slices.SortFunc(h.Followers, func(a, b Position) int {
		if a.Name != b.Name {
			if a.Name < b.Name {
				return -1
			}
			return 1
		}
		return int(a.Sequence - b.Sequence)
	})
	for _, p := range e.Parked() {
		h.ParkedKeys++
		h.WaitingEvents += p.Waiting
		if p.Dead {
			h.DeadLetters++
		}
	}
	if e.timers != nil {
		h.Timers = e.timers.Pending()
	}
	for _, x := range e.effects {
		if s := x.Stats(); s.Circuit != "" && s.Circuit != handlers.CircuitClosed {
			h.OpenCircuits = append(h.OpenCircuits, s.Name)
		}
	}
	return h
}

func (e *Engine) state() string {
	select {
	case <-e.halted:
		return StateHalted
	default:
	}
	select {
	case <-e.done:
		return StateClosed
	default:
	}
	if e.closed.Load() {
		return StateClosing
	}
	return StateRunning
}
