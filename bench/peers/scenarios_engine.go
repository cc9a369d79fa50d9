package main

// engineScenarios are those of the whole way: publish, log, typed handler, read model.
func engineScenarios() []Scenario {
	return []Scenario{
		{
			Name:    "engine/end-to-end",
			About:   "orders of 128 bytes in msgpack: published, in the log (no sync), decoded, handled into a read model",
			Work:    Work{Events: 400_000, Batch: 1, BodyBytes: 128},
			Want:    orderSum,
			Threads: 3, // publishing, journaling, handling
			Systems: []System{
				{"headrace", paced(headraceEngine)},
				{"channel-tidwall-wal", paced(homemadeEngine)},
				{"gochannel", paced(gochannelEngine)},
				{"jetstream-async", paced(jetStreamEngine)},
			},
		},
		{
			Name:        "engine/latency",
			About:       "the same at 50,000 events a second: from when an order is due until it is handled",
			Work:        Work{Events: 1, Batch: 1, BodyBytes: 128, PacedEvents: 100_000, PacedRate: 50_000},
			Want:        orderSum,
			Threads:     3,
			LatencyOnly: true,
			Systems: []System{
				{"headrace", paced(headraceEngine)},
				{"channel-tidwall-wal", paced(homemadeEngine)},
				{"gochannel", paced(gochannelEngine)},
				{"jetstream-async", paced(jetStreamEngine)},
				{"no-system", paced(direct)},
			},
		},
		{
			Name:    "engine/replay",
			About:   "the same orders again, from the log into a read model; -first: as they were processed first; -reopen: until Open returns",
			Work:    Work{Events: 1_000_000, Batch: 1, BodyBytes: 128},
			Want:    orderSum,
			Threads: 1,
			Systems: []System{
				{"headrace", headraceReplayLog},
				{"headrace-reopen", headraceReopen},
				{"headrace-first", paced(headraceEngine)},
				{"jetstream", jetStreamReplay},
			},
		},
	}
}
