// Package headracetest helps to test applications built on headrace.
//
//	clock := headracetest.NewClock(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
//	eng, err := headrace.Open(dir, topology, headrace.Options{Clock: clock})
//	…
//	clock.Advance(24 * time.Hour) // what was scheduled for tomorrow fires now
package headracetest
