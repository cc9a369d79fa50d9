package prometheus_test

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	client "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"
	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/journal"
	"github.com/headrace/headrace/observe/prometheus"
	"github.com/headrace/headrace/ring"
)

type fixed struct {
	h headrace.Health
	s headrace.Stats
}

func (f fixed) Health() headrace.Health { return f.h }
func (f fixed) Stats() headrace.Stats   { return f.s }

// Every metric, with values that are all different, against testdata/golden.txt.
func TestCollector_Golden(t *testing.T) {
	f := fixed{
		headrace.Health{
			State: headrace.StateRunning, Published: 1001, Written: 1002, Durable: 1003,
			AtRisk: headrace.AtRisk{Events: 1004, Bytes: 1005, Age: 1006 * time.Millisecond}, LastSync: time.UnixMilli(1007_500),
			Lanes:       []headrace.Position{{Name: "logic", Sequence: 1008, Lag: 1009}, {Name: "sales", Sequence: 1010, Lag: 1011}},
			Followers:   []headrace.Position{{Name: "", Sequence: 1012, Lag: 1013}, {Name: "", Sequence: 1014, Lag: 1}, {Name: "mails", Sequence: 1015, Lag: 1016}},
			DeadLetters: 1017, ParkedKeys: 1018, WaitingEvents: 1019, Timers: 1020, FeedbackBytes: 1021, MissingHandlers: []string{"a", "b"},
		},
		headrace.Stats{
			Ring: ring.Stats{Slots: 1022, Remaining: 1023, Waiting: 1024, Blocked: 1025 * time.Second,
				Consumers: []ring.ConsumerStats{{Name: "logic", Blocking: 1026 * time.Second}}},
			Journal:       journal.Stats{Syncs: 1027, SyncTime: 1028 * time.Second, Rolls: 1029, Stalls: 1030},
			OverflowBytes: 1031, Duplicates: 1032,
			Effects: []handlers.EffectStats{
				{Name: "card", Waiting: 1033, Running: 1034, Calls: 1035, Failures: 1036, Circuit: handlers.CircuitOpen},
				{Name: "mail", Waiting: 1037, Running: 1038, Calls: 1039, Failures: 1040},
			},
		},
	}
	c := prometheus.NewCollector(f, prometheus.Options{Labels: client.Labels{"engine": "shop"}})
	registry := client.NewPedanticRegistry()
	registry.MustRegister(c)
	families, err := registry.Gather()
	require.NoError(t, err)
	var out bytes.Buffer
	for _, f := range families {
		_, err := expfmt.MetricFamilyToText(&out, f)
		require.NoError(t, err)
	}
	text := out.Bytes()
	require.NotEmpty(t, text)
	if os.Getenv("HEADRACE_UPDATE") != "" {
		require.NoError(t, os.WriteFile("testdata/golden.txt", text, 0o644))
	}
	golden, err := os.ReadFile("testdata/golden.txt")
	require.NoError(t, err)
	require.Equal(t, string(golden), string(text))
	problems, err := testutil.CollectAndLint(c)
	require.NoError(t, err)
	require.Empty(t, problems)
}

// Every metric is on the package's page.
func TestCollector_Documented(t *testing.T) {
	source, err := os.ReadFile("prometheus.go")
	require.NoError(t, err)
	page, _, _ := strings.Cut(string(source), "package prometheus\n")
	ch := make(chan *client.Desc, 100)
	prometheus.NewCollector(fixed{}, prometheus.Options{}).Describe(ch)
	close(ch)
	for d := range ch {
		name := strings.Split(d.String(), `"`)[1]
		if suffix, risk := strings.CutPrefix(name, "headrace_at_risk_"); risk && suffix != "events" {
			name = "headrace_at_risk_events, _bytes, _seconds"
		}
		require.Contains(t, page, name)
	}
}

func TestCollector_OfAnEngine(t *testing.T) {
	types := event.NewRegistry()
	event.MustRegister[struct{ N int }](types, "n", 1)
	e, err := headrace.Open(t.TempDir(), headrace.NewTopology(types), headrace.Options{})
	require.NoError(t, err)
	registry := client.NewPedanticRegistry()
	registry.MustRegister(prometheus.NewCollector(e, prometheus.Options{}))
	n, err := testutil.GatherAndCount(registry)
	require.NoError(t, err)
	require.Greater(t, n, 20)
	require.NoError(t, e.Close(t.Context()))
	require.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(
		"# HELP headrace_up 1 while the engine runs, 0 when it is closing, closed or halted.\n# TYPE headrace_up gauge\nheadrace_up 0\n"), "headrace_up"))
}
