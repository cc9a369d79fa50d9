package mix

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// The first numbers that SplitMix64 gives for seed 0, from the authors' reference implementation: its state is a
// multiple of the increment, which Uint64 adds once.
func TestUint64_IsSplitMix(t *testing.T) {
	const step = 0x9e3779b97f4a7c15
	for i, want := range []uint64{0xe220a8397b1dcdaf, 0x6e789e6aa1b965f4, 0x06c45d188009454f} {
		require.Equal(t, want, Uint64(uint64(i)*step))
	}
}

// Who leaves moves no key but its own, and everybody has about as many.
func TestWeight_MovesTheLeaversKeysOnly(t *testing.T) {
	owner := func(key uint64, members ...uint64) (best uint64) {
		for i, m := range members {
			if i == 0 || Weight(key, m) > Weight(key, best) {
				best = m
			}
		}
		return best
	}
	const keys = 30_000
	count := map[uint64]int{}
	for key := range uint64(keys) {
		all := owner(key, 1, 2, 3)
		count[all]++
		if all != 2 {
			require.Equal(t, all, owner(key, 1, 3))
		}
	}
	for m := range count {
		require.InDelta(t, keys/3, count[m], keys/30)
	}
}
