package handlers

import (
	"slices"
	"time"

	"github.com/headrace/headrace/event"
)

// effectLog is what the log says about an effect: the causes that have no answer. It is the fold of causes, answers,
// Redeliver and Discarded events, and so the same live, after a crash and at every replay.
type effectLog struct {
	Calls map[int64]owedCall // by the cause's sequence

	byTrigger map[int64]int64 `msgpack:"-"` // of those with another trigger than their cause: the cause; nil = to be made
}

// owedCall is one cause without an answer.
type owedCall struct {
	Trigger   int64    // sequence of the event that the answer will answer: the cause, or a Redeliver of it
	TriggerID event.ID // of that event
	Key       string
	Parked    bool    // it waits for its next attempt, or as a dead letter
	Last      Outcome // of the last attempt; the zero one before the first
	FailedAt  int64   // time of Last
}

func newEffectLog() *effectLog { return &effectLog{Calls: map[int64]owedCall{}} }

// of returns the cause that an event with this origin answers.
func (g *effectLog) of(trigger int64) (cause int64, ok bool) {
	if w, ok := g.Calls[trigger]; ok && w.Trigger == trigger {
		return trigger, true
	}
	if g.byTrigger == nil {
		g.byTrigger = map[int64]int64{}
		for cause, w := range g.Calls {
			if w.Trigger != cause {
				g.byTrigger[w.Trigger] = cause
			}
		}
	}
	cause, ok = g.byTrigger[trigger]
	return cause, ok
}

// again sets what the next answer will answer.
func (g *effectLog) again(cause, trigger int64, id event.ID) {
	_, _ = g.of(trigger) // makes the index
	w := g.Calls[cause]
	delete(g.byTrigger, w.Trigger)
	w.Trigger, w.TriggerID, w.Parked = trigger, id, false
	g.Calls[cause] = w
	g.byTrigger[trigger] = cause
}

// remove takes a cause out: it is answered, or given up.
func (g *effectLog) remove(cause int64) {
	if w, ok := g.Calls[cause]; ok {
		delete(g.byTrigger, w.Trigger)
		delete(g.Calls, cause)
	}
}

// causes returns the sequences of all that are owed, in order.
func (g *effectLog) causes() []int64 {
	all := make([]int64, 0, len(g.Calls))
	for cause := range g.Calls {
		all = append(all, cause)
	}
	slices.Sort(all)
	return all
}

// handle takes in one event of the log. The lane's lock is held.
func (e *Effect) handle(seq, unixNano int64, typeID uint16, body []byte) error {
	asked := e.lane.dispatcher(typeID) != nil && seq > e.from
	switch typeID {
	case redeliverID, discardedID, failedID, effectDoneID:
	default:
		if typeID < FirstUserType && !asked {
			return nil
		}
	}
	v, err := event.Parse(body)
	if err == nil {
		err = e.observe(seq, unixNano, typeID, v, asked)
	}
	if err != nil {
		return &HandlerError{Lane: e.lane.name, Handler: e.name, Sequence: seq, Type: e.lane.types.Name(typeID), Err: err}
	}
	return nil
}

func (e *Effect) observe(seq, unixNano int64, typeID uint16, v event.View, asked bool) error {
	if typeID == redeliverID || typeID == discardedID {
		if err := e.parkingEvent(seq, typeID, v); err != nil {
			return err
		}
	}
	if o, ok := v.Origin(); ok && o.Handler == e.hash {
		if cause, ok := e.log.value.of(o.Cause); ok {
			outcome, failed, err := ReadOutcome(typeID, v)
			if err != nil {
				return err
			}
			e.answered(cause, outcome, failed, unixNano)
		}
	}
	if asked {
		e.log.value.Calls[seq] = owedCall{Trigger: seq, TriggerID: v.ID(), Key: v.Key()}
		if e.run != nil {
			e.run.added(seq, unixNano, typeID, v)
		}
	}
	return nil
}

// answered takes in the answer to a cause.
func (e *Effect) answered(cause int64, o Outcome, failed bool, unixNano int64) {
	g := e.log.value
	w := g.Calls[cause]
	if !failed || o.Outcome == OutcomeSkipped {
		g.remove(cause)
		if e.run != nil {
			e.run.through(cause, w.Key)
		}
		return
	}
	w.Parked, w.Last, w.FailedAt = true, o, unixNano
	g.Calls[cause] = w
	if e.run != nil {
		e.run.parked(cause, w.Key)
	}
}

// parkingEvent lets a parked cause go on, or gives it up. One that is not parked stays as it is.
func (e *Effect) parkingEvent(seq int64, typeID uint16, v event.View) error {
	var r Redeliver
	var err error
	if typeID == redeliverID {
		err = redeliverType.DecodeView(v, &r)
	} else {
		var x Discarded
		err = discardedType.DecodeView(v, &x)
		r = Redeliver(x)
	}
	if err != nil || !e.reaction().named(r.Handler) {
		return err
	}
	g := e.log.value
	w, ok := g.Calls[r.Cause]
	if !ok || !w.Parked {
		return nil
	}
	if typeID == discardedID {
		g.remove(r.Cause)
		if e.run != nil {
			e.run.through(r.Cause, w.Key)
		}
		return nil
	}
	g.again(r.Cause, seq, v.ID())
	if e.run != nil {
		e.run.again(r.Cause, w.Key)
	}
	return nil
}

// parkedCalls returns what is parked. The lane's lock is held.
func (e *Effect) parkedCalls() []Parked {
	var all []Parked
	behind := map[string]int{}
	for _, w := range e.log.value.Calls {
		if w.Key != "" && !w.Parked && !e.options.Unordered {
			behind[w.Key]++
		}
	}
	for cause, w := range e.log.value.Calls {
		if !w.Parked {
			continue
		}
		p := Parked{
			Handler: e.name, Sequence: cause, Key: w.Key, Dead: w.Last.Outcome == OutcomeDead, Attempts: w.Last.Attempt,
			Reason: w.Last.Reason, Message: w.Last.Message, FailedAt: time.Unix(0, w.FailedAt).UTC(),
			Waiting: behind[w.Key], FailedID: w.Last.ID, CorrelationID: w.Last.CorrelationID,
		}
		if w.Last.RetryAt != 0 {
			p.RetryAt = time.Unix(0, w.Last.RetryAt).UTC()
		}
		all = append(all, p)
	}
	return all
}
