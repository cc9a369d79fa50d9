package event

import (
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

func benchCodec[T any](b *testing.B, ty *Type[T], v T) {
	slot := make([]byte, 0, 512)
	p, err := ty.AppendPayload(nil, &v)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("encode/"+ty.Name(), func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(p)))
		for b.Loop() {
			if _, err := ty.AppendPayload(slot, &v); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("decode/"+ty.Name(), func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(p)))
		var got T
		for b.Loop() {
			if err := ty.Decode(p, &got); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkPayload(b *testing.B) {
	own, custom, plain := orderTypes(b)
	o := randomOrder(fixed(1))
	benchCodec(b, own, ownOrder(o))
	benchCodec(b, custom, customOrder(o))
	benchCodec(b, plain, plainOrder(o))
	v := plainOrder(o)
	b.Run("encode/msgpack.Marshal", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := msgpack.Marshal(&v); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkHeader(b *testing.B) {
	h := Header{ID: NewID(), CorrelationID: NewID(), Time: 1, Key: "order/42", Producer: "shop"}
	body, _ := AppendHeader(make([]byte, 0, 512), &h)
	b.Run("append", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := AppendHeader(body[:0], &h); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("parse", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			v, err := Parse(body)
			if err != nil || v.ID() != h.ID {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkEvent is a whole event, written and read: header and payload, about 128 bytes.
func BenchmarkEvent(b *testing.B) {
	own, _, _ := orderTypes(b)
	v := ownOrder(randomOrder(fixed(1)))
	slot := make([]byte, 0, 512)
	b.ReportAllocs()
	for b.Loop() {
		now := time.Now().UnixNano()
		h := Header{ID: NewIDAt(now), Time: now, Key: "order/42", Producer: "shop"}
		body, err := AppendHeader(slot, &h)
		if err != nil {
			b.Fatal(err)
		}
		if body, err = own.AppendPayload(body, &v); err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(len(body)))
		view, err := Parse(body)
		if err != nil {
			b.Fatal(err)
		}
		var got ownOrder
		if err := own.DecodeView(view, &got); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkID(b *testing.B) {
	b.Run("new", func(b *testing.B) {
		for b.Loop() {
			NewID()
		}
	})
	b.Run("new-at", func(b *testing.B) {
		now := time.Now().UnixNano()
		for b.Loop() {
			NewIDAt(now)
		}
	})
	b.Run("derive", func(b *testing.B) {
		id := NewID()
		for b.Loop() {
			id = DeriveID(1, id, 0)
		}
	})
}

func BenchmarkCodecOf(b *testing.B) {
	own, _, _ := orderTypes(b)
	for b.Loop() {
		if _, err := CodecOf[ownOrder](own.r); err != nil {
			b.Fatal(err)
		}
	}
}
