package journal

import (
	"fmt"
	"math"
	"time"
)

// The syncer makes durable what is written, in a goroutine of its own.
//
// It sleeps until the writer or somebody who waits pokes it. wakeAt tells the writer when to:
//
//	writer                          syncer
//	writtenBytes = b                wakeAt = w
//	if b >= wakeAt: poke            if writtenBytes >= w: do not sleep
//
// All four accesses are sequentially consistent, so a byte that ought to start a sync always
// does.
func (j *Journal) runSyncer() {
	d := j.o.Durability
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	defer timer.Stop()
	armed, due := false, false
	promise := time.NewTimer(time.Hour) // for the control page of a writer that uses pwrite
	promise.Stop()
	defer promise.Stop()
	promised := &j.promised // the timer runs
	led := j.led.Load()
	begun := int64(0) // writeback, of so many bytes
	for {
		written, synced := j.writtenBytes.Load(), j.syncedBytes.Load()
		dirty := written > synced
		wanted := j.wanted.Load() > j.syncs.value.Load()
		full := d.mode == modeGroup && written-synced >= d.bytes
		if !dirty && d.mode != modeBatch {
			timer.Stop()
			armed, due = false, false
		}
		if d.mode == modeNone && !j.poisoned() {
			j.syncing.Lock()
			if !j.diskless && written-begun >= writebackStep {
				j.startWriteback()
				begun = written
			}
			j.syncSealed()
			j.syncing.Unlock()
		}
		if !j.poisoned() && (wanted || dirty && (d.mode == modeBatch || due || full)) {
			j.wakeAt.Store(math.MaxInt64)
			j.syncing.Lock()
			if j.unsynced() { // whoever had the lock may have done it
				j.syncNow()
			}
			j.syncing.Unlock()
			timer.Stop()
			armed, due = false, false
			continue
		}
		if !promised.Load() && j.pairDue.Load() {
			promise.Reset(promiseEvery)
			promised.Store(true)
		}
		at := int64(math.MaxInt64)
		switch d.mode {
		case modeNone:
			if !j.diskless {
				at = begun + writebackStep
			}
		case modeBatch:
			if n := j.led.Load(); !armed && n == led {
				at = synced + 1
			} else if !armed {
				led = n
				timer.Reset(ledTick)
				armed = true
			}
		case modeInterval, modeGroup:
			switch {
			case !dirty:
				at = synced + 1
			case !armed:
				timer.Reset(d.delay)
				armed = true
				fallthrough
			default:
				if d.mode == modeGroup {
					at = synced + d.bytes
				}
			}
		}
		if j.poisoned() {
			at = math.MaxInt64
		}
		j.wakeAt.Store(at)
		if j.writtenBytes.Load() >= at {
			continue
		}
		select {
		case <-j.poke:
		case <-timer.C:
			due, armed = armed, armed && d.mode != modeBatch
		case <-promise.C:
			promised.Store(false)
			j.syncing.Lock()
			j.keepPromise()
			j.syncing.Unlock()
		case <-j.stop:
			return
		}
	}
}

func (j *Journal) pokeSyncer() {
	select {
	case j.poke <- struct{}{}:
	default:
	}
}

// poisoned tells whether no sync may be tried any more.
func (j *Journal) poisoned() bool { return j.failed.Load() }

// sealedMost is how many segments may be mapped and not synced in mode None.
const sealedMost = 4

// syncSealed syncs sealed segments in mode None, the oldest first, while there are too many of them:
// somebody has to let go of their mappings, and retention takes nothing that is not durable. Not all
// at once, so that Trim, and with it recycling, gets one for each that fills up.
func (j *Journal) syncSealed() {
	j.mu.Lock()
	segs := j.live
	j.mu.Unlock()
	for _, s := range segs[:max(0, len(segs)-sealedMost)] {
		if err := j.syncSegment(s, true); err != nil {
			j.poison(s.name, err)
			return
		}
		j.mu.Lock()
		j.live = append([]*segment(nil), j.live[1:]...)
		j.mu.Unlock()
		j.stats.syncs.Add(1)
		j.stats.lastSync.Store(time.Now().UnixNano())
		j.syncedBytes.Store(max(s.endBytes, j.syncedBytes.Load()))
		j.durable.advance(max(s.durable.sequence, j.durable.value.Load()))
		j.chain.sealedUpTo(s.hdr.id)
		j.letGo(s)
	}
}

// letGo releases a segment that is sealed and synced, or keeps it for recycling.
func (j *Journal) letGo(s *segment) {
	if j.retire(s) {
		return
	}
	if err := s.release(); err != nil {
		j.o.Logger.Warn("journal: release", "dir", j.dir, "segment", s.name, "err", err)
	}
}

// unsynced tells whether there is anything for syncNow to do.
func (j *Journal) unsynced() bool {
	return j.writtenBytes.Load() > j.syncedBytes.Load() || j.wanted.Load() > j.syncs.value.Load()
}

// lead does what the syncer would, in the goroutine of somebody who waits, unless a sync is under way:
// waking the syncer, and being woken by it, takes as long as a quarter of a sync of a fast disk. In mode
// Batch, while somebody leads again and again, a commit that nobody waits for does not wake the syncer
// either: it looks for one every ledTick. What was committed during the sync is the syncer's at once.
func (j *Journal) lead() bool {
	if !j.syncing.TryLock() {
		return false
	}
	if !j.poisoned() && j.unsynced() {
		j.syncNow()
		j.led.Add(1)
	}
	j.syncing.Unlock()
	if j.unsynced() || j.pairDue.Load() && !j.promised.Load() {
		j.pokeSyncer()
	}
	return true
}

// ledTick is how long a commit that nobody waits for may lie there in mode Batch while others lead.
const ledTick = 5 * time.Millisecond

// promiseEvery is how old a promise in the control page of a writer that uses pwrite may be. At
// 0.3 ms a sync one in 300 then has a second page to write.
const promiseEvery = 100 * time.Millisecond

// keepPromise stores the durable pair of the active segment if it lags behind.
func (j *Journal) keepPromise() {
	j.mu.Lock()
	s := j.live[len(j.live)-1]
	j.mu.Unlock()
	j.pairDue.Store(false)
	if j.poisoned() {
		return
	}
	if err := guard(s.name, s.mem, func() error { j.keepPair(s); return nil }); err != nil {
		j.poison(s.name, err)
	}
}

// keepPair is keepPromise for s.
func (j *Journal) keepPair(s *segment) {
	j.mu.Lock()
	defer j.mu.Unlock()
	s.keepPair()
}

// storeDurable stores how far s is durable: in its control page or, for a writer that uses pwrite, as long as
// nobody wants more and s is written to, on the heap, for later. A roll-over makes up for that, because two
// segments on the slot that s has in PROGRESS is another's; mu orders the two.
func (j *Journal) storeDurable(s *segment, offset, sequence int64, promise bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.progress == nil || promise || s != j.live[len(j.live)-1] {
		s.storePair(offset, sequence)
		return
	}
	s.durable.offset, s.durable.sequence, s.pairDue = offset, sequence, true
	j.pairDue.Store(true)
}

// committedOf returns how far s is committed.
func (j *Journal) committedOf(s *segment) (offset, sequence int64) {
	// Each is a lower bound by itself; see pair.
	offset, sequence = int64(load64(s.mem, ctlCommittedOffset)), int64(load64(s.mem, ctlCommittedSequence))
	if j.progress != nil {
		if p, ok := loadStanding(j.progress.heap, s.hdr.id); ok {
			return max(offset, p.offset), max(sequence, p.sequence)
		}
	}
	return offset, sequence
}

// syncNow syncs everything that was committed when it began, and only then says so.
func (j *Journal) syncNow() {
	promise := j.promise.Swap(false)
	// Read before the sync begins: what comes later becomes durable one sync late. Bytes before
	// sequence, see Commit.
	ticket := j.wanted.Load()
	bytes := j.writtenBytes.Load()
	sequence := j.written.value.Load()
	j.mu.Lock()
	segs := j.live
	j.mu.Unlock()
	start := time.Now()
	for i, s := range segs {
		sealed := i < len(segs)-1
		if err := j.syncSegment(s, sealed || promise); err != nil {
			j.poison(s.name, err)
			return
		}
		if sealed {
			j.letGo(s)
		}
	}
	if len(segs) > 1 {
		j.mu.Lock()
		j.live = append([]*segment(nil), j.live[len(segs)-1:]...)
		j.mu.Unlock()
		j.chain.sealedUpTo(segs[len(segs)-1].hdr.id - 1)
	}
	j.stats.syncs.Add(1)
	j.stats.lastSync.Store(time.Now().UnixNano())
	j.stats.syncNanos.Add(uint64(time.Since(start)))
	j.dirtySince.Store(start.UnixNano())
	j.syncedBytes.Store(bytes)
	j.durable.advance(max(sequence, j.durable.value.Load()))
	j.syncs.advance(ticket)
}

// syncSegment syncs one segment, its name too the first time, and stores the durable pair; of a
// writer that uses pwrite only if promise says so.
func (j *Journal) syncSegment(s *segment, promise bool) error {
	return guard(s.name, s.mem, func() error {
		offset, sequence := j.committedOf(s)
		if s.settled && offset == s.durable.offset {
			if promise {
				j.keepPair(s)
			}
			return nil
		}
		if s.settled {
			if err := s.f.syncData(); err != nil {
				return err
			}
		} else {
			if err := s.f.sync(); err != nil {
				return err
			}
			if err := j.st.syncDir(j.dir); err != nil {
				return err
			}
			s.settled = true
		}
		if n, err := s.f.links(); err == nil && n == 0 {
			return ErrVanished
		}
		if n, err := s.f.size(); err == nil && n != s.hdr.size {
			// A mapping faults; pwrite would go on behind a hole.
			return fmt.Errorf("%w: the file was cut to %s bytes, or grew", ErrSize, thousands(n))
		}
		j.storeDurable(s, offset, sequence, promise)
		if j.progress != nil {
			return guard(progressName, j.progress.file, func() error {
				j.progress.durable(s.hdr.id, offset, sequence)
				return nil
			})
		}
		return nil
	})
}
