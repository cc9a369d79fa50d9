//go:build race

package headrace_test

const raceEnabled = true
