package journal

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
)

// VerifyOptions configure Verify. The zero value checks everything that is there.
type VerifyOptions struct {
	// PublicKey, if not nil, must have signed every link of the chain, which must cover every
	// sealed segment but those since the last one that it covers.
	PublicKey ed25519.PublicKey
	// Anchor, if not zero, is a root from elsewhere that the chain must contain: what it covers
	// has then not been changed by anybody, key or not.
	Anchor Hash
	// Progress, if not nil, is called before each segment whose records are checked and, from the
	// start again, before each that is hashed for the chain.
	Progress func(done, total int)
}

// Report is what Verify found.
type Report struct {
	UUID     [16]byte
	Segments []SegmentReport
	Records  int64 // of every kind
	Events   int64 // events, voids and lost records
	Lost     int64 // lost records among them: what Repair gave up
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
	// The chain, if there is one: how many links, of which signed, the last sequence that it
	// covers and the root over everything up to there.
	Links, Signed int
	Chained       int64
	Root          Hash
}

// SegmentReport is one segment in a Report.
type SegmentReport struct {
	Name    string
	ID      uint64
	First   int64 // first sequence
	Last    int64 // last sequence; First-1 if there is none
	Records int64
	Lost    int64 // lost records among them
	Bytes   int64 // of records, headers and padding included
	Size    int64 // of the file
	Sealed  bool
	AtTear  bool // recovery sealed it at a torn tail
	// Repaired tells that Repair made or mended it.
	Repaired bool
}

// Verify checks every record of the journal in dir: checksum, padding, sequence, time, batches,
// seals, and that the segments follow each other. It only reads, takes no lock, and works beside
// a live writer, of which it checks what is committed.
//
// The report covers what was good even if an error is returned. Errors: *CorruptionError for
// the first damage; ErrNotFound; ErrFormatVersion; ErrDirectory.
func Verify(dir string, o VerifyOptions) (Report, error) { return verify(osStorage{}, dir, o) }

func verify(st storage, dir string, o VerifyOptions) (rep Report, err error) {
	rep.Live = st.locked(dir)
	s, err := takeSurveyWith(st, dir, true, rep.Live, o.Progress)
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
			Name: seg.name, ID: seg.id, First: seg.first, Last: r.last, Records: r.records, Lost: r.lost,
			Bytes: r.end - recordsOffset, Size: seg.size, Sealed: r.sealed,
			AtTear:   r.sealed && r.seal.flags&sealAtTear != 0,
			Repaired: r.sealed && r.seal.flags&sealRepaired != 0,
		})
		rep.Records += r.records
		rep.Events += r.events
		rep.Lost += r.lost
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
	if err := s.sealedTailsAreZero(); err != nil {
		return rep, err
	}
	return rep, s.verifyChain(&rep, o)
}

// verifyChain checks the chain against the segments that it covers and are still there.
func (s *survey) verifyChain(rep *Report, o VerifyOptions) error {
	links, _, err := readChain(s.st, s.dir, rep.UUID)
	if err != nil {
		return err
	}
	byID := make(map[uint64]*Link, len(links))
	anchored := o.Anchor == Hash{}
	for i := range links {
		l := &links[i]
		at := int64(i) * linkBytes
		if err := l.check(o.PublicKey); err != nil {
			return &CorruptionError{chainName, at, l.First, err}
		}
		byID[l.Segment] = l
		anchored = anchored || l.Root == o.Anchor
		rep.Links++
		if len(l.Signature) > 0 {
			rep.Signed++
		}
		rep.Chained, rep.Root = l.Last, l.Root
	}
	if !anchored {
		return &CorruptionError{chainName, 0, 0, fmt.Errorf("%w: root %v is not in it", ErrChain, o.Anchor)}
	}
	if len(links) == 0 {
		if o.PublicKey != nil {
			return &CorruptionError{chainName, 0, 0, fmt.Errorf("%w: there is no chain", ErrSignature)}
		}
		return nil
	}
	first, last := links[0].Segment, links[len(links)-1].Segment
	var covered []*found
	for _, seg := range s.segs {
		if rep.Live && !seg.sealed {
			last = seg.id - 1 // what was sealed, and chained, since the survey is for the next time
		}
		if seg.id >= first && seg.id <= last {
			covered = append(covered, seg)
		}
	}
	for i, seg := range covered {
		if o.Progress != nil {
			o.Progress(i, len(covered))
		}
		want := byID[seg.id]
		if want == nil || !seg.sealed {
			return corrupt(seg, recordsOffset, seg.first, fmt.Errorf("%w: the segment is not in it", ErrChain))
		}
		got, err := hashSegment(s.st, s.dir, &found{name: seg.name, first: seg.first, id: seg.id}, nil, nil)
		if err != nil {
			return err
		}
		if got.Tree != want.Tree || got.Records != want.Records || got.First != want.First || got.Last != want.Last || got.LastTime != want.LastTime {
			return corrupt(seg, recordsOffset, seg.first, fmt.Errorf("%w: the contents are not those that were chained", ErrChain))
		}
	}
	if n := len(covered); n > 0 && covered[n-1].id < last && !rep.Live {
		return corrupt(covered[n-1], recordsOffset, 0, fmt.Errorf("%w: it goes on to segment %016x, which is not there", ErrChain, last))
	}
	return nil
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
