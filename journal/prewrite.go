package journal

// A block that was allocated and never written to is marked so in the file system's own metadata. The
// first sync after a write to it has to write that metadata too, through the file system's journal, which
// takes one and a half times to twice as long as the records alone. Where somebody waits for every sync,
// segments are therefore filled with zeros on the disk before they are used. It costs the disk every byte
// twice.

// prewriteStep is how much is written and synced at once: what another sync may have to wait behind.
const prewriteStep = 256 << 10

// prewrites tells whether segments are to be written before they are used.
func (j *Journal) prewrites() bool {
	return j.w.buffered && j.o.Durability.mode == modeBatch && !j.o.NoPrewrite
}

// prewrite fills the first n bytes of a spare with zeros, on the disk, until enough says that there is no
// time left; what is missing makes syncs longer and is no error.
func (s *segment) prewrite(n int64, enough func() bool) error {
	for at := int64(0); at < n && !enough(); {
		stop := min(at+prewriteStep, n)
		if err := writeZeros(s.f, at, stop); err != nil {
			return err
		}
		if err := s.f.syncData(); err != nil {
			return err
		}
		at = stop
	}
	return nil
}

// prewriteFirst is prewrite for a segment that is used at once: the window that would be touched.
func (j *Journal) prewriteFirst(s *segment) error {
	if !j.prewrites() {
		return nil
	}
	return s.prewrite(min(s.hdr.size, j.o.TouchAheadBytes), func() bool { return false })
}

// hurried tells whether the writer waits, or nobody will write any more.
func (a *ahead) hurried() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.waits || a.stopped
}
