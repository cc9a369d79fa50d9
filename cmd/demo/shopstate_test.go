package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// Whatever the size of the batches and the number of processors, the same orders lead to one state: live, replayed from
// zero, and from each snapshot with the log behind it.
func TestShop_BatchesAndProcessors_OneState(t *testing.T) {
	type shape struct{ batch, processors int }
	shapes := []shape{{1, 1}, {7, 2}, {1024, 4}}
	if os.Getenv("HEADRACE_LONG") != "" {
		shapes = nil
		for processors := 1; processors <= 4; processors++ {
			for batch := 1; batch <= 1024; batch *= 2 {
				shapes = append(shapes, shape{batch, processors})
			}
		}
	}
	hashes := map[string]shape{}
	for i, one := range shapes {
		how := shopSetup{Saga: []sagaMode{choreography, orchestration}[i%2], Seed: defaultSeed}
		dir := filepath.Join(t.TempDir(), "d")
		require.NoError(t, setup(dir, how))
		parties, err := startParties(dir, how.Seed)
		require.NoError(t, err)
		acks, err := openPromises(dir)
		require.NoError(t, err)
		child := shopChild{
			childOptions: childOptions{dir: dir, orders: 60, seed: defaultSeed, durability: modeNone, segmentBytes: shopSegmentBytes, window: shopTortureWindow},
			shopOptions:  shopOptions{saga: how.Saga, gateway: parties.gateway, mail: parties.mail, maxBatch: one.batch, fixed: true},
			settle:       true, late: true, snapshots: 150, processors: one.processors,
		}
		p := proof{dir: dir, how: how, atRest: true, processors: []int{one.processors}}
		_, err = liveAndDie(t.Context(), childProcess{args: child.args(), note: func(line string) (bool, error) {
			s, taken, err := parseSample(line)
			if taken && err == nil {
				p.samples = append(p.samples, s)
			}
			return taken, err
		}}, killPlan{}, acks, nil)
		require.NoError(t, err, "%+v", one)
		require.NoError(t, acks.close())
		require.NoError(t, parties.stop())
		found, err := p.prove()
		require.NoError(t, err, "%+v", one)
		require.Equal(t, 2, found.Snapshots, "%+v", one) // as many as are kept
		require.NotZero(t, found.Samples)
		hashes[found.Hash] = one
	}
	require.Len(t, hashes, 1, fmt.Sprint(hashes))
}
