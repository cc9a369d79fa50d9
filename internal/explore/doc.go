// Package explore runs goroutines one at a time, in an order that it chooses, so that a test can
// look at many of the orders in which they can meet: random ones, each repeated by its seed, or
// all of them.
//
// Code takes part through internal/atomic and internal/block, which in programs built with the tag
// headrace_explore call Step and its relatives before every access of shared memory and before
// everything that can block. A goroutine that calls one of them stops there, says what it is about
// to do, and goes on when it is chosen. So between two such calls a goroutine is alone.
//
//	explore.Random(explore.Options{Runs: 1000, Seed: 7, Weak: true}, func(r *explore.Run) {
//		x := new(atomic.Int64)
//		r.Go("one", func() { x.Add(1) })
//		r.Go("two", func() { x.Add(1) })
//		r.Check(func() error { ... })
//	})
//
// The scenario builds everything anew and depends on nothing but the order: no time, no random
// numbers, no maps walked through in an order that shows.
//
// # Memory
//
// With Options.Weak, a store made by Buffer, which is what a store without a fence is, waits in a
// buffer of its goroutine, as on x86 (Sewell, Sarkar, Owens, Nardelli, Myreen: x86-TSO, 2010): its
// goroutine reads it there, everybody else sees it only once it is flushed, which is a step of its
// own and may come late. Whatever has a fence waits until the buffer of its goroutine is empty. Membarrier
// waits until it has seen the buffers of all others empty, one after another. Without Weak, every
// store is seen at once.
//
// # All orders
//
// All searches depth first, and leaves out orders that only swap steps which do not touch the same
// memory, by dynamic partial-order reduction (Flanagan, Godefroid, POPL 2005) with sleep sets
// (Godefroid 1996). What remains is at least one order for each way in which steps that do touch the
// same memory, one of them writing, can follow each other. It is a search of everything, for the
// scenario as it is: so many goroutines that do so much.
//
// Memory that is not reached through these packages is not seen. It has to be a goroutine's own, or
// guarded by what is seen.
package explore
