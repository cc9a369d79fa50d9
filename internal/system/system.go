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
)

// Names returns the name of each.
func Names() map[uint16]string {
	return map[uint16]string{
		TypeAssignedID: "headrace.type-assigned",
		HandlerAddedID: "headrace.handler-added",
		ProgressID:     "headrace.progress",
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

// Decode decodes the payload of such an event into v.
func Decode(view event.View, v any) error {
	if view.Version() != 1 {
		return fmt.Errorf("version %d of an event of the engine", view.Version())
	}
	return msgpack.Unmarshal(view.Payload(), v)
}
