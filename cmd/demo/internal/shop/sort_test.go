package shop

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// Against sorting by comparison: texts that differ early, late, behind the eighth byte, only in length, or not at all.
func TestSortTexts_AsComparing(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		alphabet := []string{"\x00\x01", "ab", "0123456789C", "a\xff\x80"}[r.IntN(4)]
		texts := make([]string, r.IntN(200))
		for i := range texts {
			b := make([]byte, r.IntN(14))
			for j := range b {
				b[j] = alphabet[r.IntN(len(alphabet))]
			}
			texts[i] = string(b)
		}
		var got []string
		for _, p := range sortTexts(len(texts), func(i int) string { return texts[i] }) {
			got = append(got, texts[p.at])
		}
		want := slices.SortedFunc(slices.Values(texts), cmp.Compare[string])
		require.Equal(t, want, got, "seed %d", seed)
	}
}

// Against a map: numbers that come again, in tables of any size.
func TestInvoices_AsMap(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 2))
		var table invoices
		want, first := map[string]int32{}, []string(nil)
		distinct := 1 + r.IntN(3000)
		for range r.IntN(6000) {
			number := string(rune('A'+r.IntN(3))) + string(rune(r.IntN(distinct)))
			if _, known := want[number]; !known {
				first = append(first, number)
			}
			want[number]++
			table.of(number).answers++
		}
		require.Equal(t, len(want), table.n, "seed %d", seed)
		for i := range table.n {
			inv := table.at(i)
			require.Equal(t, first[i], inv.number, "seed %d", seed)
			require.Equal(t, want[inv.number], inv.answers, "seed %d, %q", seed, inv.number)
		}
	}
}
