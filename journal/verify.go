package journal

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// VerifyOptions configure Verify. The zero value checks everything that is there.
type VerifyOptions struct {
	// PublicKey, if not nil, must have signed every link of the chain, which must cover every
	// sealed segment but those since the last one that it covers.
	PublicKey ed25519.PublicKey
	// Anchor, if not zero, is a root from elsewhere that the chain must contain: what it covers
	// has then not been changed by anybody, key or not.
	Anchor Hash
	// Archives says how to read archived segments.
	Archives ArchiveAccess
	// SkipUnreadable passes over the contents of archived segments whose key, or codec, nobody here has, instead of
	// ending with *AccessError: what the report says of them is what their heads say, unchecked, and the chain is
	// not checked against them. See SegmentReport.Unread.
	SkipUnreadable bool
	// BytesPerSecond, if not 0, which is no bound, is the most that is read and checked in a second, so that a
	// writer beside it keeps its disk and its cores. Records of segments with a chain are gone
	// through twice, and counted twice.
	BytesPerSecond int64
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

	Archived bool   // compressed, encrypted or both:
	Codec    uint32 // 0: not compressed
	KeyID    uint32 // 0: not encrypted
	// Unread tells that the records were not looked at, for want of the key or the codec: their number is not known, and
	// the rest is what the file says of itself.
	Unread bool
}

// Verify checks every record of the journal in dir: checksum, padding, sequence, time, batches,
// seals, and that the segments follow each other. It only reads, takes no lock, and works beside
// a live writer, of which it checks what is committed.
//
// The report covers what was good even if an error is returned. Errors: *CorruptionError for
// the first damage; *AccessError for an archived segment that cannot be read here; ErrNotFound;
// ErrFormatVersion; ErrDirectory.
func Verify(dir string, o VerifyOptions) (Report, error) {
	return VerifyContext(context.Background(), dir, o)
}

// VerifyContext is Verify that ends with ctx, and then returns its error.
func VerifyContext(ctx context.Context, dir string, o VerifyOptions) (Report, error) {
	if o.BytesPerSecond < 0 {
		return Report{}, fmt.Errorf("journal: verify options: BytesPerSecond: %d, want at least 0", o.BytesPerSecond)
	}
	rep, err := verifyAt(osStorage{}, dir, o, newPace(ctx, o.BytesPerSecond))
	return rep, named(err)
}

func verify(st storage, dir string, o VerifyOptions) (rep Report, err error) {
	return verifyAt(st, dir, o, nil)
}

func verifyAt(st storage, dir string, o VerifyOptions, p *pace) (rep Report, err error) {
	rep.Live = st.locked(dir)
	s, err := takeSurvey(st, dir, surveying{all: true, live: rep.Live, archived: true, access: o.Archives, skip: o.SkipUnreadable, pace: p, tell: o.Progress})
	if errors.Is(err, os.ErrNotExist) && s == nil || err == nil && len(s.segs) == 0 {
		return rep, fmt.Errorf("%w: %s", ErrNotFound, dir)
	}
	if s == nil || len(s.segs) == 0 {
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
		if a := seg.archive; seg.unread {
			rep.Segments = append(rep.Segments, SegmentReport{Name: seg.name, ID: seg.id, First: seg.first, Last: a.last,
				Bytes: a.end - recordsOffset, Size: seg.fileBytes, Sealed: true, Archived: true, Codec: a.codec, KeyID: seg.hdr.keyID, Unread: true})
			rep.Last = max(rep.Last, a.last)
		}
		if !seg.scanned {
			continue
		}
		r := &seg.scan
		sr := SegmentReport{
			Name: seg.name, ID: seg.id, First: seg.first, Last: r.last, Records: r.records, Lost: r.lost,
			Bytes: r.end - recordsOffset, Size: seg.fileBytes, Sealed: r.sealed,
			AtTear:   r.sealed && r.seal.flags&sealAtTear != 0,
			Repaired: r.sealed && r.seal.flags&sealRepaired != 0,
		}
		if a := seg.archive; a != nil {
			sr.Archived, sr.Codec, sr.KeyID = true, a.codec, seg.hdr.keyID
		}
		rep.Segments = append(rep.Segments, sr)
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
		if !l.Tail {
			byID[l.Segment] = l
		}
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
	// What was sealed, and chained, since a live journal was surveyed is for the next time.
	covered, last := s.coveredBy(links, rep.Live)
	for i, seg := range covered {
		if o.Progress != nil {
			o.Progress(i, len(covered))
		}
		if seg.unread {
			continue
		}
		if err := s.verifyLinks(seg, byID[seg.id], tailsOf(links, seg.id), rep.Live); err != nil {
			if rep.Live && errors.Is(err, os.ErrNotExist) {
				continue // retention was faster
			}
			return err
		}
	}
	if n := len(covered); n > 0 && covered[n-1].id < last && !rep.Live {
		return corrupt(covered[n-1], recordsOffset, 0, fmt.Errorf("%w: it goes on to segment %016x, which is not there", ErrChain, last))
	}
	return nil
}

// coveredBy returns the segments that links are about, and the id of the last one that they say
// there is.
func (s *survey) coveredBy(links []Link, live bool) (covered []*found, last uint64) {
	first, last := links[0].Segment, links[len(links)-1].Segment
	for _, seg := range s.segs {
		if live && !seg.sealed && last > seg.id {
			last = seg.id
		}
		if seg.id >= first && seg.id <= last {
			covered = append(covered, seg)
		}
	}
	return covered, last
}

// verifyLinks checks a segment against its link, nil if it has none, and its tail links. Beside a
// writer links may be newer than what the survey saw of the segment.
func (s *survey) verifyLinks(seg *found, whole *Link, tails []Link, live bool) error {
	path := filepath.Join(s.dir, seg.name)
	o := hashing{marks: tails, pace: s.pace}
	if !seg.sealed {
		if n := len(tails); n > 0 {
			o.end, o.records = seg.end, tails[n-1].Records
		} else {
			return nil
		}
	} else if whole == nil && len(tails) == 0 {
		return corrupt(seg, recordsOffset, seg.first, fmt.Errorf("%w: the segment is not in it", ErrChain))
	}
	got, _, err := hashSegment(s.st, path, s.access, o)
	if err != nil {
		return err
	}
	if live && !seg.sealed {
		return nil
	}
	if n := len(tails); n > 0 && got.Records < tails[n-1].Records {
		return corrupt(seg, seg.end, seg.lastKnown+1, fmt.Errorf("%w: %d records were chained, %d are there", ErrChain, tails[n-1].Records, got.Records))
	}
	if whole != nil && seg.sealed && (got.Tree != whole.Tree || got.Records != whole.Records || got.First != whole.First ||
		got.Last != whole.Last || got.LastTime != whole.LastTime) {
		return corrupt(seg, recordsOffset, seg.first, fmt.Errorf("%w: the contents are not those that were chained", ErrChain))
	}
	if whole != nil && !seg.sealed {
		return corrupt(seg, seg.end, seg.lastKnown+1, fmt.Errorf("%w: the segment was chained whole, and has no seal", ErrChain))
	}
	return nil
}

// sealedTailsAreZero checks that nothing follows a seal.
func (s *survey) sealedTailsAreZero() error {
	for _, seg := range s.segs {
		if !seg.scanned || !seg.sealed || seg.archive != nil {
			continue
		}
		end, err := s.dataEnd(seg, seg.end)
		if s.live && errors.Is(err, os.ErrNotExist) {
			continue // retention was faster
		}
		if err != nil {
			return err
		}
		if end != seg.end {
			return corrupt(seg, end-1, seg.lastKnown+1, fmt.Errorf("%w after the seal", ErrPadding))
		}
	}
	return nil
}
