package main

import (
	"bytes"
	"context"
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func runArgs(t *testing.T, all []Scenario, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(context.Background(), all, args, &out, &errs)
	return code, out.String(), errs.String()
}

// Every registered system does a little of its work, and every sum agrees.
func TestRun_EveryScenario(t *testing.T) {
	dir := t.TempDir()
	all := scenarios()
	for i := range all {
		if all[i].Name == "ring/ping-pong" || all[i].Name == "machine/cache-line" {
			// Where other processes take a processor, spinners need a time slice for each exchange.
			all[i].Work.Events, all[i].Work.PacedEvents = 10_000, min(all[i].Work.PacedEvents, 5_000)
		}
	}
	// Enough for the graphs' rings to wrap.
	code, stdout, stderr := runArgs(t, all,
		"--json", "--rounds", "1", "--warmup", "0", "--scale", "0.003", "--dir", dir)
	require.Equal(t, exitOK, code, stderr)
	requireEmpty(t, dir)

	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	require.Len(t, lines, len(scenarios()))
	for i, sc := range scenarios() {
		var got struct {
			Scenario string
			Results  map[string]struct {
				OpsPerS float64 `json:"ops_per_s"`
				Min     float64
				Max     float64
			}
		}
		require.NoError(t, json.Unmarshal([]byte(lines[i]), &got), lines[i])
		require.Equal(t, sc.Name, got.Scenario)
		require.Len(t, got.Results, len(sc.Systems))
		for _, sys := range sc.Systems {
			r := got.Results[sys.Name]
			require.Positive(t, r.Min, "%s/%s", sc.Name, sys.Name)
			require.LessOrEqual(t, r.Min, r.OpsPerS)
			require.LessOrEqual(t, r.OpsPerS, r.Max)
		}
	}
}

func TestScenarios_NamesAreUniqueAndComplete(t *testing.T) {
	seen := map[string]bool{}
	for _, sc := range scenarios() {
		require.NotEmpty(t, sc.About)
		require.Zero(t, sc.Work.Events%(sc.Work.Batch*sc.Work.producers()), sc.Name)
		if sc.LatencyOnly {
			require.Positive(t, sc.Work.PacedEvents, sc.Name)
		}
		for _, sys := range sc.Systems {
			name := sc.Name + "/" + sys.Name
			require.False(t, seen[name], "%s twice", name)
			seen[name] = true
		}
	}
}

func TestRun_JSONShape(t *testing.T) {
	h := NewHistogram()
	h.Record(20)
	out := Outcome{
		Procs:    2,
		Scenario: Scenario{Name: "a/b", Systems: []System{{Name: "headrace"}, {Name: "channel"}}},
		Stats: []Stats{
			{Median: 2, Min: 1, Max: 3, Latency: h},
			{Median: 4, Min: 4, Max: 4},
		},
	}
	var b bytes.Buffer
	require.NoError(t, printJSON(&b, out))
	require.Equal(t, `{"scenario":"a/b","results":{`+
		`"channel":{"ops_per_s":4,"min":4,"max":4},`+
		`"headrace":{"ops_per_s":2,"min":1,"max":3,"p50_ns":20,"p99_ns":20,"p999_ns":20,"max_ns":20}}}`+"\n", b.String())
}

// With more goroutines at work than processors both forms say so.
func TestRun_Oversubscribed(t *testing.T) {
	for threads, want := range map[int]bool{0: false, 2: false, 3: true} {
		out := Outcome{
			Procs:    2,
			Scenario: Scenario{Name: "a/b", Threads: threads, Systems: []System{{Name: "headrace"}}},
			Stats:    []Stats{{Median: 2, Min: 1, Max: 3}},
		}
		var b bytes.Buffer
		require.NoError(t, printTable(&b, out))
		require.Equal(t, want, strings.Contains(b.String(), "oversubscribed: 3 goroutines at work on 2 processors"), b.String())
		b.Reset()
		require.NoError(t, printJSON(&b, out))
		require.Equal(t, want, strings.Contains(b.String(), `"oversubscribed":true`), b.String())
	}
}

func TestRun_TableShowsRatios(t *testing.T) {
	sc, _ := fakeScenario()
	sc.Systems = []System{{Name: "headrace"}, {Name: "channel"}}
	sc.Work.PacedRate = 50_000
	h := NewHistogram()
	h.Record(2 * time.Microsecond)
	out := Outcome{Scenario: sc, Stats: []Stats{
		{Median: 9e6, Min: 8e6, Max: 1.5e8, Latency: h}, {Median: 3e6, Min: 9e5, Max: 4e6}}}
	var b bytes.Buffer
	require.NoError(t, printTable(&b, out))
	for _, want := range []string{"fake/work: nothing", "9.00 M/s", "150 M/s", "900.0 k/s", "3.00x as fast", "2µs", "50000 events/s"} {
		require.Contains(t, b.String(), want)
	}

	out.Scenario.Systems = []System{{Name: "other"}, {Name: "channel"}}
	b.Reset()
	require.NoError(t, printTable(&b, out))
	require.NotContains(t, b.String(), "as fast\n", "no ratio without a reference")
}

func TestChoose(t *testing.T) {
	all := []Scenario{
		{Name: "ring/one", Systems: []System{{Name: "headrace"}, {Name: "channel"}}},
		{Name: "journal/append", Systems: []System{{Name: "headrace"}}},
	}
	names := func(re string) string {
		var b bytes.Buffer
		require.NoError(t, printList(&b, choose(all, regexp.MustCompile(re))))
		return strings.ReplaceAll(strings.TrimSpace(b.String()), "\n", " ")
	}
	require.Equal(t, "ring/one/headrace ring/one/channel journal/append/headrace", names(""))
	require.Equal(t, "ring/one/headrace journal/append/headrace", names("/headrace$"))
	require.Equal(t, "journal/append/headrace", names("^journal"))
	require.Equal(t, "", names("nothing"))
	require.Len(t, all[0].Systems, 2, "the registry is not changed")
}

func TestRun_List(t *testing.T) {
	code, stdout, _ := runArgs(t, scenarios(), "--list", "--only", "one-to-one/channel")
	require.Equal(t, exitOK, code)
	require.Equal(t, "ring/one-to-one/channel\n", stdout)
}

func TestRun_WrongSumExitsOne(t *testing.T) {
	sc, _ := fakeScenario(&fakeBench{name: "bad", wrong: 1})
	code, stdout, stderr := runArgs(t, []Scenario{sc}, "--json")
	require.Equal(t, exitFailed, code)
	require.Empty(t, stdout)
	require.Contains(t, stderr, "fake/work: bad: round 1: wrong sum")
}

func TestRun_Usage(t *testing.T) {
	for _, args := range [][]string{
		{"--rounds", "0"}, {"--warmup", "-1"}, {"--scale", "0"}, {"--scale", "NaN"}, {"--timeout", "0"},
		{"--only", "("}, {"--only", "nothing"}, {"extra"}, {"--unknown"},
	} {
		code, stdout, stderr := runArgs(t, scenarios(), args...)
		require.Equal(t, exitUsage, code, "%q", args)
		require.Empty(t, stdout, "%q", args)
		require.NotEmpty(t, stderr, "%q", args)
	}
	code, _, stderr := runArgs(t, scenarios(), "--help")
	require.Equal(t, exitOK, code)
	require.Contains(t, stderr, "-rounds")
}

func TestRun_BadDirectoryExitsOne(t *testing.T) {
	code, _, stderr := runArgs(t, scenarios(), "--dir", "/does/not/exist")
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, "directory for the logs")
}

func TestRun_InterruptedRemovesFiles(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	dir := t.TempDir()
	var out, errs bytes.Buffer
	require.Equal(t, exitInterrupted, run(ctx, scenarios(), []string{"--dir", dir}, &out, &errs))
	requireEmpty(t, dir)
}

func TestWork_Scaled(t *testing.T) {
	w := Work{Events: 1000, Batch: 64, PacedEvents: 10}
	require.Equal(t, Work{Events: 1024, Batch: 64, PacedEvents: 10}, w.scaled(1))
	require.Equal(t, Work{Events: 64, Batch: 64, PacedEvents: 1}, w.scaled(1e-9))
	require.Equal(t, Work{Events: 2048, Batch: 64, PacedEvents: 20}, w.scaled(2))

	w = Work{Events: 300, Batch: 10, Producers: 3}
	require.Equal(t, 30, w.scaled(1e-9).Events, "one batch for each producer")
	require.Equal(t, 180, w.scaled(0.51).Events)
}

func TestFoldBody_NoticesEveryChange(t *testing.T) {
	w := Work{Events: 3, Batch: 1, BodyBytes: 24}
	want := bodySum(w)
	sum := func(numbers ...int) (s uint64) {
		body := newBody(w.BodyBytes)
		for _, i := range numbers {
			stampBody(body, i)
			s = foldBody(s, body)
		}
		return s
	}
	require.Equal(t, want, sum(1, 2, 3))
	require.NotEqual(t, want, sum(1, 3, 2), "order")
	require.NotEqual(t, want, sum(1, 2), "lost")
	require.NotEqual(t, want, sum(1, 2, 2, 3), "doubled")
	for off := range w.BodyBytes {
		body := newBody(w.BodyBytes)
		stampBody(body, 1)
		before := foldBody(0, body)
		body[off] ^= 1
		require.NotEqual(t, before, foldBody(0, body), "byte %d", off)
	}
}
