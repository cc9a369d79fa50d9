package saga

import (
	"errors"
	"fmt"
	"time"

	"github.com/headrace/headrace/handlers"
)

// ErrUnknownStep reports an instance in a step that the definition does not have any more.
var ErrUnknownStep = errors.New("saga: instance stands in a step that the definition does not have")

// move is one change of one instance in the making: what an event leads to.
type move[D any] struct {
	d      *Definition[D]
	c      *handlers.Context
	key    string
	exists bool
	now    Instance[D]
	next   Moved[D] // its Data is a copy
	sends  []func() error
	timer  time.Duration // until the deadline of what the instance rests in; 0 = none
}

// begin looks the instance up.
func (d *Definition[D]) begin(c *handlers.Context, t *Table[D], key string) (*move[D], error) {
	m := &move[D]{d: d, c: c, key: key}
	m.now, m.exists = t.Get(key)
	if !m.exists {
		return m, nil
	}
	if !m.now.Phase.Over() && d.step(m.now.Step) == nil {
		return nil, fmt.Errorf("%w: %q of saga %q is in step %q", ErrUnknownStep, key, d.name, m.now.Step)
	}
	return m, m.copyNow()
}

// copyNow makes next a copy of now through the codec: functions may change maps and slices in Data, and
// state changes only by what is in the log.
func (m *move[D]) copyNow() error {
	payload, err := m.d.codec.AppendPayload(nil, &m.now.Moved)
	if err != nil {
		return err
	}
	m.next = Moved[D]{}
	return m.d.codec.Decode(payload, &m.next)
}

// in tells whether the instance rests in a phase of a step.
func (m *move[D]) in(p Phase, s *Step[D]) bool {
	return m.exists && m.now.Phase == p && m.now.Step == s.name
}

// forward takes the steps from i on, up to one that awaits an answer.
func (m *move[D]) forward(i int) error {
	for ; i < len(m.d.steps); i++ {
		s := m.d.steps[i]
		if err := m.take(s, 0); err != nil || s.awaited {
			return err
		}
	}
	m.next.Phase, m.next.Attempt = Complete, 0
	return m.call(m.d.completed)
}

// take takes one step.
func (m *move[D]) take(s *Step[D], attempt int) error {
	m.next.Phase, m.next.Step, m.next.Attempt, m.timer = Doing, s.name, attempt, s.options.Timeout
	return m.call(s.do)
}

// back undoes the steps from i down, up to one whose undoing awaits an answer.
func (m *move[D]) back(i int) error {
	for ; i >= 0; i-- {
		s := m.d.steps[i]
		if s.undo == nil {
			continue
		}
		if err := m.takeBack(s, 0); err != nil || s.undone {
			return err
		}
	}
	m.next.Phase, m.next.Attempt, m.timer = Compensate, 0, 0
	return m.call(m.d.compensated)
}

// takeBack undoes one step.
func (m *move[D]) takeBack(s *Step[D], attempt int) error {
	m.next.Phase, m.next.Step, m.next.Attempt, m.timer = Undoing, s.name, attempt, s.options.UndoTimeout
	return m.call(s.undo)
}

func (m *move[D]) call(fn func(*Context[D]) error) error {
	if fn == nil {
		return nil
	}
	return fn(&Context[D]{Context: m.c, m: m})
}

// outOfTime is the answer to a Deadline.
func (d *Definition[D]) outOfTime(m *move[D], e Deadline) (bool, error) {
	if e.Saga != d.name || !m.exists || m.now.Version != e.Version {
		return false, nil
	}
	s := d.step(m.now.Step)
	switch m.now.Phase {
	case Doing:
		if m.now.Attempt < s.options.Retries {
			return true, m.take(s, m.now.Attempt+1)
		}
		m.next.Failed, m.next.Reason = s.name, "timed out"
		return true, m.back(s.index) // it may have worked
	case Undoing:
		if m.now.Attempt < s.options.UndoRetries {
			return true, m.takeBack(s, m.now.Attempt+1)
		}
		m.next.Phase = Stuck
		return true, nil
	}
	return false, nil
}

// resumed is the answer to a Resume.
func (d *Definition[D]) resumed(m *move[D], e Resume) (bool, error) {
	if e.Saga != d.name || !m.exists || m.now.Phase != Stuck {
		return false, nil
	}
	return true, m.takeBack(d.step(m.now.Step), 0)
}

// try runs what an event leads to and writes it down: the change first, then what is sent, then the
// deadline, in one atomic batch.
func (m *move[D]) try(fn func() (bool, error)) error {
	taken, err := fn()
	if err != nil || !taken {
		return err
	}
	version := m.now.Version + 1
	err = handlers.EmitWith(m.c, m.next, handlers.EmitOptions{Key: m.key, StreamVersion: handlers.NextVersion})
	for _, send := range m.sends {
		if err == nil {
			err = send()
		}
	}
	if err != nil {
		return err
	}
	return m.setTimer(version)
}

// setTimer sets the deadline of what the instance rests in, in place of the one before.
func (m *move[D]) setTimer(version int64) error {
	name := "saga/" + m.d.name + "/" + m.key
	if m.timer > 0 && !m.next.Phase.Over() && m.next.Phase != Stuck {
		e := Deadline{Saga: m.d.name, Phase: m.next.Phase, Step: m.next.Step, Attempt: m.next.Attempt, Version: version}
		return handlers.Schedule(m.c, e, m.c.Time().Add(m.timer), handlers.ScheduleOptions{Name: name, Key: m.key})
	}
	if m.exists && m.d.waited(m.now) {
		return handlers.Cancel(m.c, name)
	}
	return nil
}

// waited tells whether a deadline was set for what an instance rests in.
func (d *Definition[D]) waited(i Instance[D]) bool {
	s := d.step(i.Step)
	switch {
	case s == nil:
		return false
	case i.Phase == Doing:
		return s.options.Timeout > 0
	}
	return i.Phase == Undoing && s.options.UndoTimeout > 0
}
