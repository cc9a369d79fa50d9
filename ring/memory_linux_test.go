package ring

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// TestNew_NoMemory: more than the system has is an error, and not the end of the process.
func TestNew_NoMemory(t *testing.T) {
	for _, kind := range []Producers{SingleProducer, MultiProducer} {
		r, err := New[int64](Options{Slots: 1 << 24, Producers: kind}) // large enough to be asked for
		require.NoError(t, err)
		require.Equal(t, 1<<24, r.Slots())
	}
	require.Equal(t, int64(12<<24), Options{Slots: 1 << 24}.memory(8))
	require.Equal(t, int64(8<<24), Options{Slots: 1 << 24, Producers: SingleProducer}.memory(8))

	if strconv.IntSize == 32 {
		t.Skip("what is refused there depends on what else has addresses")
	}
	policy, err := os.ReadFile("/proc/sys/vm/overcommit_memory")
	if err != nil || strings.TrimSpace(string(policy)) == "1" {
		t.Skip("this system promises any memory")
	}
	_, err = New[[4096]byte](Options{Slots: MaxSlots})
	require.ErrorIs(t, err, ErrNoMemory)
	require.ErrorIs(t, err, unix.ENOMEM)
	require.ErrorContains(t, err, "1073741824 slots of 4096 bytes")
}
