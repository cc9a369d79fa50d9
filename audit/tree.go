package audit

import (
	"context"
	"fmt"

	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/journal"
)

// TraceOptions bound what Trace keeps. The zero value is the default.
type TraceOptions struct {
	MaxEvents int // events in the tree at most: [1, 1<<20]. Default 10,000
	MaxDepth  int // levels at most: [1, 1000]. Default 100

	// MaxDataBytes is how much of JSON an event's data may have to be in the tree: [0, 64 MiB]. Default 4096;
	// negative leaves out all data.
	MaxDataBytes int

	From, Until int64 // where to look, as in Query
}

func (o TraceOptions) withDefaults() (TraceOptions, error) {
	fill := func(field *int, value int) {
		if *field == 0 {
			*field = value
		}
	}
	fill(&o.MaxEvents, 10_000)
	fill(&o.MaxDepth, 100)
	fill(&o.MaxDataBytes, 4096)
	switch {
	case o.MaxEvents < 1 || o.MaxEvents > 1<<20:
		return o, fmt.Errorf("audit: TraceOptions.MaxEvents = %d: want [1, 1,048,576]", o.MaxEvents)
	case o.MaxDepth < 1 || o.MaxDepth > 1000:
		return o, fmt.Errorf("audit: TraceOptions.MaxDepth = %d: want [1, 1000]", o.MaxDepth)
	case o.MaxDataBytes > 64<<20:
		return o, fmt.Errorf("audit: TraceOptions.MaxDataBytes = %d: want at most 67,108,864", o.MaxDataBytes)
	}
	return o, nil
}

// Tree is a conversation: its events, each below the one that caused it.
type Tree struct {
	Correlation event.ID `json:"correlation_id"`
	Events      int      `json:"events"`            // of the conversation, all of them
	Omitted     int      `json:"omitted,omitempty"` // of those: beyond MaxEvents or below MaxDepth
	Lost        int      `json:"lost,omitempty"`    // lost records in the range: they may have been part of it
	First       int64    `json:"first_sequence"`    // 0 if there is none
	Last        int64    `json:"last_sequence"`
	Roots       []*Node  `json:"roots"` // what came from outside, or whose cause is not in the conversation, by sequence
}

// Node is one event in a Tree.
type Node struct {
	Entry
	DataOmitted int     `json:"data_omitted,omitempty"` // bytes of Data that are left out
	Children    []*Node `json:"children,omitempty"`     // events that name it as their cause, by sequence
	Deeper      int     `json:"deeper,omitempty"`       // children beyond MaxDepth, and what they have below

	depth   int
	clipped *Node // the node that counts what is below MaxDepth, if this is below
}

// Trace returns the tree of a conversation: of the event with the id correlation and those that carry it
// as their correlation id. A cause stands before its effects in the log; an event whose cause does not, or is
// not of the conversation, is a root. Of two events with one id, the later causes what comes behind it.
//
// Errors: those of Events.
func (l *Log) Trace(ctx context.Context, correlation event.ID, o TraceOptions) (*Tree, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if correlation.IsZero() {
		return nil, fmt.Errorf("audit: Trace: %w: the correlation id is zero", event.ErrID)
	}
	t := &Tree{Correlation: correlation, Roots: []*Node{}}
	byID := map[event.ID]*Node{}
	kept := 0
	err = l.read(ctx, Query{From: o.From, Until: o.Until, Correlation: correlation}, func(_ *journal.Reader, rec journal.Record, v event.View) error {
		if rec.Kind == journal.KindLost {
			t.Lost++
			return nil
		}
		t.Events++
		if t.Last = rec.Sequence; t.First == 0 {
			t.First = rec.Sequence
		}
		if kept == o.MaxEvents {
			t.Omitted++
			return nil
		}
		n := &Node{depth: 1}
		cause := byID[v.CausationID()]
		if v.CausationID().IsZero() {
			cause = nil
		}
		kept++ // also those below MaxDepth: they may be causes, and take memory
		if cause != nil {
			n.depth = cause.depth + 1
			if n.clipped = cause.clipped; n.clipped == nil && n.depth > o.MaxDepth {
				n.clipped = cause
			}
		}
		byID[v.ID()] = n
		if n.clipped != nil {
			n.clipped.Deeper++
			t.Omitted++
			return nil
		}
		n.Entry = envelope(rec, v, nameOf(l.names, rec.Type))
		if o.MaxDataBytes > 0 {
			if n.Data, n.Encoding = data(l.o.Registry, n.Type, v); len(n.Data) > o.MaxDataBytes {
				n.Data, n.DataOmitted = nil, len(n.Data)
			}
		}
		if cause == nil {
			t.Roots = append(t.Roots, n)
		} else {
			cause.Children = append(cause.Children, n)
		}
		return nil
	})
	return t, err
}

// Correlation returns the conversation that the event seq belongs to: its correlation id or, where it has none,
// its own id. Errors: those of Events; ErrNotFound.
func (l *Log) Correlation(ctx context.Context, seq int64) (id event.ID, err error) {
	if seq < 1 {
		return id, fmt.Errorf("audit: sequence %d: want at least 1", seq)
	}
	err = l.read(ctx, Query{From: seq, Until: seq}, func(_ *journal.Reader, rec journal.Record, v event.View) error {
		if id = v.CorrelationID(); id.IsZero() {
			id = v.ID()
		}
		return nil
	})
	if err == nil && id.IsZero() {
		err = fmt.Errorf("%w: sequence %d", ErrNotFound, seq)
	}
	return id, err
}
