package ring

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace/internal/cpu"
)

// TestNew_MoreThanTheMachineHas: to ask for it would end the process.
func TestNew_MoreThanTheMachineHas(t *testing.T) {
	require.Greater(t, cpu.MemoryBytes(), uint64(1<<20))
	for _, p := range []Producers{SingleProducer, MultiProducer} {
		_, err := New[[1 << 13]byte](Options{Slots: MaxSlots, Producers: p})
		var o *OptionError
		require.ErrorAs(t, err, &o)
		require.Equal(t, "Slots", o.Field)
	}
	o := Options{Slots: MaxSlots}.withDefaults()
	bytes := uintptr(cpu.MemoryBytes()/MaxSlots) - 4
	require.NoError(t, o.validate(bytes), "marks take 4 bytes")
	require.Error(t, o.validate(bytes+2))
	o.Producers = SingleProducer
	require.NoError(t, o.validate(bytes+4))
	require.Error(t, o.validate(bytes+6))
}
