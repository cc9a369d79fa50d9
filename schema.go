package headrace

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/event/schema"
	"github.com/headrace/headrace/journal"
)

// SchemaError reports a type of the registry that does not fit the events that the log holds of it: a version that
// is used again for payloads that look different, one that is lower than before, one without the upcasters
// from what was. Package schema has the rules; a change that breaks nothing, such as a field that is
// added, is none of these. Options.AcceptSchema goes on, where you know better.
type SchemaError struct {
	Type    string          // the type's name
	Logged  schema.Type     // as the log describes it last
	Now     schema.Type     // as the registry has it
	Changes []schema.Change // those that break
}

func (e *SchemaError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "headrace: type %q does not fit the log:", e.Type)
	for i, c := range e.Changes {
		if i > 0 {
			b.WriteByte(';')
		}
		b.WriteByte(' ')
		if c.Path != "" {
			b.WriteString(c.Path + ": ")
		}
		b.WriteString(c.What)
	}
	b.WriteString("; raise its version, and add an upcaster")
	return b.String()
}

// describe holds the registry against what the log says of its types, and returns the descriptions that are
// new. Errors: *SchemaError.
func (h *history) describe(r *event.Registry, accept bool) (news []typeDescribed, err error) {
	for _, c := range r.Types() {
		now := schema.OfType(r, c)
		was, known := h.schema[now.Name]
		for i := len(now.OldNames) - 1; i >= 0 && !known; i-- {
			was, known = h.schema[now.OldNames[i]]
		}
		if known && was.Name == now.Name && was.Fingerprint == now.Fingerprint && was.LiftsFrom == now.LiftsFrom {
			continue
		}
		if known && !accept {
			if err := compare(was, now); err != nil {
				return nil, err
			}
		}
		shape, err := json.Marshal(now.Shape)
		if err != nil {
			return nil, err
		}
		d := typeDescribed{
			Name: now.Name, Version: now.Version, LiftsFrom: now.LiftsFrom, Kind: now.Kind, OldNames: now.OldNames,
			Fingerprint: now.Fingerprint, Shape: shape,
		}
		h.schema[now.Name] = d
		news = append(news, d)
	}
	return news, nil
}

// compare returns a *SchemaError if events as the log describes them do not survive the registered type.
func compare(was typeDescribed, now schema.Type) error {
	logged := schema.Type{
		Name: was.Name, Version: was.Version, LiftsFrom: was.LiftsFrom, Kind: was.Kind, OldNames: was.OldNames, Fingerprint: was.Fingerprint,
	}
	if was.Shape == nil {
		logged.Shape = now.Shape // versions and kind alone can be compared
	} else if err := json.Unmarshal(was.Shape, &logged.Shape); err != nil {
		return fmt.Errorf("%w: the description of type %q: %w", ErrLog, was.Name, err)
	}
	breaks := schema.Breaking(schema.Check(
		schema.Dump{Format: schema.Format, Types: []schema.Type{logged}},
		schema.Dump{Format: schema.Format, Types: []schema.Type{now}}))
	if was.Shape == nil && was.Version == now.Version && was.Fingerprint != now.Fingerprint {
		breaks = append(breaks, schema.Change{Type: now.Name, Breaks: true, What: "it looks different, and the log's description is too large to tell in what"})
	}
	if len(breaks) == 0 {
		return nil
	}
	return &SchemaError{Type: now.Name, Logged: logged, Now: now, Changes: breaks}
}

// entry is the record of a description. A shape that does not fit is left out.
func describedEntry(d typeDescribed, now int64, limit int) (journal.Entry, error) {
	body, err := systemBody(d, now)
	if err == nil && len(body) > limit {
		d.Shape = nil
		body, err = systemBody(d, now)
	}
	return journal.Entry{Type: typeDescribedID, Kind: journal.KindCheckpoint, Time: now, Body: body}, err
}
