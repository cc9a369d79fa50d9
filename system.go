package headrace

import (
	"fmt"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
)

// The engine's own events. They are part of the log, so that it can be read without the program
// that wrote it: which name a type id stands for, and since when a handler answers.
const (
	typeAssignedID uint16 = 1 // event
	handlerAddedID uint16 = 2 // event
	progressID     uint16 = 3 // checkpoint record: does not advance the sequence

	typeAssignedName = "headrace.type-assigned"
	handlerAddedName = "headrace.handler-added"
	progressName     = "headrace.progress"
)

// systemProducer is the producer of system events.
const systemProducer = "headrace"

// typeAssigned gives a type name its id in this log. It stands before the first event of the type.
type typeAssigned struct {
	ID   uint16 `msgpack:"id"`
	Name string `msgpack:"name"`
}

// handlerAdded makes a handler known to this log. It answers causes after From.
type handlerAdded struct {
	Handler string `msgpack:"handler"`
	From    int64  `msgpack:"from"`
}

// progress says at a clean close that the log holds all answers of these handlers to causes up to
// Sequence. Handlers that the log knows and that did not run are not among them: they still owe.
type progress struct {
	Sequence int64    `msgpack:"sequence"`
	Handlers []uint64 `msgpack:"handlers"` // event.HandlerID of each
}

func newCatalog() (*event.Catalog, error) {
	c := new(event.Catalog)
	names := handlers.SystemTypes()
	names[typeAssignedID], names[handlerAddedID], names[progressID] = typeAssignedName, handlerAddedName, progressName
	for id, name := range names {
		if err := c.Learn(id, name); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// systemBody encodes a system event.
func systemBody(v any, unixNano int64) ([]byte, error) {
	h := event.Header{
		Kind: event.Document, Version: 1, Time: unixNano, ID: event.NewIDAt(unixNano), Producer: systemProducer,
	}
	body, err := event.AppendHeader(nil, &h)
	if err != nil {
		return nil, err
	}
	payload, err := msgpack.Marshal(v)
	if err != nil {
		return nil, err
	}
	return append(body, payload...), nil
}

// decodeSystem decodes the payload of a system event into v.
func decodeSystem(seq int64, view event.View, v any) error {
	if view.Version() != 1 {
		return fmt.Errorf("%w: event %d has version %d", ErrLog, seq, view.Version())
	}
	if err := msgpack.Unmarshal(view.Payload(), v); err != nil {
		return fmt.Errorf("%w: event %d: %w", ErrLog, seq, err)
	}
	return nil
}
