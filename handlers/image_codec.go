package handlers

import (
	"container/heap"
	"errors"
	"math"
	"slices"
	"strings"

	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/event/pack"
)

// How parts of an image that are not states lie in a snapshot: internal/snapshot/FORMAT.md.

// errImage reports an encoding that nobody has written.
var errImage = errors.New("handlers: part of a snapshot has a wrong form")

// defaultPolicy is that of a handler which has none any more.
var defaultPolicy, _ = FailurePolicy{}.withDefaults()

func readID(r *pack.Reader) (id event.ID) {
	if b := r.View(); len(b) == len(id) {
		copy(id[:], b)
	} else if r.Err() == nil {
		r.Tuple(math.MaxInt32) // no such thing: it keeps the error
	}
	return id
}

// encode appends all that is parked, by key and sequence. oldest is the lowest sequence in it, 0 for none.
func (p *parking) encode() (data []byte, oldest int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ids := make([]parkID, 0, len(p.parks))
	for id := range p.parks {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b parkID) int {
		if c := strings.Compare(a.key, b.key); c != 0 {
			return c
		}
		return int(min(1, max(-1, a.sequence-b.sequence)))
	})
	data = pack.AppendArrayHeader(nil, len(ids))
	for _, id := range ids {
		w := p.parks[id]
		for _, seq := range append([]int64{w.cause}, w.queue...) {
			if oldest == 0 || seq < oldest {
				oldest = seq
			}
		}
		data = pack.AppendArrayHeader(data, 14)
		data = pack.AppendString(data, id.key)
		data = pack.AppendInt(data, id.sequence)
		data = pack.AppendInt(data, w.cause)
		data = pack.AppendInt(data, w.at)
		data = pack.AppendArrayHeader(data, len(w.queue))
		for _, seq := range w.queue {
			data = pack.AppendInt(data, seq)
		}
		o := &w.last
		data = pack.AppendString(data, o.Handler)
		data = pack.AppendInt(data, o.Cause)
		data = pack.AppendInt(data, int64(o.Attempt))
		data = pack.AppendString(data, o.Reason)
		data = pack.AppendString(data, o.Message)
		data = pack.AppendString(data, o.Outcome)
		data = pack.AppendInt(data, o.RetryAt)
		data = pack.AppendBytes(data, o.ID[:])
		data = pack.AppendBytes(data, o.CorrelationID[:])
	}
	return data, oldest
}

// load replaces what is parked.
func (p *parking) load(data []byte) error {
	r := pack.NewReader(data)
	parks := map[parkID]*park{}
	for n := r.ArrayHeader(); n > 0 && r.Err() == nil; n-- {
		r.Tuple(14)
		id := parkID{key: r.Str(), sequence: r.Int64()}
		w := &park{cause: r.Int64(), at: r.Int64()}
		for k := r.ArrayHeader(); k > 0 && r.Err() == nil; k-- {
			w.queue = append(w.queue, r.Int64())
		}
		o := &w.last
		o.Handler, o.Cause, o.Attempt = r.Str(), r.Int64(), r.Int()
		o.Reason, o.Message, o.Outcome, o.RetryAt = r.Str(), r.Str(), r.Str(), r.Int64()
		o.ID, o.CorrelationID = readID(&r), readID(&r)
		if parks[id] != nil || w.cause < 1 {
			return errImage
		}
		parks[id] = w
	}
	if err := r.Close(); err != nil {
		return errors.Join(errImage, err)
	}
	p.mu.Lock()
	p.parks = parks
	p.mu.Unlock()
	return nil
}

// encode returns the timers, in the order in which they are due.
func (t *Timers) encode() []byte {
	all := slices.Clone(t.queue)
	slices.SortFunc(all, func(a, b *timer) int {
		if all := (timerQueue{a, b}); all.Less(0, 1) {
			return -1
		} else if all.Less(1, 0) {
			return 1
		}
		return 0
	})
	data := pack.AppendArrayHeader(nil, len(all))
	for _, w := range all {
		data = pack.AppendArrayHeader(data, 14)
		data = pack.AppendInt(data, w.due)
		data = pack.AppendInt(data, w.sequence)
		data = pack.AppendString(data, w.name)
		data = pack.AppendUint(data, uint64(w.typeID))
		data = pack.AppendUint(data, uint64(w.kind))
		data = pack.AppendUint(data, uint64(w.version))
		data = pack.AppendString(data, w.key)
		data = pack.AppendInt(data, w.stream)
		data = pack.AppendBytes(data, w.causation[:])
		data = pack.AppendBytes(data, w.correlation[:])
		data = pack.AppendBytes(data, w.trace.TraceID[:])
		data = pack.AppendBytes(data, w.trace.SpanID[:])
		data = pack.AppendUint(data, uint64(w.trace.Flags))
		data = pack.AppendBytes(data, w.payload)
	}
	return data
}

// Load replaces the timers by those of a snapshot. It comes before Replay.
func (t *Timers) Load(data []byte) error {
	r := pack.NewReader(data)
	t.queue, t.byName = nil, map[string]*timer{}
	for n := r.ArrayHeader(); n > 0 && r.Err() == nil; n-- {
		r.Tuple(14)
		w := &timer{due: r.Int64(), sequence: r.Int64(), name: r.Str(), typeID: r.Uint16(), kind: event.Kind(r.Uint8()), version: r.Uint16(),
			key: r.Str(), stream: r.Int64(), causation: readID(&r), correlation: readID(&r)}
		trace, span := r.View(), r.View()
		copy(w.trace.TraceID[:], trace)
		copy(w.trace.SpanID[:], span)
		w.trace.Flags, w.payload = r.Uint8(), r.Bytes()
		if r.Err() != nil {
			break
		}
		if len(trace) != len(w.trace.TraceID) || len(span) != len(w.trace.SpanID) || w.name != "" && t.byName[w.name] != nil {
			return errImage
		}
		if w.name != "" {
			t.byName[w.name] = w
		}
		heap.Push(&t.queue, w)
	}
	if err := r.Close(); err != nil {
		return errors.Join(errImage, err)
	}
	t.show()
	return nil
}

// AppendMeta appends what img says about the lane besides its states.
func (img *Image) AppendMeta(dst []byte) []byte {
	dst = pack.AppendArrayHeader(dst, 2)
	dst = pack.AppendArrayHeader(dst, len(img.Folds))
	for _, f := range img.Folds {
		dst = pack.AppendArrayHeader(dst, 3)
		dst = pack.AppendString(pack.AppendString(pack.AppendString(dst, f.Role), f.Handler), f.Type)
	}
	dst = pack.AppendArrayHeader(dst, len(img.Handlers))
	for _, id := range img.Handlers {
		dst = pack.AppendString(dst, id)
	}
	return dst
}

// DecodeMeta reads what AppendMeta wrote.
func (img *Image) DecodeMeta(data []byte) error {
	r := pack.NewReader(data)
	r.Tuple(2)
	for n := r.ArrayHeader(); n > 0 && r.Err() == nil; n-- {
		r.Tuple(3)
		img.Folds = append(img.Folds, FoldImage{Role: r.Str(), Handler: r.Str(), Type: r.Str()})
	}
	for n := r.ArrayHeader(); n > 0 && r.Err() == nil; n-- {
		img.Handlers = append(img.Handlers, r.Str())
	}
	if err := r.Close(); err != nil {
		return errors.Join(errImage, err)
	}
	return nil
}
