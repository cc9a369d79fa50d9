// Package event is what travels through a headrace: the envelope of an event, the registry of
// event types, and the coding of both.
//
// # Types
//
// An event type is a Go type with a name and a version, registered once:
//
//	types := event.NewRegistry()
//	placed, err := event.Register[OrderPlaced](types, "order.placed", 1)
//
// The result is a [Type], which turns values into payloads and back. Where only the Go type is at
// hand, [CodecOf] finds it; where only a name is, [Registry.ByName]. In a log a type is a number,
// bound to the name by a [Catalog].
//
// # Bodies
//
// A body is an event's bytes: what lies in its slot of the ring, what the journal stores behind
// the record's header, what a handler reads. It is encoded once and never again. Write one with
// [AppendHeader] and [Type.AppendPayload], one after the other; read it in place with [Parse] and
// [Type.DecodeView]:
//
//	body, err := event.AppendHeader(slot[:0], &event.Header{ID: event.NewID(), Time: now})
//	body, err = placed.AppendPayload(body, &order)
//	…
//	view, err := event.Parse(body)
//	err = placed.DecodeView(view, &order)
//
// None of these allocates, where the slot has room and the type writes its own msgpack, but for
// what the decoded value itself needs: its strings and slices.
//
// The layout, version 1; integers are little-endian:
//
//	offset
//	     0  u8     layout: 1
//	     1  u8     kind: 1 notification, 2 command, 3 document
//	     2  u16    version of the type, from 1
//	     4  u16    flags
//	     6  u16    bytes of the header, optional groups included: where the payload begins
//	     8  i64    time, unix nanoseconds
//	    16  [16]   id, not zero
//	    32         the groups whose flag is set, in the order of the bits, without gaps:
//
//	flag bit
//	     0  correlation id: [16], not zero
//	     1  causation id: [16], not zero
//	     2  origin, 32 bytes: u64 handler id, i64 sequence of the cause, u32 ordinal of this output,
//	        u32 outputs for the cause, u32 depth of the cascade, u32 zero
//	     3  trace context, 32 bytes: [16] trace id, [8] span id, neither zero, u8 flags, 7 zero bytes
//	     4  producer: u8 n from 1, then n bytes of UTF-8
//	     5  key: u16 n from 1, then n bytes of UTF-8
//	     6  extensions: u16 n from 1, then n bytes whose meaning is not defined yet
//	     7  no group: the publisher chose the id, and it counts for deduplication
//	     8  stream version: i64 from 1, the event's number in the stream that its key names; of a command,
//	        the number that it expects
//	     9  source: u8 n from 1, n bytes of UTF-8, i64 offset from 0: where outside the event comes from
//
// The payload runs from the header's end to the body's. Bits 10 to 15 are not in use. A reader
// that meets one set takes the groups that it knows, skips to the payload, and keeps the body as
// it is; so a new bit must mean something that an old reader may miss, and puts its group behind
// the others. What an old reader must not miss needs another layout number, which it refuses.
// Everything else is checked to the byte, so that a header has one encoding only.
//
// # Payloads
//
// A payload is msgpack. There are three ways into it:
//
//   - [PayloadAppender] and [PayloadDecoder], our own interfaces on plain slices, for which
//     package pack does the work: the fastest, and without allocation;
//   - msgpack.CustomEncoder and msgpack.CustomDecoder: without allocation too, unless their
//     own methods allocate. They may write several values in a row;
//   - everything else by reflection: structs as maps from field names (or the names in `msgpack`
//     tags) to values, so that fields can come and go between versions. Maps are sorted by key, so
//     equal values have equal bytes.
//
// Equal bytes for equal values are what lets a replay be compared with what it replays; a type
// with an encoder of its own owes them as well. Numbers in fields of interface type come back in
// their smallest type, and times in the local zone: prefer fields with types, and UTC.
//
// Decoders never trust a payload: lengths, nesting (package pack's MaxDepth) and trailing bytes
// are checked before anything is built, and a panic in a type's own code becomes a [*PanicError].
//
// # Versions
//
// The envelope names the version that a payload was written in. [Type.DecodeVersion] lifts an
// older one step by step through the functions given to [Registry.Upcast], and refuses what it
// cannot lift, and what is newer than the program, with a [*VersionError].
//
// # Ids
//
// [NewID] makes ids that increase with time. [DeriveID] and [IDFromName] compute them, so that the
// same output, or the same order from another system, has the same id whenever it comes again.
package event
