package headrace

import (
	"fmt"
	"maps"
	"slices"

	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/event/pack"
	"github.com/headrace/headrace/handlers"
)

// known is what a snapshot says of the log up to its sequence, so that the first pass can begin there.
type known struct {
	begin      int64 // first sequence of the log when it was new
	voids      int64
	lost       int64
	firstLost  int64
	types      []typeAssigned
	handlers   map[string]int64  // answers causes after
	effects    map[string]string // of those that are effects, the type that they are for
	watermarks map[uint64]int64  // by event.HandlerID
	names      handlerNames
	schema     map[string]typeDescribed
}

func (k *known) append(dst []byte) []byte {
	dst = pack.AppendArrayHeader(dst, 10)
	for _, n := range []int64{k.begin, k.voids, k.lost, k.firstLost} {
		dst = pack.AppendInt(dst, n)
	}
	dst = pack.AppendArrayHeader(dst, len(k.types))
	for _, t := range k.types {
		dst = pack.AppendArrayHeader(dst, 2)
		dst = pack.AppendString(pack.AppendUint(dst, uint64(t.ID)), t.Name)
	}
	dst = pack.AppendArrayHeader(dst, len(k.handlers))
	for _, id := range slices.Sorted(maps.Keys(k.handlers)) {
		dst = pack.AppendArrayHeader(dst, 3)
		dst = pack.AppendInt(pack.AppendString(dst, id), k.handlers[id])
		dst = pack.AppendString(dst, k.effects[id])
	}
	dst = pack.AppendArrayHeader(dst, len(k.watermarks))
	for _, hash := range slices.Sorted(maps.Keys(k.watermarks)) {
		dst = pack.AppendArrayHeader(dst, 2)
		dst = pack.AppendInt(pack.AppendUint(dst, hash), k.watermarks[hash])
	}
	dst = pack.AppendArrayHeader(dst, len(k.names.former))
	for _, id := range slices.Sorted(maps.Keys(k.names.former)) {
		dst = pack.AppendArrayHeader(dst, 2)
		dst = pack.AppendString(dst, id)
		dst = pack.AppendArrayHeader(dst, len(k.names.former[id]))
		for _, old := range k.names.former[id] {
			dst = pack.AppendString(dst, old)
		}
	}
	dst = pack.AppendArrayHeader(dst, len(k.names.taken))
	for _, id := range slices.Sorted(maps.Keys(k.names.taken)) {
		dst = pack.AppendArrayHeader(dst, 2)
		dst = pack.AppendString(pack.AppendString(dst, id), k.names.taken[id])
	}
	dst = pack.AppendArrayHeader(dst, len(k.schema))
	for _, name := range slices.Sorted(maps.Keys(k.schema)) {
		d := k.schema[name]
		dst = pack.AppendArrayHeader(dst, 7)
		dst = pack.AppendString(dst, d.Name)
		dst = pack.AppendUint(pack.AppendUint(dst, uint64(d.Version)), uint64(d.LiftsFrom))
		dst = pack.AppendString(dst, d.Kind)
		dst = pack.AppendArrayHeader(dst, len(d.OldNames))
		for _, old := range d.OldNames {
			dst = pack.AppendString(dst, old)
		}
		dst = pack.AppendString(dst, d.Fingerprint)
		dst = pack.AppendBytes(dst, d.Shape)
	}
	return dst
}

func (k *known) decode(data []byte) error {
	r := pack.NewReader(data)
	r.Tuple(10)
	*k = known{begin: r.Int64(), voids: r.Int64(), lost: r.Int64(), firstLost: r.Int64(), handlers: map[string]int64{}, effects: map[string]string{},
		watermarks: map[uint64]int64{}, names: newHandlerNames(), schema: map[string]typeDescribed{}}
	for n := r.ArrayHeader(); n > 0 && r.Err() == nil; n-- {
		r.Tuple(2)
		k.types = append(k.types, typeAssigned{ID: r.Uint16(), Name: r.Str()})
	}
	for n := r.ArrayHeader(); n > 0 && r.Err() == nil; n-- {
		r.Tuple(3)
		id := r.Str()
		k.handlers[id] = r.Int64()
		if typ := r.Str(); typ != "" {
			k.effects[id] = typ
		}
	}
	for n := r.ArrayHeader(); n > 0 && r.Err() == nil; n-- {
		r.Tuple(2)
		hash := r.Uint64()
		k.watermarks[hash] = r.Int64()
	}
	for n := r.ArrayHeader(); n > 0 && r.Err() == nil; n-- {
		r.Tuple(2)
		id := r.Str()
		for m := r.ArrayHeader(); m > 0 && r.Err() == nil; m-- {
			k.names.former[id] = append(k.names.former[id], r.Str())
		}
	}
	for n := r.ArrayHeader(); n > 0 && r.Err() == nil; n-- {
		r.Tuple(2)
		id := r.Str()
		k.names.taken[id] = r.Str()
	}
	for n := r.ArrayHeader(); n > 0 && r.Err() == nil; n-- {
		r.Tuple(7)
		d := typeDescribed{Name: r.Str(), Version: r.Uint16(), LiftsFrom: r.Uint16(), Kind: r.Str()}
		for m := r.ArrayHeader(); m > 0 && r.Err() == nil; m-- {
			d.OldNames = append(d.OldNames, r.Str())
		}
		if d.Fingerprint, d.Shape = r.Str(), r.Bytes(); len(d.Shape) == 0 {
			d.Shape = nil
		}
		k.schema[d.Name] = d
	}
	if err := r.Close(); err != nil {
		return fmt.Errorf("what it says of the log: %w", err)
	}
	return nil
}

func appendDedup(dst []byte, all []handlers.DedupImage) []byte {
	dst = pack.AppendArrayHeader(dst, len(all))
	for _, d := range all {
		dst = pack.AppendArrayHeader(dst, 3)
		dst = pack.AppendBytes(dst, d.ID[:])
		dst = pack.AppendUint(pack.AppendInt(dst, d.Sequence), uint64(d.Type))
	}
	return dst
}

func decodeDedup(data []byte) ([]handlers.DedupImage, error) {
	r := pack.NewReader(data)
	var all []handlers.DedupImage
	for n := r.ArrayHeader(); n > 0 && r.Err() == nil; n-- {
		r.Tuple(3)
		var d handlers.DedupImage
		id := r.View()
		if len(id) != len(event.ID{}) && r.Err() == nil {
			return nil, fmt.Errorf("an id of %d bytes", len(id))
		}
		copy(d.ID[:], id)
		d.Sequence, d.Type = r.Int64(), r.Uint16()
		all = append(all, d)
	}
	return all, r.Close()
}
