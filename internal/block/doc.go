// Package block is what goroutines of the ring wait with: mutexes, channels of nothing, yielding,
// sleeping, and starting further goroutines. It is what Go has, under names of its own, so that in a
// program built with the tag headrace_explore the schedule explorer knows who is blocked on what;
// see internal/explore. Without the tag the types are aliases, and the functions inline to nothing.
package block
