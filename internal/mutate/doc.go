// Command mutate breaks a package on purpose, one small change at a time, and tells whether its
// tests notice.
//
//	go run ./internal/mutate ring              # every mutation of ring/mutations.txt
//	go run ./internal/mutate -run gate ring    # those whose names match a regular expression
//	go run ./internal/mutate -list ring journal
//	go run ./internal/mutate -timeout 10m ring # on a machine with other work: what is slow there is no hang
//
// Each mutation is applied to a copy of the tree in a temporary directory; the working tree is only
// read. The exit code is 1 if a mutation survives, if one cannot be applied or does not compile, or
// if a test fails without any mutation.
//
// # The table
//
// A package directory has its mutations in a file mutations.txt. Lines that begin with # and empty
// lines between mutations are ignored. A mutation is
//
//	mutation claim-gate-off-by-one
//	why      a producer gets the slot that the slowest consumer still reads
//	test     -run ^TestRing_RandomOperations ./ring
//	file     ring/sequencer_multi.go
//	- if need > gate {
//	+ if need > gate+1 {
//
// "test" is the rest of a command that begins with go test -count=1 -vet=off; it may have
// tags, and words in single quotes. More lines of "test" are more tests, of which one has to fail.
// A line "env NAME=VALUE" sets a variable for them. A line "says TEXT" wants the test that fails to print TEXT, the name of
// what is violated for instance: one that fails for another reason does not count.
//
// Below "file", whose path begins at the root of the module, lines that begin with "-" must be
// found in that order, one under the other, exactly once in the file, and are replaced by the
// lines that begin with "+". Indentation does not count. There may be several such changes, in
// several files: a "-" after a "+" begins the next one.
//
// A mutation that no test can notice, because correctness does not depend on what it takes away,
// says so, with a benchmark:
//
//	shows    -bench BenchmarkFalseSharing -benchtime 200ms ./ring
//
// Its tests must then pass, and the benchmark's results before and after are printed. They are
// for eyes, not for a verdict: a machine has bad moments.
package main
