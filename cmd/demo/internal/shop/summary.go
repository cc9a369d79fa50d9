package shop

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/headrace/headrace/cmd/demo/internal/screen"
)

// Log is what a summary says about the log, beside the business.
type Log struct {
	Events  int64 // events in the log: commands and answers
	Last    int64 // sequence of the last one, 0 = none
	Durable int64 // sequence of the last one known to be synced
}

// Summary is the shop in figures, as the commands of the demo print it. Money is in thousandths.
type Summary struct {
	Invoices         int64            `json:"invoices"` // distinct
	Lines            int64            `json:"lines"`
	GrossMilli       int64            `json:"gross_milli"`       // of plain invoices
	RefundsMilli     int64            `json:"refunds_milli"`     // of cancellations: negative as a rule
	AdjustmentsMilli int64            `json:"adjustments_milli"` // of adjustments
	NetMilli         int64            `json:"net_milli"`         // the sum of the three
	Customers        int64            `json:"customers"`         // distinct, without the unknown
	Countries        map[string]int64 `json:"countries"`         // name to net
	Events           int64            `json:"events"`
	LastSequence     int64            `json:"last_sequence"`
	DurableSequence  int64            `json:"durable_sequence"`
	StateHash        string           `json:"state_hash"` // see State.Hash
}

// Summary returns the figures of s and log. It shares nothing with s. It takes as long as Hash.
func (s *State) Summary(log Log) Summary {
	return Summary{
		Invoices:         s.Ledger.Invoices(),
		Lines:            s.Ledger.Lines(),
		GrossMilli:       s.Ledger.Totals(Plain).AmountMilli,
		RefundsMilli:     s.Ledger.Totals(Cancel).AmountMilli,
		AdjustmentsMilli: s.Ledger.Totals(Adjustment).AmountMilli,
		NetMilli:         s.Ledger.NetMilli(),
		Customers:        s.Customers.Len(),
		Countries:        s.Countries.NetMilli(),
		Events:           log.Events,
		LastSequence:     log.Last,
		DurableSequence:  log.Durable,
		StateHash:        s.Hash(),
	}
}

// WriteJSON writes m as one JSON object on one line. Equal summaries have equal text.
func (m Summary) WriteJSON(w io.Writer) error {
	if m.Countries == nil {
		m.Countries = map[string]int64{}
	}
	line, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("shop: summary: %w", err)
	}
	_, err = w.Write(append(line, '\n'))
	return err
}

// ParseSummary reads what WriteJSON writes. Members that it does not know, and text behind the
// object, are an error: a summary that was stored is either whole or of no use.
func ParseSummary(data []byte) (Summary, error) {
	var m Summary
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return Summary{}, fmt.Errorf("shop: stored summary: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Summary{}, fmt.Errorf("shop: stored summary: text behind the object")
	}
	return m, nil
}

// Diff returns one line for each business figure in which m and other differ: its name, that of m
// and that of other. It does not compare what is about the log alone. None means that they agree.
func (m Summary) Diff(other Summary) []string {
	var out []string
	number := func(name string, a, b int64) {
		if a != b {
			out = append(out, fmt.Sprintf("%s: %d, %d", name, a, b))
		}
	}
	number("invoices", m.Invoices, other.Invoices)
	number("lines", m.Lines, other.Lines)
	number("gross_milli", m.GrossMilli, other.GrossMilli)
	number("refunds_milli", m.RefundsMilli, other.RefundsMilli)
	number("adjustments_milli", m.AdjustmentsMilli, other.AdjustmentsMilli)
	number("net_milli", m.NetMilli, other.NetMilli)
	number("customers", m.Customers, other.Customers)
	all := maps.Clone(m.Countries)
	if all == nil {
		all = map[string]int64{}
	}
	maps.Copy(all, other.Countries)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		a, inA := m.Countries[name]
		b, inB := other.Countries[name]
		if a != b || inA != inB {
			out = append(out, fmt.Sprintf("countries[%q]: %d, %d", name, a, b))
		}
	}
	if m.StateHash != other.StateHash {
		out = append(out, fmt.Sprintf("state_hash: %s, %s", m.StateHash, other.StateHash))
	}
	return out
}

// topCountries is how many countries a table names.
const topCountries = 5

// WriteTable writes m for a person: a short table with the largest countries.
func (m Summary) WriteTable(w io.Writer) error {
	var t screen.Table
	t.Row("invoices", screen.Count(m.Invoices))
	t.Row("lines", screen.Count(m.Lines))
	t.Row("customers", screen.Count(m.Customers))
	t.Gap()
	t.Row("orders", screen.Milli(m.GrossMilli))
	t.Row("refunds", screen.Milli(m.RefundsMilli))
	t.Row("adjustments", screen.Milli(m.AdjustmentsMilli))
	t.Row("net", screen.Milli(m.NetMilli))
	if len(m.Countries) > 0 {
		t.Gap()
	}
	names := slices.SortedFunc(maps.Keys(m.Countries), func(a, b string) int {
		return cmp.Or(cmp.Compare(m.Countries[b], m.Countries[a]), cmp.Compare(a, b))
	})
	var rest, others int64
	for i, name := range names {
		if i < topCountries {
			t.Row(cmp.Or(name, "(no country)"), screen.Milli(m.Countries[name]))
			continue
		}
		rest += m.Countries[name]
		others++
	}
	if others > 0 {
		t.Row(fmt.Sprintf("%s more countries", screen.Count(others)), screen.Milli(rest))
	}
	t.Gap()
	t.Row("events", screen.Count(m.Events))
	t.Row("last sequence", screen.Count(m.LastSequence))
	t.Row("durable sequence", screen.Count(m.DurableSequence))
	_, err := fmt.Fprintf(w, "%s  state %s\n", t.String(), m.StateHash)
	return err
}
