package headrace

import (
	"errors"
	"fmt"
	"log/slog"
	"math/bits"
	"time"

	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/journal"
	"github.com/headrace/headrace/ring"
)

// Options configures an Engine. The zero value is the default; Open checks the rest and reports all
// faults at once, and those of the journal's own options when there are no others.
type Options struct {
	// Slots is how many events the ring holds: a power of two in [64, 1<<24]. Default 8192. It bounds
	// how far the slowest lane may fall behind before producers wait.
	Slots int

	// SlotBytes is the room of a slot for envelope and payload: a multiple of 64 in [128, 64 KiB].
	// Default 512. Larger events work, and cost a buffer each. The ring takes Slots*SlotBytes.
	SlotBytes int

	// Wait is how the lanes and blocked producers wait. Default ring's, which spins briefly, yields,
	// then parks, and suits a small container.
	Wait ring.WaitStrategy

	// Journal configures the log: segment size, durability, limits. Its FirstSequence is used for a
	// new journal only. Journal.MaxBodyBytes bounds an event's envelope and payload: [1 KiB, 64 MiB].
	Journal journal.Options

	// AcceptLost opens a log in which a repair left lost records (journal.KindLost), which is
	// otherwise ErrLostEvents. Handlers then never see what is lost, as if it had been voided: their
	// state is not what it was, answers that were lost are not given again below a later
	// one of the same handler, and ids that were lost no longer count as duplicates.
	AcceptLost bool

	// AcceptSchema opens a log with a type that does not fit its events, which is otherwise a *SchemaError.
	// The log then describes the type as it is now.
	AcceptSchema bool

	// DedupWindow is how many of the last events with a publisher's own id are remembered, to
	// answer a repeat instead of publishing it: [1, 1<<24]. Default 65,536; about 64 bytes each.
	DedupWindow int

	// StreamIndexBytes is how much memory the places of events in their streams may take, at one to three bytes
	// an event; beyond it those of streams that were not used for long are forgotten, and ReadStream searches the log
	// for them. Each stream takes about 180 bytes and twice its name besides. Default 64 MiB; -1 keeps no places,
	// only versions.
	StreamIndexBytes int64

	// FeedbackBytes is how much handlers may have emitted that is not yet in the ring; beyond it the
	// engine halts with ErrFeedbackFull. At a 64th of it producers outside are made to wait.
	// At least 64 KiB. Default 64 MiB.
	FeedbackBytes int64

	// CascadeDepth is how long a chain of events causing events may grow, before the engine halts
	// with ErrFeedbackFull: [1, 1<<30]. Default 10,000.
	CascadeDepth int

	// OverflowBytes bounds the memory of events larger than SlotBytes that are on their way: beyond it
	// producers wait. What handlers emit counts, and does not wait. At least 64 KiB. Default 64 MiB.
	OverflowBytes int64

	// Snapshots says when the engine takes snapshots, with which the next Open begins, and how many it keeps. Default:
	// none by itself. Those that there are Open uses in any case.
	Snapshots SnapshotOptions

	// Retention says how much of the log is given up behind a snapshot. Default nothing.
	Retention Retention

	// Clock is where the time comes from. Default the system's.
	Clock Clock

	// OnError is told once why the engine halted, on a goroutine of its own. Publish, the waits,
	// Err and Close tell it too. Default none.
	OnError func(error)

	// Observer watches what is published and handled, for tracing. Default none.
	Observer Observer

	// Logger is told what an operator should know: opening and what recovery found, handlers that are missing,
	// events that are parked, skipped or dead letters, lanes that are so slow that producers are about to
	// wait, halts. Nothing is logged for an event that goes well. Default silent.
	Logger *slog.Logger

	logs bool // there is a Logger
}

const (
	defaultSlots         = 8192
	defaultSlotBytes     = 512
	defaultDedupWindow   = 1 << 16
	defaultFeedbackBytes = 64 << 20
	defaultStreamBytes   = 64 << 20
	defaultOverflowBytes = 64 << 20
	defaultCascadeDepth  = 10_000
	minLaneBytes         = 64 << 10
	minBodyBytes         = 1 << 10 // room for the engine's own events
	maxFirstSequence     = 1 << 61
)

// withDefaults returns o with the defaults filled in, or all of its faults.
func (o Options) withDefaults() (Options, error) {
	setDefault(&o.Slots, defaultSlots)
	setDefault(&o.SlotBytes, defaultSlotBytes)
	setDefault(&o.DedupWindow, defaultDedupWindow)
	setDefault(&o.StreamIndexBytes, defaultStreamBytes)
	setDefault(&o.FeedbackBytes, defaultFeedbackBytes)
	setDefault(&o.OverflowBytes, defaultOverflowBytes)
	setDefault(&o.CascadeDepth, defaultCascadeDepth)
	setDefault(&o.Snapshots.Keep, defaultKeep)
	if o.Clock == nil {
		o.Clock = systemClock{}
	}
	if o.logs = o.Logger != nil; !o.logs {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Journal.Logger == nil {
		o.Journal.Logger = o.Logger
	}
	var faults []error
	check := func(ok bool, name string, got any, want string) {
		if !ok {
			faults = append(faults, fmt.Errorf("headrace: Options.%s = %v: want %s", name, got, want))
		}
	}
	check(o.Slots >= 64 && o.Slots <= 1<<24 && bits.OnesCount(uint(o.Slots)) == 1, "Slots", o.Slots, "a power of two in [64, 16,777,216]")
	check(o.SlotBytes >= 128 && o.SlotBytes <= 64<<10 && o.SlotBytes%64 == 0, "SlotBytes", o.SlotBytes, "a multiple of 64 in [128, 65,536]")
	check(o.DedupWindow >= 1 && o.DedupWindow <= 1<<24, "DedupWindow", o.DedupWindow, "[1, 16,777,216]")
	check(o.StreamIndexBytes >= -1, "StreamIndexBytes", o.StreamIndexBytes, "at least -1")
	check(o.FeedbackBytes >= minLaneBytes, "FeedbackBytes", o.FeedbackBytes, "at least 65,536")
	check(o.OverflowBytes >= minLaneBytes, "OverflowBytes", o.OverflowBytes, "at least 65,536")
	check(o.CascadeDepth >= 1 && o.CascadeDepth <= 1<<30, "CascadeDepth", o.CascadeDepth, "[1, 1,073,741,824]")
	check(o.Journal.FirstSequence >= 0 && o.Journal.FirstSequence <= maxFirstSequence, "Journal.FirstSequence", o.Journal.FirstSequence, "0 or [1, 1<<61]")
	check(o.Journal.MaxBodyBytes <= event.MaxPayloadBytes, "Journal.MaxBodyBytes", o.Journal.MaxBodyBytes, "at most 67,108,864")
	check(o.Journal.MaxBodyBytes == 0 || o.Journal.MaxBodyBytes >= minBodyBytes, "Journal.MaxBodyBytes", o.Journal.MaxBodyBytes, "0 or at least 1024")
	n := o.Snapshots
	check(n.EveryEvents >= 0, "Snapshots.EveryEvents", n.EveryEvents, "at least 0")
	check(n.EveryBytes >= 0, "Snapshots.EveryBytes", n.EveryBytes, "at least 0")
	check(n.Every >= 0, "Snapshots.Every", n.Every, "at least 0")
	check(n.Keep >= 1 && n.Keep <= maxKeep, "Snapshots.Keep", n.Keep, "[1, 1000]")
	return o, errors.Join(append(faults, o.Retention.validate())...)
}

func setDefault[N int | int64](field *N, value N) {
	if *field == 0 {
		*field = value
	}
}

// haltGrace is how long Close waits for the lanes to notice a halt before it gives up on them.
var haltGrace = 5 * time.Second // tests have less of it
