package main

import "github.com/headrace/headrace/journal"

// logScenarios are those of the journal, and the engine that stands on it.
func logScenarios() []Scenario {
	return []Scenario{
		{
			Name:    "journal/append",
			About:   "records of 128 bytes to a fresh log, no sync, 64 a batch",
			Work:    Work{Events: 1_000_000, Batch: 64, BodyBytes: 128},
			Want:    bodySum,
			Threads: 1,
			Systems: []System{
				{"headrace", each(headraceAppend)},
				{"tidwall-wal", each(tidwallAppend)},
				{"etcd-wal", eachLog(openEtcd, false, appendBatches)},
				{"write", eachLog(openFile, false, appendBatches)},
			},
		},
		{
			Name:    "journal/append-memory",
			About:   "the same on tmpfs; the last is memcpy and CRC32C of the same bytes in memory",
			Work:    Work{Events: 1_000_000, Batch: 64, BodyBytes: 128},
			Want:    bodySum,
			Threads: 1,
			Systems: []System{
				{"headrace-fresh", onMemory(each(headraceAppend))},
				{"tidwall-wal", onMemory(each(tidwallAppend))},
				{"write", onMemory(eachLog(openFile, false, appendBatches))},
			},
		},
		{
			Name:    "journal/append-steady",
			About:   "on tmpfs, in a log that stays open and recycles its segments",
			Work:    Work{Events: 1_000_000, Batch: 64, BodyBytes: 128},
			Want:    tailSum,
			Threads: 1,
			Systems: []System{
				{"headrace", onMemory(headraceRecycled(2 * journal.DefaultSegmentBytes))},
				{"copy-and-crc32c", copyAndHash},
			},
		},
		{
			Name:    "journal/append-sustained",
			About:   "8 GiB to disk, no sync, 64 a batch, 1 GiB kept and its segments recycled",
			Work:    Work{Events: 53_687_040, Batch: 64, BodyBytes: 128},
			Want:    tailSum,
			Threads: 1,
			Systems: []System{
				{"headrace", headraceRecycled(1 << 30)},
				{"headrace-fresh", sustained(openHeadrace)},
				{"tidwall-wal", sustained(openTidwall)},
				{"write", sustained(openFile)},
				{"disk", eachDirect(false)},
				{"disk-overwrite", eachDirect(true)},
			},
		},
		{
			Name:    "journal/group-commit",
			About:   "a sync for every 64 records; write-fdatasync and overwrite-fdatasync are the disk's floors",
			Work:    Work{Events: 19_200, Batch: 64, BodyBytes: 128},
			Want:    bodySum,
			Threads: 1,
			Systems: []System{
				{"headrace", eachLog(openHeadrace, true, appendBatches)},
				{"tidwall-wal", eachLog(openTidwall, true, appendBatches)},
				{"etcd-wal", eachLog(openEtcd, true, appendBatches)},
				{"raft-wal", eachLog(openRaftWAL, true, appendBatches)},
				{"write-fdatasync", eachLog(openFile, true, appendBatches)},
				{"overwrite-fdatasync", eachLog(openWritten, true, appendBatches)},
			},
		},
		{
			Name:    "journal/wait",
			About:   "16 goroutines, each waiting until its own event is durable; -grouped: in a group-commit wrapper",
			Work:    Work{Events: 1_600, Batch: 1, BodyBytes: 128, Producers: 16},
			Want:    bodySum,
			Threads: 16,
			Systems: []System{
				{"headrace", eachLog(openHeadrace, true, headraceWaiters)},
				{"tidwall-wal", eachLog(openTidwall, true, waitPlainly)},
				{"etcd-wal", eachLog(openEtcd, true, waitPlainly)},
				{"raft-wal", eachLog(openRaftWAL, true, waitPlainly)},
				{"tidwall-wal-grouped", eachLog(openTidwall, true, waitTogether)},
				{"etcd-wal-grouped", eachLog(openEtcd, true, waitTogether)},
				{"raft-wal-grouped", eachLog(openRaftWAL, true, waitTogether)},
			},
		},
		{
			Name:  "journal/append-follow",
			About: "an append of 64 at a time, no sync, and a follower in another goroutine that reads all",
			Work:  Work{Events: 1_000_000, Batch: 64, BodyBytes: 128},
			Want:  bodySum,
			Systems: []System{
				{"headrace", each(headraceFollow)},
				{"tidwall-wal", each(tidwallFollow)},
			},
		},
		{
			Name:    "journal/replay",
			About:   "a log of 128-byte records opened and read in order from the page cache; crc32c hashes as many bytes, read with pread",
			Work:    Work{Events: 1_000_000, Batch: 64, BodyBytes: 128},
			Want:    bodySum,
			Threads: 1,
			Systems: []System{
				{"headrace", headraceReplay(headraceRead)},
				{"headrace-spans", headraceReplay(headraceReadSpans)},
				{"tidwall-wal", tidwallReplay},
				{"etcd-wal", etcdReplay},
				{"crc32c", hashBytes},
			},
		},
	}
}
