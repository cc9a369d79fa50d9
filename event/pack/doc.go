// Package pack reads and writes msgpack without reflection and without allocation.
//
// It is what an event type uses that encodes itself, and what the event package uses where no Go
// type is at hand: to check a payload before a decoder sees it, to sort map keys, and to turn a
// payload into JSON and back.
//
// Writing is a chain of appends. Every function returns the extended slice, as append does:
//
//	func (o *Order) AppendMsgpack(dst []byte) ([]byte, error) {
//		dst = pack.AppendArrayHeader(dst, 2)
//		dst = pack.AppendString(dst, o.Article)
//		return pack.AppendInt(dst, o.Quantity), nil
//	}
//
// Reading is a chain of reads on a [Reader], whose first error sticks and is returned by Close,
// together with the complaint that bytes are left over:
//
//	func (o *Order) DecodeMsgpackBytes(payload []byte) error {
//		r := pack.NewReader(payload)
//		r.Tuple(2)
//		o.Article = r.Str()
//		o.Quantity = r.Int64()
//		return r.Close()
//	}
//
// Input is never trusted: a length is checked against the bytes that are there before anything
// is allocated for it, nesting ends at [MaxDepth], and every error says at which byte.
//
// The bytes are those that github.com/vmihailenco/msgpack/v5 writes with compact integers, so
// that either side can read the other.
package pack
