package shop

import "maps"

// Countries sums the amounts of answers by country. The zero Countries is empty and ready. It is
// not safe for concurrent use.
type Countries struct {
	netMilli map[string]int64
}

// Apply adds e. It fails with ErrOverflow, and then changes nothing. It allocates where the
// country is new.
func (c *Countries) Apply(e Event) error {
	if !c.fits(e) {
		return ErrOverflow
	}
	c.add(e)
	return nil
}

func (c *Countries) fits(e Event) bool {
	_, ok := addFits(c.netMilli[e.Data().Country], e.Data().AmountMilli)
	return ok
}

func (c *Countries) add(e Event) {
	if c.netMilli == nil {
		c.netMilli = make(map[string]int64)
	}
	c.netMilli[e.Data().Country] += e.Data().AmountMilli
}

// NetMilli returns a copy: name to the sum of all kinds of invoice. It is never nil. An answer
// without a country counts under "".
func (c *Countries) NetMilli() map[string]int64 {
	m := maps.Clone(c.netMilli)
	if m == nil {
		m = map[string]int64{}
	}
	return m
}
