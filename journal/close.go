package journal

import (
	"errors"
)

// Close commits what is staged (but for an unfinished atomic batch, which it takes back), syncs,
// stops the journal's goroutines, unmaps and closes its files and lets go of the lock. It wakes
// everyone who waits with ErrClosed. It is idempotent; later calls return what the first did.
//
// Close must not run beside a call of the writer. The error is the sticky one, if any.
func (j *Journal) Close() error {
	j.closing.Do(func() { j.closed = j.close() })
	return j.closed
}

func (j *Journal) close() error {
	var errs []error
	if j.Err() == nil {
		j.CancelBatch()
		errs = append(errs, j.Commit())
	}
	if j.Err() == nil {
		errs = append(errs, j.Sync())
	}
	if err := j.Err(); err != nil {
		errs = append(errs[:0], err)
	}
	j.fail(ErrClosed)
	close(j.stop)
	j.ahead.stop()
	j.done.Wait()
	j.syncing.Lock() // until one who waits and syncs is through
	defer j.syncing.Unlock()
	if errors.Join(errs...) == nil {
		errs = append(errs, j.settleActive())
	}
	j.trimMu.Lock() // until a Trim has let go of segments
	defer j.trimMu.Unlock()
	for _, s := range append(j.live, j.w.pending...) {
		errs = append(errs, s.release())
	}
	if !j.w.inLive() {
		errs = append(errs, j.w.seg.release())
	}
	for _, s := range j.retired {
		errs = append(errs, s.release())
	}
	errs = append(errs, j.ahead.discard())
	errs = append(errs, j.chain.close())
	errs = append(errs, j.progress.close())
	errs = append(errs, j.lock.Close())
	return errors.Join(errs...)
}

// settleActive makes the last durable pair itself durable, in both copies, so that a clean end
// can be told from a torn one without the page cache, and leaves the mark outside of the segment.
func (j *Journal) settleActive() error {
	s := j.live[len(j.live)-1]
	if err := guard(s.name, s.mem, func() error {
		if j.w.buffered {
			store64(s.mem, ctlCommittedOffset, uint64(s.durable.offset))
			store64(s.mem, ctlCommittedSequence, uint64(s.durable.sequence))
		}
		s.storePair(s.durable.offset, s.durable.sequence)
		s.storePair(s.durable.offset, s.durable.sequence)
		return nil
	}); err != nil {
		return err
	}
	if err := s.f.sync(); err != nil {
		return err
	}
	return j.leaveMark(s, s.durable.sequence)
}
