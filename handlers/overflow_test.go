package handlers

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace/ring"
)

func TestOverflow_HoldsUntilAllHavePassed(t *testing.T) {
	r, err := ring.New[Slot](ring.Options{Slots: 64})
	require.NoError(t, err)
	NewSlots(r, 128)
	passed := int64(0)
	o := NewOverflow(1000, func() int64 { return passed })
	body := make([]byte, 1000)
	put := func(seq int64, size int) {
		o.Put(r.Slot(seq), seq, append(o.Buffer(size), body[:size]...))
	}
	put(1, 100) // fits the slot
	require.Zero(t, o.Bytes())
	put(2, 600)
	put(3, 600)
	require.GreaterOrEqual(t, o.Bytes(), int64(1200))

	stop := errors.New("stop")
	var asked []int64
	wait := func(_ context.Context, seq int64) error {
		asked = append(asked, seq)
		if passed == 2 {
			return stop
		}
		passed = 2
		return nil
	}
	require.NoError(t, o.Wait(context.Background(), wait))
	require.Equal(t, []int64{2}, asked, "it waits for the oldest")
	require.Less(t, o.Bytes(), int64(1000))
	put(4, 600)
	require.ErrorIs(t, o.Wait(context.Background(), wait), stop)
	require.Equal(t, int64(3), asked[len(asked)-1])

	// What was passed is used again.
	passed = 4
	o.reclaim()
	require.Zero(t, o.Bytes())
	require.NotEmpty(t, o.free)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		passed++
		put(passed, 500)
	}))
}

func TestSlots_NeighboursInOneArena(t *testing.T) {
	r, err := ring.New[Slot](ring.Options{Slots: 64})
	require.NoError(t, err)
	NewSlots(r, 128)
	for seq := range int64(64) {
		s := r.Slot(seq)
		require.Zero(t, len(s.Room()))
		require.Equal(t, 128, cap(s.Room()))
		s.Body = append(s.Room(), byte(seq))
	}
	for seq := range int64(64) {
		require.Equal(t, []byte{byte(seq)}, r.Slot(seq).Body, "no slot reaches into the next")
	}
}
