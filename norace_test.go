//go:build !race

package headrace_test

const raceEnabled = false
