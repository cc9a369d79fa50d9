package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// printer shows one scenario's outcome as soon as it is known.
type printer func(io.Writer, Outcome) error

// printTable prints medians, extremes, and how many times as fast the reference was.
func printTable(w io.Writer, out Outcome) error {
	sc := out.Scenario
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s: %s\n", sc.Name, sc.About)
	if sc.oversubscribed(out.Procs) {
		fmt.Fprintf(&b, "  oversubscribed: %d goroutines at work on %d processors\n", sc.threads(), out.Procs)
	}
	latency := false
	for _, st := range out.Stats {
		latency = latency || st.Latency != nil
	}
	head := "  system\tmedian\tmin\tmax\theadrace is"
	if latency {
		head += "\tp50\tp99\tp99.9\tmax"
	}
	tw := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	fmt.Fprintln(tw, head)
	ref := referenceMedian(out)
	for i, st := range out.Stats {
		name := sc.Systems[i].Name
		fmt.Fprintf(tw, "  %s\t%s\t%s\t%s\t%s", name,
			perSecond(st.Median), perSecond(st.Min), perSecond(st.Max), ratio(name, ref, st.Median))
		if st.Latency != nil {
			for _, q := range []float64{0.5, 0.99, 0.999} {
				fmt.Fprintf(tw, "\t%v", roundDuration(st.Latency.Quantile(q)))
			}
			fmt.Fprintf(tw, "\t%v", roundDuration(st.Latency.Max()))
		}
		fmt.Fprintln(tw)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	if latency {
		fmt.Fprintf(&b, "  latency from when an event was due until it was handled, at %d events/s\n", sc.Work.PacedRate)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// jsonResult is one system's part of a JSON line; rates in events a second, latencies in
// nanoseconds, absent where not measured.
type jsonResult struct {
	OpsPerS float64 `json:"ops_per_s"` // the median
	Min     float64 `json:"min"`
	Max     float64 `json:"max"`
	P50     int64   `json:"p50_ns,omitempty"`
	P99     int64   `json:"p99_ns,omitempty"`
	P999    int64   `json:"p999_ns,omitempty"`
	Longest int64   `json:"max_ns,omitempty"`
}

// printJSON prints one object on one line.
func printJSON(w io.Writer, out Outcome) error {
	results := make(map[string]jsonResult, len(out.Stats))
	for i, st := range out.Stats {
		r := jsonResult{OpsPerS: st.Median, Min: st.Min, Max: st.Max}
		if h := st.Latency; h != nil {
			r.P50, r.P99, r.P999 = int64(h.Quantile(0.5)), int64(h.Quantile(0.99)), int64(h.Quantile(0.999))
			r.Longest = int64(h.Max())
		}
		results[out.Scenario.Systems[i].Name] = r
	}
	return json.NewEncoder(w).Encode(struct {
		Scenario       string                `json:"scenario"`
		Oversubscribed bool                  `json:"oversubscribed,omitempty"`
		Results        map[string]jsonResult `json:"results"`
	}{out.Scenario.Name, out.Scenario.oversubscribed(out.Procs), results})
}

// printList prints what would run, as --only matches it.
func printList(w io.Writer, scenarios []Scenario) error {
	var b strings.Builder
	for _, sc := range scenarios {
		for _, sys := range sc.Systems {
			fmt.Fprintf(&b, "%s/%s\n", sc.Name, sys.Name)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// referenceMedian is 0 where the reference did not run.
func referenceMedian(out Outcome) float64 {
	for i, sys := range out.Scenario.Systems {
		if sys.Name == reference {
			return out.Stats[i].Median
		}
	}
	return 0
}

func ratio(name string, ref, median float64) string {
	if ref == 0 || name == reference {
		return "-"
	}
	return fmt.Sprintf("%.2fx as fast", ref/median)
}

// perSecond prints a rate with three or four digits that mean something.
func perSecond(r float64) string {
	switch {
	case r >= 1e8:
		return fmt.Sprintf("%.0f M/s", r/1e6)
	case r >= 1e6:
		return fmt.Sprintf("%.2f M/s", r/1e6)
	case r >= 1e3:
		return fmt.Sprintf("%.1f k/s", r/1e3)
	}
	return fmt.Sprintf("%.1f /s", r)
}

func roundDuration(d time.Duration) time.Duration {
	if d >= time.Millisecond {
		return d.Round(10 * time.Microsecond)
	}
	return d.Round(100 * time.Nanosecond)
}
