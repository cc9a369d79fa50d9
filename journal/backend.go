package journal

import (
	"time"
)

// usePwrite makes the writer one that uses pwrite; before a segment is attached.
func (j *Journal) usePwrite() error {
	p, err := openProgress(j.st, j.dir)
	if isNoSpace(err) {
		// Slower where it syncs, and better than not at all.
		j.o.Logger.Warn("journal: no space for "+progressName+", using mmap", "dir", j.dir, "err", err)
		j.o.Backend = BackendMmap
		return nil
	}
	if err != nil {
		return err
	}
	j.progress, j.o.Backend = p, BackendPwrite
	j.w.buffered, j.w.mem = true, wordsToBytes(make([]uint64, bufferBytes/8))
	return nil
}

// slowTouch is what the first access to a page of a new mapping may cost before pwrite, which copies
// into pages that the kernel has mapped all along, is the faster way. A page takes some 25 records of
// 128 bytes: 1 us of stores, 3 us through pwrite.
const slowTouch = 2 * time.Microsecond

// chooseBackend decides for BackendAuto in the modes that seldom sync, by what it took to touch the
// active segment's first pages. Where segments are recycled in memory few pages are new. On a disk every
// page is, to the mapping, once it was written back: the next store faults as the first did.
func (j *Journal) chooseBackend(active *segment) error {
	if j.o.Backend != BackendAuto {
		return nil
	}
	j.o.Backend = BackendMmap
	const least = 16 // pages
	pages := time.Duration((active.touched.Load() - j.w.off&^(pageBytes-1)) / pageBytes)
	if j.o.RecycleSegments > 0 && j.diskless || pages < least || active.touching < pages*slowTouch {
		return nil
	}
	if err := j.usePwrite(); err != nil || j.o.Backend != BackendPwrite {
		return err
	}
	return active.unmapRecords()
}

// Backend returns the way into the page cache that is in use.
func (j *Journal) Backend() Backend { return j.o.Backend }
