package event

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/headrace/headrace/event/pack"
)

// jsonEvent is the object as it is read. Absent, null and empty are the same.
type jsonEvent struct {
	ID          ID              `json:"eventId"`
	Type        string          `json:"eventType"`
	Version     string          `json:"eventVersion"`
	Timestamp   string          `json:"timestamp"`
	Correlation ID              `json:"correlationId"`
	Causation   ID              `json:"causationId"`
	Producer    string          `json:"producer"`
	Kind        string          `json:"kind"`
	Key         string          `json:"key"`
	Origin      *jsonOrigin     `json:"origin"`
	Traceparent string          `json:"traceparent"`
	Idempotent  bool            `json:"idempotent"`
	Number      int64           `json:"streamVersion"`
	Source      string          `json:"source"`
	Offset      int64           `json:"sourceOffset"`
	Extensions  string          `json:"extensions"`
	Data        json.RawMessage `json:"data"`
}

type jsonOrigin struct {
	Handler string `json:"handler"`
	Cause   int64  `json:"cause"`
	Ordinal uint32 `json:"ordinal"`
	Outputs uint32 `json:"outputs"`
	Depth   uint32 `json:"depth"`
}

// ParseJSON reads the object that AppendJSON writes, and such as other systems write it: members
// that it does not know are ignored, all but eventType may be missing or null, eventVersion may be
// "1.0", "1" or missing, which means 1. A missing eventId gives the zero ID, a missing timestamp
// time 0, and it is for the caller to fill them in; a missing kind is the registered one. r may be
// nil.
//
// payload is the msgpack of data: of a type that r knows as that type encodes it; of any other as
// a value of maps, arrays, strings, integers and floats, map keys in order, so that binary stays
// base64 text there. The header passes AppendHeader once it has an ID.
//
// All errors are an ErrJSON but that of a type known in another version, which is a
// [*VersionError]: data is never taken for what it is not.
func ParseJSON(r *Registry, data []byte) (h Header, typeName string, payload []byte, err error) {
	var e jsonEvent
	if err := json.Unmarshal(data, &e); err != nil {
		return Header{}, "", nil, fmt.Errorf("%w: %w", ErrJSON, err)
	}
	if h, err = e.header(); err != nil {
		return Header{}, "", nil, err
	}
	var c Codec
	if r != nil {
		c, _ = r.ByName(e.Type)
	}
	if c != nil {
		if c.Version() != h.Version {
			return Header{}, "", nil, &VersionError{
				Type: e.Type, Got: h.Version, Registered: c.Version(), Missing: h.Version}
		}
		if e.Kind == "" {
			h.Kind = c.Kind()
		}
		payload, err = c.appendFromJSON(nil, orNull(e.Data))
	} else {
		payload, err = genericFromJSON(orNull(e.Data))
	}
	if err != nil {
		return Header{}, "", nil, err
	}
	return h, e.Type, payload, nil
}

func orNull(data []byte) []byte {
	if len(data) == 0 {
		return []byte("null")
	}
	return data
}

func genericFromJSON(data []byte) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	err := d.Decode(&v)
	if err == nil {
		var out []byte
		if out, err = pack.AppendValue(nil, v); err == nil {
			return out, nil
		}
	}
	return nil, fmt.Errorf("%w: data: %w", ErrJSON, err)
}

func (e *jsonEvent) header() (Header, error) {
	var err error
	fail := func(member string, err error) (Header, error) {
		return Header{}, fmt.Errorf("%w: %s: %w", ErrJSON, member, err)
	}
	if err = checkName(e.Type); err != nil {
		return fail("eventType", err)
	}
	h := Header{
		ID:            e.ID,
		CorrelationID: e.Correlation,
		CausationID:   e.Causation,
		Producer:      e.Producer,
		Key:           e.Key,
		StreamVersion: e.Number,
		Source:        e.Source,
		SourceOffset:  e.Offset,
		Idempotent:    e.Idempotent,
	}
	if h.Version, err = parseVersion(e.Version); err != nil {
		return fail("eventVersion", err)
	}
	if h.Time, err = parseTime(e.Timestamp); err != nil {
		return fail("timestamp", err)
	}
	if h.Kind, err = ParseKind(e.Kind); err != nil {
		return fail("kind", err)
	}
	if h.Trace, err = ParseTrace(e.Traceparent); err != nil {
		return fail("traceparent", err)
	}
	if e.Extensions != "" {
		if h.Extensions, err = base64.StdEncoding.DecodeString(e.Extensions); err != nil {
			return fail("extensions", err)
		}
	}
	if o := e.Origin; o != nil {
		h.HasOrigin = true
		h.Origin = Origin{Cause: o.Cause, Ordinal: o.Ordinal, Outputs: o.Outputs, Depth: o.Depth}
		b, err := hex.DecodeString(o.Handler)
		if err == nil && len(b) != 8 {
			err = fmt.Errorf("%q is not 16 hex digits", o.Handler)
		}
		if err != nil {
			return fail("origin.handler", err)
		}
		for _, c := range b {
			h.Origin.Handler = h.Origin.Handler<<8 | uint64(c)
		}
	}
	// What passes here passes AppendHeader, but for a missing ID.
	probe := h
	probe.ID = ID{15: 1}
	if _, err = AppendHeader(nil, &probe); err != nil {
		return fail("header", err)
	}
	return h, nil
}

func parseVersion(s string) (uint16, error) {
	if s == "" {
		return 1, nil
	}
	n, err := strconv.ParseUint(strings.TrimSuffix(s, ".0"), 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%q is not a version such as \"1.0\", up to \"65535.0\"", s)
	}
	return uint16(n), nil
}

// Times that int64 nanoseconds reach.
var (
	minTime = time.Unix(0, math.MinInt64)
	maxTime = time.Unix(0, math.MaxInt64)
)

func parseTime(s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return 0, err
	}
	if t.Before(minTime) || t.After(maxTime) {
		return 0, fmt.Errorf("%s is out of range; the years 1678 to 2261 can be stored", s)
	}
	return t.UnixNano(), nil
}
