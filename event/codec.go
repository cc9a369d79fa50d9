package event

import (
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"
	"sync"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/headrace/headrace/event/pack"
)

// MaxPayloadBytes is the limit of a payload. Rings and journals set lower ones of their own.
const MaxPayloadBytes = 64 << 20

// PayloadAppender is implemented, on T or *T, by types that write their own msgpack, as
// package pack makes easy. It is the fastest way; such a type is a PayloadDecoder too.
//
// AppendMsgpack appends to dst and returns the extended slice. It must write the same bytes for
// equal values, and must not keep dst or the receiver, which is a copy that is used again.
type PayloadAppender interface {
	AppendMsgpack(dst []byte) ([]byte, error)
}

// PayloadDecoder is the other half of PayloadAppender, implemented on *T.
//
// DecodeMsgpackBytes sets the receiver, which is zero, from payload. It must refuse what it did
// not write, bytes left over included, must not trust lengths, and must keep neither payload nor a
// slice of it nor the receiver.
type PayloadDecoder interface {
	DecodeMsgpackBytes(payload []byte) error
}

// Codec is the face of a [Type] that does not depend on its Go type.
type Codec interface {
	Name() string         // registered name
	Version() uint16      // registered version, from 1
	Kind() Kind           // kind of its events
	GoType() reflect.Type // T
	Index() int           // place in the order of registration, from 0

	// AppendAny is AppendPayload for a v that holds a T or a *T; any other is an ErrUnregistered.
	AppendAny(dst []byte, v any) ([]byte, error)
	// DecodeAny is DecodeVersion into a new T, and returns it as a *T.
	DecodeAny(version uint16, payload []byte) (any, error)

	appendJSON(dst, payload []byte) ([]byte, error)
	appendFromJSON(dst, data []byte) ([]byte, error)
}

// Type encodes and decodes the payloads of one registered Go type. Get one from Register or
// CodecOf. All methods are safe for concurrent use.
type Type[T any] struct {
	name    string
	version uint16
	kind    Kind
	index   int
	goType  reflect.Type
	r       *Registry
	plan    plan
	boxes   sync.Pool // of *box[T]
}

// coding is the way a type goes into msgpack and back.
type coding uint8

const (
	codingReflect coding = iota // msgpack's own, by reflection
	codingCustom                // msgpack.CustomEncoder and CustomDecoder
	codingOwn                   // PayloadAppender and PayloadDecoder
)

// box is the working memory of one encoding or decoding.
//
// Encoders are called through interfaces, and whatever such a call is given escapes to the heap.
// The caller's value must not, or each event would cost an allocation: so it is copied into a box,
// which is there already. A box that saw a panic or an error is dropped: nobody knows what still
// points into it.
type box[T any] struct {
	v    T
	enc  *msgpack.Encoder
	dec  *msgpack.Decoder
	w    sliceWriter
	r    sliceReader
	self any // &v; the next four are it, in the types that plan asks for

	appender PayloadAppender
	decoder  PayloadDecoder
	custEnc  msgpack.CustomEncoder
	custDec  msgpack.CustomDecoder
}

func newType[T any](r *Registry, name string, version uint16, o TypeOptions) (*Type[T], error) {
	p, err := planOf(reflect.TypeFor[T]())
	if err != nil {
		return nil, err
	}
	kind := o.Kind
	if kind == 0 {
		kind = Notification
	}
	t := &Type[T]{name: name, version: version, kind: kind, goType: reflect.TypeFor[T](), r: r, plan: p}
	t.boxes.New = func() any { return t.newBox() }
	return t, nil
}

func (t *Type[T]) newBox() *box[T] {
	b := new(box[T])
	b.self = &b.v
	switch t.plan.coding {
	case codingOwn:
		b.appender = b.self.(PayloadAppender)
		b.decoder = b.self.(PayloadDecoder)
		return b
	case codingCustom:
		b.custEnc = b.self.(msgpack.CustomEncoder)
		b.custDec = b.self.(msgpack.CustomDecoder)
	}
	b.enc = msgpack.NewEncoder(&b.w)
	b.dec = msgpack.NewDecoder(&b.r)
	return b
}

// release makes b ready for the next use. It keeps nothing that the caller owns.
func (t *Type[T]) release(b *box[T], bytes int) {
	var zero T
	b.v = zero
	b.w.buf = nil
	b.r.b = nil
	if bytes <= keepBytes { // msgpack's decoder keeps its largest buffer
		t.boxes.Put(b)
	}
}

// keepBytes is the largest payload whose working memory is kept.
const keepBytes = 64 << 10

// Name returns the registered name.
func (t *Type[T]) Name() string { return t.name }

// Version returns the registered version.
func (t *Type[T]) Version() uint16 { return t.version }

// Kind returns the kind of the type's events.
func (t *Type[T]) Kind() Kind { return t.kind }

// GoType returns T.
func (t *Type[T]) GoType() reflect.Type { return t.goType }

// Index returns the type's place in the order of registration, from 0.
func (t *Type[T]) Index() int { return t.index }

func (t *Type[T]) setIndex(i int) { t.index = i }

// AppendPayload appends the encoding of *v to dst, right into its spare capacity where that is
// enough. It does not change or keep *v, which does not escape. It allocates when dst must grow,
// and as much as the type's encoder does: nothing for a PayloadAppender or a
// msgpack.CustomEncoder that is written well.
//
// It fails with an [*EncodeError] and then returns dst as it was; the spare capacity may hold
// anything. A panic in the type's encoder is caught and is such an error.
func (t *Type[T]) AppendPayload(dst []byte, v *T) ([]byte, error) {
	if v == nil {
		return dst, &EncodeError{t.name, errNil}
	}
	b := t.boxes.Get().(*box[T])
	b.v = *v
	out, err := t.encode(b, dst)
	if err != nil {
		return dst, &EncodeError{t.name, err}
	}
	t.release(b, len(out)-len(dst))
	return out, nil
}

func (t *Type[T]) encode(b *box[T], dst []byte) (out []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &PanicError{p, debug.Stack()}
		}
	}()
	if t.plan.coding == codingOwn {
		out, err = b.appender.AppendMsgpack(dst)
	} else {
		if t.plan.mayCycle {
			if err = checkDepth(reflect.ValueOf(&b.v).Elem()); err != nil {
				return dst, err
			}
		}
		b.w.buf, b.w.limit = dst, len(dst)+MaxPayloadBytes
		b.enc.Reset(&b.w)
		b.enc.SetSortMapKeys(true)
		b.enc.UseCompactInts(true)
		if t.plan.coding == codingCustom {
			err = b.custEnc.EncodeMsgpack(b.enc)
		} else {
			err = b.enc.Encode(b.self)
		}
		out = b.w.buf
	}
	switch {
	case err != nil:
		return dst, err
	case len(out) < len(dst):
		return dst, errShrunk
	case len(out)-len(dst) > MaxPayloadBytes:
		return dst, ErrTooLarge
	case t.plan.sortMaps:
		err = pack.SortMaps(out[len(dst):])
	case t.plan.mayCycle:
		_, err = pack.Scan(out[len(dst):])
	}
	if errors.Is(err, pack.ErrDepth) {
		err = ErrTooDeep
	}
	return out, err
}

// Decode sets *v from a payload in the registered version. *v is set to zero first, so nothing
// of an earlier event shows through, and is zero after an error. Nothing in *v refers to payload.
// It allocates what *v needs: strings, slices, maps.
//
// It fails with a [*DecodeError]. Hostile payloads cost memory in proportion to their length and
// to the size of the type's largest element; a panic in the type's decoder is such an error too,
// and so is a fault of a mapped payload where debug.SetPanicOnFault is on: a [*PanicError].
// Bytes behind the payload's end are an ErrMalformed.
func (t *Type[T]) Decode(payload []byte, v *T) error {
	if v == nil {
		return &DecodeError{t.name, errNil}
	}
	b := t.boxes.Get().(*box[T])
	if err := t.decode(b, payload); err != nil {
		var zero T
		*v = zero
		return &DecodeError{t.name, err}
	}
	*v = b.v
	t.release(b, len(payload))
	return nil
}

func (t *Type[T]) decode(b *box[T], payload []byte) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &PanicError{p, debug.Stack()}
		}
	}()
	if t.plan.coding == codingOwn {
		return located(b.decoder.DecodeMsgpackBytes(payload))
	}
	n, err := b.r.reset(payload)
	if err != nil {
		return located(err)
	}
	b.dec.Reset(&b.r)
	if t.plan.coding == codingCustom {
		err = b.custDec.DecodeMsgpack(b.dec)
	} else if n != 1 {
		return malformed(0, fmt.Sprintf("%d values where one is expected", n))
	} else {
		err = b.dec.Decode(b.self)
	}
	if err != nil {
		return &MalformedError{b.r.pos, err.Error(), err}
	}
	if b.r.pos != len(payload) {
		return malformed(b.r.pos, "bytes left over after the value")
	}
	return nil
}

// DecodeVersion is Decode for a payload in version, which an event's envelope names: one that is
// older goes through the upcasters first. It fails with a [*DecodeError] that holds a
// [*VersionError] where a step is missing or version is newer than the registered one.
func (t *Type[T]) DecodeVersion(version uint16, payload []byte, v *T) error {
	if version == t.version {
		return t.Decode(payload, v)
	}
	if v == nil {
		return &DecodeError{t.name, errNil}
	}
	lifted, err := t.r.lift(t.name, version, t.version, payload)
	if err != nil {
		var zero T
		*v = zero
		return &DecodeError{t.name, err}
	}
	return t.Decode(lifted, v)
}

// DecodeView is DecodeVersion of what view holds.
func (t *Type[T]) DecodeView(view View, v *T) error {
	return t.DecodeVersion(view.Version(), view.Payload(), v)
}

// AppendAny implements Codec.
func (t *Type[T]) AppendAny(dst []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case *T:
		return t.AppendPayload(dst, v)
	case T:
		return t.AppendPayload(dst, &v)
	}
	return dst, &EncodeError{t.name, fmt.Errorf("%w as %q: Go type %T", ErrUnregistered, t.name, v)}
}

// DecodeAny implements Codec.
func (t *Type[T]) DecodeAny(version uint16, payload []byte) (any, error) {
	v := new(T)
	if err := t.DecodeVersion(version, payload, v); err != nil {
		return nil, err
	}
	return v, nil
}
