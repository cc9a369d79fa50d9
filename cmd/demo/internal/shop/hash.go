package shop

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"io"
	"maps"
	"slices"
)

// stateTag begins what is hashed. Its number changes with the encoding.
const stateTag = "headrace/shop/state/1\x00"

// Hash returns the SHA-256 of the state in hexadecimal: equal for equal business state, however it
// was reached. Sequences, times and the order of answers have no part in it.
//
// What is hashed is a tag, then the ledger by kind, the rejections by reason, and the invoices,
// customers and countries, each group preceded by its size and in the order of its keys' bytes;
// integers are varints (zigzag), strings follow their length, so that no two states share an
// encoding. It takes time and memory in proportion to the number of invoices, for the sorting.
func (s *State) Hash() string {
	h := sha256.New()
	w := canonical{w: bufio.NewWriterSize(h, 4<<10)}
	w.raw(stateTag)
	for _, t := range s.Ledger.totals {
		w.totals(t)
	}
	w.int(int64(len(reasons)))
	for i, t := range s.Ledger.rejected {
		w.text(string(reasons[i]))
		w.totals(t)
	}
	w.int(s.Ledger.Invoices())
	for inv := range s.Ledger.invoices.sorted() {
		w.text(inv.number)
		w.int(int64(inv.answers))
		w.int(int64(inv.rejected))
	}
	for key, t := range sorted(&w, s.Customers.by) {
		w.text(key)
		w.int(t.Accepted)
		w.int(t.Rejected)
		w.int(t.Lines)
		w.int(t.NetMilli)
	}
	for key, net := range sorted(&w, s.Countries.netMilli) {
		w.text(key)
		w.int(*net)
	}
	_ = w.w.Flush() // a hash takes every write
	return hex.EncodeToString(h.Sum(nil))
}

// canonical writes an encoding that is the same for equal values. A hash takes every write, so
// errors are not looked at.
type canonical struct {
	w   *bufio.Writer
	buf [binary.MaxVarintLen64]byte
}

func (c *canonical) raw(s string) { _, _ = io.WriteString(c.w, s) }

func (c *canonical) int(n int64) { _, _ = c.w.Write(c.buf[:binary.PutVarint(c.buf[:], n)]) }

func (c *canonical) text(s string) {
	c.int(int64(len(s)))
	c.raw(s)
}

func (c *canonical) totals(t Totals) {
	c.int(t.Accepted)
	c.int(t.Rejected)
	c.int(t.Lines)
	c.int(t.AmountMilli)
}

// sorted writes the size of m and yields it in the order of its keys.
func sorted[V any](c *canonical, m map[string]V) func(yield func(string, V) bool) {
	c.int(int64(len(m)))
	keys := slices.Sorted(maps.Keys(m))
	return func(yield func(string, V) bool) {
		for _, k := range keys {
			if !yield(k, m[k]) {
				return
			}
		}
	}
}
