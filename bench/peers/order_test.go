package main

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vmihailenco/msgpack/v5"
)

func TestOrder_RoundTripHasFixedSize(t *testing.T) {
	for _, i := range []int{1, 255, 1 << 40} {
		var want, got order
		newOrder(&want, i)
		data, err := want.AppendMsgpack(nil)
		require.NoError(t, err)
		require.Len(t, data, orderBytes)
		require.NoError(t, got.DecodeMsgpackBytes(data))
		require.Equal(t, want, got)
	}
}

func TestOrder_DecodeRefusesOtherShapes(t *testing.T) {
	for name, v := range map[string]any{
		"fields": []int{1, 2},
		"note":   []any{uint64(1), uint64(2), int64(3), int64(4), []byte("short")},
		"map":    map[string]int{"a": 1},
	} {
		data, err := msgpack.Marshal(v)
		require.NoError(t, err)
		require.Error(t, new(order).DecodeMsgpackBytes(data), name)
	}
}

func TestMeter_EachEventOnceInOrderNeverEarly(t *testing.T) {
	const events, rate = 50, 100_000
	m := newMeter(Work{PacedRate: rate}, NewHistogram())
	published := 0
	err := m.pace(events, func(i int) error {
		published++
		require.Equal(t, published, i)
		require.GreaterOrEqual(t, sinceStart(), m.due(i))
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, events, published)
	require.Equal(t, time.Duration(events-1)*time.Second/rate, m.due(events)-m.due(1))

	boom := errors.New("boom")
	require.ErrorIs(t, m.pace(3, func(int) error { return boom }), boom)
}

// An event that waits for the one before counts from when it was due itself.
func TestMeter_LatencyCountsFromWhenDue(t *testing.T) {
	m := newMeter(Work{PacedRate: 1000}, NewHistogram())
	m.start = sinceStart() - time.Second
	m.handled(1, 501) // due 1,000 ms to 500 ms ago
	require.EqualValues(t, 501, m.latency.Count())
	require.GreaterOrEqual(t, m.latency.Quantile(0), 500*time.Millisecond)
	require.GreaterOrEqual(t, m.latency.Quantile(1), time.Second)
}
