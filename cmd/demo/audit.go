package main

import (
	"errors"
	"fmt"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/cmd/demo/internal/shop"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
)

// errAudit means a log whose bytes are whole, and whose events are not the shop's.
var errAudit = errors.New("the log breaks a rule of the shop")

// audit looks at the commands and answers of a log: ids are unique, and each command has one answer,
// which stands behind it, names it as its cause, and has its figures.
type audit struct {
	seen         map[event.ID]int64 // id of every event to its sequence
	open         map[event.ID]asked // commands without an answer yet
	answered     int64
	lastAnswered int64 // highest sequence of a command with an answer
}

// asked is what an answer must repeat of its command.
type asked struct {
	seq     int64
	invoice string
	row     int64
	lines   int64
	milli   int64
}

// addAudit gives a topology an audit, as one more read model.
func addAudit(a *app) *handlers.Projection[audit] {
	p := handlers.NewProjection("audit", &audit{seen: map[event.ID]int64{}, open: map[event.ID]asked{}})
	onCommands(p, (*audit).command)
	onAnswers(p, (*audit).answer)
	a.topology.Project(p, headrace.LaneOptions{})
	return p
}

func (a *audit) once(c *handlers.Context) error {
	id := c.Event().ID()
	if first, ok := a.seen[id]; ok {
		return fmt.Errorf("%w: the events %d and %d have one id, %s", errAudit, first, c.Sequence(), id)
	}
	a.seen[id] = c.Sequence()
	return nil
}

func (a *audit) command(c *handlers.Context, cmd shop.Command) error {
	o := cmd.Data()
	if id := c.Event().ID(); id != o.ID() {
		return fmt.Errorf("%w: the command %d has id %s, expected %s", errAudit, c.Sequence(), id, o.ID())
	}
	a.open[o.ID()] = asked{c.Sequence(), o.Invoice, o.Row, int64(len(o.Lines)), o.AmountMilli()}
	return a.once(c)
}

func (a *audit) answer(c *handlers.Context, e shop.Event) error {
	cause := c.Event().CausationID()
	q, ok := a.open[cause]
	if !ok {
		return fmt.Errorf("%w: the answer %d is to %s, which is no command before it, or has been answered", errAudit, c.Sequence(), cause)
	}
	d := e.Data()
	if d.Invoice != q.invoice || d.Row != q.row || d.Lines != q.lines || d.AmountMilli != q.milli {
		return fmt.Errorf("%w: the answer %d has other figures than its command %d", errAudit, c.Sequence(), q.seq)
	}
	delete(a.open, cause)
	a.answered++
	a.lastAnswered = max(a.lastAnswered, q.seq)
	return a.once(c)
}

// end checks what is only known at the end of the log. complete is the sequence up to which a clean
// end has left every command answered. Behind it a kill may have kept the answers to the last
// commands from the log; they come when it is opened again.
func (a *audit) end(complete int64) (unanswered int, err error) {
	for _, q := range a.open {
		if q.seq <= complete || q.seq < a.lastAnswered {
			return 0, fmt.Errorf("%w: the command %d, invoice %q, has no answer", errAudit, q.seq, q.invoice)
		}
	}
	return len(a.open), nil
}
