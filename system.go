package headrace

import (
	"fmt"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/internal/system"
)

// The engine's own events; see package system.
const (
	typeAssignedID = system.TypeAssignedID
	handlerAddedID = system.HandlerAddedID
	progressID     = system.ProgressID

	handlerRenamedID = system.HandlerRenamedID
	handlerRetiredID = system.HandlerRetiredID
	typeDescribedID  = system.TypeDescribedID

	systemProducer = system.Producer
)

type (
	typeAssigned = system.TypeAssigned
	handlerAdded = system.HandlerAdded
	progress     = system.Progress

	handlerRenamed = system.HandlerRenamed
	handlerRetired = system.HandlerRetired
	typeDescribed  = system.TypeDescribed
)

func newCatalog() (*event.Catalog, error) {
	c := new(event.Catalog)
	for _, names := range []map[uint16]string{handlers.SystemTypes(), system.Names()} {
		for id, name := range names {
			if err := c.Learn(id, name); err != nil {
				return nil, err
			}
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
	if err := system.Decode(view, v); err != nil {
		return fmt.Errorf("%w: event %d: %w", ErrLog, seq, err)
	}
	return nil
}
