package journal

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// A file that is truncated under a mapping is an error, in reader and writer, and no signal.
func TestMapping_TruncatedUnder_IsError(t *testing.T) {
	dir := t.TempDir()
	j, err := Open(dir, Options{Durability: None(), Backend: BackendMmap, SegmentBytes: 1 << 20})
	require.NoError(t, err)
	for range 2000 {
		_, err := j.Append(Entry{Body: make([]byte, 100)})
		require.NoError(t, err)
	}
	r, err := j.NewReader(0, ReaderOptions{})
	require.NoError(t, err)
	_, err = r.Read(func(Record) error { return ErrStop })
	require.NoError(t, err)
	names, _, _, err := listSegments(osStorage{}, dir)
	require.NoError(t, err)
	require.NoError(t, os.Truncate(filepath.Join(dir, names[0].name), recordsOffset))
	n, err := r.Read(func(Record) error { return nil })
	require.ErrorIs(t, err, ErrFault)
	require.Less(t, n, 1999)
	require.NoError(t, r.Close())
	_, err = j.Append(Entry{Body: make([]byte, 100)})
	require.ErrorIs(t, err, ErrFault)
	require.ErrorIs(t, j.Close(), ErrFault)

	o, err := OpenReader(dir, 0, ReaderOptions{})
	require.NoError(t, err)
	n, err = o.Read(func(Record) error { return nil })
	require.NoError(t, err, "without a writer it judges as recovery does: what is before the cut")
	require.Zero(t, n)
	require.NoError(t, o.Close())
	j, err = Open(dir, Options{})
	require.NoError(t, err)
	require.True(t, j.Recovery().Cut)
	require.EqualValues(t, 0, j.Written())
	require.NoError(t, j.Close())
}

// A panic of the caller's own function is the caller's.
func TestReader_PanicOfCallback_GoesOn(t *testing.T) {
	j, err := openMem(newMemStorage(), Options{})
	require.NoError(t, err)
	defer j.Close()
	appendTo(t, j, 2)
	r, err := j.NewReader(0, ReaderOptions{})
	require.NoError(t, err)
	defer r.Close()
	require.PanicsWithValue(t, "mine", func() { _, _ = r.Read(func(Record) error { panic("mine") }) })
	last, err := drainChecked(r, 1)
	require.NoError(t, err)
	require.EqualValues(t, 2, last, "the record is delivered again")
}

func TestOpen_HostileDirectories(t *testing.T) {
	seg := segmentName(1, 1)
	for name, prepare := range map[string]func(t *testing.T, dir string){
		"symlink": func(t *testing.T, dir string) {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "elsewhere"), make([]byte, MinSegmentBytes), 0o600))
			require.NoError(t, os.Symlink("elsewhere", filepath.Join(dir, seg)))
		},
		"symlinked lock": func(t *testing.T, dir string) {
			require.NoError(t, os.Symlink("elsewhere", filepath.Join(dir, lockName)))
		},
		"directory": func(t *testing.T, dir string) { require.NoError(t, os.Mkdir(filepath.Join(dir, seg), 0o700)) },
		"fifo": func(t *testing.T, dir string) {
			require.NoError(t, syscall.Mkfifo(filepath.Join(dir, seg), 0o600))
		},
		"duplicate id": func(t *testing.T, dir string) {
			require.NoError(t, os.WriteFile(filepath.Join(dir, segmentName(1, 7)), nil, 0o600))
			require.NoError(t, os.WriteFile(filepath.Join(dir, segmentName(9, 7)), nil, 0o600))
		},
		"huge sparse file": func(t *testing.T, dir string) {
			require.NoError(t, os.WriteFile(filepath.Join(dir, seg), []byte("HEADRACE"), 0o600))
			require.NoError(t, os.WriteFile(filepath.Join(dir, segmentName(2, 2)), []byte("x"), 0o600))
			_ = os.Truncate(filepath.Join(dir, seg), 100)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			prepare(t, dir)
			_, err := Open(dir, Options{SegmentBytes: MinSegmentBytes})
			require.Error(t, err)
			_, err = Verify(dir, VerifyOptions{})
			require.Error(t, err)
			_, err = os.Stat(filepath.Join(dir, "elsewhere"))
			if name == "symlinked lock" {
				require.ErrorIs(t, err, os.ErrNotExist)
			}
		})
	}
	_, err := Open(filepath.Join(t.TempDir(), "x", "y"), Options{SegmentBytes: 100, MaxBodyBytes: -1, Durability: Interval(-1), FirstSequence: -1})
	for _, field := range []string{"SegmentBytes", "MaxBodyBytes", "Durability", "FirstSequence"} {
		require.ErrorContains(t, err, field)
	}
	_, err = OpenReader(t.TempDir(), 0, ReaderOptions{})
	require.ErrorIs(t, err, ErrNotFound)
}

// A gap, an overlap and a stranger between segments.
func TestOpen_SegmentsThatDoNotFollow(t *testing.T) {
	make3 := func() (*memStorage, []string) {
		st := newMemStorage()
		j, err := openMem(st, Options{Durability: None()})
		require.NoError(t, err)
		for j.Stats().Rolls < 2 {
			appendTo(t, j, j.Written()+1)
		}
		require.NoError(t, j.Close())
		return st, st.segments()
	}
	var c *CorruptionError
	st, segs := make3()
	delete(st.nodes, segs[1])
	_, err := openMem(st, Options{})
	require.ErrorAs(t, err, &c)
	require.ErrorIs(t, err, ErrGap)

	st, segs = make3()
	h := header{}
	b := st.nodes[segs[1]].bytes()
	require.NoError(t, h.decode(b))
	h.uuid[0]++
	h.encode(b[:pageBytes])
	_, err = openMem(st, Options{})
	require.ErrorAs(t, err, &c)
	require.ErrorIs(t, err, ErrForeign)

	st, segs = make3()
	b = st.nodes[segs[2]].bytes()
	le.PutUint16(b[8:], 2)
	le.PutUint32(b[4092:], checksum(b[:4092]))
	_, err = openMem(st, Options{})
	require.ErrorIs(t, err, ErrFormatVersion)
	_, err = verify(st, memDir, VerifyOptions{})
	require.ErrorIs(t, err, ErrFormatVersion)
}

func TestStage_Misuse(t *testing.T) {
	j, err := openMem(newMemStorage(), Options{Durability: None(), MaxBodyBytes: 1000})
	require.NoError(t, err)
	defer j.Close()
	_, err = j.Stage(Entry{Body: make([]byte, 1001)})
	require.ErrorIs(t, err, ErrBodyTooLarge)
	_, err = j.Stage(Entry{Kind: KindSeal})
	require.ErrorIs(t, err, ErrKind)
	require.ErrorIs(t, j.BeginBatch(1, 1<<40), ErrBatchTooLarge)
	require.ErrorIs(t, j.BeginBatch(math.MaxInt, 0), ErrBatchTooLarge)
	require.Error(t, j.BeginBatch(0, 0))
	require.NoError(t, j.BeginBatch(2, 10))
	_, err = j.Stage(Entry{Body: make([]byte, 11)})
	require.ErrorIs(t, err, ErrBatchBytes)
	_, err = j.Stage(Entry{Body: make([]byte, 9)})
	require.NoError(t, err)
	require.ErrorIs(t, j.Commit(), ErrBatchOpen)
	_, err = j.Append(Entry{})
	require.ErrorIs(t, err, ErrBatchOpen)
	j.CancelBatch()
	require.NoError(t, j.Commit())
	seq, err := j.Append(Entry{Kind: KindVoid})
	require.NoError(t, err)
	require.EqualValues(t, 1, seq)
	seq, err = j.Append(Entry{Kind: KindCheckpoint, Body: []byte("c")})
	require.NoError(t, err)
	require.EqualValues(t, 1, seq)
	last, err := j.AppendBatch([]Entry{{Time: 5, Body: []byte("a")}, {Body: make([]byte, 2000)}})
	require.ErrorIs(t, err, ErrBodyTooLarge)
	require.Zero(t, last)
	last, err = j.AppendBatch([]Entry{{Time: 7, Body: []byte("a")}, {Time: 5}, {}})
	require.NoError(t, err)
	require.EqualValues(t, 4, last)
	for _, internal := range []bool{false, true} {
		r, err := j.NewReader(0, ReaderOptions{Internal: internal})
		require.NoError(t, err)
		kinds, time := "", int64(0)
		for rec, err := range r.Records() {
			require.NoError(t, err)
			kinds += rec.Kind.String()[:1]
			require.GreaterOrEqual(t, rec.Time, time)
			time = rec.Time
		}
		require.Equal(t, map[bool]string{false: "veee", true: "vceee"}[internal], kinds)
		require.NoError(t, r.Close())
	}
	_, err = j.NewReader(-3, ReaderOptions{})
	require.ErrorIs(t, err, ErrOutOfRange)
}

// A loop that is left early loses nothing.
func TestReader_Records_LeftEarly(t *testing.T) {
	j, err := openMem(newMemStorage(), Options{Durability: None()})
	require.NoError(t, err)
	defer j.Close()
	appendTo(t, j, 2000)
	r, err := j.NewReader(5, ReaderOptions{})
	require.NoError(t, err)
	defer r.Close()
	want := int64(5)
	for want <= 2000 {
		for rec, err := range r.Records() {
			require.NoError(t, err)
			require.Equal(t, want, rec.Sequence)
			require.Equal(t, want, r.Sequence())
			want++
			if want%77 == 0 {
				break
			}
		}
	}
}

// golden writes the journal of testdata/v1.
func golden(t testing.TB, st *memStorage) {
	j, err := openMem(st, Options{Durability: None()})
	require.NoError(t, err)
	at := int64(1_700_000_000_000_000_000)
	stage := func(e Entry) {
		at += 1000
		e.Time = at
		_, err := j.Append(e)
		require.NoError(t, err)
	}
	stage(Entry{Type: 1, Body: []byte("the first event")})
	stage(Entry{Type: 2})
	stage(Entry{Kind: KindVoid})
	stage(Entry{Kind: KindCheckpoint, Body: []byte{1, 2, 3}})
	require.NoError(t, j.Sync())
	_, err = j.AppendBatch([]Entry{{Type: 3, Time: at, Body: []byte("an")}, {Type: 3, Time: at, Body: []byte("atomic batch")}})
	require.NoError(t, err)
	big := bytes.Repeat([]byte{0xEE}, 50_000)
	stage(Entry{Type: 4, Body: big})
	stage(Entry{Type: 5, Body: big}) // rolls over
	require.NoError(t, j.Close())
}

// The bytes of version 1 do not change, and are read for ever. HEADRACE_GOLDEN=write makes them.
func TestFormat_Golden(t *testing.T) {
	st := newMemStorage()
	golden(t, st)
	names := st.segments()
	require.Len(t, names, 2)
	for _, name := range names {
		path := filepath.Join("testdata", "v1-index", filepath.Base(name))
		b := bytes.Clone(st.nodes[name].bytes())
		if os.Getenv("HEADRACE_GOLDEN") == "write" {
			require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
			require.NoError(t, os.WriteFile(path, b, 0o644))
		}
		want, err := os.ReadFile(path)
		require.NoError(t, err)
		clear(b[ctlPair0 : ctlPair1+32]) // how many syncs there were is not the format's
		clear(want[ctlPair0 : ctlPair1+32])
		require.True(t, bytes.Equal(want, b), "%s differs from what version 1 wrote", path)
	}
	// v1 was written before segments had an index.
	for dir, records := range map[string]int64{"v1": 9, "v1-index": 10} {
		rep, err := Verify(filepath.Join("testdata", dir), VerifyOptions{})
		require.NoError(t, err)
		require.EqualValues(t, 7, rep.Last)
		require.EqualValues(t, 7, rep.Durable)
		require.EqualValues(t, records, rep.Records, "seven events and voids, a checkpoint, an index but in v1, a seal")
		r, err := OpenReader(filepath.Join("testdata", dir), 6, ReaderOptions{})
		require.NoError(t, err)
		require.Equal(t, []int64{6, 7}, sequences(t, r.Read))
		require.Equal(t, []int64{7, 6, 5, 4, 3, 2, 1}, sequences(t, r.ReadBackward))
		require.NoError(t, r.Close())
	}
	// It opens for writing too, and goes on.
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "v1"))))
	j, err := Open(dir, Options{SegmentBytes: MinSegmentBytes})
	require.NoError(t, err)
	seq, err := j.Append(Entry{Type: 6})
	require.NoError(t, err)
	require.EqualValues(t, 8, seq)
	require.NoError(t, j.Close())
}

func FuzzRecord(f *testing.F) {
	st := newMemStorage()
	golden(f, st)
	b := st.nodes[st.segments()[0]].bytes()
	f.Add(b[recordsOffset:recordsOffset+400], int64(0))
	f.Add([]byte{}, int64(8))
	f.Fuzz(func(t *testing.T, m []byte, off int64) {
		if off < 0 || off > int64(len(m)) {
			return
		}
		fr, body, next, err := readFrame(m, off, int64(len(m)), 0x5a18)
		if err == nil && (next > int64(len(m)) || len(body) != int(fr.length)-recordHeaderBytes) {
			t.Fatalf("record of %d bytes at %d ends at %d", fr.length, off, next)
		}
	})
}

func FuzzSegment(f *testing.F) {
	base := newMemStorage()
	golden(f, base)
	newest := base.segments()[1]
	f.Add(int64(recordsOffset), []byte{1, 2, 3}, byte(1), int64(MinSegmentBytes))
	f.Add(int64(56), []byte{0xff, 0xff, 0xff, 0xff}, byte(2), int64(MinSegmentBytes))
	f.Add(int64(controlOffset), []byte{0xff, 0xff, 0xff, 0xff}, byte(1), int64(9000))
	f.Fuzz(func(t *testing.T, off int64, patch []byte, boot byte, size int64) {
		if off < 0 || off >= MinSegmentBytes || size < 0 || size > 2*MinSegmentBytes {
			return
		}
		st := base.clone()
		st.id.boot[0] = boot
		n := newMemNode(size)
		copy(n.bytes(), base.nodes[newest].bytes())
		if off < size {
			copy(n.bytes()[off:], patch)
		}
		if size >= pageBytes {
			// Past the checksum, so that the fields behind it are judged too.
			le.PutUint32(n.bytes()[4092:], checksum(n.bytes()[:4092]))
		}
		st.nodes[newest] = n
		_, _ = verify(st.clone(), memDir, VerifyOptions{})
		if r, err := openReader(st, memDir, 0, ReaderOptions{}); err == nil {
			_, _ = r.Read(func(Record) error { return nil })
			_ = r.Close()
		}
		j, err := openMem(st, Options{})
		if err != nil {
			return
		}
		if _, err := readAllAnyBody(j); err != nil {
			t.Fatalf("opened, but: %v", err)
		}
		if _, err := j.Append(Entry{Body: []byte("goes on")}); err != nil {
			t.Fatal(err)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func readAllAnyBody(j *Journal) (int, error) {
	r, err := j.NewReader(0, ReaderOptions{})
	if err != nil {
		return 0, err
	}
	defer r.Close()
	return r.Read(func(Record) error { return nil })
}

func FuzzSegmentName(f *testing.F) {
	f.Add(segmentName(1, 2))
	f.Add("00000000000000000001-000000000000000G.seg")
	f.Fuzz(func(t *testing.T, s string) {
		if first, id, ok := parseSegmentName(s); ok && segmentName(first, id) != s {
			t.Fatalf("%q is %d, %d", s, first, id)
		}
	})
}

func ExampleJournal() {
	dir, err := os.MkdirTemp("", "journal")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	j, err := Open(dir, Options{SegmentBytes: 1 << 20})
	if err != nil {
		panic(err)
	}
	seq, err := j.Append(Entry{Type: 1, Body: []byte("water")})
	if err == nil {
		err = j.WaitDurable(context.Background(), seq)
	}
	fmt.Println(seq, j.Durable(), err)
	r, err := j.NewReader(1, ReaderOptions{})
	if err != nil {
		panic(err)
	}
	n, err := r.Read(func(rec Record) error {
		fmt.Printf("%d %s\n", rec.Sequence, rec.Body)
		return nil
	})
	fmt.Println(n, err, r.Close(), j.Close())
	// Output:
	// 1 1 <nil>
	// 1 water
	// 1 <nil> <nil> <nil>
}

// No name is no directory, and leaves nothing where the program runs.
func TestOpen_WithoutAName(t *testing.T) {
	t.Chdir(t.TempDir())
	_, err := Open("", Options{})
	require.ErrorIs(t, err, ErrDirectory)
	names, err := os.ReadDir(".")
	require.NoError(t, err)
	require.Empty(t, names)
}
