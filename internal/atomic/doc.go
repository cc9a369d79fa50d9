// Package atomic is the part of sync/atomic and internal/cpu by which goroutines of the ring share
// memory, by the same names. It is that part: types are aliases, and functions are calls that inline
// to nothing. Built with the tag
// headrace_explore, every access first gives the schedule explorer a chance to let another
// goroutine run; see internal/explore.
package atomic
