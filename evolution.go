package headrace

import (
	"errors"
	"fmt"
	"slices"

	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/journal"
)

// RenameHandler says that the handler with the id to was called from before. It stays the same handler: what it has
// answered under its old id is answered, what is parked stays parked, and ids of events and
// random numbers derive from its first id for ever. The log gets an event of it, once; so the line may
// stay in the program, which will open logs from before and after. Rename a handler that has been
// renamed with another line.
//
// No handler may be called from any more, in this log or another: ErrHandlerID.
func (t *Topology) RenameHandler(from, to string) {
	t.renames = append(t.renames, handlerRenamed{From: from, To: to})
}

// RetireHandler says that the handler with this id is no more. What it has answered stays in the log; it owes
// nothing, and what it has parked is given up. The log gets an event of it, once; so the line may stay in
// the program. No handler may have the id again: ErrHandlerID.
//
// A handler that is neither there nor retired owes its answers, and gives them when it comes back; until then
// Health.MissingHandlers names it, and Open logs a warning.
func (t *Topology) RetireHandler(id string) { t.retires = append(t.retires, id) }

// checkNames finds renames and retirements that contradict the handlers that there are.
func (t *Topology) checkNames(ids map[string]bool) (faults []error) {
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("%w: "+format, append([]any{ErrTopology}, args...)...))
	}
	goes := map[string]bool{} // ids that are renamed or retired
	for _, id := range t.retires {
		goes[id] = true
		if ids[id] {
			fault("RetireHandler(%q): there is such a handler", id)
		}
	}
	for _, r := range t.renames {
		switch {
		case goes[r.From]:
			fault("RenameHandler(%q, %q): it is retired, or renamed to something else", r.From, r.To)
		case r.From == r.To:
			fault("RenameHandler(%q, %q): both are the same", r.From, r.To)
		case ids[r.From]:
			fault("RenameHandler(%q, %q): there is a handler %q", r.From, r.To, r.From)
		}
		goes[r.From] = true
	}
	for _, r := range t.renames {
		if !ids[r.To] && !goes[r.To] {
			fault("RenameHandler(%q, %q): there is no handler %q", r.From, r.To, r.To)
		}
	}
	for id := range goes {
		if id == "" || id == handlers.TimersHandler {
			fault("handler %q can neither be renamed nor retired", id)
		}
	}
	return faults
}

// handlerNames is what became of the ids that handlers have had in one log.
type handlerNames struct {
	former map[string][]string // by present id: those before, the first one first
	taken  map[string]string   // ids that nobody can have: why
}

func newHandlerNames() handlerNames {
	return handlerNames{former: map[string][]string{}, taken: map[string]string{}}
}

// hash is what the log knows the handler by.
func (n handlerNames) hash(id string) uint64 {
	if f := n.former[id]; len(f) > 0 {
		id = f[0]
	}
	return event.HandlerID(id)
}

func (n handlerNames) rename(from, to string) {
	n.former[to] = append(slices.Clone(n.former[from]), from)
	delete(n.former, from)
	n.taken[from] = fmt.Sprintf("that handler is %q now", to)
	delete(n.taken, to) // it may get back an id that it had
}

func (n handlerNames) retire(id string) {
	n.taken[id] = "that handler is retired"
	delete(n.former, id)
}

// evolve takes in a record about a handler's id or a type's look.
func (h *history) evolve(rec journal.Record, v event.View) error {
	switch rec.Type {
	case handlerRenamedID:
		var r handlerRenamed
		if err := decodeSystem(rec.Sequence, v, &r); err != nil {
			return err
		}
		h.rename(r)
	case handlerRetiredID:
		var r handlerRetired
		if err := decodeSystem(rec.Sequence, v, &r); err != nil {
			return err
		}
		h.retire(r)
	case typeDescribedID:
		var d typeDescribed
		if err := decodeSystem(rec.Sequence, v, &d); err != nil {
			return err
		}
		h.schema[d.Name] = d
	}
	return nil
}

func (h *history) rename(r handlerRenamed) {
	h.handlers[r.To] = h.handlers[r.From]
	delete(h.handlers, r.From)
	if t, effect := h.effectTypes[r.From]; effect {
		h.effectTypes[r.To] = t
		delete(h.effectTypes, r.From)
	}
	h.names.rename(r.From, r.To)
}

func (h *history) retire(r handlerRetired) {
	delete(h.handlers, r.Handler)
	h.names.retire(r.Handler)
}

// settleNames applies what the topology says of ids and the log does not say yet, and returns what the log is to
// say: values of handlerRenamed and handlerRetired, in order.
func (h *history) settleNames(t *Topology) (changes []any, err error) {
	var faults []error
	for changed := true; changed && len(faults) == 0; { // renames of what is renamed come in any order
		changed = false
		for _, r := range t.renames {
			if _, known := h.handlers[r.From]; !known {
				continue
			}
			if _, known := h.handlers[r.To]; known {
				faults = append(faults, fmt.Errorf("%w: RenameHandler(%q, %q): the log knows both, each with answers of its own", ErrHandlerID, r.From, r.To))
				continue
			}
			if why, taken := h.names.taken[r.To]; taken && !slices.Contains(h.names.former[r.From], r.To) {
				faults = append(faults, fmt.Errorf("%w: RenameHandler(%q, %q): %s", ErrHandlerID, r.From, r.To, why))
				continue
			}
			h.rename(r)
			changes, changed = append(changes, r), true
		}
	}
	for _, id := range t.retires {
		if _, known := h.handlers[id]; known {
			h.retire(handlerRetired{Handler: id})
			changes = append(changes, handlerRetired{Handler: id})
		}
	}
	there := map[string]bool{}
	for _, p := range t.reacting() {
		for _, id := range p.lane.HandlerIDs() {
			there[id] = true
			if why, taken := h.names.taken[id]; taken {
				faults = append(faults, fmt.Errorf("%w: %q: %s; take another id for a handler that is new", ErrHandlerID, id, why))
			}
		}
	}
	h.missing = nil
	for id := range h.handlers {
		if !there[id] {
			h.missing = append(h.missing, id)
		}
	}
	slices.Sort(h.missing)
	return changes, errors.Join(faults...)
}
