package event

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/headrace/headrace/event/pack"
)

// AppendJSON appends v as one JSON object. typeName is the name of its type, which the log keeps
// outside the body; a sequence of 0 is left out. r may be nil.
//
//	{"eventId":"0192…","eventType":"order.placed","eventVersion":"1.0",
//	 "timestamp":"2010-12-01T08:26:00.25Z","sequence":7,"correlationId":"…","causationId":"…",
//	 "producer":"shop","kind":"notification","key":"536365",
//	 "origin":{"handler":"00f1…","cause":6,"ordinal":0,"outputs":1,"depth":1},
//	 "traceparent":"00-…-…-01","idempotent":true,"streamVersion":3,"extensions":"base64","data":{…}}
//
// What an event does not have is left out: correlationId to key where zero, and everything
// from origin to extensions. The handler is in hexadecimal, for it does not fit a JSON number.
//
// The data of a type that r knows in v's version goes through the Go type and encoding/json, so
// its tags count; where that fails because of a NaN or infinity, and for every other type or
// version, msgpack becomes JSON as pack.AppendJSON says. Nothing is lifted to another version.
//
// It returns dst as it was, with a [*DecodeError] where the payload is not what typeName says,
// with a [*MalformedError] where it is no msgpack.
func AppendJSON(dst []byte, r *Registry, typeName string, sequence int64, v View) ([]byte, error) {
	if v.IsZero() {
		return dst, malformed(0, "no body")
	}
	out := append(dst, `{"eventId":`...)
	out = appendQuotedID(out, v.ID())
	out = pack.AppendJSONString(append(out, `,"eventType":`...), typeName)
	out = append(out, `,"eventVersion":"`...)
	out = strconv.AppendUint(out, uint64(v.Version()), 10)
	out = append(out, `.0","timestamp":"`...)
	out = time.Unix(0, v.Time()).UTC().AppendFormat(out, time.RFC3339Nano)
	out = append(out, '"')
	if sequence != 0 {
		out = strconv.AppendInt(append(out, `,"sequence":`...), sequence, 10)
	}
	if id := v.CorrelationID(); !id.IsZero() {
		out = appendQuotedID(append(out, `,"correlationId":`...), id)
	}
	if id := v.CausationID(); !id.IsZero() {
		out = appendQuotedID(append(out, `,"causationId":`...), id)
	}
	if p := v.ProducerBytes(); p != nil {
		out = pack.AppendJSONString(append(out, `,"producer":`...), string(p))
	}
	out = append(out, `,"kind":"`...)
	out = append(append(out, v.Kind().String()...), '"')
	if k := v.KeyBytes(); k != nil {
		out = pack.AppendJSONString(append(out, `,"key":`...), string(k))
	}
	if o, ok := v.Origin(); ok {
		out = appendOrigin(out, o)
	}
	if t := v.Trace(); !t.IsZero() {
		out = append(append(append(out, `,"traceparent":"`...), t.String()...), '"')
	}
	if v.Idempotent() {
		out = append(out, `,"idempotent":true`...)
	}
	if n := v.StreamVersion(); n != 0 {
		out = strconv.AppendInt(append(out, `,"streamVersion":`...), n, 10)
	}
	if s := v.SourceBytes(); s != nil {
		out = pack.AppendJSONString(append(out, `,"source":`...), string(s))
		out = strconv.AppendInt(append(out, `,"sourceOffset":`...), v.SourceOffset(), 10)
	}
	if x := v.Extensions(); x != nil {
		out = append(out, `,"extensions":"`...)
		out = append(base64.StdEncoding.AppendEncode(out, x), '"')
	}
	out, err := AppendDataJSON(append(out, `,"data":`...), r, typeName, v)
	if err != nil {
		return dst, err
	}
	return append(out, '}'), nil
}

func appendQuotedID(dst []byte, id ID) []byte {
	dst, _ = id.AppendText(append(dst, '"'))
	return append(dst, '"')
}

func appendOrigin(dst []byte, o Origin) []byte {
	var handler [8]byte
	binary.BigEndian.PutUint64(handler[:], o.Handler)
	dst = hex.AppendEncode(append(dst, `,"origin":{"handler":"`...), handler[:])
	dst = strconv.AppendInt(append(dst, `","cause":`...), o.Cause, 10)
	dst = strconv.AppendUint(append(dst, `,"ordinal":`...), uint64(o.Ordinal), 10)
	dst = strconv.AppendUint(append(dst, `,"outputs":`...), uint64(o.Outputs), 10)
	dst = strconv.AppendUint(append(dst, `,"depth":`...), uint64(o.Depth), 10)
	return append(dst, '}')
}

// AppendDataJSON appends the payload of v alone, as AppendJSON writes it in the member data.
func AppendDataJSON(dst []byte, r *Registry, typeName string, v View) ([]byte, error) {
	if r != nil {
		if c, ok := r.Current(typeName); ok && c.Version() == v.Version() {
			out, err := c.appendJSON(dst, v.Payload())
			var unsupported *json.UnsupportedValueError
			if !errors.As(err, &unsupported) {
				return out, err
			}
		}
	}
	out, err := pack.AppendJSON(dst, v.Payload())
	return out, located(err)
}

// appendJSON appends a payload in the registered version as encoding/json writes its value.
func (t *Type[T]) appendJSON(dst, payload []byte) (out []byte, err error) {
	v := new(T)
	if err := t.Decode(payload, v); err != nil {
		return dst, err
	}
	defer func() {
		if p := recover(); p != nil {
			err = &PanicError{p, debug.Stack()}
		}
		if err != nil {
			out, err = dst, &DecodeError{t.name, err}
		}
	}()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return dst, err
	}
	return append(dst, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...), nil
}

// appendFromJSON appends the payload for the value that data holds.
func (t *Type[T]) appendFromJSON(dst, data []byte) ([]byte, error) {
	v := new(T)
	if err := t.fromJSON(data, v); err != nil {
		return dst, fmt.Errorf("%w: data of %s: %w", ErrJSON, t.name, err)
	}
	return t.AppendPayload(dst, v)
}

func (t *Type[T]) fromJSON(data []byte, v *T) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &PanicError{p, debug.Stack()}
		}
	}()
	return json.Unmarshal(data, v)
}
