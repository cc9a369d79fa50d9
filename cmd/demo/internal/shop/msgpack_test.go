package shop

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace/event"
)

// types registers everything as the engine does.
type types struct {
	registry *event.Registry
	place    *event.Type[PlaceOrder]
	cancel   *event.Type[CancelOrder]
	adjust   *event.Type[AdjustLedger]
	accepted *event.Type[OrderAccepted]
	rejected *event.Type[OrderRejected]
}

func register(t testing.TB) types {
	t.Helper()
	r := event.NewRegistry()
	must := func(err error) { require.NoError(t, err) }
	var s types
	var err error
	s.registry = r
	s.place, err = event.Register[PlaceOrder](r, NamePlaceOrder, 1)
	must(err)
	s.cancel, err = event.Register[CancelOrder](r, NameCancelOrder, 1)
	must(err)
	s.adjust, err = event.Register[AdjustLedger](r, NameAdjustLedger, 1)
	must(err)
	s.accepted, err = event.Register[OrderAccepted](r, NameOrderAccepted, 1)
	must(err)
	s.rejected, err = event.Register[OrderRejected](r, NameOrderRejected, 1)
	must(err)
	_, err = event.Register[CancellationAccepted](r, NameCancellationAccepted, 1)
	must(err)
	_, err = event.Register[CancellationRejected](r, NameCancellationRejected, 1)
	must(err)
	_, err = event.Register[LedgerAdjusted](r, NameLedgerAdjusted, 1)
	must(err)
	_, err = event.Register[AdjustmentRejected](r, NameAdjustmentRejected, 1)
	must(err)
	return s
}

// Every command and every answer comes back as it was, from msgpack and from JSON.
func TestPayloads_RoundTrip(t *testing.T) {
	s := register(t)
	seen := map[string]int{}
	g := NewGenerator(11, 3000)
	for _, o := range append(all(t, g), sample()) {
		c := o.Command()
		for _, v := range []any{c, Validate(c)} {
			codec, ok := s.registry.ByGoType(reflect.TypeOf(v).Elem())
			require.True(t, ok, "%T", v)
			seen[codec.Name()]++
			payload, err := codec.AppendAny(nil, v)
			require.NoError(t, err)
			back, err := codec.DecodeAny(1, payload)
			require.NoError(t, err)
			require.Equal(t, v, back, "seed 11, order %d", o.Row)

			text, err := json.Marshal(v)
			require.NoError(t, err)
			again, err := codec.DecodeAny(1, payload)
			require.NoError(t, err)
			require.NoError(t, json.Unmarshal(text, again))
			require.Equal(t, v, again)
		}
	}
	require.Len(t, seen, 9, "the generator makes every type: %v", seen)
}

func TestPayload_Golden(t *testing.T) {
	o := sample()
	got, err := (&PlaceOrder{o}).AppendMsgpack(nil)
	require.NoError(t, err)
	require.Equal(t, "\x98\xa4test\x07\x02\xa6536365\xa517850\xa6France\xce\x4c\xf6\x06\x98\x92"+
		"\x95\xa685123A\xa5HEART\x06\xcd\x09\xf6\x00"+
		"\x95\xa571053\xa0\x02\xcd\x0d\x3f\x3c", string(got))

	r := OrderRejected{Rejection{Answer{Invoice: "1", Row: 2, Lines: 3, AmountMilli: -4, Country: "x"}, ReasonPrice, 3}}
	got, err = r.AppendMsgpack(nil)
	require.NoError(t, err)
	require.Equal(t, "\x98\xa11\x02\x03\xfc\xa0\xa1x\x04\x03", string(got))
}

// Bytes that the encoder would not write are refused: nil and binary for text, nil for numbers,
// numbers that wrap, arrays of other lengths, reasons that do not exist, ends that are missing.
func TestPayload_Hostile(t *testing.T) {
	s := register(t)
	o := sample()
	order, err := o.AppendMsgpack(nil)
	require.NoError(t, err)
	for n := range order {
		var o PlaceOrder
		require.Error(t, s.place.Decode(order[:n], &o), "cut at %d", n)
		require.Zero(t, o)
	}
	upToLines := order[:bytes.Index(order, []byte("\x92\x95"))]
	replace := func(old, new string) []byte {
		require.Equal(t, 1, bytes.Count(order, []byte(old)), "%q", old)
		return bytes.Replace(order, []byte(old), []byte(new), 1)
	}
	for name, c := range map[string]struct {
		payload []byte
		err     error
	}{
		"other array":      {append([]byte{0x97}, order[1:]...), ErrPayload},
		"nil":              {[]byte{0xc0}, ErrPayload},
		"nil for text":     {replace("\xa5HEART", "\xc0"), ErrPayload},
		"binary for text":  {replace("\xa5HEART", "\xc4\x05HEART"), ErrPayload},
		"nil for number":   {replace("\xcd\x09\xf6", "\xc0"), ErrPayload},
		"float for number": {replace("\xcd\x09\xf6", "\xca\x00\x00\x00\x00"), ErrPayload},
		"wrapping number":  {replace("\xcd\x09\xf6", "\xcf\xff\xff\xff\xff\xff\xff\xff\xff"), ErrPayload},
		"text too long":    {replace("\xa6France", "\xd9\x41"+string(bytes.Repeat([]byte("x"), 65))), ErrPayload},
		"text not UTF-8":   {replace("France", "Fr\xffnce"), ErrSyntax},
		"no lines":         {append(upToLines[:len(upToLines):len(upToLines)], 0x90), ErrMissing},
		"row 0":            {replace("\xa4test\x07", "\xa4test\x00"), ErrOutOfRange},
		"amount":           {replace("\x06\xcd\x09\xf6", "\xcf\x00\x03\x8d\x7e\xa4\xc6\x80\x00\xcd\x09\xf6"), ErrOutOfRange},
		"line time wraps":  {replace("\x0d\x3f\x3c", "\x0d\x3f\xcf\x7f\xff\xff\xff\xff\xff\xff\xff"), ErrPayload},
	} {
		t.Run(name, func(t *testing.T) {
			var o PlaceOrder
			require.ErrorIs(t, s.place.Decode(c.payload, &o), c.err)
		})
	}
	for _, promised := range []string{"\xdd\x7f\xff\xff\xff", "\xdc\x10\x00"} { // 2^31-1, MaxLines
		var o Order
		err = o.DecodeMsgpackBytes(append(upToLines[:len(upToLines):len(upToLines)], promised...))
		require.ErrorIs(t, err, ErrPayload)
		require.LessOrEqual(t, cap(o.Lines), firstLines, "nothing is allocated for lines that were only promised")
	}

	for name, payload := range map[string]string{
		"reason 0":          "\x98\xa11\x02\x03\xfc\xa0\xa1x\x00\x03",
		"reason 6":          "\x98\xa11\x02\x03\xfc\xa0\xa1x\x06\x03",
		"line beyond lines": "\x98\xa11\x02\x03\xfc\xa0\xa1x\x04\x04",
		"no lines":          "\x98\xa11\x02\x00\xfc\xa0\xa1x\x04\x00",
		"an acceptance":     "\x96\xa11\x02\x03\xfc\xa0\xa1x",
	} {
		var r OrderRejected
		require.Error(t, s.rejected.Decode([]byte(payload), &r), name)
	}
}

// What breaks a limit never gets into a log.
func TestPayload_EncodeRefusesWhatDecodeRefuses(t *testing.T) {
	s := register(t)
	o := PlaceOrder{sample()}
	o.Lines[0].Quantity = math.MinInt64
	_, err := s.place.AppendPayload(nil, &o)
	require.ErrorIs(t, err, ErrOutOfRange)
	_, err = s.rejected.AppendPayload(nil, &OrderRejected{Rejection{Answer: Answer{Invoice: "1", Row: 1, Lines: 1}}})
	require.ErrorIs(t, err, ErrOutOfRange, "no reason")
	_, err = s.accepted.AppendPayload(nil, &OrderAccepted{})
	require.ErrorIs(t, err, ErrMissing)
}

func TestPayload_EncodingDoesNotAllocate(t *testing.T) {
	s := register(t)
	o := PlaceOrder{sample()}
	o.Lines[1].Quantity, o.Lines[1].PriceMilli, o.Lines[1].TimeUnix = -1<<33, 3, o.TimeUnix-70000
	a := OrderAccepted{Answer{Invoice: "1", Row: 1 << 40, Lines: 300, AmountMilli: -1 << 40, Customer: "c", Country: "x"}}
	r := OrderRejected{Rejection{a.Answer, ReasonQuantity, 7}}
	buf := make([]byte, 0, 1024)
	var err error
	allocs := testing.AllocsPerRun(200, func() {
		for range 10 {
			if _, err = s.place.AppendPayload(buf, &o); err != nil {
				return
			}
			if _, err = s.accepted.AppendPayload(buf, &a); err != nil {
				return
			}
			if _, err = s.rejected.AppendPayload(buf, &r); err != nil {
				return
			}
		}
	})
	require.NoError(t, err)
	if !raceEnabled { // sync.Pool drops at random there
		require.Zero(t, allocs)
	}
}

// FuzzPayload: what decodes passes Check and encodes to something that decodes to the same.
func FuzzPayload(f *testing.F) {
	g := NewGenerator(5, 40)
	for _, o := range all(f, g) {
		b, err := o.AppendMsgpack(nil)
		require.NoError(f, err)
		f.Add(b)
		b, err = Validate(o.Command()).(event.PayloadAppender).AppendMsgpack(nil)
		require.NoError(f, err)
		f.Add(b)
	}
	s := register(f)
	f.Fuzz(func(t *testing.T, in []byte) {
		var o, sameOrder PlaceOrder
		if s.place.Decode(in, &o) == nil {
			require.NoError(t, o.Check())
			out, err := s.place.AppendPayload(nil, &o)
			require.NoError(t, err)
			require.NoError(t, s.place.Decode(out, &sameOrder))
			require.Equal(t, o, sameOrder)
			_, err = Validate(o.Command()).(event.PayloadAppender).AppendMsgpack(nil)
			require.NoError(t, err, "what can be read can be answered")
		}
		var r, sameAnswer OrderRejected
		if s.rejected.Decode(in, &r) == nil {
			out, err := s.rejected.AppendPayload(nil, &r)
			require.NoError(t, err)
			require.NoError(t, s.rejected.Decode(out, &sameAnswer))
			require.Equal(t, r, sameAnswer)
		}
	})
}
