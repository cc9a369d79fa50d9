package journal

import (
	"context"
	"errors"
	"time"
)

// pace slows long work down to a number of bytes a second, and ends it with its context. The zero
// value neither slows nor ends.
type pace struct {
	ctx     context.Context
	perSec  int64 // 0: no limit
	clock   paceClock
	started time.Time
	bytes   int64
	step    int64 // bytes since the clock was last read
}

// paceStep is after how many bytes the clock is read.
const paceStep = 256 << 10

func newPace(ctx context.Context, bytesPerSecond int64) *pace {
	return &pace{ctx: ctx, perSec: bytesPerSecond, clock: systemClock{}}
}

// ended tells whether err is the end of the context.
func (p *pace) ended(err error) bool {
	return p != nil && p.ctx != nil && err != nil && errors.Is(err, p.ctx.Err())
}

// spend says that n bytes were worked through, and waits until that may be. Errors: the context's.
func (p *pace) spend(n int64) error {
	if p == nil || p.ctx == nil {
		return nil
	}
	if p.step += n; p.step < paceStep {
		return nil
	}
	p.bytes, p.step = p.bytes+p.step, 0
	if err := p.ctx.Err(); err != nil || p.perSec <= 0 {
		return err
	}
	now := p.clock.now()
	if p.started.IsZero() {
		p.started = now
	}
	due := time.Duration(float64(p.bytes) / float64(p.perSec) * float64(time.Second))
	if wait := due - now.Sub(p.started); wait > 0 {
		return p.clock.sleep(p.ctx, wait)
	}
	return nil
}
