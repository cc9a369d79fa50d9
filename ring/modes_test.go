package ring

import "github.com/headrace/headrace/internal/cpu"

// plainModes returns the ways to store that this platform has: without the fence where there is
// an asymmetric one, and always with it.
func plainModes() []bool {
	if cpu.HasMembarrier() {
		return []bool{true, false}
	}
	return []bool{false}
}
