package journal

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"github.com/headrace/headrace/internal/sysio"
)

// Open opens the journal in dir for writing, creating it (and dir, mode 0700) if it is not
// there, and recovers it from a crash: see Recovery. After Open everything up to Written is
// durable. A relative dir is taken from the working directory of now, whatever becomes of that.
//
// Errors: the Options' faults; ErrLocked; *CorruptionError; ErrFormatVersion; ErrDirectory;
// ErrFileSystem; ErrPlatform; *NoSpaceError; those of the operating system, wrapped. A failed Open changes nothing but what
// its recovery had already made durable, and may be repeated.
func Open(dir string, o Options) (*Journal, error) {
	dir, err := absolute(dir)
	if err != nil {
		return nil, err
	}
	if err := checkFileSystem(dir, o.withDefaults()); err != nil {
		return nil, err
	}
	return open(osStorage{}, dir, o, systemRandomness())
}

func open(st storage, dir string, o Options, rnd randomness) (_ *Journal, err error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	if err := st.mkdir(dir); err != nil {
		return nil, wrapOpen(dir, err)
	}
	lock, err := st.lock(dir)
	if err != nil {
		return nil, wrapOpen(dir, err)
	}
	j := &Journal{dir: dir, st: st, o: o, rand: rnd, lock: lock,
		poke: make(chan struct{}, 1), stop: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(wrapOpen(dir, err), lock.Close())
		}
	}()
	s, err := takeSurvey(st, dir, surveying{all: o.VerifyAll, archived: o.VerifyAll, access: o.Archives})
	if err != nil {
		return nil, err
	}
	j.now, j.diskless = s.now, st.memory(dir)
	if err := j.recover(s); err != nil {
		return nil, err
	}
	if err := j.openChain(); err != nil {
		for _, s := range j.live {
			err = errors.Join(err, s.release())
		}
		return nil, errors.Join(err, j.progress.close())
	}
	j.start()
	j.chain.sealedUpTo(j.live[0].hdr.id - 1)
	return j, nil
}

// absolute is dir from the root on: the journal opens files later, when the working directory may be another.
func absolute(dir string) (string, error) {
	if dir == "" {
		return "", wrapOpen(`""`, fmt.Errorf("%w: its name is empty", ErrDirectory))
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", errorf("%s: %w", dir, err)
	}
	return abs, nil
}

func wrapOpen(dir string, err error) error {
	var c *CorruptionError
	var n *NoSpaceError
	if errors.As(err, &c) || errors.As(err, &n) || errors.Is(err, ErrLocked) {
		return err
	}
	if isNoSpace(err) && !errors.Is(err, ErrNoSpace) { // of a small file beside the segments
		err = errorf("%w: %w", ErrNoSpace, err)
	}
	return errorf("open %s: %w", dir, err)
}

// recover applies the survey's verdict and opens, or makes, the segment to write to.
func (j *Journal) recover(s *survey) error {
	rec := &j.recovery
	if err := s.keepWord(); err != nil {
		return err
	}
	if err := clearProgress(j.st, j.dir); err != nil {
		return err
	}
	defer func() {
		if j.live == nil { // not opened
			_ = j.progress.close()
		}
	}()
	if j.o.Backend == BackendPwrite {
		if err := j.usePwrite(); err != nil {
			return err
		}
	}
	for _, name := range s.spares {
		if err := j.st.remove(filepath.Join(j.dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if err := s.apply(rec); err != nil {
		return err
	}
	if err := s.settle(); err != nil {
		return err
	}
	if s.marked {
		if err := j.st.remove(filepath.Join(j.dir, failedName)); err != nil {
			return err
		}
		if err := j.st.syncDir(j.dir); err != nil {
			return err
		}
	}

	nextID := uint64(1)
	for _, seg := range s.segs {
		nextID = max(nextID, seg.id+1)
	}
	first := j.o.FirstSequence
	if len(s.segs) > 0 {
		first = s.segs[0].first
	} else {
		rec.Created = true
	}
	j.uuid = s.uuidOr(j.rand.uuid)
	j.first.Store(first)
	last := first - 1
	var tail *found
	if s.keep > 0 {
		tail = s.segs[s.keep-1]
		last = tail.lastKnown
		j.w.time = tail.lastTime
	}

	goOn := tail != nil && !tail.sealed
	var active *segment
	var err error
	if goOn {
		active, err = j.continueSegment(tail, last)
	} else {
		active, err = j.firstSegment(nextID, last)
		nextID++
	}
	if err != nil {
		return err
	}
	if err := j.chooseBackend(active); err != nil {
		return errors.Join(err, active.release())
	}
	j.w.attach(active)
	if j.progress != nil {
		j.progress.begin(active.hdr.id, j.w.off, last)
	}
	if goOn {
		j.w.lookup.Lock()
		j.w.index = tail.scan.index
		j.w.lookup.Unlock()
	}
	j.w.seq = last
	j.w.stagedBytes = 0
	j.live = append(j.live, active)
	j.ahead.nextID = nextID
	j.written.init(last)
	j.durable.init(last)
	j.syncs.init(0)
	rec.First, rec.Last, rec.Segments = first, last, s.keep
	j.logRecovery()
	return nil
}

// uuidOr is the UUID that the journal's segments name; that of fresh if there is none.
func (s *survey) uuidOr(fresh func() [16]byte) [16]byte {
	for _, seg := range s.segs {
		if seg.hdrErr == nil {
			if seg.hdr.uuid != [16]byte{} {
				return seg.hdr.uuid
			}
			break
		}
	}
	return fresh()
}

// continueSegment opens the segment that the last writer left, whose last record is last, to write on behind it.
func (j *Journal) continueSegment(tail *found, last int64) (*segment, error) {
	active, err := openSegment(j.st, j.dir, tail, !j.w.buffered)
	if err != nil {
		return nil, err
	}
	active.generation = tail.pair.generation
	err = guard(active.name, active.mem, func() error {
		store64(active.mem, ctlCommittedOffset, uint64(tail.end))
		store64(active.mem, ctlCommittedSequence, uint64(last))
		active.storePair(tail.end, last)
		storeIdentity(active.mem, active.hdr.id, j.now)
		return nil
	})
	if err == nil {
		if !j.w.buffered {
			active.touched.Store(tail.end &^ (pageBytes - 1))
		}
		err = active.touchTo(min(active.hdr.size, tail.end+j.o.TouchAheadBytes))
	}
	if err != nil {
		return nil, errors.Join(err, active.release())
	}
	active.settled = true
	j.w.off = tail.end
	return active, nil
}

// firstSegment makes the segment that this writer begins with, durably, behind the record last.
func (j *Journal) firstSegment(id uint64, last int64) (*segment, error) {
	active, err := makeSpare(j.st, j.dir, j.o.SegmentBytes, id, j.o.TouchAheadBytes, !j.w.buffered)
	if err != nil {
		return nil, err
	}
	err = j.prewriteFirst(active)
	if err == nil {
		err = active.christen(j.st, j.dir, j.uuid, last+1, j.rand.now(), j.rand.salt(), j.now)
	}
	if err == nil {
		err = active.f.sync()
	}
	if err == nil {
		err = j.st.syncDir(j.dir)
	}
	if err == nil {
		err = guard(active.name, active.mem, func() error { active.storePair(recordsOffset, last); return nil })
	}
	if err != nil {
		return nil, errors.Join(err, active.release())
	}
	active.settled = true
	j.w.off = recordsOffset
	return active, nil
}

// logRecovery says loudly what a person should know.
func (j *Journal) logRecovery() {
	r := &j.recovery
	log := j.o.Logger.With("dir", j.dir)
	if r.Cut {
		log.Error("journal: the newest segment's file was truncated", "segment", r.Torn, "offset", r.TornOffset,
			"last", r.Last, "durableLost", r.DurableLost, "aside", r.AsideFiles)
	} else if r.Torn != "" {
		log.Warn("journal: torn tail cut", "segment", r.Torn, "offset", r.TornOffset, "last", r.Last,
			"cause", r.TornCause, "aside", r.AsideFiles)
	}
	if r.SyncFailed {
		log.Warn("journal: the last writer met a failed sync", "last", r.Last)
	}
	if r.Unfinished > 0 {
		log.Info("journal: an unfinished record was removed", "bytes", r.Unfinished, "last", r.Last)
	}
}

// start runs the journal's goroutines.
func (j *Journal) start() {
	j.stats.minorBefore, j.stats.majorThen = sysio.Faults()
	j.wakeAt.Store(math.MaxInt64)
	j.ahead.init(j)
	j.done.Add(2)
	go func() { defer j.done.Done(); j.runSyncer() }()
	go func() { defer j.done.Done(); j.ahead.run() }()
	if j.chain != nil {
		j.done.Add(1)
		go func() { defer j.done.Done(); j.chain.run() }()
	}
}
