package journal

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"reflect"
	"strings"
)

// ErrRepair reports damage that Repair does not know how to mend, or a journal that is not the one
// that was planned for.
var ErrRepair = errors.New("journal: cannot repair")

// DefaultMaxLost is how many sequences a repair gives up at most by default.
const DefaultMaxLost = 1 << 24

// RepairOptions configure PlanRepair. The zero value is the default.
type RepairOptions struct {
	// MaxLost bounds how many sequences may be given up, >= 1; each becomes a record of 32 bytes.
	// A plan that needs more is ErrRepair: a name or a link that claims so many is rather a
	// file that does not belong there. Default DefaultMaxLost.
	MaxLost int64
	// Archives says how to read archived segments. One that is damaged cannot be mended.
	Archives ArchiveAccess
}

// RepairAction is what one step of a repair does to a file.
type RepairAction string

// Actions. Each leaves a whole file or the old one, however it ends.
const (
	// RepairRewrite puts a mended copy in the place of a segment.
	RepairRewrite RepairAction = "rewrite"
	// RepairMake makes a segment of lost records in the place of one that is missing.
	RepairMake RepairAction = "make"
	// RepairChain cuts the chain before the first link that no longer describes its segment. A
	// writer with Options.Chain makes, and signs, the links anew.
	RepairChain RepairAction = "cut chain"
)

// SequenceRange is the sequences [First, Last].
type SequenceRange struct {
	First int64 `json:"first"`
	Last  int64 `json:"last"`
}

// RepairStep is what Repair does to one file.
type RepairStep struct {
	Action RepairAction
	File   string // base name
	Offset int64  // of the first fault
	Cause  string // what is wrong there
	// Lost is the sequences that become lost records.
	Lost []SequenceRange
	// Blanks is how many damaged stretches without a sequence are blanked.
	Blanks int
	// Kept is how many records stay as they are, index and seal not counted; of the chain, how
	// many links.
	Kept int64
	// Salvaged reports that the header could not be read and was made anew from the records.
	Salvaged bool
	// Aside is true if the file as it was is copied to aside first.
	Aside bool

	v    *salvaged
	seal bool
}

// RepairPlan is what Repair would do, in order.
type RepairPlan struct {
	Dir   string
	Steps []RepairStep
	Lost  int64 // sequences that become lost records, in all
	// Torn reports that nothing needs repair but a torn tail, which the next Open cuts by itself.
	Torn bool

	st storage
	o  RepairOptions
	s  *survey
}

// PlanRepair says what a repair of the journal in dir would do. It changes nothing. A plan without
// steps means that there is nothing to repair.
//
// A repair never runs by itself. It keeps every record that verifies in its place, with its
// sequence, time and checksum. What no longer verifies becomes lost records, one for each
// sequence, so that sequences have no gap and none is given out twice; readers see them
// as KindLost. A segment whose file is missing between others, or that the chain proves to have
// been there, becomes a segment of lost records. Each file is copied to the directory aside
// before it is replaced.
//
// Errors: ErrNotFound; ErrLocked while a writer has the journal; ErrFormatVersion; ErrDirectory;
// ErrRepair; those of the operating system.
func PlanRepair(dir string, o RepairOptions) (*RepairPlan, error) {
	return planRepair(osStorage{}, dir, o)
}

func planRepair(st storage, dir string, o RepairOptions) (*RepairPlan, error) {
	if st.locked(dir) {
		return nil, fmt.Errorf("%w: %s: repair needs the journal for itself", ErrLocked, dir)
	}
	return makePlan(st, dir, o)
}

func makePlan(st storage, dir string, o RepairOptions) (*RepairPlan, error) {
	if o.MaxLost == 0 {
		o.MaxLost = DefaultMaxLost
	}
	if o.MaxLost < 1 {
		return nil, fmt.Errorf("journal: repair options: MaxLost: %d, want at least 1", o.MaxLost)
	}
	p := &RepairPlan{Dir: dir, st: st, o: o}
	rep, err := verify(unlocked{st}, dir, VerifyOptions{Archives: o.Archives})
	if err == nil && rep.DurableLost == 0 {
		p.Torn = rep.Torn
		return p, nil
	}
	// A newest file that was cut is no damage to Open, which gives the numbers out again; whoever
	// asks for a repair first gets lost records for what had been promised.
	if err != nil && !isCorruption(err) {
		return nil, err
	}
	damage := err
	var at *CorruptionError
	errors.As(err, &at)
	// Every segment, whatever a survey would have said about those behind the damage.
	p.s = &survey{st: st, dir: dir, surveying: surveying{all: true, access: o.Archives}, now: st.identity(dir)}
	if p.s.segs, p.s.spares, p.s.marked, err = listSegments(st, dir); err != nil {
		return nil, err
	}
	for _, seg := range p.s.segs {
		if err := p.s.readPages(seg); err != nil {
			return nil, err
		}
		if errors.Is(seg.hdrErr, ErrFormatVersion) {
			return nil, fmt.Errorf("journal: %s: %w", seg.name, seg.hdrErr)
		}
		if seg.hdr.archived && (seg.hdrErr != nil || at != nil && seg.name == at.Segment) {
			return nil, fmt.Errorf("%w: %s is archived: its blocks cannot be mended; bring the file back from a copy: %w", ErrRepair, seg.name, damage)
		}
		if seg.misnamed {
			return nil, p.misnamed(seg)
		}
	}
	links, chainFault := p.chain()
	if err := p.segments(p.promising(links)); err != nil {
		return nil, err
	}
	if err := p.cutChain(links, chainFault); err != nil {
		return nil, err
	}
	if len(p.Steps) == 0 {
		return nil, errors.Join(fmt.Errorf("%w: %s: nothing is known against what is wrong", ErrRepair, dir), damage)
	}
	return p, nil
}

// misnamed says what to do about a segment that has the header of another.
func (p *RepairPlan) misnamed(seg *found) error {
	own := segmentName(seg.hdr.first, seg.hdr.id)
	for _, s := range p.s.segs {
		if s.name == own {
			return fmt.Errorf("%w: %s has the header of %s, which is there too: move %s out of the directory; what it should have held is then lost",
				ErrRepair, seg.name, own, seg.name)
		}
	}
	return fmt.Errorf("%w: %s has the header of %s: give it that name back, or move it out of the directory", ErrRepair, seg.name, own)
}

// unlocked hides a lock that Apply holds itself.
type unlocked struct{ storage }

func (unlocked) locked(string) bool { return false }

// uuid is the identity that most segments have whose header can be read.
func (p *RepairPlan) uuid() (best [16]byte) {
	count, most := map[[16]byte]int{}, 0
	for _, seg := range p.s.segs {
		if seg.hdrErr == nil {
			count[seg.hdr.uuid]++
			if n := count[seg.hdr.uuid]; n > most {
				best, most = seg.hdr.uuid, n
			}
		}
	}
	return best
}

// chain reads the links, as far as they are links.
func (p *RepairPlan) chain() ([]Link, error) {
	links, _, err := readChain(p.st, p.Dir, p.uuid())
	return links, err
}

// promising returns the links that say how far segments reach: those of whole ones, and a tail link
// where the segment that it is about is gone.
func (p *RepairPlan) promising(links []Link) (all []Link) {
	for i := range links {
		if l := &links[i]; !l.Tail || i == len(links)-1 && l.Segment > p.s.segs[len(p.s.segs)-1].id {
			all = append(all, *l)
		}
	}
	return all
}

// segments plans what becomes of each segment.
func (p *RepairPlan) segments(links []Link) error {
	segs := p.s.segs
	uuid := p.uuid()
	lastTime, lastID := int64(0), uint64(0)
	next := segs[0].first
	for i, seg := range segs {
		if seg.first < next {
			return fmt.Errorf("%w: %s starts at %d, but the segments before it reach to %d: move the one aside that does not belong",
				ErrRepair, seg.name, seg.first, next-1)
		}
		if seg.first > next {
			if err := p.missing(links, uuid, lastID, seg.id, next, seg.first-1, lastTime); err != nil {
				return err
			}
		}
		v := &salvaged{seg: seg, hdr: seg.hdr}
		if err := p.read(v, uuid, lastTime); err != nil {
			return err
		}
		newest := i == len(segs)-1 && (len(links) == 0 || links[len(links)-1].Segment <= seg.id)
		until, rewrite := v.last, v.fault != nil
		if v.sealed {
			until = v.sealEnd
		}
		if !newest {
			if after := p.after(i, links); !v.sealed || after < v.last || i+1 < len(segs) && segs[i+1].id == seg.id+1 {
				until = after // else there was another segment in between
			}
			if until < v.last {
				return fmt.Errorf("%w: %s reaches to %d, but the next segment starts at %d: move the one aside that does not belong",
					ErrRepair, seg.name, v.last, until+1)
			}
			rewrite = rewrite || !v.sealed || until > v.last
			if !v.sealed {
				v.note(v.stop, fmt.Errorf("%w: it is missing", ErrSeal))
			}
		} else if !v.sealed {
			var err error
			if until, rewrite, err = p.tail(i, v); err != nil {
				return err
			}
		}
		if v.inBatch && until <= v.last {
			v.dropBatch()
		}
		if need := until - v.last; v.rebuilt && v.kept == 0 && need > 0 && need <= p.o.MaxLost {
			v.hdr.size = max(v.hdr.size, sizeForLost(need)) // nothing of it is left that had a place
		}
		room := max(0, (v.hdr.size-sealRecordBytes-v.end)/recordHeaderBytes)
		v.lostEnd = min(until-v.last, room)
		if rewrite && seg.archive != nil {
			return fmt.Errorf("%w: %s is archived, and would have to reach to sequence %d: bring the files back from a copy", ErrRepair, seg.name, until)
		}
		if rewrite {
			if err := p.add(RepairRewrite, v, !newest || v.sealed); err != nil {
				return err
			}
		}
		next = v.last + v.lostEnd + 1
		lastTime, lastID = v.time, seg.id
	}
	for _, l := range links {
		if l.Segment > lastID {
			if err := p.missing(links, uuid, lastID, l.Segment+1, next, l.Last, max(lastTime, l.LastTime)); err != nil {
				return err
			}
			next, lastID = l.Last+1, l.Segment
		}
	}
	return nil
}

// read salvages v's segment, with a header made anew where it has none.
func (p *RepairPlan) read(v *salvaged, uuid [16]byte, lastTime int64) error {
	seg := v.seg
	v.time = lastTime
	if a := seg.archive; a != nil { // verified whole before the damage that is elsewhere, or after
		v.end, v.stop, v.sealEnd, v.last, v.time, v.sealed = a.end, a.end, a.last, a.last, a.lastTime, true
		return nil
	}
	switch {
	case seg.hdrErr != nil, seg.hdr.uuid != uuid:
		fault, foreign := seg.hdrErr, seg.hdrErr == nil
		if foreign {
			fault = ErrForeign
		}
		var ok bool
		var err error
		if v.hdr, ok, err = p.s.rebuildHeader(seg, uuid); err != nil {
			return err
		}
		v.note(0, fault)
		v.rebuilt = true
		if !ok || foreign {
			v.end, v.stop, v.last = recordsOffset, recordsOffset, v.hdr.first-1
			v.hdr.salt = 0 // Apply draws one
			return nil
		}
	case seg.size != seg.hdr.size:
		v.note(min(seg.size, seg.hdr.size), fmt.Errorf("%w: %s bytes, the header says %s", ErrSize, thousands(seg.size), thousands(seg.hdr.size)))
	}
	return p.s.salvage(v, lastTime)
}

// after returns the last sequence that segment i must reach, as what follows it says.
func (p *RepairPlan) after(i int, links []Link) int64 {
	segs := p.s.segs
	for _, l := range links {
		if l.Segment == segs[i].id && l.Last >= segs[i].first-1 && (i+1 == len(segs) || l.Last < segs[i+1].first) {
			return l.Last
		}
	}
	if i+1 < len(segs) {
		return segs[i+1].first - 1
	}
	for _, l := range links {
		if l.Segment > segs[i].id {
			return l.First - 1
		}
	}
	return segs[i].first - 1
}

// tail says what to do about the end of the newest segment, which is not sealed: nothing where a crash
// explains it, which Open knows how to handle.
func (p *RepairPlan) tail(i int, v *salvaged) (until int64, rewrite bool, err error) {
	seg := v.seg
	promised := seg.pair.sequence
	if seg.here {
		promised = max(promised, seg.committedSeq)
	}
	until = v.last
	if room := (v.hdr.size - v.end) / recordHeaderBytes; promised-until > room {
		promised = 0 // not a number that the segment could have reached
	}
	until = max(until, promised)
	if v.rebuilt || until > v.last {
		v.note(v.stop, ErrHole)
		return until, true, nil
	}
	if v.inBatch && promised <= v.last {
		until = max(promised, v.whole.sequence)
	}
	if v.fault == nil {
		return until, false, nil
	}
	at, want := v.firstWound()
	if at < seg.pair.offset || seg.here && at < seg.committed || len(v.wounds) > 0 && v.wounds[0].padding {
		return until, true, nil
	}
	// An error is a file that pretends more than can be checked: no crash writes that.
	_, where, err := p.s.promisedBehind(i, at, want)
	return until, where != nil || err != nil, nil
}

// missing plans a segment of lost records [first, last] between the ids after and before.
func (p *RepairPlan) missing(links []Link, uuid [16]byte, after, before uint64, first, last, time int64) error {
	id := after + 1
	for _, l := range links {
		if l.Segment > after && l.Segment < before && l.First == first {
			id = l.Segment
		}
	}
	if id >= before {
		return fmt.Errorf("%w: sequences %d to %d are missing, and there was no segment that could have held them: bring the files back as they were",
			ErrRepair, first, last)
	}
	n := last - first + 1
	if n > p.o.MaxLost {
		return p.tooMany(n)
	}
	size := sizeForLost(n)
	if size >= MaxSegmentBytes {
		return p.tooMany(n)
	}
	v := &salvaged{hdr: header{uuid: uuid, id: id, first: first, size: size}, rebuilt: true,
		end: recordsOffset, stop: recordsOffset, last: first - 1, time: time, lostEnd: n}
	v.note(0, errors.New("the file is missing"))
	return p.add(RepairMake, v, true)
}

// sizeForLost is the size of a segment that takes n lost records, index and seal.
func sizeForLost(n int64) int64 {
	size := max(MinSegmentBytes, (recordsOffset+n*recordHeaderBytes+pageBytes-1)&^(pageBytes-1))
	return size + segmentReserve(size+segmentReserve(size))
}

func (p *RepairPlan) tooMany(n int64) error {
	return fmt.Errorf("%w: %s sequences would be given up, MaxLost is %s: is there a file that does not belong?",
		ErrRepair, thousands(n), thousands(p.o.MaxLost))
}

// add appends the step for v.
func (p *RepairPlan) add(action RepairAction, v *salvaged, seal bool) error {
	step := RepairStep{Action: action, File: segmentName(v.hdr.first, v.hdr.id), Offset: v.at, Cause: v.fault.Error(),
		Kept: v.kept, Salvaged: v.rebuilt && v.kept > 0, Aside: v.seg != nil, v: v, seal: seal}
	if len(v.wounds) > 0 {
		// An index in the middle may name a place that is now inside a lost record.
		for _, x := range v.indexes {
			if x[0] < v.end && x[0] > v.wounds[0].off {
				v.wounds = insertWound(v.wounds, wound{off: x[0], end: x[1], time: v.time})
			}
		}
	}
	give := func(first, n int64) {
		if n <= 0 {
			return
		}
		p.Lost += n
		if k := len(step.Lost); k > 0 && step.Lost[k-1].Last == first-1 {
			step.Lost[k-1].Last += n
			return
		}
		step.Lost = append(step.Lost, SequenceRange{first, first + n - 1})
	}
	for _, w := range v.wounds {
		if w.off >= v.end {
			continue
		}
		if give(w.first, w.lost); w.lost == 0 && !w.padding {
			step.Blanks++
		}
	}
	if give(v.last+1, v.lostEnd); p.Lost > p.o.MaxLost {
		return p.tooMany(p.Lost)
	}
	p.Steps = append(p.Steps, step)
	return nil
}

// insertWound keeps the wounds ascending.
func insertWound(all []wound, w wound) []wound {
	i := len(all)
	for i > 0 && all[i-1].off > w.off {
		i--
	}
	if i > 0 {
		w.time = all[i-1].time
	}
	all = append(all, wound{})
	copy(all[i+1:], all[i:])
	all[i] = w
	return all
}

// cutChain plans the end of the chain before the first link that does not hold any more.
func (p *RepairPlan) cutChain(links []Link, fault error) error {
	changed := map[uint64]bool{}
	for _, s := range p.Steps {
		changed[s.v.hdr.id] = true
	}
	byID := map[uint64]*found{}
	for _, seg := range p.s.segs {
		byID[seg.id] = seg
	}
	keep := len(links)
	for i := range links {
		l := &links[i]
		seg := byID[l.Segment]
		err := l.check(nil)
		switch {
		case err != nil:
		case changed[l.Segment]:
			err = fmt.Errorf("%w: segment %016x is repaired", ErrChain, l.Segment)
		case seg != nil:
			o := hashing{}
			if l.Tail {
				o.records = l.Records
			}
			got, _, herr := hashSegment(p.st, filepath.Join(p.Dir, seg.name), p.o.Archives, o)
			if herr != nil && !isCorruption(herr) {
				return herr
			}
			if got.Tree != l.Tree || got.Records != l.Records || got.Last != l.Last {
				err = fmt.Errorf("%w: the contents of segment %016x are not those that were chained", ErrChain, l.Segment)
			}
		}
		if err != nil {
			keep, fault = i, err
			break
		}
	}
	if fault == nil {
		return nil
	}
	p.Steps = append(p.Steps, RepairStep{Action: RepairChain, File: chainName, Offset: int64(keep) * linkBytes,
		Cause: fault.Error(), Kept: int64(keep), Aside: true})
	return nil
}

// String describes the plan, a line a step.
func (p *RepairPlan) String() string {
	var b strings.Builder
	for _, s := range p.Steps {
		fmt.Fprintf(&b, "%s %s: %s at offset %s; %d kept, %d ranges lost, %d blanked\n",
			s.Action, s.File, s.Cause, thousands(s.Offset), s.Kept, len(s.Lost), s.Blanks)
	}
	return b.String()
}

// same tells whether two plans do the same.
func (p *RepairPlan) same(q *RepairPlan) bool {
	if len(p.Steps) != len(q.Steps) || p.Lost != q.Lost {
		return false
	}
	for i := range p.Steps {
		a, b := p.Steps[i], q.Steps[i]
		a.v, b.v = nil, nil
		if !reflect.DeepEqual(a, b) {
			return false
		}
	}
	return true
}

// Apply carries the plan out under the writer's lock, and verifies the result. progress, if not nil, is
// called before each step. A repair that was cut short by a crash is planned and applied again: what it
// had finished stays.
//
// Errors: ErrLocked while a writer has the journal; ErrRepair if the journal is not what it was when
// the plan was made; *NoSpaceError: a repair needs room for two copies of the largest segment
// that it rewrites; those of the operating system.
func (p *RepairPlan) Apply(progress func(done, total int)) (err error) {
	lock, err := p.st.lock(p.Dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	now, err := makePlan(p.st, p.Dir, p.o)
	if err != nil {
		return err
	}
	if !p.same(now) {
		return fmt.Errorf("%w: %s has changed since the plan was made: plan again", ErrRepair, p.Dir)
	}
	for i := range now.Steps {
		if progress != nil {
			progress(i, len(now.Steps))
		}
		if err := now.step(&now.Steps[i]); err != nil {
			if isNoSpace(err) {
				err = &NoSpaceError{Dir: p.Dir, Bytes: now.Steps[i].bytes(), Err: err}
			}
			return fmt.Errorf("journal: repair %s: %w", now.Steps[i].File, err)
		}
	}
	if len(now.Steps) == 0 {
		return nil
	}
	if _, err = verify(unlocked{p.st}, p.Dir, VerifyOptions{Archives: p.o.Archives}); err != nil {
		err = fmt.Errorf("%w: after the repair: %w", ErrRepair, err)
	}
	return err
}

func (s *RepairStep) bytes() int64 {
	if s.v == nil {
		return 0
	}
	return s.v.hdr.size
}

// step carries one step out: the new file is made whole beside the old one, the old one is copied
// aside, and then the new one takes the name.
func (p *RepairPlan) step(s *RepairStep) error {
	tmp := filepath.Join(p.Dir, s.File+spareSuffix)
	if err := removeIfThere(p.st, tmp); err != nil {
		return err
	}
	if s.Action == RepairChain {
		if err := p.writeChain(tmp, s.Offset); err != nil {
			return err
		}
	} else if err := p.write(tmp, s); err != nil {
		return err
	}
	if s.Aside {
		if err := p.copyAside(s.File); err != nil {
			return err
		}
	}
	if err := p.st.rename(tmp, filepath.Join(p.Dir, s.File)); err != nil {
		return err
	}
	return p.st.syncDir(p.Dir)
}

// copyAside copies the whole file aside.
func (p *RepairPlan) copyAside(name string) error {
	dir, err := p.s.asideDir()
	if err != nil {
		return err
	}
	f, err := p.st.open(filepath.Join(p.Dir, name), false)
	if err != nil {
		return err
	}
	defer f.close()
	n, err := f.size()
	if err != nil {
		return err
	}
	content := io.NewSectionReader(f, 0, n)
	to, have, err := p.s.asideNameFor(dir, name, content)
	if err != nil || have {
		return err
	}
	return p.s.copyAside(dir, to, content, n)
}

// writeChain copies the first n bytes of the chain to tmp.
func (p *RepairPlan) writeChain(tmp string, n int64) error {
	src, err := p.st.open(filepath.Join(p.Dir, chainName), false)
	if err != nil {
		return err
	}
	defer src.close()
	f, err := p.st.create(tmp, 0)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.NewOffsetWriter(f, 0), io.NewSectionReader(src, 0, n))
	if err == nil {
		err = f.sync()
	}
	return errors.Join(err, f.close())
}
