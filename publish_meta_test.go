package headrace_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/event"
)

// What a publisher says of an event stands in its envelope, whichever way it is published; what it leaves out has its default.
func TestPublish_Meta_StandsInTheEvent(t *testing.T) {
	dir := t.TempDir()
	e := open(t, dir, newAppWith(t, nil), small())
	p := producer(t, e, "web")
	full := func(n string) headrace.Meta {
		return headrace.Meta{
			ID: event.IDFromName(n), Key: "order 7", CorrelationID: event.IDFromName("conversation"), CausationID: event.IDFromName("cause"),
			Kind: event.Document, Time: time.Unix(5, 6), Trace: event.Trace{TraceID: [16]byte{1}, SpanID: [8]byte{2}, Flags: 1},
		}
	}
	type way struct {
		name    string
		meta    headrace.Meta
		seq     int64
		version int64 // number in a stream
	}
	var all []way
	add := func(name string, m headrace.Meta, publish func(m headrace.Meta) (int64, error)) {
		seq, err := publish(m)
		require.NoError(t, err, name)
		all = append(all, way{name: name, meta: m, seq: seq})
	}
	for _, bare := range []bool{false, true} {
		meta := full
		if bare {
			meta = func(string) headrace.Meta { return headrace.Meta{} }
		}
		add("Publish", meta("1"), func(m headrace.Meta) (int64, error) { return headrace.Publish(limit(t), p, note{"x"}, m) })
		add("Publisher.Publish", meta("2"), func(m headrace.Meta) (int64, error) { return p.Publish(limit(t), note{"x"}, m) })
		add("TryPublish", meta("3"), func(m headrace.Meta) (int64, error) { return p.TryPublish(&note{"x"}, m) })
		add("second of a batch", meta("4"), func(m headrace.Meta) (int64, error) {
			first, err := p.PublishBatch(limit(t), []headrace.Message{{Value: note{"x"}}, {Value: note{"y"}, Meta: m}})
			return first + 1, err
		})
	}
	add("Append", full("5"), func(m headrace.Meta) (int64, error) {
		done, err := p.Append(limit(t), "order 7", headrace.ExpectAny, headrace.Message{Value: note{"x"}, Meta: m})
		return done.Sequence, err
	})
	all[len(all)-1].version = 1
	closeEngine(t, e)
	log := readLog(t, dir)
	for _, w := range all {
		h := log[w.seq-1].header
		require.Equal(t, "web", h.Producer, w.name)
		if w.meta.ID.IsZero() {
			require.False(t, h.ID.IsZero(), w.name)
			require.Equal(t, event.Notification, h.Kind, w.name)
			require.Equal(t, event.Header{Kind: h.Kind, Version: 1, Time: h.Time, ID: h.ID, Producer: "web"}, h, w.name)
			continue
		}
		require.Equal(t, event.Header{
			Kind: w.meta.Kind, Version: 1, Time: w.meta.Time.UnixNano(), ID: w.meta.ID, CorrelationID: w.meta.CorrelationID, CausationID: w.meta.CausationID,
			Trace: w.meta.Trace, Producer: "web", Key: w.meta.Key, Idempotent: true, StreamVersion: w.version,
		}, h, w.name)
	}
}
