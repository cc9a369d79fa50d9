package journal

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// Power is lost before any of the operations, or behind the last: the name has what was there before or all that is new,
// and what is new once writeWhole has returned.
func TestWriteWhole_PowerCutBetweenAnyTwoOperations(t *testing.T) {
	const name = "/j/file"
	old, new := bytes.Repeat([]byte{'o'}, 3000), bytes.Repeat([]byte{'n'}, 5000)
	write := func(st *memStorage, content []byte) error {
		return writeWhole(st, "/j", "file"+spareSuffix, "file", int64(len(content)), func(f file) error {
			_, err := f.WriteAt(content, 0)
			return err
		})
	}
	for seed := range uint64(300) {
		for cut, ended := 0, false; !ended; cut++ {
			rnd := rand.New(rand.NewPCG(seed, uint64(cut)))
			st := newMemStorage()
			st.crashy = true
			require.NoError(t, st.mkdir("/j"))
			require.NoError(t, write(st, old))
			var after *memStorage
			n := 0
			st.hook = func(op, name string) error {
				if n++; n == cut+1 {
					after = st.powerCut(rnd)
				}
				return nil
			}
			require.NoError(t, write(st, new))
			if ended = after == nil; ended {
				after = st.powerCut(rnd)
			}
			at := fmt.Sprintf("seed %d, cut before operation %d", seed, cut)
			require.Contains(t, after.nodes, name, at)
			switch got := after.nodes[name].bytes(); {
			case ended:
				require.True(t, bytes.Equal(new, got), "returned, and not durable: %s", at)
			default:
				require.True(t, bytes.Equal(old, got) || bytes.Equal(new, got), "neither old nor new: %s", at)
			}
			require.NoError(t, write(after, old), "what was left is in the way: %s", at)
		}
	}
}

// Whatever operation fails, nothing is left but the file that was there, or the one that is new.
func TestWriteWhole_EveryOperationFails(t *testing.T) {
	errFault := fmt.Errorf("planted")
	for k, failed := 0, true; failed; k++ {
		st := newMemStorage()
		require.NoError(t, st.mkdir("/j"))
		n := 0
		st.hook = func(op, name string) error {
			if n++; n == k+1 {
				return errFault
			}
			return nil
		}
		err := writeWhole(st, "/j", "tmp", "file", 8, func(f file) error {
			_, err := f.WriteAt([]byte("whole"), 0)
			return err
		})
		failed = n > k
		if !failed {
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, errFault, "operation %d", k)
		}
		require.NotContains(t, st.nodes, filepath.Join("/j", "tmp"), "operation %d", k)
	}
}
