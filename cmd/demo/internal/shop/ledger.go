package shop

// Totals are the figures of one kind of invoice.
type Totals struct {
	Accepted    int64 // commands
	Rejected    int64 // commands
	Lines       int64 // of both
	AmountMilli int64 // of both
}

// Ledger sums answers by kind of invoice, accepted or rejected. The zero Ledger is empty and
// ready. It is not safe for concurrent use.
type Ledger struct {
	totals   [kinds]Totals
	rejected [len(reasons)]Totals // by reason; Accepted stays 0
	invoices invoices
}

// Apply adds e. It fails with ErrOverflow, and then changes nothing. It allocates where the
// invoice is new.
func (l *Ledger) Apply(e Event) error {
	if !l.fits(e.Kind(), e.Data(), e.Rejected()) {
		return ErrOverflow
	}
	l.add(e.Kind(), e.Data(), e.Rejected())
	return nil
}

func (l *Ledger) fits(k Kind, a *Answer, why Reason) bool {
	// What all kinds together hold must fit too: net is their sum. Bounding each kind to a quarter
	// of the range makes every sum of them fit.
	sum, ok := addFits(l.totals[k].AmountMilli, a.AmountMilli)
	if !ok || sum > maxTotalMilli || sum < -maxTotalMilli {
		return false
	}
	if n := why.number(); n > 0 {
		_, ok = addFits(l.rejected[n-1].AmountMilli, a.AmountMilli)
	}
	return ok
}

func (l *Ledger) add(k Kind, a *Answer, why Reason) {
	t := &l.totals[k]
	t.Lines += a.Lines
	t.AmountMilli += a.AmountMilli
	inv := l.invoices.of(a.Invoice)
	inv.answers++
	n := why.number()
	if n == 0 {
		t.Accepted++
		return
	}
	t.Rejected++
	inv.rejected++
	r := &l.rejected[n-1]
	r.Rejected++
	r.Lines += a.Lines
	r.AmountMilli += a.AmountMilli
}

// Totals returns the figures of kind k.
func (l *Ledger) Totals(k Kind) Totals { return l.totals[k] }

// RejectedFor returns what was rejected for r, over all kinds. Its Accepted is 0.
func (l *Ledger) RejectedFor(r Reason) Totals {
	if n := r.number(); n > 0 {
		return l.rejected[n-1]
	}
	return Totals{}
}

// Invoices returns the number of distinct invoices.
func (l *Ledger) Invoices() int64 { return int64(l.invoices.n) }

// Lines returns the number of lines of all kinds.
func (l *Ledger) Lines() int64 {
	return l.totals[Plain].Lines + l.totals[Cancel].Lines + l.totals[Adjustment].Lines
}

// NetMilli returns the sum of all kinds' amounts.
func (l *Ledger) NetMilli() int64 {
	return l.totals[Plain].AmountMilli + l.totals[Cancel].AmountMilli + l.totals[Adjustment].AmountMilli
}

// maxTotalMilli bounds each kind's amount, so that the sum of the kinds fits an int64.
const maxTotalMilli = 1 << 61

// addFits returns a+b, and whether it fits.
func addFits(a, b int64) (int64, bool) {
	sum := a + b
	return sum, (sum > a) == (b > 0)
}
