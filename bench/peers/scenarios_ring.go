package main

import "github.com/headrace/headrace/ring"

// lmaxScenarios are those of LMAX's performance tests that ring/one-to-one and its batch form leave,
// each with the name and the shape that it has there: the same graph, capacity and computation per
// event. ring/one-to-one-raw, without events, stands apart.
func lmaxScenarios() []Scenario {
	graph := Work{Events: 3_000_000, Batch: 1}
	return []Scenario{
		{
			Name:    "ring/one-to-one-raw",
			About:   "sequences alone: no event is written or read, so compare it with nothing else",
			Work:    Work{Events: 30_000_000, Batch: 1},
			Want:    func(w Work) uint64 { return uint64(w.Events) },
			Systems: rawSystems(),
		},
		{
			Name:    "ring/three-to-one",
			About:   "three producers, one consumer, 8-byte events one at a time, 65,536 slots",
			Work:    Work{Events: 3_000_000, Batch: 1, BodyBytes: 8, Producers: 3},
			Want:    ringSum,
			Threads: 4,
			Systems: flowSystems(newSumFlow, ringSlots, true, each(channelFlow(channelSum))),
		},
		{
			Name:    "ring/three-to-one-batch",
			About:   "the same, published ten at a time",
			Work:    Work{Events: 9_000_000, Batch: 10, BodyBytes: 8, Producers: 3},
			Want:    ringSum,
			Threads: 4,
			Systems: flowSystems(newSumFlow, ringSlots, true, each(channelThreeToOneBatch)),
		},
		{
			Name:    "ring/one-to-three-pipeline",
			About:   "three consumers one behind the other, each reads what the one before wrote, 8,192 slots of 32 bytes",
			Work:    graph,
			Want:    pipelineSum,
			Threads: 4,
			Systems: flowSystems(newPipelineFlow, graphSlots, false, each(channelFlow(channelPipeline))),
		},
		{
			Name:    "ring/one-to-three-multicast",
			About:   "three consumers side by side, 8,192 slots of 8 bytes",
			Work:    graph,
			Want:    multicastSum,
			Threads: 4,
			Systems: flowSystems(newMulticastFlow, graphSlots, false, each(channelFlow(channelMulticast))),
		},
		{
			Name:    "ring/one-to-three-diamond",
			About:   "two consumers side by side, a third behind both, 8,192 slots of 24 bytes",
			Work:    graph,
			Want:    diamondSum,
			Threads: 4,
			Systems: flowSystems(newDiamondFlow, graphSlots, false, each(channelFlow(channelDiamond))),
		},
		{
			Name:    "ring/three-to-three",
			About:   "three producers with a ring each, one consumer that polls all three (headrace, channel) or one each, events of 24 bytes, 65,536 slots",
			Work:    Work{Events: 3_000_000, Batch: 1, BodyBytes: 24, Producers: 3},
			Want:    threefoldSum,
			Threads: 4, // and 6 with a consumer each
			Systems: threefoldSystems(),
		},
	}
}

// latencyScenarios time single events.
func latencyScenarios() []Scenario {
	return []Scenario{
		{
			Name:  "ring/ping-pong",
			About: "an event and its answer through two rings, the next when the answer is there",
			Work: Work{
				Events: 100_000, Batch: 1, BodyBytes: 8,
				PacedEvents: 20_000, PacedRate: 50_000, BusyPacer: true,
			},
			Want: ringSum,
			Systems: []System{
				{"headrace", paced(headracePingPong(ring.WaitStrategy{}))},
				{"headrace-spin", paced(headracePingPong(ring.WaitSpin()))},
				{"headrace-yield", paced(headracePingPong(ring.WaitYield()))},
				{"channel", paced(channelPingPong)},
				{"go-disruptor-v0.5.0-spin", paced(disruptorPingPong(disruptorV050Echo(spinWait{})))},
				{"go-disruptor-v0.5.0-yield", paced(disruptorPingPong(disruptorV050Echo(yieldWait{})))},
				{"go-disruptor-2020-spin", paced(disruptorPingPong(disruptor2020Echo(spinWait{})))},
				{"go-disruptor-2020-yield", paced(disruptorPingPong(disruptor2020Echo(yieldWait{})))},
				{"seqflow-v1.1.0-spin", paced(disruptorPingPong(seqflowEcho(seqflowSpin)))},
				{"seqflow-v1.1.0-yield", paced(disruptorPingPong(seqflowEcho(seqflowYield)))},
			},
		},
		{
			Name:        "ring/one-way",
			About:       "one producer that never waits for anybody, one consumer, a million events a second",
			Work:        Work{Batch: 1, BodyBytes: 8, PacedEvents: 200_000, PacedRate: 1_000_000},
			Want:        ringSum,
			LatencyOnly: true,
			Systems: []System{
				{"headrace", paced(headraceOneWay(ring.WaitStrategy{}))},
				{"headrace-spin", paced(headraceOneWay(ring.WaitSpin()))},
				{"headrace-yield", paced(headraceOneWay(ring.WaitYield()))},
				{"headrace-park", paced(headraceOneWay(ring.WaitPark()))},
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
			Name:        "ring/wake-up",
			About:       "events so far apart that the consumer has parked; the producer stays busy on its processor",
			Work:        Work{Batch: 1, BodyBytes: 8, PacedEvents: 1_000, PacedRate: 5_000, BusyPacer: true},
			Want:        ringSum,
			LatencyOnly: true,
			Systems:     wakeUpSystems(),
		},
		{
			Name:        "ring/wake-up-yielding",
			About:       "the same; the producer lets others run on its processor",
			Work:        Work{Batch: 1, BodyBytes: 8, PacedEvents: 1_000, PacedRate: 5_000},
			Want:        ringSum,
			LatencyOnly: true,
			Systems:     wakeUpSystems(),
		},
	}
}

func wakeUpSystems() []System {
	return []System{
		{"headrace", paced(headraceOneWay(ring.WaitStrategy{}))},
		{"headrace-park", paced(headraceOneWay(ring.WaitPark()))},
		{"headrace-park-fenced", paced(headraceFenced(ring.WaitPark()))},
		{"channel", paced(channelRing)},
	}
}

// machineScenarios bound what any ring can do here.
func machineScenarios() []Scenario {
	return []Scenario{
		{
			Name:  "machine/cache-line",
			About: "round trips between two spinning goroutines, the limit of ring/ping-pong: a line each way, or one for both",
			Work:  Work{Events: 1_000_000, Batch: 1},
			Want:  ringSum,
			Systems: []System{
				{"store", each(cacheLines(storeRelease))},
				{"fenced-store", each(cacheLines(storeFenced))},
				{"compare-and-swap", each(oneLine)},
			},
		},
		{
			Name:  "machine/stream",
			About: "the work of ring/one-to-one and nothing else: two loops, two counters; a store for each event, ten, or 4,096; slots fetched ahead or not",
			Work:  Work{Events: 20_000_000, Batch: 1, BodyBytes: 8},
			Want:  ringSum,
			Systems: []System{
				{"each", each(bareStream(1, false))},
				{"each-fetched", each(bareStream(1, true))},
				{"ten-fetched", each(bareStream(10, true))},
				{"many", each(bareStream(4096, false))},
			},
		},
		claimScenario(),
	}
}

func claimScenario() Scenario {
	return Scenario{
		Name:    "machine/claim",
		About:   "three goroutines that claim from one word by compare-and-swap and write a slot each time, and nobody reads; losers rest or not; one alone",
		Work:    Work{Events: 9_000_000, Batch: 1, BodyBytes: 8, Producers: 3},
		Want:    ringSum,
		Threads: 3,
		Systems: []System{
			{"race", each(bareClaims(0))},
			{"losers-rest", each(bareClaims(claimRest))},
			{"alone", each(alone(bareClaims(0)))},
		},
	}
}

// alone runs round with one producer.
func alone(round func(Work) (Result, error)) func(Work) (Result, error) {
	return func(w Work) (Result, error) {
		w.Producers = 1
		return round(w)
	}
}

func rawSystems() []System {
	return []System{
		{"headrace", each(headraceRaw(ring.WaitStrategy{}))},
		{"headrace-yield", each(headraceRaw(ring.WaitYield()))},
		{"channel", each(channelRaw)},
		{"go-disruptor-v0.5.0", each(disruptorRaw(disruptorV050Raw(nil)))},
		{"go-disruptor-v0.5.0-yield", each(disruptorRaw(disruptorV050Raw(yieldWait{})))},
		{"go-disruptor-2020", each(disruptorRaw(disruptor2020Raw(disruptor2020Sleep())))},
		{"go-disruptor-2020-yield", each(disruptorRaw(disruptor2020Raw(yieldWait{})))},
		{"seqflow-v1.1.0", each(disruptorRaw(seqflowRaw(seqflowSleep)))},
		{"seqflow-v1.1.0-yield", each(disruptorRaw(seqflowRaw(seqflowYield)))},
	}
}

// flowSystems are those that run graphs; the 2020 go-disruptor only with a single producer.
func flowSystems[E words](newFlow func() flow[E], slots int, multi bool, channel func(Work) (Bench, error)) []System {
	systems := []System{
		{"headrace", each(headraceFlow(newFlow, slots, ring.WaitStrategy{}))},
		{"headrace-yield", each(headraceFlow(newFlow, slots, ring.WaitYield()))},
		{"channel", channel},
		{"go-disruptor-v0.5.0", each(disruptorFlow(newFlow, slots, disruptorV050Open[E](nil)))},
		{"go-disruptor-v0.5.0-yield", each(disruptorFlow(newFlow, slots, disruptorV050Open[E](yieldWait{})))},
		{"seqflow-v1.1.0", each(disruptorFlow(newFlow, slots, seqflowOpen[E](seqflowSleep)))},
		{"seqflow-v1.1.0-yield", each(disruptorFlow(newFlow, slots, seqflowOpen[E](seqflowYield)))},
	}
	if !multi {
		systems = append(systems,
			System{"go-disruptor-2020", each(disruptorFlow(newFlow, slots, disruptor2020Open[E](disruptor2020Sleep())))},
			System{"go-disruptor-2020-yield", each(disruptorFlow(newFlow, slots, disruptor2020Open[E](yieldWait{})))})
	}
	return systems
}

func threefoldSystems() []System {
	slots := ringSlots
	return []System{
		{"headrace", each(headracePolled)},
		{"headrace-consumers", each(threefold(headraceFlow(newTripleFlow, slots, ring.WaitStrategy{})))},
		{"channel", each(channelSelect)},
		{"channel-consumers", each(threefold(channelFlow(channelTriple)))},
		{"go-disruptor-v0.5.0", each(threefold(disruptorFlow(newTripleFlow, slots, disruptorV050Open[[3]uint64](nil))))},
		{"go-disruptor-v0.5.0-yield", each(threefold(disruptorFlow(newTripleFlow, slots, disruptorV050Open[[3]uint64](yieldWait{}))))},
		{"go-disruptor-2020", each(threefold(disruptorFlow(newTripleFlow, slots, disruptor2020Open[[3]uint64](disruptor2020Sleep()))))},
		{"seqflow-v1.1.0", each(threefold(disruptorFlow(newTripleFlow, slots, seqflowOpen[[3]uint64](seqflowSleep))))},
		{"seqflow-v1.1.0-yield", each(threefold(disruptorFlow(newTripleFlow, slots, seqflowOpen[[3]uint64](seqflowYield))))},
	}
}
