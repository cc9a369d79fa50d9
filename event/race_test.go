//go:build race

package event

// raceEnabled: the detector makes sync.Pool drop things at random, so allocations are not counted.
const raceEnabled = true
