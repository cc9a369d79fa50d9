package journal

import (
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"sync/atomic"
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
	promised    atomic.Bool   // the syncer will see to that in a while
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

// Recovery returns what Open found.
func (j *Journal) Recovery() Recovery { return j.recovery }

// UUID returns the journal's identity, which every segment carries.
func (j *Journal) UUID() [16]byte { return j.uuid }

// Dir returns the directory, as an absolute path.
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
	j.fail(errorf("%w: %s: %w", ErrPoisoned, name, cause))
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
