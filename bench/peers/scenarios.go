package main

import "slices"

// scenarios is the registry: every piece of work, and who does it. Each system's function lives in
// its own file. A plain name is the system as it comes, with its default wait strategy; a suffix names
// another strategy.
func scenarios() []Scenario {
	return slices.Concat(ringScenarios(), lmaxScenarios(), latencyScenarios(), logScenarios(), engineScenarios(), machineScenarios())
}

func ringScenarios() []Scenario {
	return []Scenario{
		{
			Name:  "ring/one-to-one",
			About: "one producer, one consumer, 8-byte events one at a time, 65,536 slots",
			Work:  Work{Events: 10_000_000, Batch: 1, BodyBytes: 8, PacedEvents: 10_000, PacedRate: 50_000},
			Want:  ringSum,
			Systems: []System{
				{"headrace", paced(headraceRing)},
				{"headrace-park", paced(headraceRingPark)},
				{"headrace-yield", paced(headraceRingYield)},
				{"channel", paced(channelRing)},
				{"go-disruptor-v0.5.0", paced(disruptorV050Ring)},
				{"go-disruptor-v0.5.0-yield", paced(disruptorV050YieldRing)},
				{"go-disruptor-2020", paced(disruptor2020Ring)},
				{"go-disruptor-2020-yield", paced(disruptor2020YieldRing)},
				{"seqflow-v1.1.0", paced(seqflowRing(seqflowSleep))},
				{"seqflow-v1.1.0-yield", paced(seqflowRing(seqflowYield))},
			},
		},
		{
			Name:  "ring/one-to-one-batch",
			About: "the same, published ten at a time",
			Work:  Work{Events: 20_000_000, Batch: 10, BodyBytes: 8},
			Want:  ringSum,
			Systems: []System{
				{"headrace", paced(headraceRing)},
				{"headrace-park", paced(headraceRingPark)},
				{"headrace-yield", paced(headraceRingYield)},
				{"channel", each(channelRingBatch)},
				{"go-disruptor-v0.5.0", paced(disruptorV050Ring)},
				{"go-disruptor-v0.5.0-yield", paced(disruptorV050YieldRing)},
				{"go-disruptor-2020", paced(disruptor2020Ring)},
				{"go-disruptor-2020-yield", paced(disruptor2020YieldRing)},
				{"seqflow-v1.1.0", paced(seqflowRing(seqflowSleep))},
				{"seqflow-v1.1.0-yield", paced(seqflowRing(seqflowYield))},
			},
		},
	}
}
