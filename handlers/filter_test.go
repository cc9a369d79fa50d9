package handlers

import (
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace/event"
)

type (
	thing1 struct{ A int }
	thing2 struct{ A int }
	thing3 struct{ A int }
)

// filterTypes is a log with types that the registry knows, has renamed, and does not know.
func filterTypes(t testing.TB) *Types {
	r := event.NewRegistry()
	event.MustRegister[thing1](r, "orders.placed", 1)
	event.MustRegister[thing2](r, "orders.item.added", 1)
	event.MustRegister[thing3](r, "payments", 1)
	require.NoError(t, r.Rename("orders.cash", "payments"))
	c := new(event.Catalog)
	require.NoError(t, c.Learn(3, "headrace.failed"))
	for _, name := range []string{"orders.placed", "orders.cash", "orders.item.added", "payments", "orders", "shop.orders.placed"} {
		_, _, err := c.Assign(name)
		require.NoError(t, err)
	}
	return NewTypes(r, c)
}

func matched(t testing.TB, types *Types, f Filter) (names []string) {
	m, err := NewMatch(f, types)
	require.NoError(t, err)
	for _, id := range types.ids() {
		if m.Type(id) {
			names = append(names, types.Name(id))
		}
	}
	return names
}

func TestFilter_TypesAsTheyAreDocumented(t *testing.T) {
	types := filterTypes(t)
	for _, c := range []struct {
		patterns string
		want     string
	}{
		{"", "orders.placed orders.cash orders.item.added payments orders shop.orders.placed"},
		{"orders.*", "orders.placed orders.cash payments"}, // payments was orders.cash
		{"orders.>", "orders.placed orders.cash orders.item.added payments"},
		{"orders", "orders"},
		{"payments", "orders.cash payments"},
		{"*", "orders.cash payments orders"},
		{"*.*", "orders.placed orders.cash payments"},
		{"*.placed", "orders.placed"},
		{">", "orders.placed orders.cash orders.item.added payments orders shop.orders.placed"},
		{"*.*.>", "orders.item.added shop.orders.placed"},
		{"shop.> orders", "orders shop.orders.placed"},
		{"orders.placed.>", ""},
		{"headrace.> headrace.failed", ""},
	} {
		got := matched(t, types, Filter{Types: strings.Fields(c.patterns)})
		require.Equal(t, strings.Fields(c.want), append([]string{}, got...), "pattern %q", c.patterns)
	}
	require.Equal(t, false, (&Match{}).Type(60000))
}

// Patterns against a regular expression that is made of them.
func TestFilter_AgainstRegexp(t *testing.T) {
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	pick := func(from ...string) string { return from[rng.IntN(len(from))] }
	for range 20_000 {
		var name, pattern []string
		for range 1 + rng.IntN(4) {
			name = append(name, pick("a", "b", "ab"))
		}
		expr := "^"
		for n := 1 + rng.IntN(4); n > 0; n-- {
			token := pick("a", "b", "ab", "*", ">")
			if token == ">" && n > 1 {
				token = "*"
			}
			pattern = append(pattern, token)
			switch token {
			case "*":
				expr += `[^.]+`
			case ">":
				expr += `[^.]+(\.[^.]+)*`
			default:
				expr += token
			}
			if n > 1 {
				expr += `\.`
			}
		}
		p, n := strings.Join(pattern, "."), strings.Join(name, ".")
		require.NoError(t, Filter{Types: []string{p}}.Validate())
		require.Equal(t, regexp.MustCompile(expr+"$").MatchString(n), matchTokens(p, n), "seed %d: %q on %q", seed, p, n)
	}
}

func TestFilter_Events_AgainstNaive_NoAllocation(t *testing.T) {
	types := filterTypes(t)
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	keys := []string{"", "order-1", "order-2", "order", "customer-1"}
	for range 3000 {
		var f Filter
		for range rng.IntN(3) {
			f.Keys = append(f.Keys, keys[1+rng.IntN(4)])
		}
		for range rng.IntN(3) {
			f.Kinds = append(f.Kinds, event.Kind(1+rng.IntN(3)))
		}
		f.KeyPrefix = []string{"", "order", "order-", "z"}[rng.IntN(4)]
		m, err := NewMatch(f, types)
		require.NoError(t, err)
		h := event.Header{ID: event.NewID(), Key: keys[rng.IntN(5)], Kind: event.Kind(1 + rng.IntN(3))}
		body, err := event.AppendHeader(nil, &h)
		require.NoError(t, err)
		v, err := event.Parse(body)
		require.NoError(t, err)
		want := (len(f.Keys) == 0 || slices.Contains(f.Keys, h.Key)) &&
			(len(f.Kinds) == 0 || slices.Contains(f.Kinds, h.Kind)) && strings.HasPrefix(h.Key, f.KeyPrefix)
		require.Equal(t, want, m.Event(v), "seed %d: %v on %+v", seed, f, h)
		require.Zero(t, testing.AllocsPerRun(20, func() { _ = m.Type(16) && m.Event(v) }))
	}
}

func TestFilter_FaultsAreNamed(t *testing.T) {
	for pattern, want := range map[string]string{
		"":            "empty token",
		"orders.":     "empty token",
		".placed":     "empty token",
		"a..b":        "empty token",
		">.a":         "last token",
		"orders.pl*":  "of its own",
		"orders.**":   "of its own",
		"orders.>>":   "of its own",
		"order\xff.*": "UTF-8",
	} {
		err := Filter{Types: []string{pattern}}.Validate()
		require.ErrorIs(t, err, ErrFilter, "pattern %q", pattern)
		require.ErrorContains(t, err, want, "pattern %q", pattern)
		_, err = NewMatch(Filter{Types: []string{pattern}}, filterTypes(t))
		require.ErrorIs(t, err, ErrFilter)
	}
	err := Filter{Kinds: []event.Kind{0, 9}, Keys: []string{"a", ""}}.Validate()
	require.ErrorIs(t, err, ErrFilter)
	require.ErrorContains(t, err, "kind(9)")
	require.ErrorContains(t, err, "empty")
	require.NoError(t, Filter{}.Validate())
	require.Equal(t, "all", Filter{}.String())
	require.Equal(t, Filter{Types: []string{"b", "a"}, Keys: []string{"k"}}.String(), Filter{Keys: []string{"k", "k"}, Types: []string{"a", "b", "a"}}.String())
}

// A snapshot is compared by the filter's text: it is another one exactly if other events pass.
func TestFilter_String_IsWhatPasses(t *testing.T) {
	base := func() Filter {
		return Filter{Types: []string{"b", "a"}, Kinds: []event.Kind{event.Document, event.Command}, Keys: []string{"y", "x"}, KeyPrefix: "p"}
	}
	seen := map[string]bool{base().String(): true, Filter{}.String(): true}
	require.Len(t, seen, 2)
	for _, change := range []func(f *Filter){
		func(f *Filter) { f.Types = f.Types[:1] }, func(f *Filter) { f.Types = nil },
		func(f *Filter) { f.Kinds = f.Kinds[:1] }, func(f *Filter) { f.Kinds = nil },
		func(f *Filter) { f.Keys = f.Keys[:1] }, func(f *Filter) { f.Keys = nil },
		func(f *Filter) { f.KeyPrefix = "q" }, func(f *Filter) { f.KeyPrefix = "" },
		func(f *Filter) { f.Keys = []string{"x y"} }, func(f *Filter) { f.Types, f.Keys = f.Keys, f.Types },
	} {
		f := base()
		change(&f)
		require.False(t, seen[f.String()], "%v", f)
		seen[f.String()] = true
	}
	f := base()
	f.Types, f.Kinds, f.Keys = []string{"a", "b", "a"}, []event.Kind{event.Command, event.Document}, []string{"x", "y", "x"}
	require.Equal(t, base().String(), f.String(), "in another order, and twice")
	require.Equal(t, []string{"a", "b", "a"}, f.Types, "and f is as it was")
}
