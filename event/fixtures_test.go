package event

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/headrace/headrace/event/pack"
)

// fields are what the three order types have in common: about 128 bytes with the header.
type fields struct {
	Order    int64
	Customer uint32
	Quantity int32
	Price    int64
	Discount float64
	Digest   [16]byte
	Paid     bool
}

// ownOrder writes itself on plain slices.
type ownOrder fields

func (o *ownOrder) AppendMsgpack(dst []byte) ([]byte, error) {
	dst = pack.AppendArrayHeader(dst, 7)
	dst = pack.AppendInt(dst, o.Order)
	dst = pack.AppendUint(dst, uint64(o.Customer))
	dst = pack.AppendInt(dst, int64(o.Quantity))
	dst = pack.AppendInt(dst, o.Price)
	dst = pack.AppendFloat64(dst, o.Discount)
	dst = pack.AppendBytes(dst, o.Digest[:])
	return pack.AppendBool(dst, o.Paid), nil
}

func (o *ownOrder) DecodeMsgpackBytes(payload []byte) error {
	r := pack.NewReader(payload)
	r.Tuple(7)
	o.Order = r.Int64()
	o.Customer = r.Uint32()
	o.Quantity = r.Int32()
	o.Price = r.Int64()
	o.Discount = r.Float64()
	digest := r.View()
	o.Paid = r.Bool()
	if err := r.Close(); err != nil {
		return err
	}
	if len(digest) != len(o.Digest) {
		return fmt.Errorf("digest of %d bytes", len(digest))
	}
	copy(o.Digest[:], digest)
	return nil
}

// customOrder uses msgpack's own interfaces, several values in a row as its manual shows.
type customOrder fields

func (o *customOrder) EncodeMsgpack(e *msgpack.Encoder) error {
	if err := e.EncodeInt(o.Order); err != nil {
		return err
	}
	if err := e.EncodeUint(uint64(o.Customer)); err != nil {
		return err
	}
	if err := e.EncodeInt(int64(o.Quantity)); err != nil {
		return err
	}
	if err := e.EncodeInt(o.Price); err != nil {
		return err
	}
	if err := e.EncodeFloat64(o.Discount); err != nil {
		return err
	}
	if err := e.EncodeBytes(o.Digest[:]); err != nil {
		return err
	}
	return e.EncodeBool(o.Paid)
}

func (o *customOrder) DecodeMsgpack(d *msgpack.Decoder) (err error) {
	if o.Order, err = d.DecodeInt64(); err != nil {
		return err
	}
	if o.Customer, err = d.DecodeUint32(); err != nil {
		return err
	}
	if o.Quantity, err = d.DecodeInt32(); err != nil {
		return err
	}
	if o.Price, err = d.DecodeInt64(); err != nil {
		return err
	}
	if o.Discount, err = d.DecodeFloat64(); err != nil {
		return err
	}
	n, err := d.DecodeBytesLen()
	if err != nil {
		return err
	}
	if n != len(o.Digest) {
		return fmt.Errorf("digest of %d bytes", n)
	}
	if err = d.ReadFull(o.Digest[:]); err != nil {
		return err
	}
	o.Paid, err = d.DecodeBool()
	return err
}

// plainOrder goes through reflection.
type plainOrder fields

// everything holds all that reflection is promised to carry.
type everything struct {
	Text   string
	Bytes  []byte
	Names  []string
	Lines  []line
	Next   *everything
	Counts map[string]int
	ByID   map[int64]line
	Tags   map[string]string
	At     time.Time
	For    time.Duration
	Small  int8
	Big    uint64
	Ratio  float32
	Omit   string `msgpack:",omitempty"`
	Hidden string `msgpack:"-" json:"-"`
}

type line struct {
	Article string `msgpack:"a" json:"article"`
	Count   int    `msgpack:"n" json:"count"`
}

// loose holds what only the payload knows the type of.
type loose struct {
	Any any
	Bag map[string]any
}

func randomOrder(rnd *rand.Rand) fields {
	o := fields{
		Order:    int64(rnd.Uint64() >> rnd.IntN(64)),
		Customer: rnd.Uint32() >> rnd.IntN(32),
		Quantity: int32(rnd.Uint32()) >> rnd.IntN(32),
		Price:    -int64(rnd.Uint64() >> (1 + rnd.IntN(63))),
		Discount: rnd.NormFloat64(),
		Paid:     rnd.IntN(2) == 0,
	}
	for i := range o.Digest {
		o.Digest[i] = byte(rnd.Uint32())
	}
	return o
}

func randomText(rnd *rand.Rand, most int) string {
	alphabet := []rune("abcXYZ 019\"\\\n<&é漢\u2028😀\x00")
	s := make([]rune, rnd.IntN(most+1))
	for i := range s {
		s[i] = alphabet[rnd.IntN(len(alphabet))]
	}
	return string(s)
}

func randomEverything(rnd *rand.Rand, depth int) *everything {
	e := &everything{
		Text:  randomText(rnd, 40),
		At:    time.Unix(rnd.Int64N(1<<33), rnd.Int64N(1e9)),
		For:   time.Duration(rnd.Int64()),
		Small: int8(rnd.Uint32()),
		Big:   rnd.Uint64() >> rnd.IntN(64),
		Ratio: rnd.Float32(),
	}
	if rnd.IntN(2) == 0 {
		e.Bytes = []byte(randomText(rnd, 300))
		e.Names = []string{randomText(rnd, 3), ""}
		e.Omit = "here"
	}
	if n := rnd.IntN(40); n > 0 {
		e.Counts, e.ByID, e.Tags = map[string]int{}, map[int64]line{}, map[string]string{}
		for i := range n {
			l := line{randomText(rnd, 10), rnd.IntN(1000) - 500}
			e.Lines = append(e.Lines, l)
			e.Counts[fmt.Sprint("k", i, randomText(rnd, 9))] = i
			e.ByID[rnd.Int64()>>rnd.IntN(63)] = l
			e.Tags[randomText(rnd, 12)] = randomText(rnd, 5)
		}
	}
	if depth > 0 && rnd.IntN(2) == 0 {
		e.Next = randomEverything(rnd, depth-1)
	}
	return e
}

func randomHeader(rnd *rand.Rand) Header {
	coin := func() bool { return rnd.IntN(2) == 0 }
	h := Header{
		Kind:       Kind(1 + rnd.IntN(3)),
		Version:    uint16(1 + rnd.IntN(1<<16-1)),
		Time:       int64(rnd.Uint64()),
		ID:         randomID(rnd),
		Idempotent: coin(),
	}
	if coin() {
		h.CorrelationID = randomID(rnd)
	}
	if coin() {
		h.CausationID = randomID(rnd)
	}
	if coin() {
		h.HasOrigin = true
		h.Origin = Origin{rnd.Uint64(), rnd.Int64(), rnd.Uint32(), rnd.Uint32(), rnd.Uint32()}
	}
	if coin() {
		h.Trace = Trace{TraceID: randomID(rnd), SpanID: [8]byte{7: 1}, Flags: byte(rnd.Uint32())}
	}
	if coin() {
		h.Producer = randomText(rnd, 60)
	}
	if coin() {
		h.Key = randomText(rnd, 2000)
	}
	if coin() {
		h.StreamVersion = max(1, rnd.Int64()>>rnd.IntN(63))
	}
	if rnd.IntN(3) == 0 {
		h.Source, h.SourceOffset = string("queue/7 \u00e4"[:1+rnd.IntN(8)]), rnd.Int64()>>rnd.IntN(64)
	}
	if coin() {
		h.Extensions = []byte("x" + randomText(rnd, 100))
	}
	return h
}

func randomID(rnd *rand.Rand) ID {
	var id ID
	for i := range id {
		id[i] = byte(rnd.Uint32())
	}
	id[0] |= 1
	return id
}

// rounds is how often a property is tried.
func rounds(t testing.TB, n int) int {
	t.Helper()
	if testing.Short() || raceEnabled {
		return max(n/10, 1)
	}
	return n
}

func fixed(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }
