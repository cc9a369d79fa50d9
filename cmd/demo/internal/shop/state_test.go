package shop

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// answers returns the answers to the first orders of a seed.
func answers(t testing.TB, seed uint64, orders int64) []Event {
	var out []Event
	for _, o := range all(t, NewGenerator(seed, orders)) {
		out = append(out, Validate(o.Command()))
	}
	return out
}

func fold(t testing.TB, events []Event) *State {
	s := new(State)
	for _, e := range events {
		require.NoError(t, s.Apply(e))
	}
	return s
}

// stored is all that s says, in one order: its invoices stand in the order in which they came.
func stored(t testing.TB, s *State) []byte {
	image, err := s.AppendSnapshot(nil)
	require.NoError(t, err)
	return image
}

// The same answers in any order, and on lanes of their own, give the same state and hash.
func TestState_OrderOfAnswersDoesNotMatter(t *testing.T) {
	const seed = 13
	events := answers(t, seed, 3000)
	want := fold(t, events)
	hash := want.Hash()
	require.Equal(t, hash, want.Hash())
	for shuffle := range uint64(8) {
		r := rand.New(rand.NewPCG(seed, shuffle))
		r.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
		got := fold(t, events)
		require.Equal(t, stored(t, want), stored(t, got), "shuffle %d", shuffle)
		require.Equal(t, hash, got.Hash(), "shuffle %d", shuffle)

		var lanes State
		for _, e := range events {
			require.NoError(t, lanes.Customers.Apply(e))
		}
		for _, e := range events {
			require.NoError(t, lanes.Ledger.Apply(e))
		}
		for _, e := range events {
			require.NoError(t, lanes.Countries.Apply(e))
		}
		require.Equal(t, hash, lanes.Hash())
	}
}

// Any answer that is lost, doubled or altered changes the hash.
func TestState_Hash_ShowsEveryDifference(t *testing.T) {
	const seed = 17
	events := answers(t, seed, 120)
	hashes := map[string]string{fold(t, events).Hash(): "all", new(State).Hash(): "none"}
	note := func(what string, s *State) {
		h := s.Hash()
		require.Len(t, h, 64)
		require.NotContains(t, hashes, h, "%s hashes like %q", what, hashes[h])
		hashes[h] = what
	}
	for i, e := range events {
		without := append(append([]Event(nil), events[:i]...), events[i+1:]...)
		name := string(e.Rejected()) + " " + e.Data().Invoice
		note(name+" lost", fold(t, without))
		note(name+" doubled", fold(t, append(without, e, e)))
	}
	base := func() Answer {
		return Answer{Invoice: "1", Row: 1, Lines: 2, AmountMilli: 3, Customer: "c", Country: "x"}
	}
	one := func(e Event) *State { return fold(t, []Event{e}) }
	note("base", one(&OrderAccepted{base()}))
	for name, spoil := range map[string]func(a *Answer){
		"invoice":           func(a *Answer) { a.Invoice = "2" },
		"lines":             func(a *Answer) { a.Lines++ },
		"amount":            func(a *Answer) { a.AmountMilli = -a.AmountMilli },
		"customer":          func(a *Answer) { a.Customer = "d" },
		"no customer":       func(a *Answer) { a.Customer = "" },
		"country":           func(a *Answer) { a.Country = "" },
		"customer, country": func(a *Answer) { a.Customer, a.Country = "cx", "" },
	} {
		a := base()
		spoil(&a)
		note(name, one(&OrderAccepted{a}))
	}
	note("cancelled", one(&CancellationAccepted{base()}))
	note("adjusted", one(&LedgerAdjusted{base()}))
	note("rejected", one(&OrderRejected{Rejection{base(), ReasonPrice, 1}}))
	note("rejected for another reason", one(&OrderRejected{Rejection{base(), ReasonQuantity, 1}}))

	a := base()
	a.Row = 99
	require.Equal(t, one(&OrderAccepted{base()}).Hash(), one(&OrderAccepted{a}).Hash(), "a row is no business figure")
}

// The hash of a known state: it is stored beside logs, so the encoding must not change unnoticed.
func TestState_Hash_Golden(t *testing.T) {
	const want = "2b26db6254dc77cf861cdde5d7da35ad78e494ab512ec6f5acf83b86c7f901f0"
	require.Equal(t, want, fold(t, []Event{
		&OrderAccepted{Answer{Invoice: "1", Row: 1, Lines: 2, AmountMilli: 3, Customer: "c", Country: "x"}},
		&CancellationRejected{Rejection{Answer{Invoice: "C1", Row: 3, Lines: 1, AmountMilli: -1, Country: "y"}, ReasonPrice, 1}},
	}).Hash())
}

func TestState_Overflow_ChangesNothing(t *testing.T) {
	large := func(amount int64, customer, country string) Event {
		return &OrderAccepted{Answer{Invoice: "1", Lines: 1, AmountMilli: amount, Customer: customer, Country: country}}
	}
	t.Run("ledger", func(t *testing.T) {
		s := fold(t, []Event{large(maxTotalMilli, "", "a")})
		before := s.Hash()
		require.ErrorIs(t, s.Apply(large(1, "", "b")), ErrOverflow)
		require.ErrorIs(t, s.Ledger.Apply(large(1, "", "b")), ErrOverflow)
		require.Equal(t, before, s.Hash())
		require.NoError(t, s.Apply(large(-1, "", "b")))
	})
	t.Run("customer", func(t *testing.T) {
		s := new(State)
		require.NoError(t, s.Customers.Apply(large(math.MaxInt64, "c", "a")))
		before := s.Hash()
		require.ErrorIs(t, s.Customers.Apply(large(1, "c", "a")), ErrOverflow)
		require.ErrorIs(t, s.Apply(large(1, "c", "a")), ErrOverflow)
		require.Equal(t, before, s.Hash())
		require.NoError(t, s.Apply(large(1, "d", "a")))
	})
	t.Run("country", func(t *testing.T) {
		s := new(State)
		require.NoError(t, s.Countries.Apply(large(math.MinInt64, "c", "a")))
		before := s.Hash()
		require.ErrorIs(t, s.Countries.Apply(large(-1, "c", "a")), ErrOverflow)
		require.ErrorIs(t, s.Apply(large(-1, "c", "a")), ErrOverflow)
		require.Equal(t, before, s.Hash())
	})
	t.Run("the sum of the kinds fits", func(t *testing.T) {
		s := fold(t, []Event{
			large(-maxTotalMilli, "", "a"),
			&CancellationAccepted{Answer{Invoice: "C1", AmountMilli: -maxTotalMilli, Country: "b"}},
			&LedgerAdjusted{Answer{Invoice: "A1", AmountMilli: -maxTotalMilli, Country: "c"}},
		})
		require.Equal(t, int64(-3*maxTotalMilli), s.Ledger.NetMilli())
	})
}

func TestAddFits(t *testing.T) {
	edge := []int64{math.MinInt64, math.MinInt64 + 1, -1, 0, 1, math.MaxInt64 - 1, math.MaxInt64}
	for _, a := range edge {
		for _, b := range edge {
			sum, ok := addFits(a, b)
			wraps := b > 0 && a > math.MaxInt64-b || b < 0 && a < math.MinInt64-b
			require.Equal(t, !wraps, ok, "%d + %d", a, b)
			if ok {
				require.Equal(t, a+b, sum)
			}
		}
	}
}

// What one answer about a known invoice, customer and country costs: nothing on the heap.
func TestState_Apply_DoesNotAllocate(t *testing.T) {
	e := &OrderRejected{Rejection{Answer{Invoice: "1", Lines: 2, AmountMilli: 3, Customer: "c", Country: "x"}, ReasonPrice, 1}}
	s := fold(t, []Event{e})
	require.Zero(t, testing.AllocsPerRun(100, func() { _ = s.Apply(e) }))
}
