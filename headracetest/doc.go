// Package headracetest tests applications built on headrace: what their handlers make of events, when timers fire, what a
// crash leaves, and whether a replay leads to the same states.
//
//	func TestWithdraw(t *testing.T) {
//		bank := headracetest.New(t, newTopology, headracetest.Options{})
//		bank.Given(headracetest.Key("ada", Deposited{100})).
//			When(headracetest.Key("ada", Withdraw{70})).Then(Withdrawn{70}).
//			When(headracetest.Key("ada", Withdraw{70})).ThenRejected("insufficient-funds").
//			ReplayEqualsLive()
//	}
//
// An App is an engine in a temporary directory, with all that belongs to one, and a Clock that stands still until Advance
// moves it. It opens at the first thing that needs it and closes with the test. Given is history: events that are in the
// log before the application starts, so handlers that are new to the log learn from them and do not answer them; but
// those of Topology.ReactFromStart do.
//
// When publishes, and waits until nothing is under way: no event, no answer, no call of an effect, no timer that is due. Then
// compares all that the log got meanwhile, in its order, with what is expected. A difference fails the test with
// the two lists beside each other, line by line.
//
// Crash ends the engine as the death of the process would, wherever it is, and opens what that leaves. EveryCrash cuts the
// log behind each event that a When led to, and wants the same events to come of the rest. ReplayEqualsLive proves
// that the log alone determines the state, and that snapshots hold all of it.
//
// A Clock can also be used without an App:
//
//	clock := headracetest.NewClock(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
//	eng, err := headrace.Open(dir, topology, headrace.Options{Clock: clock})
//	…
//	clock.Advance(24 * time.Hour) // what was scheduled for tomorrow fires now
package headracetest
