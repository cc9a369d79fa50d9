package pack

import "encoding/binary"

// Scan walks over b, which holds msgpack values one after the other, and returns how many there
// are. It fails with an [*Error] that wraps ErrTruncated, ErrCode or ErrDepth unless b ends where
// its last value ends and no value nests beyond MaxDepth.
//
// What passes is safe to hand to a decoder that trusts lengths: every array, map, string and
// binary in it is as long as it says, so memory stays in proportion to len(b). Scan takes about
// a nanosecond a value and does not allocate.
func Scan(b []byte) (values int, err error) {
	s := scanner{b: b}
	return s.all()
}

// ScanExtensions is Scan, and also appends to offsets where the data of each extension value that
// is not empty begins, in increasing order.
func ScanExtensions(b []byte, offsets []int) (values int, _ []int, err error) {
	s := scanner{b: b, exts: offsets, keep: true}
	values, err = s.all()
	return values, s.exts, err
}

// sizeOf is the length in bytes of a value of each code, 0 where the code alone does not say.
var sizeOf = func() (t [256]uint8) {
	for c := range t {
		switch {
		case c < codeFixMap || c >= codeNegFix:
			t[c] = 1
		case c >= codeFixStr && c < codeNil:
			t[c] = uint8(1 + c&31)
		}
	}
	t[codeNil], t[codeFalse], t[codeTrue] = 1, 1, 1
	t[codeUint8], t[codeInt8] = 2, 2
	t[codeUint16], t[codeInt16] = 3, 3
	t[codeUint32], t[codeInt32], t[codeFloat32] = 5, 5, 5
	t[codeUint64], t[codeInt64], t[codeFloat64] = 9, 9, 9
	return t
}()

type scanner struct {
	b    []byte
	exts []int
	keep bool
}

func (s *scanner) all() (values int, err error) {
	for pos := 0; pos < len(s.b); values++ {
		if pos, err = s.values(pos, 1, 0); err != nil {
			return values, err
		}
	}
	return values, nil
}

// values skips n values that lie inside depth containers, from pos, and returns where they end.
func (s *scanner) values(pos int, n uint64, depth int) (int, error) {
	b := s.b
	for ; n > 0; n-- {
		if pos >= len(b) {
			return pos, &Error{pos, ErrTruncated}
		}
		c := b[pos]
		if size := int(sizeOf[c]); size != 0 {
			if len(b)-pos < size {
				return pos, &Error{pos, ErrTruncated}
			}
			pos += size
			continue
		}
		h, ok := headAt(b, pos)
		if !ok {
			if c == codeNever {
				return pos, &Error{pos, ErrCode}
			}
			return pos, &Error{pos, ErrTruncated}
		}
		switch h.kind {
		case KindArray, KindMap:
			count := uint64(h.n)
			if h.kind == KindMap {
				count *= 2
			}
			if count > uint64(len(b)-pos-h.size) {
				return pos, &Error{pos, ErrTruncated}
			}
			if depth >= MaxDepth {
				return pos, &Error{pos, ErrDepth}
			}
			var err error
			if pos, err = s.values(pos+h.size, count, depth+1); err != nil {
				return pos, err
			}
		default:
			if h.n > len(b)-pos-h.size {
				return pos, &Error{pos, ErrTruncated}
			}
			if s.keep && h.kind == KindExtension && h.n > 0 {
				s.exts = append(s.exts, pos+h.size)
			}
			pos += h.size + h.n
		}
	}
	return pos, nil
}

// Kind says what a value is. The zero Kind stands for the end of the input and for broken input.
type Kind uint8

// The kinds of values.
const (
	KindNone Kind = iota
	KindNil
	KindBool
	KindInt // of any size and sign
	KindFloat
	KindString
	KindBytes
	KindArray
	KindMap
	KindExtension
)

// head is a value's code and length. n counts bytes of a string, binary or extension, elements of
// an array, pairs of a map; size is the bytes before them, for a scalar all of it.
type head struct {
	kind Kind
	ext  int8
	size int
	n    int
}

// headAt decodes the head at pos; false when it is cut short, or its code is invalid.
func headAt(b []byte, pos int) (h head, ok bool) {
	if pos >= len(b) {
		return h, false
	}
	b = b[pos:]
	c := b[0]
	lenBytes := 0
	switch {
	case c < codeFixMap || c >= codeNegFix:
		return head{kind: KindInt, size: 1}, true
	case c < codeFixArray:
		return head{kind: KindMap, size: 1, n: int(c & 15)}, true
	case c < codeFixStr:
		return head{kind: KindArray, size: 1, n: int(c & 15)}, true
	case c < codeNil:
		return head{kind: KindString, size: 1, n: int(c & 31)}, true
	case c == codeNil:
		return head{kind: KindNil, size: 1}, true
	case c == codeFalse || c == codeTrue:
		return head{kind: KindBool, size: 1}, true
	case c == codeFloat32 || c == codeFloat64:
		h = head{kind: KindFloat, size: int(sizeOf[c])}
		return h, len(b) >= h.size
	case c >= codeUint8 && c <= codeInt64:
		h = head{kind: KindInt, size: int(sizeOf[c])}
		return h, len(b) >= h.size
	case c >= codeFixExt1 && c <= codeFixExt16:
		if len(b) < 2 {
			return h, false
		}
		return head{kind: KindExtension, ext: int8(b[1]), size: 2, n: 1 << (c - codeFixExt1)}, true
	case c >= codeBin8 && c <= codeBin32:
		h.kind, lenBytes = KindBytes, 1<<(c-codeBin8)
	case c >= codeExt8 && c <= codeExt32:
		h.kind, lenBytes = KindExtension, 1<<(c-codeExt8)
	case c >= codeStr8 && c <= codeStr32:
		h.kind, lenBytes = KindString, 1<<(c-codeStr8)
	case c == codeArray16 || c == codeArray32:
		h.kind, lenBytes = KindArray, 2<<(c-codeArray16)
	case c == codeMap16 || c == codeMap32:
		h.kind, lenBytes = KindMap, 2<<(c-codeMap16)
	default:
		return h, false
	}
	h.size = 1 + lenBytes
	if h.kind == KindExtension {
		h.size++
	}
	if len(b) < h.size {
		return h, false
	}
	switch lenBytes {
	case 1:
		h.n = int(b[1])
	case 2:
		h.n = int(binary.BigEndian.Uint16(b[1:]))
	default:
		h.n = int(binary.BigEndian.Uint32(b[1:]))
	}
	if h.kind == KindExtension {
		h.ext = int8(b[h.size-1])
	}
	return h, h.n >= 0 // negative only where int has 32 bits
}
