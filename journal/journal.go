package journal

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/headrace/headrace/internal/sysio"
)

// Journal is an open journal and its only writer. See the package documentation.
//
// Stage, Commit, Append, AppendBatch, BeginBatch and CancelBatch belong to one goroutine at a
// time; everything else is safe from any.
type Journal struct {
	dir  string
	st   storage
	o    Options
	rand randomness
	now  identity
	lock io.Closer

	uuid     [16]byte
	first    atomic.Int64
	recovery Recovery
	trimMu   sync.Mutex // one change of holds, removal or swap at a time

	archiveMu sync.Mutex // one Archive at a time; before trimMu

	w writer

	// Cursors. Written is advanced by the writer, the others by the syncer.
	written cursor
	durable cursor
	syncs   cursor // how many of wanted are done

	_            [120]byte
	writtenBytes atomic.Int64 // bytes committed since Open; the writer's to store
	_            [120]byte
	wakeAt       atomic.Int64 // the writer pokes the syncer when writtenBytes reaches it
	_            [120]byte

	wanted      atomic.Int64 // syncs asked for
	led         atomic.Int64 // syncs done by one who waited
	syncedBytes atomic.Int64
	dirtySince  atomic.Int64  // unix nanoseconds; nothing that is not durable was committed before
	diskless    bool          // in memory: no page is ever written back
	promise     atomic.Bool   // somebody wants the control page to say what is durable
	pairDue     atomic.Bool   // the control page does not say it
	syncing     sync.Mutex    // held by who syncs: the syncer, or one who waits; before mu
	poke        chan struct{} // capacity 1: the syncer has something to look at

	mu sync.Mutex
	// retired are sealed and synced segments that are kept mapped for recycling, by id.
	retired map[uint64]*segment
	live    []*segment // published and not fully synced, in order; the last is the active one

	ahead    ahead
	chain    *chainer  // nil without Options.Chain
	progress *progress // nil but for a writer that uses pwrite

	failed atomic.Bool // a shortcut for err != nil || closing
	errMu  sync.Mutex
	err    error // sticky: poison, or ErrClosed

	stop    chan struct{} // closed by Close
	done    sync.WaitGroup
	closing sync.Once
	closed  error // what Close returned

	stats counters
}

type counters struct {
	syncs, rolls, stalls, syncNanos, recycled atomic.Uint64
	lastSync                                  atomic.Int64 // unix nanoseconds; 0: none yet

	named                  [stallKinds]stallCounter
	minorBefore, majorThen uint64 // page faults of the process before Open
}

// Open opens the journal in dir for writing, creating it (and dir, mode 0700) if it is not
// there, and recovers it from a crash: see Recovery. After Open everything up to Written is
// durable.
//
// Errors: the Options' faults; ErrLocked; *CorruptionError; ErrFormatVersion; ErrDirectory;
// ErrFileSystem; ErrPlatform; *NoSpaceError; those of the operating system, wrapped. A failed Open changes nothing but what
// its recovery had already made durable, and may be repeated.
func Open(dir string, o Options) (*Journal, error) {
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

func wrapOpen(dir string, err error) error {
	var c *CorruptionError
	var n *NoSpaceError
	if errors.As(err, &c) || errors.As(err, &n) || errors.Is(err, ErrLocked) {
		return err
	}
	if isNoSpace(err) && !errors.Is(err, ErrNoSpace) { // of a small file beside the segments
		err = fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	return fmt.Errorf("journal: open %s: %w", dir, err)
}

// recover applies the survey's verdict and opens, or makes, the segment to write to.
func (j *Journal) recover(s *survey) error {
	rec := &j.recovery
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
	j.uuid = [16]byte{}
	if len(s.segs) > 0 {
		first = s.segs[0].first
	} else {
		rec.Created = true
	}
	for _, seg := range s.segs {
		if seg.hdrErr == nil {
			j.uuid = seg.hdr.uuid
			break
		}
	}
	if j.uuid == [16]byte{} {
		j.uuid = j.rand.uuid()
	}
	j.first.Store(first)
	last := first - 1
	var tail *found
	if s.keep > 0 {
		tail = s.segs[s.keep-1]
		last = tail.lastKnown
		j.w.time = tail.lastTime
	}

	var active *segment
	var err error
	if tail != nil && !tail.sealed {
		active, err = openSegment(j.st, j.dir, tail, !j.w.buffered)
		if err != nil {
			return err
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
		active.settled = true
		j.w.off = tail.end
	} else {
		active, err = makeSpare(j.st, j.dir, j.o.SegmentBytes, nextID, j.o.TouchAheadBytes, !j.w.buffered)
		if err != nil {
			return err
		}
		nextID++
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
		active.settled = true
		j.w.off = recordsOffset
	}
	if err != nil {
		return errors.Join(err, active.release())
	}
	if err := j.chooseBackend(active); err != nil {
		return errors.Join(err, active.release())
	}
	j.w.attach(active)
	if j.progress != nil {
		j.progress.begin(active.hdr.id, j.w.off, last)
	}
	if tail != nil && !tail.sealed {
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
	active.touched.Store(active.hdr.size) // nobody will store there
	return j.usePwrite()
}

// Backend returns the way into the page cache that is in use.
func (j *Journal) Backend() Backend { return j.o.Backend }

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

// Recovery returns what Open found.
func (j *Journal) Recovery() Recovery { return j.recovery }

// UUID returns the journal's identity, which every segment carries.
func (j *Journal) UUID() [16]byte { return j.uuid }

// Dir returns the directory, as given to Open.
func (j *Journal) Dir() string { return j.dir }

// FirstSequence returns the oldest sequence that the journal holds, or will hold.
func (j *Journal) FirstSequence() int64 { return j.first.Load() }

// Written returns the last committed sequence: readers may see it, and it survives the death of
// the process. FirstSequence()-1 if there is none.
func (j *Journal) Written() int64 { return j.written.value.Load() }

// Durable returns the last sequence that a sync covers: it survives the loss of power.
func (j *Journal) Durable() int64 { return j.durable.value.Load() }

// Err returns the sticky error: one that wraps ErrPoisoned after a failed sync, ErrClosed after
// Close, otherwise nil.
func (j *Journal) Err() error {
	if !j.failed.Load() {
		return nil
	}
	j.errMu.Lock()
	defer j.errMu.Unlock()
	return j.err
}

// fail makes err sticky, unless something is already, and wakes everyone.
func (j *Journal) fail(err error) {
	j.errMu.Lock()
	if j.err == nil {
		j.err = err
	}
	j.errMu.Unlock()
	j.failed.Store(true)
	j.written.wakeAll()
	j.durable.wakeAll()
	j.syncs.wakeAll()
}

// poison is fail after a sync that failed with cause. It leaves a mark in the directory, where
// it can, because the page cache may call clean tomorrow what never reached the disk.
func (j *Journal) poison(name string, cause error) {
	j.fail(fmt.Errorf("%w: %s: %w", ErrPoisoned, name, cause))
	j.o.Logger.Error("journal: poisoned by a failed sync", "dir", j.dir, "segment", name, "durable", j.Durable(), "err", cause)
	f, err := j.createSmall(failedName)
	if err != nil {
		return
	}
	_, err = f.WriteAt([]byte(fmt.Sprintf("sync of %s failed: %v\ndurable %d\n", name, cause, j.Durable())), 0)
	if err == nil {
		err = f.sync()
	}
	f.close()
	if err == nil {
		_ = j.st.syncDir(j.dir)
	}
}

// withRoom does f, and once more after a segment that lay ready has made room, if f fails because the disk
// is full: the small files of a journal shall be written even then.
func (j *Journal) withRoom(f func() error) error {
	err := f()
	if err != nil && isNoSpace(err) && j.ahead.ballast() {
		err = f()
	}
	return err
}

// createSmall makes an empty file in the journal's directory, withRoom.
func (j *Journal) createSmall(name string) (f file, err error) {
	err = j.withRoom(func() (err error) {
		f, err = j.st.create(filepath.Join(j.dir, name), 0)
		return err
	})
	return f, err
}

// Close commits what is staged (but for an unfinished atomic batch, which it takes back), syncs,
// stops the journal's goroutines, unmaps and closes its files and lets go of the lock. It wakes
// everyone who waits with ErrClosed. It is idempotent; later calls return what the first did.
//
// Close must not run beside a call of the writer. The error is the sticky one, if any.
func (j *Journal) Close() error {
	j.closing.Do(func() { j.closed = j.close() })
	return j.closed
}

func (j *Journal) close() error {
	var errs []error
	if j.Err() == nil {
		j.CancelBatch()
		errs = append(errs, j.Commit())
	}
	if j.Err() == nil {
		errs = append(errs, j.Sync())
	}
	if err := j.Err(); err != nil {
		errs = append(errs[:0], err)
	}
	j.fail(ErrClosed)
	close(j.stop)
	j.ahead.stop()
	j.done.Wait()
	j.syncing.Lock() // until one who waits and syncs is through
	defer j.syncing.Unlock()
	if errors.Join(errs...) == nil {
		errs = append(errs, j.settleActive())
	}
	j.trimMu.Lock() // until a Trim has let go of segments
	defer j.trimMu.Unlock()
	for _, s := range append(j.live, j.w.pending...) {
		errs = append(errs, s.release())
	}
	if !j.w.inLive() {
		errs = append(errs, j.w.seg.release())
	}
	for _, s := range j.retired {
		errs = append(errs, s.release())
	}
	errs = append(errs, j.ahead.discard())
	errs = append(errs, j.chain.close())
	errs = append(errs, j.progress.close())
	errs = append(errs, j.lock.Close())
	return errors.Join(errs...)
}

// settleActive makes the last durable pair itself durable, in both copies, so that a clean end
// can be told from a torn one without the page cache.
func (j *Journal) settleActive() error {
	s := j.live[len(j.live)-1]
	if err := guard(s.name, s.mem, func() error {
		if j.w.buffered {
			store64(s.mem, ctlCommittedOffset, uint64(s.durable.offset))
			store64(s.mem, ctlCommittedSequence, uint64(s.durable.sequence))
		}
		s.storePair(s.durable.offset, s.durable.sequence)
		s.storePair(s.durable.offset, s.durable.sequence)
		return nil
	}); err != nil {
		return err
	}
	return s.f.sync()
}
