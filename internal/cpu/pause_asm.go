//go:build amd64 || arm64

package cpu

// Pause executes n spin-loop hints (PAUSE on amd64, YIELD on arm64), none when n <= 0. It tells
// the core that the caller polls, which frees the memory pipeline for whoever is polled. One
// PAUSE takes from 5 to 60 ns, depending on the processor; see PausesFor.
//
//go:noescape
func Pause(n int32)
