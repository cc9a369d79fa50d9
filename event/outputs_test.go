package event

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

// SetOutputs gives the body that AppendHeader would have given, whatever lies beside the origin.
func TestSetOutputs(t *testing.T) {
	for seed := range uint64(rounds(t, 2000)) {
		rnd := fixed(seed)
		h := randomHeader(rnd)
		body, err := AppendHeader(nil, &h)
		require.NoError(t, err)
		n := rnd.Uint32()
		SetOutputs(body, n)
		if h.HasOrigin {
			h.Origin.Outputs = n
		}
		want, err := AppendHeader(nil, &h)
		require.NoError(t, err)
		require.True(t, bytes.Equal(want, body), "seed %d", seed)
	}
	h := Header{ID: seq(1), CorrelationID: seq(2), HasOrigin: true}
	body, err := AppendHeader(nil, &h)
	require.NoError(t, err)
	for n := range body {
		SetOutputs(body[:n:n], 1) // no body, no harm
	}
	noAllocs(t, "SetOutputs", func() { SetOutputs(body, 7) })
}

func TestSetStreamVersion(t *testing.T) {
	rnd := fixed(5)
	for range 500 {
		h := randomHeader(rnd)
		body, err := AppendHeader(nil, &h)
		require.NoError(t, err)
		body = append(body, "payload"...)
		before := append([]byte(nil), body...)
		SetStreamVersion(body, 77)
		if h.StreamVersion == 0 {
			require.Equal(t, before, body, "there is nothing to set")
			continue
		}
		h.StreamVersion = 77
		want, err := AppendHeader(nil, &h)
		require.NoError(t, err)
		require.Equal(t, append(want, "payload"...), body)
	}
	for n := range 40 {
		SetStreamVersion(make([]byte, n), 1) // no body: no panic
	}
}
