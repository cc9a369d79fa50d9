package shop

// Countries sums the amounts of answers by country. The zero Countries is empty and ready. It is
// not safe for concurrent use.
type Countries struct {
	netMilli map[string]*int64
}

// Apply adds e. It fails with ErrOverflow, and then changes nothing. It allocates where the
// country is new.
func (c *Countries) Apply(e Event) error {
	net := c.netMilli[e.Data().Country]
	if !netFits(net, e.Data()) {
		return ErrOverflow
	}
	c.add(net, e.Data())
	return nil
}

// netFits tells whether a can be added to the sum of its country, nil for none yet.
func netFits(net *int64, a *Answer) bool {
	if net == nil {
		return true
	}
	_, ok := addFits(*net, a.AmountMilli)
	return ok
}

// add adds a to net, which is the sum of its country.
func (c *Countries) add(net *int64, a *Answer) {
	if net == nil {
		if c.netMilli == nil {
			c.netMilli = make(map[string]*int64)
		}
		net = new(int64)
		c.netMilli[a.Country] = net
	}
	*net += a.AmountMilli
}

// NetMilli returns a copy: name to the sum of all kinds of invoice. It is never nil. An answer
// without a country counts under "".
func (c *Countries) NetMilli() map[string]int64 {
	m := make(map[string]int64, len(c.netMilli))
	for name, net := range c.netMilli {
		m[name] = *net
	}
	return m
}
