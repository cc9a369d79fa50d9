package journal

// MaxBodyBytes returns the limit of one body, as Options gave it or as the default makes it.
func (j *Journal) MaxBodyBytes() int { return j.o.MaxBodyBytes }

// MaxBatchBytes returns how many bytes the bodies of an atomic batch of so many records may take in
// all, 0 if so many records do not fit a segment even when they are empty. Of 0 records it is what a segment takes.
func (j *Journal) MaxBatchBytes(records int) int64 {
	const each = recordHeaderBytes + recordAlign - 1
	capacity := segmentCapacity(j.o.SegmentBytes)
	if records < 0 || int64(records) > capacity/each {
		return 0
	}
	return capacity - int64(records)*each
}

// Durable returns the highest sequence that is durable, as far as the reader knows: the journal's in
// its own process, else what the newest segment says that was synced, 0 if nothing. It opens
// that segment and reads two pages.
func (r *Reader) Durable() (int64, error) {
	if r.j != nil {
		return r.j.Durable(), nil
	}
	segs, err := r.list()
	if err != nil {
		return 0, err
	}
	s, err := newSurvey(r.st, r.dir)
	if err != nil {
		return 0, err
	}
	for i := len(segs) - 1; i >= 0; i-- {
		seg := &found{name: segmentName(segs[i].first, segs[i].id), first: segs[i].first, id: segs[i].id}
		if err := s.readPages(seg); err != nil {
			return 0, err
		}
		if seg.hdrErr == nil && seg.pair.generation > 0 {
			return seg.pair.sequence, nil
		}
	}
	return 0, nil
}
