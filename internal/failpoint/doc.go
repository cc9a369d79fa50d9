// Package failpoint kills the process at named places, for tests that want a crash exactly there. In normal builds it is
// nothing: Hit is an empty function that leaves no instruction behind. With the build tag headrace_failpoint it looks for a
// place and a count in the environment,
//
//	HEADRACE_FAILPOINT=mid-record:40
//
// and the process kills itself, as kill -9 does, when it comes to the place for the 40th time.
package failpoint

// Variable is the environment variable that says where to die.
const Variable = "HEADRACE_FAILPOINT"

// Place is where a process can be made to die.
type Place string

const (
	AfterClaim       Place = "after-claim"       // a slot is claimed and not published
	MidRecord        Place = "mid-record"        // a record is in its segment, but for the word that makes it one
	MidBatch         Place = "mid-batch"         // a part of an atomic batch is in its segment
	AfterJournal     Place = "after-journal"     // a span is written, and no lane has seen it
	RollOver         Place = "roll-over"         // the next segment has its name, the full one no seal yet
	BeforeCheckpoint Place = "before-checkpoint" // a follower's checkpoint is written and not in its place
	MidSnapshot      Place = "mid-snapshot"      // a snapshot is half written; or whole and without its name; or has just got it
	BeforeAnswer     Place = "before-answer"     // a call to the outside has returned, and nobody knows what it said
	ReplyLost        Place = "reply-lost"        // the payment gateway has charged a card, and its reply is not read yet
)

// Places returns all there are.
func Places() []Place {
	return []Place{
		AfterClaim, MidRecord, MidBatch, AfterJournal, RollOver, BeforeCheckpoint, MidSnapshot, BeforeAnswer, ReplyLost,
	}
}
