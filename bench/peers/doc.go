// Command peers runs headrace beside other Go modules on the same work, in one process and one
// run, and prints medians and ratios.
//
//	go run .                          every scenario, a table each
//	go run . --only 'ring/.*/channel' what matches scenario/system
//	go run . --json                   one JSON object a line
//	go run . --list                   names only
//
// # What is compared
//
// A scenario is one piece of work: so many events, of that size, in batches of so many. A system
// is one way to do it. Both stand in one table (scenarios.go); a new scenario is a literal there,
// a new system a file system_NAME.go with a function that opens it.
//
// # How rounds are made comparable
//
//   - Rounds are interleaved: every system runs round r before any runs round r+1, and the order
//     rotates, so that neither a slow minute of the machine nor what the last system left in the
//     caches always meets the same one.
//   - Each system warms up with whole rounds that are not counted. On a virtual machine, memory
//     that the guest has given back costs several times as much at its first touch; whoever runs
//     first would pay for all.
//   - Building a ring, opening a log for append and checking what was appended is not timed; the work
//     is, from the first event's claim until the last is consumed, or written. Opening a log in order
//     to read it is timed, because some systems load much of it then.
//   - Every event is really written and really read: consumers sum the payload, the runner
//     compares the sum with the one it computes itself, and a wrong one ends the program with
//     exit code 1.
//   - Latencies go through an HdrHistogram and count from when an event was due, so that a stall shows
//     in everything that it delays (no coordinated omission). The first event of such a round is due
//     20 ms after its goroutines were started.
//   - A scenario with more goroutines at work than GOMAXPROCS is marked as oversubscribed.
//   - All logs live in one directory (--dir), each system's files are removed after its round, and
//     the garbage of one round is collected before the next begins.
//   - Each peer is used as its documentation recommends, with the options that came out fastest on
//     two cores (each system's file says which were tried). In the ring scenarios a plain name means
//     the default wait strategy, names with a suffix another one.
//
// The scenarios machine/… have no systems but bare loops: what the processor allows at best.
//
// A caution on the ring scenarios: throughput alone flatters consumers that sleep. While they do,
// the producer runs undisturbed, and what piled up is taken in one large batch. Compare like with
// like: sleeping and parking ones with each other, yielding ones with each other.
//
// Figures of different runs do not compare; ratios within one run do. The median stands in the
// table with the slowest and the fastest round beside it: where these lie far apart the machine was
// busy, and the run should be repeated.
//
// # Exit codes
//
// 0 everything ran and every sum agreed; 1 a system failed, timed out or delivered something else
// than was written; 2 the command line was wrong; 130 interrupted, files removed.
package main
