package event

import (
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestNewID_IncreasesAlsoAcrossGoroutines(t *testing.T) {
	const goroutines, each = 4, 20_000
	all := make([][]ID, goroutines)
	var wg sync.WaitGroup
	for g := range all {
		wg.Go(func() {
			ids := make([]ID, each)
			for i := range ids {
				ids[i] = NewID()
			}
			all[g] = ids
		})
	}
	wg.Wait()
	seen := make(map[ID]bool, goroutines*each)
	for _, ids := range all {
		for i, id := range ids {
			require.False(t, seen[id], "%v twice", id)
			seen[id] = true
			require.EqualValues(t, 7, id[6]>>4)
			require.EqualValues(t, 2, id[8]>>6)
			if i > 0 {
				require.Equal(t, -1, ids[i-1].Compare(id), "%v then %v", ids[i-1], id)
				require.Less(t, ids[i-1].String(), id.String())
			}
		}
	}
}

func TestNewID_ClockStepsBack_StillIncreases(t *testing.T) {
	a := NewID()
	b := NewIDAt(time.Now().Add(-time.Hour).UnixNano())
	c := NewIDAt(-1)
	require.Equal(t, -1, a.Compare(b))
	require.Equal(t, -1, b.Compare(c))
}

func TestNewIDAt_HoldsTheTime(t *testing.T) {
	now := time.Now()
	at, ok := NewIDAt(now.UnixNano()).Time()
	require.True(t, ok)
	require.False(t, at.Before(now.Truncate(time.Millisecond)), "%v, made at %v", at, now)
	_, ok = IDFromName("x").Time()
	require.False(t, ok)
}

// The derivations are part of the format: what they gave once they give for ever.
func TestDerivedIDs_AreFixedForEver(t *testing.T) {
	cause := ID{1, 2, 3, 15: 16}
	require.Equal(t, goldenDerived, DeriveID(0x1122334455667788, cause, 7).String())
	require.Equal(t, goldenName, IDFromName("invoice/536365").String())
	require.Equal(t, goldenHandler, HandlerID("validate"))
}

func TestDeriveID_EveryArgumentCounts(t *testing.T) {
	base := DeriveID(1, ID{1}, 0)
	require.Equal(t, base, DeriveID(1, ID{1}, 0))
	for _, other := range []ID{DeriveID(2, ID{1}, 0), DeriveID(1, ID{2}, 0), DeriveID(1, ID{1}, 1)} {
		require.NotEqual(t, base, other)
		require.EqualValues(t, 8, other[6]>>4)
		require.EqualValues(t, 2, other[8]>>6)
	}
	long := string(make([]byte, 200))
	require.NotEqual(t, IDFromName(long), IDFromName(long[:199]))
}

func TestParseID(t *testing.T) {
	id := NewID()
	got, err := ParseID(id.String())
	require.NoError(t, err)
	require.Equal(t, id, got)
	_, err = ParseID("0192F1C8-0000-7ABC-8000-0123456789aB")
	require.NoError(t, err)
	for _, bad := range []string{"", "0192", id.String() + "0", "0192f1c8x0000-7abc-8000-0123456789ab",
		"0192f1c8-0000-7abc-8000-0123456789ag", "{192f1c8-0000-7abc-8000-0123456789ab"} {
		_, err := ParseID(bad)
		require.ErrorIs(t, err, ErrID, "%q", bad)
	}
}

func TestID_JSON(t *testing.T) {
	id := NewID()
	b, err := json.Marshal(map[string]ID{"id": id})
	require.NoError(t, err)
	require.JSONEq(t, `{"id":"`+id.String()+`"}`, string(b))
	var back map[string]ID
	require.NoError(t, json.Unmarshal(b, &back))
	require.Equal(t, id, back["id"])
	require.NoError(t, json.Unmarshal([]byte(`{"id":""}`), &back))
	require.True(t, back["id"].IsZero())
	require.Error(t, json.Unmarshal([]byte(`{"id":"z"}`), &back))
}

func TestIDs_DoNotAllocate(t *testing.T) {
	var sink ID
	noAllocs(t, "NewID", func() { sink = NewID() })
	noAllocs(t, "DeriveID", func() { sink = DeriveID(1, sink, 2) })
	noAllocs(t, "IDFromName", func() { sink = IDFromName("invoice/536365") })
	noAllocs(t, "AppendText", func() {
		var b [36]byte
		_, _ = sink.AppendText(b[:0])
	})
}

func noAllocs(t *testing.T, what string, f func()) {
	t.Helper()
	if raceEnabled {
		return
	}
	f()
	require.Zero(t, testing.AllocsPerRun(200, f), what)
}

func TestTrace(t *testing.T) {
	const text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	tr, err := ParseTrace(text)
	require.NoError(t, err)
	require.Equal(t, text, tr.String())
	later, err := ParseTrace("01" + text[2:] + "-more")
	require.NoError(t, err)
	require.Equal(t, tr, later)
	none, err := ParseTrace("")
	require.NoError(t, err)
	require.True(t, none.IsZero())
	require.Empty(t, none.String())
	for _, bad := range []string{"00", "ff" + text[2:], text + "-more", "01" + text[2:] + "x",
		"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
		"00-00000000000000000000000000000000-00f067aa0ba902b7-01",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
		"00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"} {
		_, err := ParseTrace(bad)
		require.ErrorIs(t, err, ErrTrace, "%q", bad)
	}
}

func TestKind(t *testing.T) {
	for _, k := range []Kind{Notification, Command, Document} {
		got, err := ParseKind(k.String())
		require.NoError(t, err)
		require.Equal(t, k, got)
	}
	k, err := ParseKind("")
	require.NoError(t, err)
	require.Equal(t, Notification, k)
	_, err = ParseKind("query")
	require.ErrorIs(t, err, ErrHeader)
	require.Equal(t, "kind(9)", Kind(9).String())
}
