package shop

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// sortTexts returns the places of n texts in the order of their bytes. It sorts the first 8 bytes of all texts by
// radix, which takes half a million of them a fifth of the time that comparing strings does, and then those that are
// equal so far by comparing.
func sortTexts(n int, text func(i int) string) []place {
	order := make([]place, n)
	for i := range order {
		order[i] = place{head(text(i)), i}
	}
	order = sortHeads(order)
	for i := 0; i < n; {
		end := i + 1
		for end < n && order[end].head == order[i].head {
			end++
		}
		if same := order[i:end]; len(same) > 1 {
			slices.SortFunc(same, func(a, b place) int { return cmp.Compare(text(a.at), text(b.at)) })
		}
		i = end
	}
	return order
}

// place is which text begins with head.
type place struct {
	head uint64 // big-endian, zeroes behind a shorter text: in the order of the texts, or equal
	at   int
}

func head(text string) uint64 {
	var b [8]byte
	copy(b[:], text)
	return binary.BigEndian.Uint64(b[:])
}

// sortHeads returns order in the order of the heads. It sorts by one byte after the other, the last first, and by
// none in which all heads are equal.
func sortHeads(order []place) []place {
	var differ uint64
	for i := range order {
		differ |= order[i].head ^ order[0].head
	}
	next := make([]place, len(order))
	for shift := 0; shift < 64; shift += 8 {
		if differ>>shift&0xff == 0 {
			continue
		}
		var starts [256]int
		for i := range order {
			starts[order[i].head>>shift&0xff]++
		}
		sum := 0
		for b, n := range starts {
			starts[b] = sum
			sum += n
		}
		for i := range order {
			b := order[i].head >> shift & 0xff
			next[starts[b]] = order[i]
			starts[b]++
		}
		order, next = next, order
	}
	return order
}
