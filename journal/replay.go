package journal

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"
)

// paceClock is the time that Replay goes by.
type paceClock interface {
	now() time.Time
	sleep(ctx context.Context, d time.Duration) error
}

type systemClock struct{}

func (systemClock) now() time.Time { return time.Now() }

func (systemClock) sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// errNotYet ends a Read at a record whose moment has not come.
var errNotYet = errors.New("journal: not yet")

// Replay delivers what is readable at the pace at which it was written, times speed: with 1 the
// record that was written a second after the first one comes a second after it, with 10 a tenth.
// It never runs ahead of that pace; after a slow fn it delivers without pause until it has caught
// up. It ends, as Read does, when nothing more is readable, when Until or UntilTime is reached,
// when fn fails or returns ErrStop, or with ctx.
//
// speed is in (0, +Inf); Read is for full speed. Errors: ctx's; those of Read.
func (r *Reader) Replay(ctx context.Context, speed float64, fn func(Record) error) (n int, err error) {
	if !(speed > 0) || math.IsInf(speed, 1) {
		return 0, fmt.Errorf("journal: replay at speed %v: want one in (0, +Inf)", speed)
	}
	var start time.Time
	var origin int64
	var pause time.Duration
	paced := func(rec Record) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		now := r.clock.now()
		if start.IsZero() {
			start, origin = now, rec.Time
		}
		// In floating point: neither a huge gap nor a tiny speed may overflow. A pause longer
		// than an hour is taken in pieces.
		due := (float64(rec.Time) - float64(origin)) / speed
		if wait := due - float64(now.Sub(start)); wait >= 1 {
			pause = time.Duration(min(wait, float64(time.Hour)))
			return errNotYet
		}
		return fn(rec)
	}
	for {
		k, err := r.Read(paced)
		n += k
		if !errors.Is(err, errNotYet) {
			return n, err
		}
		if err := r.clock.sleep(ctx, pause); err != nil {
			return n, err
		}
	}
}
