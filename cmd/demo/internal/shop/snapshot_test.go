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
		{&live.Ledger, &again.Ledger}, {&live.Customers, &again.Customers}, {&live.Countries, &again.Countries}, {&at, &atAgain},
	} {
		data, err := pair[0].AppendSnapshot([]byte("before"))
		require.NoError(t, err, i)
		require.NoError(t, pair[1].DecodeSnapshot(data[6:]), i)
		back, err := pair[1].AppendSnapshot([]byte("before"))
		require.NoError(t, err, i)
		require.Equal(t, data, back, i)
		require.Error(t, pair[1].DecodeSnapshot([]byte{0xc1}), i)
	}
	for k := int64(301); k <= 400; k++ {
		take(&live, &at, k)
		take(&again, &atAgain, k)
	}
	require.Equal(t, live.Hash(), again.Hash())
	require.Equal(t, at, atAgain)
	require.Error(t, at.DecodeSnapshot([]byte{0x84})) // cut
}
