package main

import (
	"bytes"
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
		want.Due = int64(i)
		data, err := msgpack.Marshal(&want)
		require.NoError(t, err)
		require.Len(t, data, orderBytes)
		require.NoError(t, msgpack.Unmarshal(data, &got))
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
		require.Error(t, msgpack.NewDecoder(bytes.NewReader(data)).Decode(new(order)), name)
	}
}

func TestPace_EachEventOnceInOrderNeverEarly(t *testing.T) {
	const events, rate = 50, 100_000
	var dues []time.Duration
	err := pace(events, rate, func(i int, due time.Duration) error {
		require.Equal(t, len(dues)+1, i)
		require.GreaterOrEqual(t, sinceStart(), due)
		dues = append(dues, due)
		return nil
	})
	require.NoError(t, err)
	require.Len(t, dues, events)
	require.Equal(t, time.Duration(events-1)*time.Second/rate, dues[events-1]-dues[0])

	boom := errors.New("boom")
	require.ErrorIs(t, pace(3, rate, func(int, time.Duration) error { return boom }), boom)
}
