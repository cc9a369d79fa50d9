package journal

import (
	"fmt"
	"path/filepath"
	"time"
)

// Retention says what Trim may remove: whatever one of its bounds gives up and no hold keeps. The
// zero value removes nothing.
type Retention struct {
	// Before gives up segments whose records all have lower sequences. 0: no bound.
	Before int64
	// MaxAge gives up segments whose last record is older. 0: no bound.
	MaxAge time.Duration
	// MaxBytes gives up the oldest segments while the files of all take more. 0: no bound.
	MaxBytes int64
}

// TrimReport is what Trim did.
type TrimReport struct {
	Removed int   // segments
	Bytes   int64 // of their files
	First   int64 // first sequence that is left
	// HeldBy is the names of the holds that kept a segment which the bounds gave up.
	HeldBy []string
}

// Trim removes the oldest segments that r gives up, whole ones only. It keeps what a hold that has
// not expired needs, whatever is not sealed and durable, what the chain has not covered yet if
// there is one, and always the segment that is written to. A reader inside a removed segment reads
// on; one that comes later gets ErrOutOfRange.
//
// Trim is safe from any goroutine beside the writer, which it does not disturb. Each removal is
// made durable before the next, oldest first, so that a crash leaves a journal that begins later
// and has no gap. Who needs a snapshot to make up for what is removed holds the log from the
// snapshot's sequence on.
//
// With Options.RecycleSegments a segment that no reader has open and no other name links to becomes
// one of the next that are written to, instead of being removed.
//
// Errors: the bounds' faults; ErrHold if the holds cannot be read, and then nothing is removed;
// *CorruptionError; the sticky error.
func (j *Journal) Trim(r Retention) (rep TrimReport, err error) {
	rep.First = j.FirstSequence()
	if r.Before < 0 || r.MaxAge < 0 || r.MaxBytes < 0 {
		return rep, fmt.Errorf("journal: retention: negative bound in %+v", r)
	}
	j.trimMu.Lock()
	defer j.trimMu.Unlock()
	if err := j.Err(); err != nil {
		return rep, err
	}
	holds, err := readHolds(j.st, j.dir)
	if err != nil {
		return rep, err
	}
	j.mu.Lock()
	oldestLive := j.live[0].hdr.id
	j.mu.Unlock()
	segs, _, _, err := listSegments(j.st, j.dir)
	if err != nil {
		return rep, err
	}
	d, err := durableOf(j.st, j.dir, segs)
	if err != nil {
		return rep, err
	}
	parts := d.parts
	total := int64(0)
	for _, seg := range segs {
		total += seg.fileBytes
	}
	now := time.Unix(0, j.rand.now())
	low := held(holds, now)
	for i, p := range parts {
		last := p.pair.sequence
		givenUp := last < r.Before ||
			r.MaxAge > 0 && time.Unix(0, p.lastTime).Before(now.Add(-r.MaxAge)) ||
			r.MaxBytes > 0 && total > r.MaxBytes
		if !givenUp || !p.sealed || p.id >= oldestLive || i == len(parts)-1 || !j.chain.covers(p.id) {
			break
		}
		if last >= low {
			for _, h := range sortedHolds(holds) {
				if h.Sequence <= last && (h.Expires.IsZero() || h.Expires.After(now)) {
					rep.HeldBy = append(rep.HeldBy, h.Name)
				}
			}
			break
		}
		// Before the file goes: a reader that starts now must not be promised it.
		j.first.Store(parts[i+1].first)
		rep.First = parts[i+1].first
		recycled, err := j.recycle(p)
		if err != nil {
			return rep, err
		}
		if !recycled {
			if err := j.st.remove(filepath.Join(j.dir, p.name)); err != nil {
				return rep, errorf("remove %s: %w", p.name, err)
			}
			if err := j.st.syncDir(j.dir); err != nil {
				return rep, errorf("remove %s: %w", p.name, err)
			}
		}
		rep.Removed++
		rep.Bytes += p.fileBytes
		total -= p.fileBytes
	}
	return rep, nil
}

// covers tells whether segment id may go: without a chain, or once it has a link.
func (c *chainer) covers(id uint64) bool {
	if c == nil {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.covered >= id
}
