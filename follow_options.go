package headrace

import (
	"errors"
	"fmt"
	"time"

	"github.com/headrace/headrace/handlers"
)

// FollowOptions configures a follower; the zero value is the default.
type FollowOptions struct {
	// From is the first sequence to deliver, 0 = from the beginning. With a checkpoint it counts
	// only as long as there is none.
	From int64

	// FromTime makes the first event to deliver the first that was journaled at this time or later, instead of From.
	// With a checkpoint it counts only as long as there is none. Default: no time, in the years 1678 to 2261.
	FromTime time.Time

	// Until is the last sequence to deliver, after which Follow returns nil. Default 0: no end.
	Until int64

	// Filter says which events it gets; the others it passes over, and its checkpoint with them: what a former filter
	// has passed over does not come back. Default all.
	Filter handlers.Filter

	// Provisional lets it read all that is written, which a power cut may take back and whose
	// numbers may then be given out again. By default it reads what is durable. In durability mode
	// None nothing becomes durable by itself, and a follower reads what is written.
	Provisional bool

	// Name makes it a follower with a checkpoint, kept in the journal's directory under
	// checkpoints/: started again under the same name it goes on where it was. Letters, digits, '-', '_'
	// and '.', at most 100 of them. Default none.
	Name string

	// After is a checkpoint that is kept elsewhere, as a projection into a database does in the database: the
	// follower begins behind it, if the log still has the record that it names, else handlers.ErrDiverged.
	// Not with Name or From. Default none.
	After handlers.Checkpoint

	// Passed is told of each record that is not delivered, being the engine's own, void or filtered out, so that whoever
	// waits for a sequence can be told that it is reached. Its error ends the follower. Default none.
	Passed func(at handlers.Checkpoint) error

	// CheckpointEvery is after how many events the checkpoint is saved; it is also saved when the follower
	// ends. What was handled since is delivered again after a crash. Default 1000.
	CheckpointEvery int
}

func (o FollowOptions) withDefaults() (FollowOptions, error) {
	setDefault(&o.CheckpointEvery, 1000)
	var faults []error
	if o.From < 0 {
		faults = append(faults, fmt.Errorf("headrace: FollowOptions.From = %d: want 0 or a sequence", o.From))
	}
	if !o.FromTime.IsZero() {
		if o.From != 0 || o.After != (handlers.Checkpoint{}) {
			faults = append(faults, errors.New("headrace: FollowOptions.FromTime: not with From or After"))
		}
		if !time.Unix(0, o.FromTime.UnixNano()).Equal(o.FromTime) {
			faults = append(faults, fmt.Errorf("headrace: FollowOptions.FromTime = %v: want a time in the years 1678 to 2261", o.FromTime))
		}
	}
	if o.Until < 0 {
		faults = append(faults, fmt.Errorf("headrace: FollowOptions.Until = %d: want 0 or a sequence", o.Until))
	}
	if o.CheckpointEvery < 0 {
		faults = append(faults, fmt.Errorf("headrace: FollowOptions.CheckpointEvery = %d: want at least 1", o.CheckpointEvery))
	}
	if err := o.Filter.Validate(); err != nil {
		faults = append(faults, fmt.Errorf("headrace: FollowOptions.Filter: %w", err))
	}
	if o.After != (handlers.Checkpoint{}) && (o.Name != "" || o.From != 0 || o.After.Sequence < 1) {
		faults = append(faults, fmt.Errorf("headrace: FollowOptions.After = %v: want a checkpoint, and neither Name nor From", o.After))
	}
	if !validName(o.Name) {
		faults = append(faults, fmt.Errorf("headrace: FollowOptions.Name = %q: want letters, digits, '-', '_', '.', at most 100", o.Name))
	}
	return o, errors.Join(faults...)
}

func validName(name string) bool {
	if len(name) > 100 || name == "." || name == ".." {
		return false
	}
	for _, c := range name {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}
