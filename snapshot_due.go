package headrace

import (
	"context"
	"errors"
)

// run takes snapshots as the options say, until the engine closes or halts.
func (n *snapshots) run() {
	defer close(n.ended)
	e := n.engine
	for n.due(e.snapshotCtx) == nil {
		_, err := e.Snapshot(e.snapshotCtx)
		switch {
		case err == nil:
			continue
		case e.snapshotCtx.Err() != nil || errors.Is(err, ErrClosed) || errors.Is(err, ErrHalted):
			return
		}
		e.log.Error("headrace: no snapshot", "error", err)
		written, bytes := e.journal.Written(), e.journal.Stats().WrittenBytes
		n.mu.Lock()
		n.stats.Failed++
		n.stats.Err = err
		n.last, n.since = written, bytes // what failed may fail for long: not before the next is due
		n.mu.Unlock()
	}
}

// due waits until a snapshot is due. Its error is the end of ctx, or of the journal.
func (n *snapshots) due(ctx context.Context) error {
	e, o := n.engine, n.engine.options.Snapshots
	ctx, done := context.WithCancel(ctx)
	defer done()
	timeUp := make(chan struct{})
	if o.Every > 0 {
		reached, stop := e.options.Clock.Reach(e.options.Clock.Now().Add(o.Every))
		go func() {
			defer stop()
			select {
			case <-reached:
				close(timeUp)
			case <-ctx.Done():
			}
		}()
	}
	for {
		n.mu.Lock()
		last, since := n.last, n.since
		n.mu.Unlock()
		written := e.journal.Written()
		more := o.more(written-last, e.journal.Stats().WrittenBytes-since)
		if closed(timeUp) {
			more = 0
		}
		if more == 0 && written > last {
			return nil
		}
		wait, end := context.WithCancel(ctx)
		if !closed(timeUp) {
			go func() {
				select {
				case <-timeUp:
					end()
				case <-wait.Done():
				}
			}()
		}
		var err error
		if more >= 0 {
			err = e.journal.WaitWritten(wait, written+max(1, more))
		} else {
			<-wait.Done()
		}
		end()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && !errors.Is(err, context.Canceled):
			return err
		}
	}
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// more is how many events to wait for, and then to look again, where so many events of so many bytes have come since
// the last snapshot: 0 if the next is due, -1 if that is no matter of events.
func (o SnapshotOptions) more(events, bytes int64) int64 {
	more := int64(-1)
	if o.EveryEvents > 0 {
		more = max(0, o.EveryEvents-events)
	}
	if o.EveryBytes > 0 {
		left := int64(0)
		if rest := o.EveryBytes - bytes; rest > 0 {
			// Half of those that may well take the rest: they may be larger than the ones before.
			left = max(1, rest/(2*max(leastRecordBytes, bytes/max(1, events))))
		}
		if more < 0 || left < more {
			more = left
		}
	}
	return more
}

// leastRecordBytes is what an event takes in the journal at least, and some more.
const leastRecordBytes = 128
