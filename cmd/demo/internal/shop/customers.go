package shop

// CustomerTotals are the figures of one customer, over all kinds of invoice.
type CustomerTotals struct {
	Accepted int64 // commands
	Rejected int64 // commands
	Lines    int64 // of both
	NetMilli int64 // of both
}

// Customers sums answers by customer; those without one are left out. The zero Customers is empty
// and ready. It is not safe for concurrent use.
type Customers struct {
	by map[string]*CustomerTotals
}

// Apply adds e. It fails with ErrOverflow, and then changes nothing. It allocates where the
// customer is new.
func (c *Customers) Apply(e Event) error {
	t := c.by[e.Data().Customer]
	if !t.fits(e.Data()) {
		return ErrOverflow
	}
	c.add(t, e.Data(), e.Rejected())
	return nil
}

// fits is for the totals of a's customer, nil for none yet.
func (t *CustomerTotals) fits(a *Answer) bool {
	if t == nil {
		return true
	}
	_, ok := addFits(t.NetMilli, a.AmountMilli)
	return ok
}

// add adds a to t, which are the totals of its customer.
func (c *Customers) add(t *CustomerTotals, a *Answer, why Reason) {
	if a.Customer == "" {
		return
	}
	if t == nil {
		if c.by == nil {
			c.by = make(map[string]*CustomerTotals)
		}
		t = new(CustomerTotals)
		c.by[a.Customer] = t
	}
	if why == "" {
		t.Accepted++
	} else {
		t.Rejected++
	}
	t.Lines += a.Lines
	t.NetMilli += a.AmountMilli
}

// Len returns the number of distinct customers.
func (c *Customers) Len() int64 { return int64(len(c.by)) }

// Of returns the figures of one customer, and whether there is one.
func (c *Customers) Of(customer string) (CustomerTotals, bool) {
	if t := c.by[customer]; t != nil {
		return *t, true
	}
	return CustomerTotals{}, false
}
