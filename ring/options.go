package ring

import (
	"errors"
	"fmt"

	"github.com/headrace/headrace/internal/sysio"
)

// Limits and defaults of Options.
const (
	DefaultSlots = 8192
	MaxSlots     = 1 << 30
	// MaxFirstSequence leaves 2^61 sequences after the first: 73 years at 10^9 a second.
	MaxFirstSequence = 1 << 62
)

// Producers tells how many goroutines may claim and publish at the same time.
type Producers uint8

const (
	// MultiProducer: any number of goroutines. The default.
	MultiProducer Producers = iota
	// SingleProducer: one at a time, which the caller sees to; claims are published in order.
	SingleProducer
)

func (p Producers) String() string {
	switch p {
	case MultiProducer:
		return "multi"
	case SingleProducer:
		return "single"
	}
	return fmt.Sprintf("Producers(%d)", uint8(p))
}

// Options of a ring. The zero value is the default.
type Options struct {
	// Slots is the number of events in flight: a power of two in [1, MaxSlots], and of no more than 16 TiB of
	// memory altogether, 1 GiB where an int has 32 bits. Default DefaultSlots.
	Slots int
	// FirstSequence is the sequence of the first event, in [1, MaxFirstSequence]. Default 1.
	FirstSequence int64
	// Producers is MultiProducer, the default, or SingleProducer.
	Producers Producers
	// Wait is how blocked producers wait, and consumers without a strategy of their own.
	// Default WaitAdaptive().
	Wait WaitStrategy
	// Fenced makes every publish, and every move of a consumer, end with a full fence, at some
	// nanoseconds each. Without it, on Linux, whoever parks has the kernel fence the other threads
	// (membarrier(2)), which takes microseconds, and on a virtual machine tens of them. So it is for
	// rings whose consumers park between events. The default suits streams that seldom rest.
	Fenced bool
	// OnError, where set, is called once, with the error that Err returns from then on, when the
	// first consumer fails. It runs on that consumer's goroutine after the ring was halted and
	// before Done is closed; it must not wait for Done. Its panics are swallowed.
	OnError func(*ConsumerError)
}

func (o Options) withDefaults() Options {
	if o.Slots == 0 {
		o.Slots = DefaultSlots
	}
	if o.FirstSequence == 0 {
		o.FirstSequence = 1
	}
	o.Wait = o.Wait.orElse(WaitAdaptive())
	return o
}

func (o Options) validate(slotBytes uintptr) error {
	var faults []error
	if o.Slots < 1 || o.Slots > MaxSlots || o.Slots&(o.Slots-1) != 0 {
		faults = append(faults, optionError("Slots", "%d is not a power of two in [1, %d]", o.Slots, MaxSlots))
	} else if slotBytes > maxRingBytes/uintptr(o.Slots) {
		faults = append(faults, optionError("Slots", "%d slots of %d bytes are more than %d bytes",
			o.Slots, slotBytes, uintptr(maxRingBytes)))
	}
	if o.FirstSequence < 1 || o.FirstSequence > MaxFirstSequence {
		faults = append(faults, optionError("FirstSequence", "%d is not in [1, %d]", o.FirstSequence, int64(MaxFirstSequence)))
	}
	if o.Producers > SingleProducer {
		faults = append(faults, optionError("Producers", "%v is neither MultiProducer nor SingleProducer", o.Producers))
	}
	return errors.Join(faults...)
}

// memory returns the bytes of a ring with these options, which are valid.
func (o Options) memory(slotBytes uintptr) int64 {
	n := int64(slotBytes) * int64(o.Slots)
	if o.Producers == MultiProducer {
		n += 4 * int64(o.Slots) // sequencer.marks
	}
	return n
}

// affordable returns ErrNoMemory where the system refuses the memory of the ring now. Go would end the process then.
// For rings of usual sizes it is not asked, and another allocation may take the room after it was: Go has no call
// that allocates or fails.
func (o Options) affordable(slotBytes uintptr) error {
	const usual, more = 1 << 26, 1 << 23 // bytes; Go rounds up
	n := o.memory(slotBytes)
	if n < usual {
		return nil
	}
	if err := sysio.Room(n + more); err != nil {
		return fmt.Errorf("%w for %d slots of %d bytes: %w", ErrNoMemory, o.Slots, slotBytes, err)
	}
	return nil
}

// maxRingBytes is far below what an address space holds, so that a size never overflows.
const maxRingBytes = 1 << (30 + 14*(^uint(0)>>63))

// ConsumerOptions of one consumer. The zero value stands at the head of the graph.
type ConsumerOptions struct {
	// After names the consumers of the same ring that must have handled an event before this one
	// sees it. None: it sees an event as soon as it is published.
	After []*Consumer
	// Before names the consumers that see an event only after this one has handled it: it is put in
	// front of them, and they wait for it from now on. Each of After must come before each of them
	// already, and From must be 0. The first event is one that none of them has seen.
	Before []*Consumer
	// Wait is how it waits for events. Default: Options.Wait.
	Wait WaitStrategy
	// MaxBatch is the largest number of events in one span, >= 0; a consumer's progress becomes
	// visible after each span. 0, the default, takes Slots/8, at least 1.
	MaxBatch int
	// OnError is what happens when the handler fails. Default: the ring halts. A Poller has none.
	OnError ErrorPolicy
	// From is the first sequence that the consumer gets: one that is still in the ring, and not
	// past what those in After have handled, or, without After, what is published. 0, the default,
	// takes FirstSequence before Start; for Ring.Join see there.
	From int64
	// Pin is where the consumer's goroutine runs. Default: anywhere. A Poller has none.
	Pin Pin
}

func (o ConsumerOptions) validate(s *sequencer) error {
	var faults []error
	others := func(field string, list []*Consumer) {
		for i, c := range list {
			switch {
			case c == nil:
				faults = append(faults, optionError(field, "entry %d is nil", i))
			case c.seq != s:
				faults = append(faults, optionError(field, "consumer %q belongs to another ring", c.name))
			}
		}
	}
	others("After", o.After)
	others("Before", o.Before)
	if len(o.Before) > 0 && o.From != 0 {
		faults = append(faults, optionError("From", "it cannot be chosen for a consumer with Before"))
	}
	if o.MaxBatch < 0 {
		faults = append(faults, optionError("MaxBatch", "%d is negative", o.MaxBatch))
	}
	if o.From < 0 {
		faults = append(faults, optionError("From", "%d is negative", o.From))
	}
	faults = append(faults, o.OnError.validate(), o.Pin.validate())
	return errors.Join(faults...)
}
