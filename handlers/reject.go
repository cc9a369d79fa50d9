package handlers

import (
	"errors"
	"fmt"

	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/event/pack"
)

// RejectedName is the name of Rejected.
const RejectedName = "headrace.rejected"

// rejectedID is at the end of the system's ids.
const rejectedID uint16 = 15

// Rejected is the answer of a handler that will not do what a command asks for. Its causation is the
// command.
type Rejected struct {
	Code   string // for programs, such as "insufficient-funds"
	Reason string // for people
}

// AppendMsgpack implements event.PayloadAppender.
func (r *Rejected) AppendMsgpack(dst []byte) ([]byte, error) {
	dst = pack.AppendArrayHeader(dst, 2)
	dst = pack.AppendString(dst, r.Code)
	return pack.AppendString(dst, r.Reason), nil
}

// DecodeMsgpackBytes implements event.PayloadDecoder.
func (r *Rejected) DecodeMsgpackBytes(payload []byte) error {
	in := pack.NewReader(payload)
	in.Tuple(2)
	r.Code, r.Reason = in.Str(), in.Str()
	return in.Close()
}

const (
	codeBytes   = 256
	reasonBytes = 4096
)

// ErrCode reports a rejection without a code.
var ErrCode = errors.New("handlers: a rejection needs a code")

// Reject answers the event being handled with a Rejected: a decision like any other, and no failure. Who
// has sent the event with headrace.Call gets a *headrace.RejectedError. It returns the error of emitting,
// so that a handler can end with it. Of a code up to 256 bytes are kept, of a reason up to 4096: a rejection that
// quotes a large command must not be too large for the log.
func Reject(c *Context, code, reason string) error {
	emits, err := c.mayEmit()
	if !emits {
		return err
	}
	if code == "" {
		return c.emitted(ErrCode)
	}
	r := Rejected{Code: short(code, codeBytes), Reason: short(reason, reasonBytes)}
	return c.emitted(emit(c, &r, EmitOptions{}))
}

// EndsCall tells whether an event of this type answers a call of any kind: that it was rejected, or that its
// handler failed.
func EndsCall(typeID uint16) bool { return typeID == rejectedID || typeID == failedID }

// EndsOfCalls returns the types for which EndsCall is true.
func EndsOfCalls() []uint16 { return []uint16{rejectedID, failedID} }

// DecodeRejected reads the rejection in an answer.
func DecodeRejected(a Answer) (Rejected, error) {
	var r Rejected
	if a.Type != rejectedID {
		return r, fmt.Errorf("%w: answer %d is no rejection", event.ErrUnregistered, a.Sequence)
	}
	err := r.DecodeMsgpackBytes(a.Event.Payload())
	return r, err
}
