// Package prometheus shows a headrace engine's figures to Prometheus. They are read when Prometheus asks for them:
// between two scrapes nothing is counted, and the engine pays nothing.
//
//	registry.MustRegister(prometheus.NewCollector(eng, prometheus.Options{}))
//
// # Metrics
//
// Sequences are counters: their rate is events a second. Those in seconds that end in _total are sums.
//
//	headrace_up                                   1 while the engine runs, 0 when it is closing, closed or halted
//	headrace_published_total                      last sequence in the ring
//	headrace_written_total                        last sequence that the death of the process cannot take
//	headrace_durable_total                        last sequence that a power cut cannot take
//	headrace_at_risk_events, _bytes, _seconds     what a power cut would take now, and how old it is
//	headrace_last_sync_timestamp_seconds          when the journal was last synced; absent if not since Open
//	headrace_syncs_total                          syncs of the journal
//	headrace_sync_seconds_total                   time spent in them
//	headrace_segments_total                       segments begun after the first
//	headrace_stalls_total                         waits of the journal's writer for a segment or a page
//	headrace_ring_slots, headrace_ring_free_slots capacity, and what could be claimed at once
//	headrace_producers_waiting                    producers that wait for room
//	headrace_producers_blocked_seconds_total      time that producers have waited
//	headrace_lane_handled_total{lane}             last sequence that the lane, projection, effect or stage has handled
//	headrace_lane_lag_events{lane}                events published and not handled
//	headrace_lane_blocking_seconds_total{lane}    time that producers have waited because of it
//	headrace_follower_handled_total{follower}     last sequence that the follower has handled
//	headrace_follower_lag_events{follower}        events that it could read and has not handled
//	headrace_dead_letters                         events that wait to be redriven or discarded
//	headrace_parked_keys                          keys that are held up, by dead letters and by retries
//	headrace_waiting_events                       events that wait behind those
//	headrace_timers                               events that wait for their time
//	headrace_feedback_bytes                       emitted by handlers and not yet in the ring
//	headrace_overflow_bytes                       of events larger than a slot
//	headrace_duplicates_total                     publishes that were answered from the window of ids
//	headrace_missing_handlers                     handlers that the log knows, and that are neither there nor retired
//	headrace_effect_waiting{effect}               causes that wait for a worker
//	headrace_effect_running{effect}               calls that run
//	headrace_effect_calls_total{effect}           calls begun since Open
//	headrace_effect_failures_total{effect}        of them, those that failed
//	headrace_effect_circuit_open{effect}          1 while its circuit keeps calls back; absent without one
//
// Followers without a name share one that is empty, and the one that is furthest behind stands for them.
package prometheus

import (
	"time"

	client "github.com/prometheus/client_golang/prometheus"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/handlers"
)

// Source is what is looked at; *headrace.Engine is one.
type Source interface {
	Health() headrace.Health
	Stats() headrace.Stats
}

// Options configure NewCollector. The zero value is the default.
type Options struct {
	// Labels stand at every metric, to tell several engines apart.
	Labels client.Labels
}

// Collector implements the client's Collector. It is safe for concurrent use.
type Collector struct {
	source Source
	all    []*metric
}

var _ client.Collector = (*Collector)(nil)

// metric is one description, and how to read its values.
type metric struct {
	desc *client.Desc
	kind client.ValueType
	read func(h *headrace.Health, s *headrace.Stats, put func(v float64, label ...string))
}

type put = func(v float64, label ...string)

// NewCollector returns a collector of the engine's figures.
func NewCollector(source Source, o Options) *Collector {
	c := &Collector{source: source}
	add := func(kind client.ValueType, name, help string, read func(h *headrace.Health, s *headrace.Stats, put put), labels ...string) {
		c.all = append(c.all, &metric{client.NewDesc("headrace_"+name, help, labels, o.Labels), kind, read})
	}
	one := func(kind client.ValueType, name, help string, read func(h *headrace.Health, s *headrace.Stats) float64) {
		add(kind, name, help, func(h *headrace.Health, s *headrace.Stats, put put) { put(read(h, s)) })
	}
	const gauge, counter = client.GaugeValue, client.CounterValue

	one(gauge, "up", "1 while the engine runs, 0 when it is closing, closed or halted.", func(h *headrace.Health, _ *headrace.Stats) float64 { return truth(h.State == headrace.StateRunning) })
	one(counter, "published_total", "Last sequence in the ring.", func(h *headrace.Health, _ *headrace.Stats) float64 { return float64(h.Published) })
	one(counter, "written_total", "Last sequence that the death of the process cannot take.", func(h *headrace.Health, _ *headrace.Stats) float64 { return float64(h.Written) })
	one(counter, "durable_total", "Last sequence that a power cut cannot take.", func(h *headrace.Health, _ *headrace.Stats) float64 { return float64(h.Durable) })
	one(gauge, "at_risk_events", "Events that a power cut would take now.", func(h *headrace.Health, _ *headrace.Stats) float64 { return float64(h.AtRisk.Events) })
	one(gauge, "at_risk_bytes", "Bytes of records that a power cut would take now.", func(h *headrace.Health, _ *headrace.Stats) float64 { return float64(h.AtRisk.Bytes) })
	one(gauge, "at_risk_seconds", "Age of what a power cut would take now.", func(h *headrace.Health, _ *headrace.Stats) float64 { return h.AtRisk.Age.Seconds() })
	add(gauge, "last_sync_timestamp_seconds", "When the journal was last synced.", func(h *headrace.Health, _ *headrace.Stats, put put) {
		if !h.LastSync.IsZero() {
			put(float64(h.LastSync.UnixNano()) / float64(time.Second))
		}
	})
	one(counter, "syncs_total", "Syncs of the journal.", func(_ *headrace.Health, s *headrace.Stats) float64 { return float64(s.Journal.Syncs) })
	one(counter, "sync_seconds_total", "Time spent in syncs of the journal.", func(_ *headrace.Health, s *headrace.Stats) float64 { return s.Journal.SyncTime.Seconds() })
	one(counter, "segments_total", "Segments begun after the first.", func(_ *headrace.Health, s *headrace.Stats) float64 { return float64(s.Journal.Rolls) })
	one(counter, "stalls_total", "Waits of the journal's writer for a segment or a page.", func(_ *headrace.Health, s *headrace.Stats) float64 { return float64(s.Journal.Stalls) })
	one(gauge, "ring_slots", "Events that the ring can hold.", func(_ *headrace.Health, s *headrace.Stats) float64 { return float64(s.Ring.Slots) })
	one(gauge, "ring_free_slots", "Slots that could be claimed at once.", func(_ *headrace.Health, s *headrace.Stats) float64 { return float64(s.Ring.Remaining) })
	one(gauge, "producers_waiting", "Producers that wait for room.", func(_ *headrace.Health, s *headrace.Stats) float64 { return float64(s.Ring.Waiting) })
	one(counter, "producers_blocked_seconds_total", "Time that producers have waited for room.", func(_ *headrace.Health, s *headrace.Stats) float64 { return s.Ring.Blocked.Seconds() })

	add(counter, "lane_handled_total", "Last sequence that the lane, projection, effect or stage has handled.", func(h *headrace.Health, _ *headrace.Stats, put put) {
		for _, l := range h.Lanes {
			put(float64(l.Sequence), l.Name)
		}
	}, "lane")
	add(gauge, "lane_lag_events", "Events published that the lane has not handled.", func(h *headrace.Health, _ *headrace.Stats, put put) {
		for _, l := range h.Lanes {
			put(float64(l.Lag), l.Name)
		}
	}, "lane")
	add(counter, "lane_blocking_seconds_total", "Time that producers have waited because of the lane.", func(_ *headrace.Health, s *headrace.Stats, put put) {
		for _, l := range s.Ring.Consumers {
			put(l.Blocking.Seconds(), l.Name)
		}
	}, "lane")
	add(counter, "follower_handled_total", "Last sequence that the follower has handled.", func(h *headrace.Health, _ *headrace.Stats, put put) {
		for _, f := range slowest(h.Followers) {
			put(float64(f.Sequence), f.Name)
		}
	}, "follower")
	add(gauge, "follower_lag_events", "Events that the follower could read and has not handled.", func(h *headrace.Health, _ *headrace.Stats, put put) {
		for _, f := range slowest(h.Followers) {
			put(float64(f.Lag), f.Name)
		}
	}, "follower")

	one(gauge, "dead_letters", "Events that wait to be redriven or discarded.", func(h *headrace.Health, _ *headrace.Stats) float64 { return float64(h.DeadLetters) })
	one(gauge, "parked_keys", "Keys that are held up, by dead letters and by retries.", func(h *headrace.Health, _ *headrace.Stats) float64 { return float64(h.ParkedKeys) })
	one(gauge, "waiting_events", "Events that wait behind parked ones.", func(h *headrace.Health, _ *headrace.Stats) float64 { return float64(h.WaitingEvents) })
	one(gauge, "timers", "Events that wait for their time.", func(h *headrace.Health, _ *headrace.Stats) float64 { return float64(h.Timers) })
	one(gauge, "feedback_bytes", "Bytes emitted by handlers and not yet in the ring.", func(h *headrace.Health, _ *headrace.Stats) float64 { return float64(h.FeedbackBytes) })
	one(gauge, "overflow_bytes", "Bytes of events larger than a slot.", func(_ *headrace.Health, s *headrace.Stats) float64 { return float64(s.OverflowBytes) })
	one(counter, "duplicates_total", "Publishes that were answered from the window of ids.", func(_ *headrace.Health, s *headrace.Stats) float64 { return float64(s.Duplicates) })
	one(gauge, "missing_handlers", "Handlers that the log knows, and that are neither there nor retired.", func(h *headrace.Health, _ *headrace.Stats) float64 { return float64(len(h.MissingHandlers)) })

	effect := func(kind client.ValueType, name, help string, value func(x handlers.EffectStats) (float64, bool)) {
		add(kind, "effect_"+name, help, func(_ *headrace.Health, s *headrace.Stats, put put) {
			for _, x := range s.Effects {
				if v, ok := value(x); ok {
					put(v, x.Name)
				}
			}
		}, "effect")
	}
	effect(gauge, "waiting", "Causes that wait for a worker.", func(x handlers.EffectStats) (float64, bool) { return float64(x.Waiting), true })
	effect(gauge, "running", "Calls that run.", func(x handlers.EffectStats) (float64, bool) { return float64(x.Running), true })
	effect(counter, "calls_total", "Calls begun since Open.", func(x handlers.EffectStats) (float64, bool) { return float64(x.Calls), true })
	effect(counter, "failures_total", "Calls that failed since Open.", func(x handlers.EffectStats) (float64, bool) { return float64(x.Failures), true })
	effect(gauge, "circuit_open", "1 while the effect's circuit keeps calls back.", func(x handlers.EffectStats) (float64, bool) {
		return truth(x.Circuit != handlers.CircuitClosed), x.Circuit != ""
	})
	return c
}

// Describe implements the client's Collector.
func (c *Collector) Describe(ch chan<- *client.Desc) {
	for _, m := range c.all {
		ch <- m.desc
	}
}

// Collect implements the client's Collector.
func (c *Collector) Collect(ch chan<- client.Metric) {
	h, s := c.source.Health(), c.source.Stats()
	for _, m := range c.all {
		m.read(&h, &s, func(v float64, labels ...string) { ch <- client.MustNewConstMetric(m.desc, m.kind, v, labels...) })
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// slowest keeps of several followers with one name, which are those without, the one furthest behind.
func slowest(all []headrace.Position) (one []headrace.Position) {
	for _, f := range all { // by name
		if n := len(one); n > 0 && one[n-1].Name == f.Name {
			if f.Lag > one[n-1].Lag {
				one[n-1] = f
			}
			continue
		}
		one = append(one, f)
	}
	return one
}
