// Package bench holds headrace's own benchmarks:
//
//	go test -run '^$' -bench . ./bench
//
// The events are really written and really read: each consumer sums what it gets, and a benchmark
// fails if the sum is not that of what was published. BenchmarkPublish is the ring alone;
// BenchmarkOneToOne, …Batch, …Raw, BenchmarkThreeToOne, …Batch, BenchmarkOneToThreePipeline,
// …Multicast, …Diamond and BenchmarkThreeToThree are LMAX's scenarios for it, BenchmarkPingPong and
// BenchmarkOneWay its latencies. BenchmarkAppend and BenchmarkReplay are the journal alone, on the
// file system of the directory that TMPDIR names, and BenchmarkEngine is everything: published,
// journaled, handled.
//
// One run is a look, not a result: machines are noisy, above all virtual ones, whose memory costs
// several times as much at its first touch. Use -count and compare medians (benchstat does), on a
// quiet machine. Comparisons with other modules live in the module bench/peers, which interleaves
// its rounds.
package bench
