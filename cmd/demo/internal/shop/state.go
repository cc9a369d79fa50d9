package shop

// State is everything that the shop knows: the three read models together. The zero State is
// empty and ready. It is not safe for concurrent use. The models are independent: each may be
// fed on a lane of its own instead, and be put into a State when the figures are wanted.
type State struct {
	Ledger    Ledger
	Customers Customers
	Countries Countries
}

// Apply adds e to all models. It fails with ErrOverflow, and then changes none.
func (s *State) Apply(e Event) error { return s.Add(e.Kind(), e.Data(), e.Rejected()) }

// Add is Apply for an answer that need not be an Event: one of kind k that carries a, and says no for a reason, or
// yes. It does not keep a, which may so stay on its caller's stack.
func (s *State) Add(k Kind, a *Answer, why Reason) error {
	customer, net := s.Customers.by[a.Customer], s.Countries.netMilli[a.Country]
	if !s.Ledger.fits(k, a, why) || !customer.fits(a) || !netFits(net, a) {
		return ErrOverflow
	}
	s.Ledger.add(k, a, why)
	s.Customers.add(customer, a, why)
	s.Countries.add(net, a)
	return nil
}
