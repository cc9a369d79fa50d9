package handlers

import "github.com/headrace/headrace/event"

// The engine's own events that handlers read and emit. Applications may handle them like any other type,
// to watch what fails or waits; only the engine emits them.
const (
	ScheduledName = "headrace.scheduled"
	CancelledName = "headrace.cancelled"
	TickName      = "headrace.tick"
	FailedName    = "headrace.event-failed"
	RedeliverName = "headrace.redeliver"
	DiscardedName = "headrace.discarded"

	EffectDoneName = "headrace.effect-done"
	MarkedName     = "headrace.snapshot-marked"
)

const (
	scheduledID uint16 = 4
	cancelledID uint16 = 5
	tickID      uint16 = 6
	failedID    uint16 = 7
	redeliverID uint16 = 8
	discardedID uint16 = 9

	effectDoneID uint16 = 14
	markedID     uint16 = 13
)

// SnapshotMarked is the place in the log at which every lane encodes its part of a snapshot. It changes nothing.
type SnapshotMarked struct {
	Number int64 `msgpack:"number"` // tells marks of one run of the program apart
}

// systemType is one of them, with the id that it has in every log.
type systemType struct {
	id    uint16
	codec event.Codec
}

var (
	systemRegistry = event.NewRegistry()
	failedType     = event.MustRegister[Failed](systemRegistry, FailedName, 1)
	redeliverType  = event.MustRegister[Redeliver](systemRegistry, RedeliverName, 1)
	discardedType  = event.MustRegister[Discarded](systemRegistry, DiscardedName, 1)
	markedType     = event.MustRegister[SnapshotMarked](systemRegistry, MarkedName, 1)

	systemTypes = []systemType{
		{scheduledID, event.MustRegister[Scheduled](systemRegistry, ScheduledName, 1)},
		{cancelledID, event.MustRegister[Cancelled](systemRegistry, CancelledName, 1)},
		{tickID, event.MustRegister[Tick](systemRegistry, TickName, 1)},
		{failedID, failedType},
		{redeliverID, redeliverType},
		{discardedID, discardedType},
		{markedID, markedType},
		{effectDoneID, event.MustRegister[EffectDone](systemRegistry, EffectDoneName, 1)},
		{rejectedID, event.MustRegister[Rejected](systemRegistry, RejectedName, 1)},
	}
)

// ReadOutcome returns the outcome that an event of the log holds; ok is false if it holds something else.
func ReadOutcome(typeID uint16, v event.View) (o Outcome, ok bool, err error) {
	if typeID != failedID {
		return o, false, nil
	}
	o.ID, o.CorrelationID = v.ID(), v.CorrelationID()
	return o, true, failedType.DecodeView(v, &o.Failed)
}

// SystemTypes returns the names of the types of this package's own events, by the id that each has in
// every log. It is for the engine, which owns the catalog.
func SystemTypes() map[uint16]string {
	names := map[uint16]string{}
	for _, s := range systemTypes {
		names[s.id] = s.codec.Name()
	}
	return names
}
