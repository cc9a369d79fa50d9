package journal

import (
	"errors"
	"fmt"
	"path/filepath"
)

// Segments that retention gives up become the next ones to write to, instead of new files.
//
// What makes a fresh segment slow is the first access to each of its pages: the kernel finds and
// clears a page, and where a hypervisor gave memory away or keeps page tables of its own, it takes
// microseconds more. A recycled one is in memory already, and stays in its mapping, because in a new
// mapping of the same pages every first access would cost the same again.
//
// A reader that is still in the old segment must not see it change. So a file is recycled only under
// an exclusive lock that every reader shares while it has the file open, and with one link, since a
// backup may be a hard link. Under the lock it gets a spare's name, durably; who opens it by the old
// name later finds that it is not there, see osStorage.open. Its old records do not verify under the
// new salt, and the control page's checksums take the new segment id; besides it is zeroed, so that
// what lies behind a crash's tail is zeros as in a fresh file.

// So that no fresh one is ever needed in steady state, none of those in circulation may be dropped when
// a Trim gives up several at once, and a fresh one is made a moment later: those that hold records and
// those that wait to be written to share one bound, Options.RecycleSegments.

// A writer that uses pwrite gains as much, on a disk more: the pages of a recycled segment are in the page
// cache, its blocks are allocated and were written to, so that nothing is left to the file system but the
// copy, and no removed file has to be discarded on the disk. The zeros are pages that wait for writeback, and
// seldom see it, since the writer comes soon. But a sync of the segment would write them all: in the modes that
// sync what is being written, such a writer gets fresh segments.

// recycles tells whether segments that retention gives up are written to again.
func (j *Journal) recycles() bool {
	return j.o.RecycleSegments > 0 && (!j.w.buffered || j.o.Durability.mode == modeNone)
}

// retire keeps a segment, sealed and synced, open and mapped as it is, for recycling; false if it may be released.
func (j *Journal) retire(s *segment) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.recycles() || s.hdr.size != j.o.SegmentBytes || len(j.retired)+j.ahead.waiting() >= j.o.RecycleSegments {
		return false
	}
	if j.retired == nil {
		j.retired = make(map[uint64]*segment)
	}
	j.retired[s.hdr.id] = s
	return true
}

// recycle makes segment p, which is no longer part of the journal once it has gone from the directory,
// a spare. ok is false if it has to be removed instead; then nothing has changed.
func (j *Journal) recycle(p *found) (ok bool, err error) {
	j.mu.Lock()
	s := j.retired[p.id]
	delete(j.retired, p.id)
	j.mu.Unlock()
	if s == nil {
		return false, nil
	}
	if p.archive != nil { // the retired one is not the file
		return false, s.release()
	}
	unlock, err := s.f.tryLock()
	if err != nil || unlock == nil {
		return false, s.release() // a reader has it, or nobody can tell
	}
	defer unlock()
	if n, err := s.f.links(); err != nil || n != 1 {
		return false, s.release()
	}
	name := fmt.Sprintf("%016x%s", p.id, spareSuffix)
	if err := j.st.rename(filepath.Join(j.dir, p.name), filepath.Join(j.dir, name)); err != nil {
		return false, s.release()
	}
	// Until here it could have been the old segment after a crash: nothing has changed in it.
	if err := j.st.syncDir(j.dir); err != nil {
		return true, errorf("recycle %s: %w", p.name, errors.Join(err, s.release()))
	}
	s.name = name
	j.ahead.pool(s, p.pair.offset)
	return true, nil
}

// spent is a segment that waits to be zeroed.
type spent struct {
	s   *segment
	end int64 // everything from here on is zero
}

// renew makes a recycled segment a spare with that id, as makeSpare makes one: zero but for the
// name.
func (s *segment) renew(end int64, id uint64) error {
	h := header{id: id, size: s.hdr.size}
	if n, err := s.f.size(); err != nil || n != h.size { // pwrite would make it longer again, without blocks
		return errorf("recycle %s: %s bytes, not %s: %w", s.name, thousands(n), thousands(h.size), errors.Join(ErrFault, err))
	}
	const step = 256 << 10
	// Whole pages, so that none has to be read first; behind the end they are zero already.
	end = min((end+pageBytes-1)&^(pageBytes-1), h.size)
	mapped := min(end, int64(len(s.mem)))
	for off := int64(0); off < mapped; off += step {
		if err := guard(s.name, s.mem, func() error {
			clear(s.mem[off:min(off+step, mapped)])
			return nil
		}); err != nil {
			return err
		}
	}
	if err := writeZeros(s.f, mapped, end); err != nil {
		return err
	}
	s.hdr = h
	s.settled, s.generation, s.durable, s.pairDue = false, 0, pair{}, false
	s.started = 0
	s.touched.Store(h.size)
	return nil
}

// waiting is how many recycled segments wait to be written to.
func (a *ahead) waiting() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.recycled)
}

// pool hands over a recycled segment.
func (a *ahead) pool(s *segment, end int64) {
	a.mu.Lock()
	a.recycled = append(a.recycled, spent{s, end})
	a.mu.Unlock()
}

// reuse returns a recycled segment as a spare, or nil if there is none.
func (a *ahead) reuse() *segment {
	for {
		a.mu.Lock()
		if len(a.recycled) == 0 {
			a.mu.Unlock()
			return nil
		}
		r := a.recycled[0]
		a.recycled = a.recycled[1:]
		a.mu.Unlock()
		if err := r.s.renew(r.end, a.nextID); err == nil {
			a.nextID++
			a.j.stats.recycled.Add(1)
			return r.s
		}
		_ = a.drop(r.s) // somebody cut the file: a fresh one will do
	}
}

// drop unmaps a spare and removes its file.
func (a *ahead) drop(s *segment) error {
	err := s.release()
	if e := a.j.st.remove(filepath.Join(a.j.dir, s.name)); err == nil {
		err = e
	}
	return err
}
