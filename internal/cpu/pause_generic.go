//go:build !amd64 && !arm64

package cpu

// Pause spends the time of about n short loop turns, none when n <= 0. There is no portable
// spin-loop hint.
//
//go:noinline
func Pause(n int32) {
	for ; n > 0; n-- {
	}
}
