package journal

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// python is the interpreter itself, which a wrapper of that name may take longer to find than it takes to read a journal.
var python = sync.OnceValue(func() string {
	name, err := exec.LookPath("python3")
	if err != nil {
		return ""
	}
	if out, err := exec.Command(name, "-c", "import sys; print(sys.executable)").Output(); err == nil {
		name = strings.TrimSpace(string(out))
	}
	return name
})

// independent reads a journal with testdata/reader.py, which was written from FORMAT.md and shares no
// code with this package.
func independent(t *testing.T, dir string) (all []Record, code int) {
	t.Helper()
	if python() == "" {
		t.Skip("no python3 here: the independent reader in testdata/reader.py is not run")
	}
	var out, errs bytes.Buffer
	cmd := exec.Command(python(), filepath.Join("testdata", "reader.py"), dir)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
		require.Equal(t, 3, code, errs.String())
	} else {
		require.NoError(t, err)
	}
	lines := bufio.NewScanner(&out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r struct {
			Sequence, Time int64
			Type           uint16
			Kind           Kind
			Body           string
		}
		require.NoError(t, json.Unmarshal(lines.Bytes(), &r))
		body, err := hex.DecodeString(r.Body)
		require.NoError(t, err)
		all = append(all, Record{Sequence: r.Sequence, Time: r.Time, Type: r.Type, Kind: r.Kind, Body: body})
	}
	return all, code
}

// ours reads the same with OpenReader, as far as it goes.
func ours(t *testing.T, dir string) (all []Record, err error) {
	t.Helper()
	r, err := OpenReader(dir, 0, ReaderOptions{})
	require.NoError(t, err)
	defer r.Close()
	_, err = r.Read(func(rec Record) error {
		body := bytes.Clone(rec.Body)
		if rec.Kind != KindEvent {
			body = nil
		}
		all = append(all, Record{Sequence: rec.Sequence, Time: rec.Time, Type: rec.Type, Kind: rec.Kind, Body: append([]byte{}, body...)})
		return nil
	})
	return all, err
}

func TestFormat_IndependentReader_Agrees(t *testing.T) {
	t.Parallel()
	write := func(how func(j *Journal)) string {
		dir := t.TempDir()
		j, err := Open(dir, Options{SegmentBytes: MinSegmentBytes, Durability: None()})
		require.NoError(t, err)
		for j.Stats().Rolls < 1 {
			seq := j.Written() + 1
			_, err := j.AppendBatch([]Entry{{Type: 3, Body: makeBody(seq)}, {Kind: KindVoid}, {Type: 4, Body: makeBody(seq + 2)}})
			require.NoError(t, err)
			_, err = j.Append(Entry{Kind: KindCheckpoint, Body: []byte("c")})
			require.NoError(t, err)
		}
		how(j)
		return dir
	}
	closed := write(func(j *Journal) { require.NoError(t, j.Close()) })
	torn := write(func(j *Journal) { abandon(j) })
	mended := filepath.Join(t.TempDir(), "mended")
	require.NoError(t, os.CopyFS(mended, os.DirFS(closed)))
	damageByte(t, mended, 0, recordsOffset+50)
	p, err := PlanRepair(mended, RepairOptions{})
	require.NoError(t, err)
	require.NoError(t, p.Apply(nil))
	for _, dir := range []string{filepath.Join("testdata", "v1"), filepath.Join("testdata", "v1-index"), closed, torn, mended} {
		theirs, code := independent(t, dir)
		require.Zero(t, code, dir)
		mine, err := ours(t, dir)
		require.NoError(t, err)
		require.NotEmpty(t, mine)
		require.Equal(t, mine, theirs, dir)
	}
	// And what one calls damage, the other does: the seal's last byte among it.
	for _, off := range []int64{0, 50, recordsOffset + 4, recordsOffset + 9, recordsOffset + 40, 40_000} {
		dir := filepath.Join(t.TempDir(), "bad")
		require.NoError(t, os.CopyFS(dir, os.DirFS(closed)))
		damageByte(t, dir, 0, off)
		_, code := independent(t, dir)
		require.Equal(t, 3, code, "byte %d", off)
		_, err := Verify(dir, VerifyOptions{})
		require.Error(t, err, "byte %d", off)
	}
}

// damageByte changes a byte of the i-th segment of the journal in dir, from outside.
func damageByte(t *testing.T, dir string, i int, off int64) {
	t.Helper()
	segs, _, _, err := listSegments(osStorage{}, dir)
	require.NoError(t, err)
	f, err := os.OpenFile(filepath.Join(dir, segs[i].name), os.O_RDWR, 0)
	require.NoError(t, err)
	var b [1]byte
	_, err = f.ReadAt(b[:], off)
	require.NoError(t, err)
	b[0] ^= 0x10
	_, err = f.WriteAt(b[:], off)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}
