package shop

import "hash/maphash"

// invoice is what the ledger knows of one invoice. One that comes in several runs has several answers.
type invoice struct {
	number   string
	answers  int32
	rejected int32 // of them
}

// invoices are all invoices, in the order in which they came first. That is the order of their numbers as a rule, or of
// a few kinds of numbers, so that memory is read in its order when they are sorted; and the table grows without
// touching them again. A map of half a million of them takes more than twice the time. The zero invoices is empty and ready.
type invoices struct {
	n      int
	chunks []*[invoiceChunk]invoice // one after the other; all but the last are full
	slots  []invoiceSlot            // a power of two, at least half of them empty
}

const invoiceChunk = 1 << 10

type invoiceSlot struct {
	hash uint32
	at   uint32 // which invoice, from 1; 0 = empty
}

var invoiceSeed = maphash.MakeSeed()

// at returns invoice i, in [0, n).
func (t *invoices) at(i int) *invoice { return &t.chunks[i/invoiceChunk][i%invoiceChunk] }

// of returns the invoice with a number, a new one where there is none.
func (t *invoices) of(number string) *invoice {
	if 2*t.n >= len(t.slots) {
		t.grow()
	}
	hash, mask := uint32(maphash.String(invoiceSeed, number)), uint32(len(t.slots)-1)
	for i := hash & mask; ; i = (i + 1) & mask {
		s := &t.slots[i]
		if s.at == 0 {
			if t.n%invoiceChunk == 0 {
				t.chunks = append(t.chunks, new([invoiceChunk]invoice))
			}
			t.n++
			s.hash, s.at = hash, uint32(t.n)
			inv := t.at(t.n - 1)
			inv.number = number
			return inv
		}
		if s.hash == hash {
			if inv := t.at(int(s.at) - 1); inv.number == number {
				return inv
			}
		}
	}
}

func (t *invoices) grow() {
	old := t.slots
	t.slots = make([]invoiceSlot, max(64, 2*len(old)))
	mask := uint32(len(t.slots) - 1)
	for _, s := range old {
		if s.at == 0 {
			continue
		}
		i := s.hash & mask
		for t.slots[i].at != 0 {
			i = (i + 1) & mask
		}
		t.slots[i] = s
	}
}

// sorted yields all in the order of the bytes of their numbers.
func (t *invoices) sorted() func(yield func(*invoice) bool) {
	return func(yield func(*invoice) bool) {
		for _, p := range sortTexts(t.n, func(i int) string { return t.at(i).number }) {
			if !yield(t.at(p.at)) {
				return
			}
		}
	}
}
