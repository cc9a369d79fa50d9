package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/event/schema"
	"github.com/headrace/headrace/internal/system"
	"github.com/headrace/headrace/journal"
)

// Described is what a log says of a type at one place.
type Described struct {
	After     int64 `json:"after_sequence"` // it holds for what comes behind this
	Shapeless bool  `json:"shapeless,omitempty"`
	schema.Type
}

// Schema returns what the log says of its types: of each one the last description, in the order in which they came,
// as a registry's dump. One of which the log does not have the shape, because it is too large for a record, has the
// shape "any". history is all descriptions, in order.
//
// Errors: those of journal.OpenReader and Read; ErrEvent.
func (l *Log) Schema() (now schema.Dump, history []Described, err error) {
	r, err := journal.OpenReader(l.dir, 0, journal.ReaderOptions{Types: []uint16{system.TypeDescribedID}, Internal: true, Archives: l.o.Archives})
	if err != nil {
		return now, nil, err
	}
	_, err = r.Read(func(rec journal.Record) error {
		if rec.Kind != journal.KindCheckpoint || rec.Type != system.TypeDescribedID {
			return nil
		}
		d, err := described(rec)
		history = append(history, d)
		return err
	})
	if err = errors.Join(err, r.Close()); err != nil {
		return now, nil, err
	}
	now = schema.Dump{Format: schema.Format, Types: []schema.Type{}}
	for _, d := range history {
		i := slices.IndexFunc(now.Types, func(t schema.Type) bool { return t.Name == d.Name || slices.Contains(d.OldNames, t.Name) })
		if i < 0 {
			now.Types = append(now.Types, d.Type)
		} else {
			now.Types[i] = d.Type
		}
	}
	return now, history, nil
}

func described(rec journal.Record) (d Described, err error) {
	fail := func(err error) (Described, error) {
		return d, fmt.Errorf("%w: the description of a type behind %d: %w", ErrEvent, rec.Sequence, err)
	}
	v, err := event.Parse(rec.Body)
	if err != nil {
		return fail(err)
	}
	var t system.TypeDescribed
	if err := system.Decode(v, &t); err != nil {
		return fail(err)
	}
	d = Described{After: rec.Sequence, Type: schema.Type{
		Name: t.Name, Version: t.Version, LiftsFrom: t.LiftsFrom, Kind: t.Kind, OldNames: t.OldNames, Fingerprint: t.Fingerprint,
		Shape: schema.Shape{Kind: "any"},
	}}
	if d.Shapeless = t.Shape == nil; !d.Shapeless {
		if err := json.Unmarshal(t.Shape, &d.Shape); err != nil {
			return fail(err)
		}
	}
	return d, nil
}
