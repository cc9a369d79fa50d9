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
func (s *State) Apply(e Event) error {
	if !s.Ledger.fits(e) || !s.Customers.fits(e) || !s.Countries.fits(e) {
		return ErrOverflow
	}
	s.Ledger.add(e)
	s.Customers.add(e)
	s.Countries.add(e)
	return nil
}
