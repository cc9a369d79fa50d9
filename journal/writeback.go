package journal

import "time"

// Writeback is started early in mode None, which hardly ever syncs: left alone, the kernel lets dirty
// pages pile up to a fifth of the memory, and then makes whoever writes wait for the disk. Every
// writebackStep the syncer has it begin with what is committed. Nothing becomes durable by it, and nobody
// waits for it.

const writebackStep = 4 << 20

// startWriteback begins with what was committed since it was called last. The caller holds syncing.
func (j *Journal) startWriteback() {
	j.mu.Lock()
	segs := j.live
	j.mu.Unlock()
	for i, s := range segs {
		err := guard(s.name, s.mem, func() error {
			end, _ := j.committedOf(s)
			if i == len(segs)-1 {
				end &^= pageBytes - 1 // the page that is being filled would be written twice
			}
			if n := end - s.started; n > 0 {
				s.f.writeback(s.started, n)
				s.started = end
			}
			return nil
		})
		if err != nil {
			return // a sync meets it too, and tells
		}
	}
}

// longWrite is how long a write may take before Stats counts it: the page cache takes microseconds.
const longWrite = time.Millisecond

// wrote counts a write that began at start if it took long.
func (j *Journal) wrote(start time.Time) {
	if d := time.Since(start); d >= longWrite {
		j.stats.named[StallWrite].add(d)
	}
}
