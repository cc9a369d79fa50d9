package journal

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace/internal/sysio"
)

// The process under test in the campaigns that kill it: it writes and reports in a page of memory
// that its parent has mapped too. A word stored there outlives it at once, without a system call
// between a commit and its acknowledgement.

const tortureEnv = "HEADRACE_JOURNAL_TORTURE_CHILD"

// order is what a child shall do.
type order struct {
	Dir, Page    string
	Life         uint32
	Seed         uint64
	Mode         int // of tortureModes
	SegmentBytes int64
	Large        int   // bound of large bodies
	Records      int64 // after so many it waits to be killed; 0: without end
	Pause        time.Duration
	Keep         int64 // sequences that Trim leaves; 0: no Trim
	Chain        bool
	Backend      Backend
	Recycle      int    // segments
	Archive      uint32 // id of the key with which it archives beside writing; 0: it does not
	Soak         bool   // it lives long enough to need a garbage collector
	Rush         bool   // it seldom syncs, waits or rests, so that it fills many segments
	Close        bool   // it closes the journal in the end
}

var tortureModes = []struct {
	name string
	d    Durability
}{
	{"none", None()},
	{"interval", Interval(2 * time.Millisecond)},
	{"group", Group(time.Millisecond, 64<<10)},
	{"batch", Batch()},
}

// Words of the page.
const (
	wordPhase   = iota * 8 // one of the phases
	wordLast               // the last sequence after recovery
	wordTorn               // recovery cut a tail
	wordLost               // Recovery.DurableLost
	wordWritten            // committed
	wordDurable            // synced
	wordTrimmed            // no sequence from here on has been given up
	wordRolls
	wordArchived // segments
	wordRecycled // segments that went on in a file of retention's
	wordClosed   // a Close came to its end
	pageWords
)

const (
	phaseStarted = iota + 1
	phaseOpened
	phaseDone
)

// page is the memory that parent and child share.
type page struct {
	path string
	m    []byte
}

func newPage(t testing.TB) *page {
	p, err := openPage(filepath.Join(memoryDir(t), "page"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = sysio.Unmap(p.m) })
	return p
}

func openPage(path string) (*page, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := f.Truncate(pageBytes); err != nil {
		return nil, err
	}
	m, err := sysio.Map(f, pageBytes, true)
	return &page{path, m}, err
}

func (p *page) load(word int64) int64     { return int64(atomic.LoadUint64(slot(p.m, word))) }
func (p *page) store(word int64, v int64) { atomic.StoreUint64(slot(p.m, word), uint64(v)) }

// enter tells the parent of the child's next phase: in the page, for after its death, and on standard output, which
// wakes the parent.
func (p *page) enter(phase int64) {
	p.store(wordPhase, phase)
	_, _ = os.Stdout.Write([]byte{byte(phase)})
}

func slot(m []byte, off int64) *uint64 { return word(m, off) }

// memoryDir is a directory for the test in memory, where there is one.
func memoryDir(t testing.TB) string {
	if st, err := os.Stat("/dev/shm"); err == nil && st.IsDir() {
		if dir, err := os.MkdirTemp("/dev/shm", "headrace-torture-"); err == nil {
			t.Cleanup(func() { os.RemoveAll(dir) })
			return dir
		}
	}
	return t.TempDir()
}

// childCommand is a child of this binary, one of tortureChildren. Its standard input is a pipe, here returned, whose lines
// it gets in told, and that ends when this process does, however that comes about, so that no child outlives a parent that
// was killed.
func childCommand(env ...string) (*exec.Cmd, io.Writer, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), env...)
	in, err := cmd.StdinPipe()
	return cmd, in, err
}

// told is what the parent has written to this child, line by line.
var told = make(chan string, 16)

// tortureChildren are the main functions of this binary's children, by the variable of the
// environment that tells them what to do.
var tortureChildren = map[string]func(arg string) error{tortureEnv: func(arg string) error {
	var o order
	if err := json.Unmarshal([]byte(arg), &o); err != nil {
		return err
	}
	if !o.Soak {
		debug.SetGCPercent(-1)
		debug.SetMemoryLimit(256 << 20)
	}
	return o.write()
}}

// tortureChild runs the child that this process is, if it is one.
func tortureChild() {
	for name, run := range tortureChildren {
		arg := os.Getenv(name)
		if arg == "" {
			continue
		}
		go func() {
			for in := bufio.NewScanner(os.Stdin); in.Scan(); { // ends with the parent: see childCommand
				told <- in.Text()
			}
			os.Exit(1)
		}()
		if err := run(arg); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}

func (o order) options() Options {
	return Options{Durability: tortureModes[o.Mode].d, SegmentBytes: o.SegmentBytes,
		TouchAheadBytes: 64 << 10, Chain: o.Chain, Backend: o.Backend, RecycleSegments: o.Recycle, Archives: tortureKeys}
}

// tortureKeys has a key for every id.
var tortureKeys = ArchiveAccess{Key: func(id uint32) ([]byte, error) { return bytes.Repeat([]byte{byte(id)}, 32), nil }}

// archive archives what is sealed, again and again, until the process dies. Bodies do not compress, so every
// segment is packed because it is encrypted, and packed anew where the life before used another key.
func (o order) archive(j *Journal, p *page) {
	for {
		before := p.load(wordArchived)
		rep, err := j.Archive(context.Background(), ArchiveOptions{KeyID: o.Archive, Stored: o.Life%3 == 0, KeepPlain: 1,
			Progress: func(done, _ int) { p.store(wordArchived, before+int64(done)) }})
		p.store(wordArchived, before+int64(rep.Archived))
		if err != nil {
			fmt.Fprintln(os.Stderr, "archive:", err)
			os.Exit(1)
		}
		if rep.Archived > 0 {
			continue
		}
		select {
		case <-j.stop:
			return
		default:
			syscall.Nanosleep(&syscall.Timespec{Nsec: 200_000}, nil)
		}
	}
}

// write is the writer: single records, several to a commit, atomic batches, some of them taken
// back, voids, checkpoints, waits and retention, as chance has it.
func (o order) write() error {
	p, err := openPage(o.Page)
	if err != nil {
		return err
	}
	p.enter(phaseStarted)
	j, err := Open(o.Dir, o.options())
	if err != nil {
		return err
	}
	rec := j.Recovery()
	p.store(wordLast, rec.Last)
	p.store(wordLost, rec.DurableLost)
	p.store(wordTrimmed, rec.First)
	if rec.Torn != "" {
		p.store(wordTorn, 1)
	}
	p.store(wordWritten, j.Written())
	p.store(wordDurable, j.Durable())
	p.enter(phaseOpened)
	if o.Archive > 0 {
		go o.archive(j, p)
	}
	w := lifeWriter{j: j, life: o.Life, large: o.Large, rnd: rand.New(rand.NewPCG(o.Seed, uint64(o.Life)))}
	begin := j.Written()
	pause := time.NewTimer(0)
	<-pause.C
	for o.Records == 0 || j.Written()-begin < o.Records {
		if err := w.step(); err != nil {
			return err
		}
		p.store(wordWritten, j.Written())
		choice := w.rnd.IntN(40)
		if o.Rush && choice != 3 && w.rnd.IntN(16) > 0 {
			choice = -1
		}
		switch choice {
		case 0:
			err = j.Sync()
		case 1:
			err = j.WaitDurable(context.Background(), j.Written())
		case 2:
			j.RequestSync()
		case 3:
			if before := j.Written() - o.Keep; o.Keep > 0 && before > 0 {
				p.store(wordTrimmed, max(before, p.load(wordTrimmed)))
				_, err = j.Trim(Retention{Before: before})
			}
		case 4:
			if o.Pause > 0 { // at ease: nobody waits for it
				pause.Reset(time.Duration(w.rnd.Int64N(int64(o.Pause))))
				<-pause.C
			}
		}
		p.store(wordDurable, j.Durable())
		p.store(wordRolls, int64(j.stats.rolls.Load()))
		p.store(wordRecycled, int64(j.stats.recycled.Load()))
		if err != nil {
			return err
		}
	}
	if o.Close {
		if err := j.Close(); err != nil {
			return err
		}
		p.store(wordDurable, j.Written())
		p.store(wordClosed, 1)
	}
	p.enter(phaseDone)
	select {} // until it is killed
}

// lifeWriter appends what lifeBody makes.
type lifeWriter struct {
	j     *Journal
	life  uint32
	large int
	rnd   *rand.Rand
	buf   []byte
	es    []Entry
}

func (w *lifeWriter) entry(seq int64, part, parts int) Entry {
	if parts == 0 && lifeVoid(w.life, seq) {
		return Entry{Kind: KindVoid, Type: lifeType(w.life, seq)}
	}
	at := len(w.buf)
	w.buf = lifeBody(w.buf, w.life, seq, part, parts, w.large)
	return Entry{Type: lifeType(w.life, seq), Body: w.buf[at:]}
}

// step commits something.
func (w *lifeWriter) step() error {
	j, rnd := w.j, w.rnd
	seq := j.w.seq
	w.buf = w.buf[:0]
	switch rnd.IntN(8) {
	case 0: // an atomic batch
		n := 2 + rnd.IntN(8)
		w.es = w.es[:0]
		bodies := int64(0)
		for i := range n {
			w.es = append(w.es, w.entry(seq+1+int64(i), i, n))
			bodies += int64(len(w.es[i].Body))
		}
		if bodies > j.MaxBatchBytes(n) {
			return nil
		}
		_, err := j.AppendBatch(w.es)
		return err
	case 1: // one that is taken back
		if err := j.BeginBatch(3, 64); err != nil {
			return err
		}
		if _, err := j.Stage(Entry{Type: 1, Body: []byte("this was never there")}); err != nil {
			return err
		}
		j.CancelBatch()
		return j.Commit()
	case 2: // several to a commit
		for i := range 2 + rnd.IntN(30) {
			w.buf = w.buf[:0]
			if _, err := j.Stage(w.entry(seq+1+int64(i), 0, 0)); err != nil {
				return err
			}
		}
		return j.Commit()
	case 3:
		if rnd.IntN(4) == 0 {
			_, err := j.Append(Entry{Kind: KindCheckpoint, Body: []byte(strconv.Itoa(rnd.Int()))})
			return err
		}
		fallthrough
	default:
		_, err := j.Append(w.entry(seq+1, 0, 0))
		return err
	}
}

// trial is a child at work.
type trial struct {
	cmd    *exec.Cmd
	phases io.Reader // a byte for each phase that it enters
	out    *bytes.Buffer
	p      *page
}

// launch clears the page and starts the child.
func (p *page) launch(o order) (*trial, error) {
	for w := int64(0); w < pageWords; w += 8 {
		p.store(w, 0)
	}
	o.Page = p.path
	b, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	cmd, _, err := childCommand(tortureEnv+"="+string(b), "GOMAXPROCS=2")
	if err != nil {
		return nil, err
	}
	phases, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	t := &trial{cmd, phases, &bytes.Buffer{}, p}
	cmd.Stderr = t.out
	return t, cmd.Start()
}

// killAfter kills the child once the time is over, and reaps it; it returns earlier if the child ends by itself. See kill.
func (t *trial) killAfter(d time.Duration) error {
	timer := time.AfterFunc(d, func() { _ = t.cmd.Process.Signal(syscall.SIGKILL) })
	defer timer.Stop()
	return t.reap()
}

// reach returns once the child has entered the phase; an error if it ended before.
func (t *trial) reach(phase int64) error {
	for b := []byte{0}; int64(b[0]) < phase; {
		if _, err := t.phases.Read(b); err != nil {
			err = t.cmd.Wait()
			return fmt.Errorf("the child ended in phase %d: %v: %s", t.p.load(wordPhase), err, t.out)
		}
	}
	return nil
}

// dead tells whether the child has ended, or is a zombie.
func (t *trial) dead() bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", t.cmd.Process.Pid))
	i := bytes.LastIndexByte(b, ')')
	return err != nil || i > 0 && i+2 < len(b) && b[i+2] == 'Z'
}

// kill kills the child, unless it has ended, and reaps it. What it said, if it ended by itself in
// an error, is the error.
func (t *trial) kill() error {
	_ = t.cmd.Process.Signal(syscall.SIGKILL)
	return t.reap()
}

// reap waits until the child has ended: nil if somebody killed it.
func (t *trial) reap() error {
	err := t.cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && !exit.Exited() {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w: %s", err, t.out)
	}
	return nil
}
