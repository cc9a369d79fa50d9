package handlers

import (
	"fmt"

	"github.com/headrace/headrace/event"
)

// Limits bound what handlers on a lane may emit.
type Limits struct {
	EventBytes  int    // of one event's body
	BatchEvents int    // of one handler's answer to one event
	BatchBytes  int    // the same, in bytes
	Depth       uint32 // of a chain of events causing events
}

// outputs collects what one handler emits for one event: an atomic batch in the making. It is
// the lane's alone, and reused for every call.
type outputs struct {
	sink   sink  // nil: what is emitted is dropped
	err    error // of an Emit in this call: the handler may not swallow it
	limits Limits
	header event.Header
	data   []byte
	outs   []output
	marks  []mark // of those that get a number in their stream
}

// add takes data as the output's buffer, in which the new event begins at start.
func (o *outputs) add(data []byte, start int, typeID uint16) error {
	size := len(data) - start
	switch {
	case size > o.limits.EventBytes:
		return fmt.Errorf("%w: %d bytes, limit %d", ErrTooLarge, size, o.limits.EventBytes)
	case len(o.outs) >= o.limits.BatchEvents:
		return fmt.Errorf("%w: more than %d events", ErrBatchTooLarge, o.limits.BatchEvents)
	case len(data) > o.limits.BatchBytes:
		return fmt.Errorf("%w: more than %d bytes", ErrBatchTooLarge, o.limits.BatchBytes)
	}
	o.data = data
	o.outs = append(o.outs, output{off: start, len: size, typeID: typeID})
	return nil
}

// seal completes the batch, and tells whether there is one to hand on.
func (o *outputs) seal() (bool, error) {
	if o.err != nil || len(o.outs) == 0 || o.sink == nil {
		return false, o.err
	}
	for _, out := range o.outs {
		event.SetOutputs(o.data[out.off:out.off+out.len], uint32(len(o.outs)))
	}
	return true, nil
}

// commit hands the batch to the feedback lane.
func (o *outputs) commit() error { return o.sink.emit(o.data, o.outs, o.marks) }

func (o *outputs) reset() { o.data, o.outs, o.marks, o.err = o.data[:0], o.outs[:0], o.marks[:0], nil }
