package pack

import (
	"encoding/base64"
	"math"
	"strconv"
	"time"
	"unicode/utf8"
)

// AppendJSON appends msgpack as JSON: b holds one value; none gives null, several give an array.
//
//   - binary becomes a string in standard base64;
//   - text that is not UTF-8 has the bad bytes replaced by U+FFFD;
//   - NaN and the infinities become the strings "NaN", "Infinity" and "-Infinity";
//   - a timestamp becomes a string as in RFC 3339, in UTC; any other extension an object with its
//     number "ext" and its "data" in base64;
//   - a map key that is no string becomes one: a number, boolean or extension as JSON writes it, an
//     array or a map as its msgpack in base64: the text of its JSON would double its backslashes at
//     each level of keys within keys. Keys that become equal by this are not merged.
//
// The order of maps stays. It fails as Scan does, and with ErrDepth where the text would nest beyond
// MaxDepth: the array of several values is a level, and so is the object of an extension. It then
// returns dst as it was.
func AppendJSON(dst, b []byte) ([]byte, error) {
	n, err := Scan(b)
	if err != nil {
		return dst, err
	}
	r := NewReader(b)
	out := dst
	switch n {
	case 0:
		return append(dst, "null"...), nil
	case 1:
		out = appendJSON(out, &r, 0)
	default:
		for i := range n {
			out = appendJSON(append(out, "[,"[min(i, 1)]), &r, 1)
		}
		out = append(out, ']')
	}
	if err := r.Err(); err != nil {
		return dst, err
	}
	return out, nil
}

// appendJSON needs input that Scan has found good, and appends it as a value inside depth
// containers. It fails, as r then says, where that is too deep.
func appendJSON(dst []byte, r *Reader, depth int) []byte {
	switch kind := r.Kind(); kind {
	case KindBool:
		return strconv.AppendBool(dst, r.Bool())
	case KindInt:
		v, negative, _ := r.integer()
		if negative {
			return strconv.AppendInt(dst, int64(v), 10)
		}
		return strconv.AppendUint(dst, v, 10)
	case KindFloat:
		bits := 64
		if r.b[r.pos] == codeFloat32 {
			bits = 32
		}
		return appendJSONFloat(dst, r.Float64(), bits)
	case KindString:
		return AppendJSONString(dst, string(r.data()))
	case KindBytes:
		return append(base64.StdEncoding.AppendEncode(append(dst, '"'), r.data()), '"')
	case KindArray, KindMap:
		if depth >= MaxDepth {
			r.fail(ErrDepth)
			return dst
		}
		if kind == KindMap {
			return appendJSONMap(dst, r, depth)
		}
		dst = append(dst, '[')
		for i := range r.ArrayHeader() {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendJSON(dst, r, depth+1)
		}
		return append(dst, ']')
	case KindExtension:
		return appendJSONExtension(dst, r, depth)
	}
	r.Nil()
	return append(dst, "null"...)
}

func appendJSONMap(dst []byte, r *Reader, depth int) []byte {
	dst = append(dst, '{')
	for i := range r.MapHeader() {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendJSONKey(dst, r)
		dst = appendJSON(append(dst, ':'), r, depth+1)
	}
	return append(dst, '}')
}

func appendJSONKey(dst []byte, r *Reader) []byte {
	switch r.Kind() {
	case KindString:
		return AppendJSONString(dst, string(r.data()))
	case KindArray, KindMap:
		return append(base64.StdEncoding.AppendEncode(append(dst, '"'), r.Raw()), '"')
	}
	start := len(dst)
	dst = appendJSON(dst, r, 0) // text in a string is no level
	if dst[start] == '"' {
		return dst
	}
	return AppendJSONString(dst[:start], string(dst[start:]))
}

func appendJSONExtension(dst []byte, r *Reader, depth int) []byte {
	h, _ := headAt(r.b, r.pos)
	data := r.b[r.pos+h.size:][:h.n]
	r.pos += h.size + h.n
	if h.ext == extTime {
		if t, ok := timestamp(data); ok && t.Year() >= 0 && t.Year() <= 9999 {
			return append(t.AppendFormat(append(dst, '"'), time.RFC3339Nano), '"')
		}
	}
	if depth >= MaxDepth {
		r.fail(ErrDepth)
		return dst
	}
	dst = strconv.AppendInt(append(dst, `{"ext":`...), int64(h.ext), 10)
	dst = base64.StdEncoding.AppendEncode(append(dst, `,"data":"`...), data)
	return append(dst, `"}`...)
}

func appendJSONFloat(dst []byte, f float64, bits int) []byte {
	switch {
	case math.IsNaN(f):
		return append(dst, `"NaN"`...)
	case math.IsInf(f, 1):
		return append(dst, `"Infinity"`...)
	case math.IsInf(f, -1):
		return append(dst, `"-Infinity"`...)
	}
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	start := len(dst)
	dst = strconv.AppendFloat(dst, f, format, -1, bits)
	for _, c := range dst[start:] {
		if c == '.' || c == 'e' {
			return dst
		}
	}
	return append(dst, ".0"...) // stays a float when it is read again
}

const hexDigits = "0123456789abcdef"

// AppendJSONString appends s as a JSON string. Bytes that are not UTF-8 become U+FFFD.
func AppendJSONString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	done := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c < utf8.RuneSelf && c != '"' && c != '\\' {
			i++
			continue
		}
		size := 1
		if c >= utf8.RuneSelf {
			var ch rune
			if ch, size = utf8.DecodeRuneInString(s[i:]); ch != utf8.RuneError || size != 1 {
				i += size
				continue
			}
		}
		dst = append(dst, s[done:i]...)
		switch {
		case c >= utf8.RuneSelf:
			dst = append(dst, "\ufffd"...)
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, `\n`...)
		case c == '\t':
			dst = append(dst, `\t`...)
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i += size
		done = i
	}
	return append(append(dst, s[done:]...), '"')
}
