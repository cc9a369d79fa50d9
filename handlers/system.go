package handlers

import "github.com/headrace/headrace/event"

// The engine's own events that handlers read and emit. Applications may handle them like any other type,
// to watch what fails or waits; only the engine emits them.
const (
	ScheduledName = "headrace.scheduled"
	CancelledName = "headrace.cancelled"
	TickName      = "headrace.tick"
)

const (
	scheduledID uint16 = 4
	cancelledID uint16 = 5
	tickID      uint16 = 6
)

// systemType is one of them, with the id that it has in every log.
type systemType struct {
	id    uint16
	codec event.Codec
}

var systemTypes = func() []systemType {
	r := event.NewRegistry()
	return []systemType{
		{scheduledID, event.MustRegister[Scheduled](r, ScheduledName, 1)},
		{cancelledID, event.MustRegister[Cancelled](r, CancelledName, 1)},
		{tickID, event.MustRegister[Tick](r, TickName, 1)},
	}
}()

// SystemTypes returns the names of the types of this package's own events, by the id that each has in
// every log. It is for the engine, which owns the catalog.
func SystemTypes() map[uint16]string {
	names := map[uint16]string{}
	for _, s := range systemTypes {
		names[s.id] = s.codec.Name()
	}
	return names
}
