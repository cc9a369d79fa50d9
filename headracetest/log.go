package headracetest

import (
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/internal/system"
	"github.com/headrace/headrace/journal"
)

// logged is one event of the log.
type logged struct {
	sequence int64
	name     string // of its type
	key      string
	producer string
	caused   bool // a handler has put it out
	value    any  // a pointer; nil if the registry does not know the type
}

// read returns what is in the log of dir behind a sequence: events of the application, rejections and failures.
func (a *App[P]) read(dir string, after int64) []logged {
	a.t.Helper()
	r, err := journal.OpenReader(dir, 0, journal.ReaderOptions{})
	if err != nil {
		a.t.Fatalf("headracetest: %v", err)
	}
	defer r.Close()
	names := map[uint16]string{}
	for id, name := range handlers.SystemTypes() {
		names[id] = name
	}
	var all []logged
	_, err = r.Read(func(rec journal.Record) error {
		if rec.Kind != journal.KindEvent {
			return nil
		}
		v, err := event.Parse(rec.Body)
		if err != nil {
			return fmt.Errorf("event %d: %w", rec.Sequence, err)
		}
		if rec.Type == system.TypeAssignedID {
			var t system.TypeAssigned
			if err := system.Decode(v, &t); err != nil {
				return err
			}
			names[t.ID] = t.Name
		}
		if rec.Sequence <= after {
			return nil
		}
		l, shown, err := decode(a.registry(), names, rec.Type, v)
		if err != nil {
			return fmt.Errorf("event %d (%s): %w", rec.Sequence, names[rec.Type], err)
		}
		if shown {
			l.sequence = rec.Sequence
			all = append(all, l)
		}
		return nil
	})
	if err != nil {
		a.t.Fatalf("headracetest: read the log: %v", err)
	}
	return all
}

// decode copies an event out of its record. shown is false for the engine's own bookkeeping.
func decode(types *event.Registry, names map[uint16]string, id uint16, v event.View) (l logged, shown bool, err error) {
	_, caused := v.Origin()
	l = logged{name: names[id], key: v.Key(), producer: string(v.Header().Producer), caused: caused}
	switch l.name {
	case handlers.RejectedName:
		r := new(handlers.Rejected)
		l.value = r
		return l, true, r.DecodeMsgpackBytes(v.Payload())
	case handlers.FailedName:
		o, _, err := handlers.ReadOutcome(id, v)
		l.value = &o.Failed
		return l, true, err
	}
	if id < handlers.FirstUserType {
		return l, false, nil
	}
	if c, ok := types.Current(l.name); ok {
		l.name = c.Name()
		l.value, err = c.DecodeAny(v.Version(), v.Payload())
	}
	return l, true, err
}

// line shows it in a difference.
func (l logged) line() string { return line(l.name, l.key, l.value) }

func line(name, key string, value any) string {
	if key != "" {
		name = fmt.Sprintf("%s %q", name, key)
	}
	if value == nil {
		return name + " (a type that is not registered)"
	}
	v := reflect.Indirect(reflect.ValueOf(value))
	text, err := json.Marshal(v.Interface())
	if err != nil || string(text) == "{}" && v.Kind() == reflect.Struct && v.NumField() > 0 {
		text = fmt.Appendf(nil, "%+v", v.Interface())
	}
	return name + " " + string(text)
}

// expected is an event that a test wants.
type expected struct {
	name  string
	key   string // "": any
	value any    // a pointer, as it would come back from the log
}

func codecOf(types *event.Registry, value any) (event.Codec, error) {
	t := reflect.TypeOf(value)
	if t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil {
		return nil, errNoType
	}
	c, ok := types.ByGoType(t)
	if !ok {
		return nil, errNoType
	}
	return c, nil
}

// expect takes a value through its codec, so that what the log does not keep, such as the monotonic part of a time, is no
// difference.
func expect(types *event.Registry, m headrace.Message) (expected, error) {
	e := expected{key: m.Meta.Key}
	switch v := m.Value.(type) {
	case handlers.Rejected:
		e.name, e.value = handlers.RejectedName, &v
		return e, nil
	case *handlers.Rejected:
		e.name, e.value = handlers.RejectedName, v
		return e, nil
	case handlers.Failed:
		e.name, e.value = handlers.FailedName, &v
		return e, nil
	case *handlers.Failed:
		e.name, e.value = handlers.FailedName, v
		return e, nil
	}
	c, err := codecOf(types, m.Value)
	if err != nil {
		return e, err
	}
	payload, err := c.AppendAny(nil, m.Value)
	if err == nil {
		e.name = c.Name()
		e.value, err = c.DecodeAny(c.Version(), payload)
	}
	return e, err
}

func (e expected) line() string { return line(e.name, e.key, e.value) }

func (e expected) matches(l logged) bool {
	if e.name != l.name || e.key != "" && e.key != l.key || l.value == nil {
		return false
	}
	switch want := e.value.(type) {
	case *handlers.Rejected:
		got := l.value.(*handlers.Rejected)
		return want.Code == got.Code && (want.Reason == "" || want.Reason == got.Reason)
	case *handlers.Failed:
		return sameWhereSet(reflect.ValueOf(want).Elem(), reflect.ValueOf(l.value).Elem())
	}
	return reflect.DeepEqual(e.value, l.value)
}

// sameWhereSet compares the fields of want that are not zero.
func sameWhereSet(want, got reflect.Value) bool {
	for i := range want.NumField() {
		if f := want.Field(i); !f.IsZero() && !reflect.DeepEqual(f.Interface(), got.Field(i).Interface()) {
			return false
		}
	}
	return true
}

func matchAll(want []expected, got []logged) bool {
	if len(want) != len(got) {
		return false
	}
	for i, e := range want {
		if !e.matches(got[i]) {
			return false
		}
	}
	return true
}
