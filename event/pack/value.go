package pack

import (
	"encoding/json"
	"fmt"
	"math"
	"sort"
	"time"
)

// Value reads the next value, whatever it is: nil, bool, int64 (uint64 where that is too small),
// float64, string, []byte, time.Time, []any or map[string]any. A map with other keys than strings,
// and an extension that is no timestamp, are an ErrType.
func (r *Reader) Value() any { return r.value(0) }

func (r *Reader) value(depth int) any {
	switch r.Kind() {
	case KindNil:
		r.Nil()
		return nil
	case KindBool:
		return r.Bool()
	case KindInt:
		v, negative, _ := r.integer()
		if !negative && v > math.MaxInt64 {
			return v
		}
		return int64(v)
	case KindFloat:
		return r.Float64()
	case KindString:
		return r.Str()
	case KindBytes:
		return r.Bytes()
	case KindExtension:
		return r.Time()
	case KindArray:
		if depth >= MaxDepth {
			r.fail(ErrDepth)
			return nil
		}
		a := make([]any, r.ArrayHeader())
		for i := range a {
			a[i] = r.value(depth + 1)
		}
		return a
	case KindMap:
		if depth >= MaxDepth {
			r.fail(ErrDepth)
			return nil
		}
		n := r.MapHeader()
		m := make(map[string]any, n)
		for range n {
			if r.err != nil {
				break
			}
			if r.Kind() != KindString {
				r.wrong()
				break
			}
			k := r.Str()
			m[k] = r.value(depth + 1)
		}
		return m
	}
	r.wrong()
	return nil
}

// AppendValue appends v, which is made of what Reader.Value returns, or of the other integer and
// float types, or of json.Number. Map keys are written in order, so that equal values give equal
// bytes. It returns dst as it was, and an error, for any other type, for a number that does not
// fit, and with ErrDepth for nesting beyond MaxDepth.
func AppendValue(dst []byte, v any) ([]byte, error) {
	out, err := appendValue(dst, v, 0)
	if err != nil {
		return dst, err
	}
	return out, nil
}

func appendValue(dst []byte, v any, depth int) (_ []byte, err error) {
	switch v := v.(type) {
	case nil:
		return AppendNil(dst), nil
	case bool:
		return AppendBool(dst, v), nil
	case int:
		return AppendInt(dst, int64(v)), nil
	case int8:
		return AppendInt(dst, int64(v)), nil
	case int16:
		return AppendInt(dst, int64(v)), nil
	case int32:
		return AppendInt(dst, int64(v)), nil
	case int64:
		return AppendInt(dst, v), nil
	case uint:
		return AppendUint(dst, uint64(v)), nil
	case uint8:
		return AppendUint(dst, uint64(v)), nil
	case uint16:
		return AppendUint(dst, uint64(v)), nil
	case uint32:
		return AppendUint(dst, uint64(v)), nil
	case uint64:
		return AppendUint(dst, v), nil
	case float32:
		return AppendFloat32(dst, v), nil
	case float64:
		return AppendFloat64(dst, v), nil
	case string:
		return AppendString(dst, v), nil
	case []byte:
		return AppendBytes(dst, v), nil
	case time.Time:
		return AppendTime(dst, v), nil
	case json.Number:
		return appendNumber(dst, v)
	case []any:
		if depth >= MaxDepth {
			return dst, ErrDepth
		}
		dst = AppendArrayHeader(dst, len(v))
		for _, e := range v {
			if dst, err = appendValue(dst, e, depth+1); err != nil {
				return dst, err
			}
		}
		return dst, nil
	case map[string]any:
		if depth >= MaxDepth {
			return dst, ErrDepth
		}
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		sort.Strings(keys)
		dst = AppendMapHeader(dst, len(v))
		for _, k := range keys {
			if dst, err = appendValue(AppendString(dst, k), v[k], depth+1); err != nil {
				return dst, err
			}
		}
		return dst, nil
	}
	return dst, fmt.Errorf("%w: Go type %T", ErrType, v)
}
