package journal

import (
	"math"
	"time"

	"github.com/headrace/headrace/internal/failpoint"
)

// publishRolled publishes the ends of segments that filled up since the last Commit, and hands
// the new active one to the syncer.
func (j *Journal) publishRolled() {
	w := &j.w
	for i, s := range w.pending {
		release64(s.mem, ctlCommittedOffset, uint64(w.sealedAt[i]))
		release64(s.mem, ctlCommittedSequence, uint64(w.lastOf[i]))
	}
	if j.publishLive() > sealedMost && j.o.Durability.mode == modeNone {
		j.pokeSyncer()
	}
	clear(w.pending)
	w.pending, w.sealedAt, w.lastOf = w.pending[:0], w.sealedAt[:0], w.lastOf[:0]
}

// publishLive hands the new active segment, and those that filled up on the way to it, to the syncer, and returns how many
// it has now. The one that was active before is live already, and promises from here on what is durable of it: see storeDurable.
func (j *Journal) publishLive() int {
	w := &j.w
	j.mu.Lock()
	defer j.mu.Unlock()
	w.pending[0].keepPair()
	if w.buffered {
		j.progress.begin(w.seg.hdr.id, recordsOffset, w.seg.hdr.first-1)
	}
	j.live = append(j.live, w.pending[1:]...)
	j.live = append(j.live, w.seg)
	return len(j.live)
}

// roll seals the active segment and goes on in the one that lies ready. On an error nothing has
// changed. Staged records stay invisible until Commit, on both sides of the boundary.
//
// The new name comes first and the seal second: a process that dies between leaves a segment
// without a seal and an empty one that starts at the next sequence, which recovery understands.
func (j *Journal) roll() error {
	w := &j.w
	if w.filling {
		return ErrFilling
	}
	if w.buffered {
		if err := j.flush(); err != nil {
			return err
		}
	}
	next, err := j.ahead.take()
	if err != nil {
		return err
	}
	defer j.stats.named[StallRoll].since(time.Now())
	if err := next.christen(j.st, j.dir, j.uuid, w.seq+1, j.rand.now(), j.rand.salt(), j.now); err != nil {
		j.ahead.giveBack(next)
		if isNoSpace(err) {
			err = &NoSpaceError{Dir: j.dir, Bytes: next.hdr.size, Err: err}
		}
		return errorf("roll over: %w", err)
	}
	failpoint.Hit(failpoint.RollOver)
	full := w.seg
	indexBytes := w.index.recordBytes()
	sl := seal{lastSequence: w.seq, lastTime: w.time, indexOffset: uint64(w.off)}
	if w.off+indexBytes+sealRecordBytes > full.hdr.size {
		// A crash left an index where a seal should have followed, and used up the room.
		indexBytes, sl.indexOffset = 0, 0
	}
	end := w.off + indexBytes + sealRecordBytes
	if err := full.touchTo(end); err != nil {
		j.fail(err)
		return err
	}
	var to []byte // [w.off, end)
	if w.buffered {
		if to = w.mem; int64(len(to)) < end-w.off {
			to = wordsToBytes(make([]uint64, (end-w.off)/8))
		}
		to = to[:end-w.off]
	} else {
		to = full.mem[w.off:end]
	}
	if err := guard(full.name, full.mem, func() error {
		// The word behind the seal was zeroed with the file; the one behind the index is the
		// seal's, stored last of all.
		sealWord := putSeal(to[indexBytes:], w.off+indexBytes, full.hdr.salt, &sl, j.Durable(), &w.tail)
		if indexBytes > 0 {
			word := w.index.put(to[:indexBytes], w.off, full.hdr.salt, w.seq, w.time, j.Durable(), &w.tail)
			release64(to, 0, word)
		}
		release64(to, indexBytes, sealWord)
		return nil
	}); err != nil {
		j.fail(err)
		return err
	}
	if w.buffered {
		if err := j.writeAt(to, w.off); err != nil {
			return err
		}
	}
	w.pending = append(w.pending, full)
	w.sealedAt = append(w.sealedAt, end)
	w.lastOf = append(w.lastOf, w.seq)
	w.stagedBytes += end - w.off
	full.endBytes = w.stagedBytes
	w.staged = true
	w.off = recordsOffset
	w.attach(next)
	j.stats.rolls.Add(1)
	return nil
}

// reach makes sure that pages up to end are touched, and that the goroutine that prepares ahead
// knows where the writer is.
func (j *Journal) reach(end int64) error {
	w := &j.w
	if w.filling {
		return ErrFilling
	}
	w.touchLimit = w.seg.touched.Load()
	if end > w.touchLimit {
		j.stats.stalls.Add(1)
		defer j.stats.named[StallTouch].since(time.Now())
		if err := w.seg.touchTo(max(end, min(w.off+256<<10, w.seg.hdr.size))); err != nil {
			j.fail(err)
			return err
		}
		w.touchLimit = w.seg.touched.Load()
	}
	window, size := j.o.TouchAheadBytes, w.seg.hdr.size
	// The next segment is ordered at a quarter, so that a small journal has no second one; at a 16th where
	// nothing has to be touched: making a file takes longer than filling that.
	order := size / 4
	if w.buffered {
		order = size / 16
	}
	used := end >= order
	j.ahead.moved(w.seg, min(w.off+window, size), used)
	// Come back half a window on, where the next segment is ordered, and in any case before the touched
	// pages end.
	next := max(end, w.off+window/2)
	if !used {
		next = min(next, max(end, order))
	} else if w.touchLimit >= size {
		next = math.MaxInt64
		w.kick = next
		return nil
	}
	w.kick = min(w.touchLimit, next)
	return nil
}
