// Package system has the engine's own events as they stand in every log, so that it can be read without the
// program that wrote it. Those that handlers read and emit are in package handlers.
package system

import (
	"fmt"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/headrace/headrace/event"
)

// Type ids of the engine's own events; all are below event.FirstTypeID.
const (
	TypeAssignedID uint16 = 1 // event
	HandlerAddedID uint16 = 2 // event
	ProgressID     uint16 = 3 // checkpoint record: does not advance the sequence

	HandlerRenamedID uint16 = 10 // event
	HandlerRetiredID uint16 = 11 // event
	TypeDescribedID  uint16 = 12 // checkpoint record
)

// Names returns the name of each.
func Names() map[uint16]string {
	return map[uint16]string{
		TypeAssignedID: "headrace.type-assigned",
		HandlerAddedID: "headrace.handler-added",
		ProgressID:     "headrace.progress",

		HandlerRenamedID: "headrace.handler-renamed",
		HandlerRetiredID: "headrace.handler-retired",
		TypeDescribedID:  "headrace.type-described",
	}
}

// Producer is the producer of these events.
const Producer = "headrace"

// TypeAssigned gives a type name its id in this log. It stands before the first event of the type.
type TypeAssigned struct {
	ID   uint16 `msgpack:"id"`
	Name string `msgpack:"name"`
}

// HandlerAdded makes a handler known to this log. It answers causes after From.
type HandlerAdded struct {
	Handler string `msgpack:"handler"`
	From    int64  `msgpack:"from"`
	Effect  string `msgpack:"effect,omitempty"` // of an effect: the name of the type that it is for
}

// Progress says at a clean close that the log holds all answers of these handlers to causes up to
// Sequence. Handlers that the log knows and that did not run are not among them: they still owe.
type Progress struct {
	Sequence int64    `msgpack:"sequence"`
	Handlers []uint64 `msgpack:"handlers"` // event.HandlerID of each
}

// HandlerRenamed gives a handler another id. It stays the same handler: what it has answered is answered.
type HandlerRenamed struct {
	From string `msgpack:"from"`
	To   string `msgpack:"to"`
}

// HandlerRetired says that a handler answers nothing any more. Its answers stay.
type HandlerRetired struct {
	Handler string `msgpack:"handler"`
}

// TypeDescribed says what the payloads of a type look like from here on. There is one for each version, and
// another one when what a version looks like has changed.
type TypeDescribed struct {
	Name        string   `msgpack:"name"`
	Version     uint16   `msgpack:"version"`
	LiftsFrom   uint16   `msgpack:"lifts_from"`
	Kind        string   `msgpack:"kind"`
	OldNames    []string `msgpack:"old_names,omitempty"`
	Fingerprint string   `msgpack:"fingerprint"`     // in hex, see schema.Fingerprint
	Shape       []byte   `msgpack:"shape,omitempty"` // JSON of a schema.Shape; none if it would be too large
}

// Decode decodes the payload of such an event into v.
func Decode(view event.View, v any) error {
	if view.Version() != 1 {
		return fmt.Errorf("version %d of an event of the engine", view.Version())
	}
	return msgpack.Unmarshal(view.Payload(), v)
}
