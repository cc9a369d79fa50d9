package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// TestTorture_Full lets the journal meet what an operating system refuses: tmpfs of 1 to 8 MiB that
// are full, or out of inodes; a limit on the size of files; a second writer; a mount that is read
// only; files of another user. Each is a typed error, nothing that was acknowledged suffers, readers
// go on, and the journal does too once the cause is gone.
func TestTorture_Full(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("full file systems need root, to mount tmpfs")
	}
	dir := memoryDir(t)
	require.NoError(t, os.Chmod(dir, 0o755))
	probe := filepath.Join(dir, "probe")
	require.NoError(t, os.Mkdir(probe, 0o755))
	if err := unix.Mount("tmpfs", probe, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("full file systems: cannot mount tmpfs: %v", err)
	}
	require.NoError(t, unix.Unmount(probe, 0))
	c := newCampaign(t, 16, 500)
	f := &fuller{campaign: c, rnd: c.rand(6), base: dir}
	kinds := []struct {
		name string
		run  func()
	}{
		{"full", f.space}, {"full while torn", f.tornOnFull}, {"inodes", f.inodes}, {"file size", f.fileSize},
		{"second writer", f.secondWriter}, {"read-only", f.readOnly}, {"other user", f.otherUser}, {"full", f.space},
	}
	count := map[string]int{}
	for i := 0; c.more(); i++ {
		k := kinds[i%len(kinds)]
		count[k.name]++
		k.run()
	}
	c.notes = note("%v", count)
}

type fuller struct {
	*campaign
	rnd  *rand.Rand
	base string
	n    int
}

// mounted runs f on a fresh tmpfs.
func (f *fuller) mounted(options string, run func(dir string)) {
	f.n++
	dir := filepath.Join(f.base, fmt.Sprint(f.n))
	f.check(os.Mkdir(dir, 0o755), "mkdir")
	f.check(unix.Mount("tmpfs", dir, "tmpfs", 0, options+",mode=755"), "mount %s", options)
	defer func() {
		if f.t.Failed() {
			_ = unix.Unmount(dir, unix.MNT_DETACH)
			return
		}
		err := f.released(func() error { return unix.Unmount(dir, 0) })
		f.check(err, "unmount: a file or a mapping was left open")
		f.check(os.Remove(dir), "remove")
	}()
	run(dir)
}

// released runs do, which the kernel refuses while a file is open. A child of another test has our descriptors until its exec: wait
// for that. The kernel may let go of a file, or a page of it, a moment after its last descriptor is closed; what we
// left open stays open.
func (f *fuller) released(do func() error) error {
	err := error(unix.EBUSY)
	for pause := newPoll(); err == unix.EBUSY && pause.d < pollMax; _ = pause.wait(f.t.Context(), systemClock{}) {
		syscall.ForkLock.Lock()
		err = do()
		syscall.ForkLock.Unlock()
	}
	return err
}

func (f *fuller) options() Options {
	return Options{Durability: tortureModes[f.rnd.IntN(len(tortureModes))].d, TouchAheadBytes: 64 << 10,
		SegmentBytes: []int64{64 << 10, 128 << 10, 256 << 10}[f.rnd.IntN(3)], Chain: f.rnd.IntN(3) == 0,
		Backend: Backend(f.rnd.IntN(3)), RecycleSegments: f.rnd.IntN(4)}
}

// fill appends until there is no space, and checks the error.
func (f *fuller) fill(j *Journal, life uint32) {
	w := lifeWriter{j: j, life: life, large: 9000, rnd: f.rnd}
	for {
		err := w.step()
		if err == nil {
			continue
		}
		var ns *NoSpaceError
		if !errors.As(err, &ns) || !errors.Is(err, ErrNoSpace) || !isNoSpace(err) {
			f.fail("full: %v", err)
		}
		f.check(j.Err(), "no space is not sticky")
		f.check(j.Commit(), "commit what was staged")
		return
	}
}

// reads checks what a reader from elsewhere sees, up to last at least.
func (f *fuller) reads(dir string, l *lives, last int64) {
	r, err := OpenReader(dir, 0, ReaderOptions{Internal: true})
	f.check(err, "reader")
	check := l.reader(r.next, 9000)
	_, err = r.Read(check.record)
	f.check(err, "read")
	f.check(r.Close(), "close reader")
	if check.next-1 < last {
		f.fail("a reader sees %d of %d", check.next-1, last)
	}
}

// open opens the journal, which must succeed, or find no space for a segment that it needs: then
// ok is false.
func (f *fuller) open(dir string, o Options) (j *Journal, ok bool) {
	j, err := Open(dir, o)
	if errors.Is(err, ErrNoSpace) {
		return nil, false
	}
	f.check(err, "open")
	return j, true
}

func (f *fuller) space() {
	mib := 1 + f.rnd.IntN(8)
	f.mounted(fmt.Sprintf("size=%dm", mib), func(mnt string) {
		ballast := filepath.Join(mnt, "ballast")
		f.check(os.WriteFile(ballast, make([]byte, 300<<10+f.rnd.IntN(400<<10)), 0o600), "ballast")
		dir := filepath.Join(mnt, "journal")
		o := f.options()
		j, ok := f.open(dir, o)
		if !ok {
			f.fail("no space for a first segment of %d bytes in %d MiB", o.SegmentBytes, mib)
		}
		l := &lives{}
		l.recovered(0, 1)
		f.fill(j, 1)
		f.fill(j, 1) // and again: it stays as it is
		last := j.Written()
		f.check(j.Sync(), "sync on a full disk")
		f.reads(dir, l, last)
		switch f.rnd.IntN(3) {
		case 0: // space comes back under the open journal
			f.check(os.Remove(ballast), "remove")
			w := lifeWriter{j: j, life: 1, large: 9000, rnd: f.rnd}
			for j.Written() < last+200 {
				f.check(w.step(), "after space is back")
			}
		case 1: // or the journal makes some
			rep, err := j.Trim(Retention{Before: last - 10})
			f.check(err, "trim on a full disk")
			if rep.Removed > 1 && !o.Chain {
				w := lifeWriter{j: j, life: 1, large: 9000, rnd: f.rnd}
				for j.Written() < last+50 {
					f.check(w.step(), "after trim")
				}
			}
		}
		last = j.Written()
		if f.rnd.IntN(2) == 0 {
			f.check(j.Close(), "close")
		} else {
			abandon(j)
		}
		f.reads(dir, l, last)
		if j, ok = f.open(dir, o); !ok {
			f.reads(dir, l, last)
			f.check(os.Remove(ballast), "remove")
			if j, ok = f.open(dir, o); !ok {
				f.fail("no space for a segment although 300 KiB were freed")
			}
		}
		if j.Written() != last {
			f.fail("recovery left %d of %d", j.Written(), last)
		}
		f.check(j.Close(), "close")
		rep, err := Verify(dir, VerifyOptions{})
		f.check(err, "verify")
		if rep.Last != last {
			f.fail("verify sees %d of %d", rep.Last, last)
		}
	})
}

// tornOnFull: recovery needs space to keep a torn tail aside. Without, it refuses and changes
// nothing.
func (f *fuller) tornOnFull() {
	f.mounted("size=2m", func(mnt string) {
		dir := filepath.Join(mnt, "journal")
		o := Options{Durability: None(), SegmentBytes: 256 << 10, TouchAheadBytes: 64 << 10}
		j, err := Open(dir, o)
		f.check(err, "open")
		l := &lives{}
		l.recovered(0, 1)
		w := lifeWriter{j: j, life: 1, large: 9000, rnd: f.rnd}
		for range 100 {
			f.check(w.step(), "append")
		}
		f.check(j.Sync(), "sync")
		durable := j.Written()
		for j.Stats().Rolls == 0 && j.w.off < 200<<10 {
			f.check(w.step(), "append")
		}
		at, name := j.w.off, j.w.seg.name
		abandon(j)
		// A power cut: another boot, and a hole in what was never synced.
		file, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR, 0)
		f.check(err, "open file")
		_, err = file.WriteAt(make([]byte, 64), ctlIdentity)
		f.check(err, "write")
		_, err = file.WriteAt(make([]byte, 2000), at-9000)
		f.check(err, "write")
		f.check(file.Close(), "close")
		ballast := filepath.Join(mnt, "ballast")
		for n, b := 4<<20, []byte(nil); n >= pageBytes; n /= 2 {
			for b = make([]byte, n); ; {
				g, err := os.OpenFile(ballast, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
				f.check(err, "ballast")
				_, err = g.Write(b)
				f.check(g.Close(), "close")
				if err != nil {
					break
				}
			}
		}
		before, err := os.ReadFile(filepath.Join(dir, name))
		f.check(err, "read")
		if _, err := Open(dir, o); !errors.Is(err, ErrNoSpace) {
			f.fail("recovery of a torn tail on a full disk: %v", err)
		}
		after, err := os.ReadFile(filepath.Join(dir, name))
		f.check(err, "read")
		if string(before) != string(after) {
			f.fail("recovery changed the segment before it had kept the tail aside")
		}
		f.reads(dir, l, durable)
		f.check(os.Remove(ballast), "remove")
		j, err = Open(dir, o)
		f.check(err, "open after space is back")
		if j.Written() < durable || j.Recovery().Torn != name {
			f.fail("%+v, durable %d", j.Recovery(), durable)
		}
		f.check(j.Close(), "close")
		f.reads(dir, l, durable)
	})
}

func (f *fuller) inodes() {
	nodes := 5 + f.rnd.IntN(12)
	f.mounted(fmt.Sprintf("size=8m,nr_inodes=%d", nodes), func(mnt string) {
		dir := filepath.Join(mnt, "journal")
		o := f.options()
		o.SegmentBytes = MinSegmentBytes
		j, ok := f.open(dir, o)
		if !ok {
			if nodes > 7 {
				f.fail("no inode for a first segment of %d", nodes)
			}
			return
		}
		l := &lives{}
		l.recovered(0, 1)
		f.fill(j, 1)
		last := j.Written()
		f.check(j.Sync(), "sync")
		f.check(j.Close(), "close")
		f.reads(dir, l, last)
		if j, ok = f.open(dir, o); ok {
			f.check(j.Close(), "close")
		}
		f.reads(dir, l, last)
	})
}

func (f *fuller) fileSize() {
	dir := filepath.Join(f.base, "limited", fmt.Sprint(f.cases.Load()))
	defer os.RemoveAll(dir)
	limit := f.rnd.Int64N(300 << 10)
	a := attempt{Dir: dir, FileLimit: limit, Segment: []int64{64 << 10, 256 << 10}[f.rnd.IntN(2)], What: "write"}
	got := f.attempt(a)
	if limit < a.Segment && !got.NoSpace || limit >= a.Segment && got.Err != "" {
		f.fail("segments of %d with files limited to %d: %+v", a.Segment, limit, got)
	}
	// An existing journal whose segments are larger than the limit.
	if got = f.attempt(attempt{Dir: dir, Segment: 256 << 10, What: "write"}); got.Err != "" {
		f.fail("without a limit: %+v", got)
	}
	last := got.Last
	got = f.attempt(attempt{Dir: dir, Segment: 256 << 10, What: "write", FileLimit: 1 + f.rnd.Int64N(200<<10)})
	refused := got.NoSpace && got.Last == 0 // by Open: PROGRESS could not be cleared
	if got.Err != "" && !got.NoSpace || got.Last < last && !refused {
		f.fail("larger than the limit: %+v", got)
	}
	if got = f.attempt(attempt{Dir: dir, What: "read"}); got.Err != "" || got.Last < last {
		f.fail("read: %+v", got)
	}
}

func (f *fuller) secondWriter() {
	dir := filepath.Join(f.base, "locked", fmt.Sprint(f.cases.Load()))
	defer os.RemoveAll(dir)
	j, err := Open(dir, f.options())
	f.check(err, "open")
	w := lifeWriter{j: j, life: 1, large: 100, rnd: f.rnd}
	for range 20 {
		f.check(w.step(), "append")
		if f.rnd.IntN(10) == 0 {
			if got := f.attempt(attempt{Dir: dir, What: "write"}); !got.Locked {
				f.fail("a second writer: %+v", got)
			}
		}
	}
	last := j.Written()
	if got := f.attempt(attempt{Dir: dir, What: "read"}); got.Err != "" || got.Last < last {
		f.fail("a reader beside the writer: %+v, %d", got, last)
	}
	f.check(j.Close(), "close")
	if got := f.attempt(attempt{Dir: dir, What: "write"}); got.Err != "" {
		f.fail("a writer after the first has closed: %+v", got)
	}
}

func (f *fuller) readOnly() {
	f.mounted("size=4m", func(mnt string) {
		dir := filepath.Join(mnt, "journal")
		j, err := Open(dir, f.options())
		f.check(err, "open")
		l := &lives{}
		l.recovered(0, 1)
		w := lifeWriter{j: j, life: 1, large: 9000, rnd: f.rnd}
		for range f.rnd.IntN(300) {
			f.check(w.step(), "append")
		}
		last := j.Written()
		if f.rnd.IntN(2) == 0 {
			f.check(j.Close(), "close")
		} else {
			abandon(j)
		}
		readOnly := func() error { return unix.Mount("", mnt, "", unix.MS_REMOUNT|unix.MS_RDONLY, "") }
		f.check(f.released(readOnly), "remount: a file was left open to be written")
		if _, err := Open(dir, Options{}); !errors.Is(err, unix.EROFS) {
			f.fail("open on a read-only mount: %v", err)
		}
		if _, err := Open(filepath.Join(mnt, "new"), Options{}); !errors.Is(err, unix.EROFS) {
			f.fail("a new journal on a read-only mount: %v", err)
		}
		f.reads(dir, l, last)
		rep, err := Verify(dir, VerifyOptions{})
		f.check(err, "verify")
		if rep.Last != last {
			f.fail("verify sees %d of %d", rep.Last, last)
		}
		f.check(unix.Mount("", mnt, "", unix.MS_REMOUNT, ""), "remount")
		j, err = Open(dir, Options{SegmentBytes: MinSegmentBytes})
		f.check(err, "open")
		f.check(j.Close(), "close")
	})
}

const nobody = 65534

func (f *fuller) otherUser() {
	dir := filepath.Join(f.base, fmt.Sprintf("user-%d", f.cases.Load()))
	defer os.RemoveAll(dir)
	got := f.attempt(attempt{Dir: dir, What: "write", Segment: MinSegmentBytes})
	if got.Err != "" {
		f.fail("root: %+v", got)
	}
	last := got.Last
	f.check(filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if want := map[bool]fs.FileMode{true: 0o700, false: 0o600}[d.IsDir()]; err == nil && info.Mode().Perm() != want {
			err = fmt.Errorf("%s has mode %v, want %v", path, info.Mode(), want)
		}
		return err
	}), "modes")
	for _, what := range []string{"write", "read", "verify"} {
		if got := f.attempt(attempt{Dir: dir, What: what, Uid: nobody}); !got.Permission {
			f.fail("%s as another user: %+v", what, got)
		}
	}
	// Readable by all: who may read reads, and does not write.
	f.check(filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if d.IsDir() {
			return os.Chmod(path, 0o755)
		}
		return os.Chmod(path, 0o644)
	}), "chmod")
	for _, what := range []string{"read", "verify"} {
		if got := f.attempt(attempt{Dir: dir, What: what, Uid: nobody}); got.Err != "" || got.Last != last {
			f.fail("%s with permission: %+v, last %d", what, got, last)
		}
	}
	if got := f.attempt(attempt{Dir: dir, What: "write", Uid: nobody}); !got.Permission {
		f.fail("write without permission: %+v", got)
	}
	// Handed over whole.
	f.check(filepath.WalkDir(dir, func(path string, _ fs.DirEntry, _ error) error { return os.Chown(path, nobody, nobody) }), "chown")
	if got := f.attempt(attempt{Dir: dir, What: "write", Uid: nobody}); got.Err != "" || got.Last <= last {
		f.fail("write to what one owns: %+v, last %d", got, last)
	}
}

// attempt is what another process shall try; outcome what came of it.
type attempt struct {
	Dir, What string
	Uid       int   // 0: as it is
	FileLimit int64 // RLIMIT_FSIZE; 0: none
	Segment   int64
}

type outcome struct {
	Err                                   string
	NoSpace, Locked, Permission, ReadOnly bool
	Last                                  int64
}

const attemptEnv = "HEADRACE_JOURNAL_TORTURE_ATTEMPT"

func init() { tortureChildren[attemptEnv] = attemptChild }

func (f *fuller) attempt(a attempt) (o outcome) {
	b, err := json.Marshal(a)
	f.check(err, "marshal")
	cmd, _, err := childCommand(attemptEnv + "=" + string(b))
	f.check(err, "attempt")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	f.check(err, "attempt %+v: %s", a, out)
	f.check(json.Unmarshal(out, &o), "attempt %+v: %s", a, out)
	return o
}

// attemptChild makes the attempt in this process, and says on standard output what came of it.
func attemptChild(arg string) error {
	var a attempt
	if err := json.Unmarshal([]byte(arg), &a); err != nil {
		return err
	}
	if a.FileLimit > 0 {
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: uint64(a.FileLimit), Max: uint64(a.FileLimit)}); err != nil {
			return err
		}
	}
	if a.Uid > 0 {
		if err := errors.Join(syscall.Setgroups(nil), syscall.Setgid(a.Uid), syscall.Setuid(a.Uid)); err != nil {
			return err
		}
	}
	var o outcome
	err := a.make(&o)
	if err != nil {
		o.Err = err.Error()
		o.NoSpace, o.Locked = errors.Is(err, ErrNoSpace), errors.Is(err, ErrLocked)
		o.Permission, o.ReadOnly = errors.Is(err, fs.ErrPermission), errors.Is(err, unix.EROFS)
	}
	return json.NewEncoder(os.Stdout).Encode(o)
}

func (a attempt) make(o *outcome) error {
	switch a.What {
	case "read":
		r, err := OpenReader(a.Dir, 0, ReaderOptions{})
		if err != nil {
			return err
		}
		_, err = r.Read(func(rec Record) error { o.Last = rec.Sequence; return nil })
		return errors.Join(err, r.Close())
	case "verify":
		rep, err := Verify(a.Dir, VerifyOptions{})
		o.Last = rep.Last
		return err
	}
	j, err := Open(a.Dir, Options{SegmentBytes: a.Segment, Durability: None()})
	if err != nil {
		return err
	}
	o.Last = j.Written()
	for i := 0; err == nil && i < 500; i++ {
		if _, err = j.Append(Entry{Body: make([]byte, 300)}); err == nil {
			o.Last = j.Written()
		}
	}
	return errors.Join(err, j.Close())
}
