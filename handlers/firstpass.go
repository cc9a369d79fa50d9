package handlers

import "errors"

// What an engine must know of a lane to replay it while the log is still being searched for what handlers need to know
// before they see an event: headrace.Replay.

// OnlyDecides tells whether no handler of the lane but those for the timers runs at a replay, unless the log has
// something that one has parked.
func (l *Lane) OnlyDecides() bool {
	for _, reg := range l.registers {
		if reg.handler.role != roleDecide && reg.handler.id != TimersHandler {
			return false
		}
	}
	return l.effect == nil && len(l.policies) == 0
}

// Replays tells whether something of the lane, which is bound, runs at a replay for events of a type. It is for a lane of
// which OnlyDecides is true: a handler that has parked something is one that replays its events.
func (l *Lane) Replays(typeID uint16) bool {
	d := l.dispatcher(typeID)
	return d != nil && !d.decides()
}

// PassOver takes the place of Replay for records up to seq, of which the lane handles none: see Replays.
func (l *Lane) PassOver(seq int64) {
	if l.lock != nil {
		l.lock.Lock()
		defer l.lock.Unlock()
	}
	l.applied = max(l.applied, seq)
	l.visible()
}

// Serves tells whether the lane is bound.
func (l *Lane) Serves() bool { return l.types != nil }

// Rebind is for a lane that may not emit and has no policies, and that was bound when less was known of the log: more
// types have ids now. The events that it has handled had types that it knew. The lane must stand still. It reports the
// faults that Bind would.
func (l *Lane) Rebind(t *Types) error {
	l.types, l.byType = t, nil
	for _, reg := range l.registers {
		if reg.filtered != nil {
			reg.filtered.match = nil
		}
	}
	return errors.Join(append(l.faults[:len(l.faults):len(l.faults)], l.bindHandlers()...)...)
}
