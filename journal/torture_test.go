package journal

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"time"
)

// The torture suite: one file a campaign, torture_*_test.go. `go test` runs a short form of each,
// `make torture` (HEADRACE_LONG=1) the long form whose figures are in TORTURE.md. Every campaign
// prints its seed, how many cases it ran and what that bounds; HEADRACE_SEED repeats one and
// HEADRACE_CASES says how many.

// campaign is one run of cases.
type campaign struct {
	t     testing.TB
	seed  uint64
	want  int64
	begun time.Time
	cases atomic.Int64
	notes string
}

// newCampaign starts a campaign of short cases, or long ones in the long form. The race detector
// makes everything some ten times slower and does not see what happens in other processes and in
// mappings: it gets a tenth of the short form.
func newCampaign(t testing.TB, short, long int64) *campaign {
	c := &campaign{t: t, seed: rand.Uint64(), want: short, begun: time.Now()}
	switch {
	case long > 0 && longForm():
		c.want = long
	case raceEnabled || testing.Short():
		c.want = max(1, short/10)
	}
	if s := os.Getenv("HEADRACE_CASES"); s != "" {
		v, err := strconv.ParseInt(s, 0, 64)
		if err != nil {
			t.Fatalf("HEADRACE_CASES: %v", err)
		}
		c.want = v
	}
	if s := os.Getenv("HEADRACE_SEED"); s != "" {
		v, err := strconv.ParseUint(s, 0, 64)
		if err != nil {
			t.Fatalf("HEADRACE_SEED: %v", err)
		}
		c.seed = v
	}
	t.Cleanup(c.report)
	return c
}

func longForm() bool { return os.Getenv("HEADRACE_LONG") != "" }

// rand returns the generator of stream, which with the seed decides all that chance decides.
func (c *campaign) rand(stream uint64) *rand.Rand { return rand.New(rand.NewPCG(c.seed, stream)) }

// more counts a case and tells whether it is to be run.
func (c *campaign) more() bool {
	if c.t.Failed() {
		return false
	}
	if n := c.cases.Add(1); n > c.want {
		c.cases.Add(-1)
		return false
	}
	return true
}

// fail ends the test with what is needed to repeat the case.
func (c *campaign) fail(format string, args ...any) {
	c.t.Helper()
	c.t.Fatalf("HEADRACE_SEED=%#x case %d: %s", c.seed, c.cases.Load(), fmt.Sprintf(format, args...))
}

// check is fail if err is not nil.
func (c *campaign) check(err error, format string, args ...any) {
	c.t.Helper()
	if err != nil {
		c.fail("%s: %v", fmt.Sprintf(format, args...), err)
	}
}

// report prints the result. With none of n independent cases bad, the share of bad ones is below
// 3/n with a confidence of 95 % (the rule of three).
func (c *campaign) report() {
	n := c.cases.Load()
	switch {
	case n == 0 || c.t.Skipped():
	case c.t.Failed():
		c.t.Logf("torture %s: seed %#x: FAILED within %s cases", c.t.Name(), c.seed, thousands(n))
	default:
		c.t.Logf("torture %s: seed %#x: 0 of %s cases failed, 95 %% bound %.2g, in %v%s",
			c.t.Name(), c.seed, thousands(n), 3/float64(n), time.Since(c.begun).Round(100*time.Millisecond), c.notes)
	}
}

// note is a remark for the report.
func note(format string, args ...any) string { return "; " + fmt.Sprintf(format, args...) }
