package journal

import (
	"errors"
	"fmt"
	"os"
)

// VerifyOptions configure Verify. There are none yet.
type VerifyOptions struct{}

// Report is what Verify found.
type Report struct {
	UUID     [16]byte
	Segments []SegmentReport
	Records  int64 // of every kind
	Events   int64 // events and voids
	First    int64 // first sequence
	Last     int64 // last sequence that is whole; First-1 if there is none
	Durable  int64 // highest sequence that a durable pair promises
	Live     bool  // a writer had the journal open
	// Torn reports a tail that recovery will cut, or zero: the next Open loses nothing that
	// was acknowledged by it. TornSegment and TornOffset say where.
	Torn        bool
	TornSegment string
	TornOffset  int64
	// Cut reports that the newest segment's file is shorter than its header says.
	Cut         bool
	DurableLost int64 // promised sequences that the cut took
}

// SegmentReport is one segment in a Report.
type SegmentReport struct {
	Name    string
	ID      uint64
	First   int64 // first sequence
	Last    int64 // last sequence; First-1 if there is none
	Records int64
	Bytes   int64 // of records, headers and padding included
	Size    int64 // of the file
	Sealed  bool
	AtTear  bool // recovery sealed it at a torn tail
}

// Verify checks every record of the journal in dir: checksum, padding, sequence, time, batches,
// seals, and that the segments follow each other. It only reads, takes no lock, and works beside
// a live writer, of which it checks what is committed.
//
// The report covers what was good even if an error is returned. Errors: *CorruptionError for
// the first damage; ErrNotFound; ErrFormatVersion; ErrDirectory.
func Verify(dir string, o VerifyOptions) (Report, error) { return verify(osStorage{}, dir, o) }

func verify(st storage, dir string, _ VerifyOptions) (rep Report, err error) {
	rep.Live = st.locked(dir)
	s, err := takeSurvey(st, dir, true, rep.Live)
	if errors.Is(err, os.ErrNotExist) && s == nil || s != nil && len(s.segs) == 0 {
		return rep, fmt.Errorf("%w: %s", ErrNotFound, dir)
	}
	if s == nil {
		return rep, err
	}
	rep.First = s.segs[0].first
	rep.Last = rep.First - 1
	for i, seg := range s.segs {
		if i == 0 {
			rep.UUID = seg.hdr.uuid
		}
		if seg.hdrErr == nil {
			rep.Durable = max(rep.Durable, seg.pair.sequence)
		}
		if !seg.scanned {
			continue
		}
		r := &seg.scan
		rep.Segments = append(rep.Segments, SegmentReport{
			Name: seg.name, ID: seg.id, First: seg.first, Last: r.last, Records: r.records,
			Bytes: r.end - recordsOffset, Size: seg.size, Sealed: r.sealed,
			AtTear: r.sealed && r.seal.flags&sealAtTear != 0,
		})
		rep.Records += r.records
		rep.Events += r.events
		rep.Last = max(rep.Last, r.last)
	}
	if err != nil {
		return rep, err
	}
	rep.Cut, rep.DurableLost = s.isCut, s.durableLost
	if s.torn || s.wipe {
		rep.Torn = true
		if k := s.keep; k > 0 && !s.segs[k-1].sealed {
			rep.TornSegment, rep.TornOffset = s.segs[k-1].name, s.segs[k-1].end
		} else if k < len(s.segs) {
			rep.TornSegment = s.segs[k].name
		}
	}
	return rep, s.sealedTailsAreZero()
}

// sealedTailsAreZero checks that nothing follows a seal.
func (s *survey) sealedTailsAreZero() error {
	for _, seg := range s.segs {
		if !seg.scanned || !seg.sealed {
			continue
		}
		end, err := s.dataEnd(seg, seg.end)
		if err != nil {
			return err
		}
		if end != seg.end {
			return corrupt(seg, end-1, seg.lastKnown+1, fmt.Errorf("%w after the seal", ErrPadding))
		}
	}
	return nil
}
