package audit

import (
	"errors"
	"fmt"

	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/internal/system"
	"github.com/headrace/headrace/journal"
)

// Options configure Open. The zero value is the default.
type Options struct {
	// Registry decodes payloads through their Go types, as event.AppendJSON does. Default none: payloads
	// become JSON as their msgpack says, and so do those that the Registry cannot decode.
	Registry *event.Registry

	// Durable looks at what is durable only. Default all that is written, which a power cut may take.
	Durable bool

	// Archives says how to read archived segments.
	Archives journal.ArchiveAccess
}

// Log is a journal's directory as an auditor sees it. It belongs to one goroutine at a time. It holds no
// descriptor between two calls.
type Log struct {
	dir     string
	o       Options
	names   map[uint16]string
	learned int64 // the bindings of names up to here are known
}

// Open looks at the journal in dir. Errors: those of journal.OpenReader.
func Open(dir string, o Options) (*Log, error) {
	r, err := journal.OpenReader(dir, 0, journal.ReaderOptions{Archives: o.Archives})
	if err != nil {
		return nil, err
	}
	return &Log{dir: dir, o: o, names: systemNames()}, r.Close()
}

func systemNames() map[uint16]string {
	names := handlers.SystemTypes()
	for id, name := range system.Names() {
		names[id] = name
	}
	return names
}

// name returns the name of a type id; "type-N" where the log does not say it.
func nameOf(names map[uint16]string, id uint16) string {
	if name, ok := names[id]; ok {
		return name
	}
	return fmt.Sprintf("type-%d", id)
}

// binding returns the name that a record gives to a type id, if it does.
func binding(rec journal.Record) (id uint16, name string, ok bool) {
	if rec.Type != system.TypeAssignedID || rec.Kind != journal.KindEvent {
		return 0, "", false
	}
	v, err := event.Parse(rec.Body)
	if err != nil {
		return 0, "", false
	}
	var t system.TypeAssigned
	// A journal that no engine wrote may use the id for something else.
	ok = system.Decode(v, &t) == nil && t.ID >= event.FirstTypeID && t.Name != ""
	return t.ID, t.Name, ok
}

// learn takes in what a record says of the names of types.
func (l *Log) learn(rec journal.Record) {
	if id, name, ok := binding(rec); ok {
		l.names[id] = name
	}
}

// prepare learns the names that are bound before the sequence from.
func (l *Log) prepare(from int64) error {
	if from <= l.learned+1 {
		return nil
	}
	r, err := journal.OpenReader(l.dir, 0, journal.ReaderOptions{Types: []uint16{system.TypeAssignedID}, Until: from - 1, Archives: l.o.Archives})
	if err != nil {
		return err
	}
	_, err = r.Read(func(rec journal.Record) error { l.learn(rec); return nil })
	if err == nil {
		l.learned = max(l.learned, from-1)
	}
	return errors.Join(err, r.Close())
}

// passed notes that names were learned from rec, as one of a pass over all records.
func (l *Log) passed(rec journal.Record) {
	if rec.Sequence == l.learned+1 {
		l.learned = rec.Sequence
	}
	l.learn(rec)
}
