package shop

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// snapshooter is what an engine asks of a state that encodes itself.
type snapshooter interface {
	AppendSnapshot(dst []byte) ([]byte, error)
	DecodeSnapshot(data []byte) error
}

func TestSnapshot_StateComesBack_AndGoesOn(t *testing.T) {
	var live, again State
	var at, atAgain Position
	g := NewGenerator(3, 0)
	var o Order
	take := func(s *State, p *Position, k int64) {
		g.Order(k, &o)
		require.NoError(t, s.Apply(Validate(o.Command())))
		require.NoError(t, p.Observe(&o))
	}
	for k := int64(1); k <= 300; k++ {
		take(&live, &at, k)
	}
	for i, pair := range [][2]snapshooter{
		{&live.Ledger, new(Ledger)}, {&live.Customers, new(Customers)}, {&live.Countries, new(Countries)}, {&live, &again}, {&at, &atAgain},
	} {
		data, err := pair[0].AppendSnapshot([]byte("before"))
		require.NoError(t, err, i)
		require.NoError(t, pair[1].DecodeSnapshot(data[6:]), i)
		back, err := pair[1].AppendSnapshot([]byte("before"))
		require.NoError(t, err, i)
		require.Equal(t, data, back, i)
		require.Error(t, pair[1].DecodeSnapshot([]byte{0xc1}), i)
	}
	whole, err := live.AppendSnapshot(nil)
	require.NoError(t, err)
	for n := range whole {
		require.Error(t, new(State).DecodeSnapshot(whole[:n]), "cut to %d bytes", n)
	}
	require.Error(t, new(State).DecodeSnapshot(append(whole, 0)))
	for k := int64(301); k <= 400; k++ {
		take(&live, &at, k)
		take(&again, &atAgain, k)
	}
	require.Equal(t, live.Hash(), again.Hash())
	require.Equal(t, at, atAgain)
	require.Error(t, at.DecodeSnapshot([]byte{0x84})) // cut
}

// A position takes payloads as it takes orders, and refuses what does not begin as one does.
func TestPosition_ObservePayload_IsObserve(t *testing.T) {
	var by, of Position
	var o Order
	g := NewGenerator(5, 0)
	for k := int64(1); k <= 50; k++ {
		g.Order(k, &o)
		payload, err := o.AppendMsgpack(nil)
		require.NoError(t, err)
		before := of
		for n := range payload[:16] {
			require.ErrorIs(t, of.ObservePayload(payload[:n]), ErrPayload, "cut to %d bytes", n)
		}
		require.ErrorIs(t, of.ObservePayload(append([]byte{payload[0] ^ 1}, payload[1:]...)), ErrPayload)
		require.Equal(t, before, of)
		require.NoError(t, of.ObservePayload(payload))
		require.NoError(t, by.Observe(&o))
		require.Equal(t, by, of)
		o.Lines[0].PriceMilli++ // the digest is of all of it
		other := before
		require.NoError(t, other.Observe(&o))
		require.NotEqual(t, other, of)
	}
}
