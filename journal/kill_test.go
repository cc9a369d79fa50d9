package journal

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const childEnv = "HEADRACE_JOURNAL_TEST_CHILD"

// TestMain lets the test binary be the process that is killed, or the other writer.
func TestMain(m *testing.M) {
	tortureChild()
	if arg := os.Getenv(childEnv); arg != "" {
		what, dir, _ := strings.Cut(arg, ":")
		var err error
		switch what {
		case "none", "batch", "group":
			err = childWrites(what, dir)
		case "open":
			_, err = Open(dir, Options{})
			fmt.Println(err)
			err = nil
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	debug.SetGCPercent(800) // journals on the heap are little but garbage
	os.Exit(m.Run())
}

func child(t testing.TB, what, dir string) *exec.Cmd {
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childEnv+"="+what+":"+dir)
	cmd.Stderr = os.Stderr
	return cmd
}

// childWrites appends for ever, singly and in batches, and acknowledges on its standard output,
// 8 bytes a sequence: after the commit, or, in the modes that sync, after WaitDurable.
func childWrites(mode, dir string) error {
	d := map[string]Durability{"none": None(), "batch": Batch(), "group": Group(time.Millisecond, 1<<20)}[mode]
	j, err := Open(dir, Options{Durability: d, SegmentBytes: 256 << 10})
	if err != nil {
		return err
	}
	ack := func(seq int64) error {
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], uint64(seq))
		_, err := os.Stdout.Write(b[:])
		return err
	}
	if err := ack(j.Written()); err != nil {
		return err
	}
	for i := 0; ; i++ {
		seq := j.Written() + 1
		if i%3 == 0 {
			var es []Entry
			for k := range int64(7) {
				es = append(es, Entry{Type: 9, Body: makeBody(seq + k)})
			}
			seq, err = j.AppendBatch(es)
		} else {
			_, err = j.Append(Entry{Type: 9, Body: makeBody(seq)})
		}
		if err != nil {
			return err
		}
		if mode != "none" && i%16 == 0 {
			if err := j.WaitDurable(context.Background(), seq); err != nil {
				return err
			}
		}
		if mode == "none" || i%16 == 0 {
			if err := ack(seq); err != nil {
				return err
			}
		}
	}
}

func TestWriter_KillNine_AckedEventsSurvive(t *testing.T) {
	t.Parallel()
	cycles := 5 // TestTorture_Kill has more of them
	switch {
	case testing.Short() || raceEnabled:
		cycles = 3
	case longForm():
		cycles = 12
	}
	seed := rand.Uint64()
	for i, mode := range []string{"none", "batch", "group"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			rnd := rand.New(rand.NewPCG(seed, uint64(i)))
			dir := t.TempDir()
			checked := int64(0)
			for cycle := range cycles {
				cmd := child(t, mode, dir)
				out, err := cmd.StdoutPipe()
				require.NoError(t, err)
				require.NoError(t, cmd.Start())
				acked := int64(0)
				in := bufio.NewReader(out)
				for kill, n := rnd.IntN(300), 0; ; n++ {
					var b [8]byte
					if _, err := io.ReadFull(in, b[:]); err != nil {
						break
					}
					acked = int64(binary.LittleEndian.Uint64(b[:]))
					if n == kill {
						require.NoError(t, cmd.Process.Signal(syscall.SIGKILL))
					}
				}
				err = cmd.Wait()
				require.ErrorContains(t, err, "killed", "seed %d cycle %d", seed, cycle)

				// First a reader, which must see what is there without any recovery.
				seen := int64(0)
				if cycle < cycles-1 {
					seen = max(0, checked-100)
				}
				r, err := OpenReader(dir, seen+1, ReaderOptions{})
				require.NoError(t, err)
				_, err = r.Read(func(rec Record) error {
					seen++
					if rec.Sequence != seen || string(rec.Body) != string(makeBody(seen)) {
						return fmt.Errorf("record %d differs", seen)
					}
					return nil
				})
				require.NoError(t, err, "seed %d cycle %d", seed, cycle)
				require.NoError(t, r.Close())
				require.GreaterOrEqual(t, seen, acked, "seed %d cycle %d", seed, cycle)
				checked = seen

				j, err := Open(dir, Options{})
				require.NoError(t, err, "seed %d cycle %d", seed, cycle)
				require.GreaterOrEqual(t, j.Written(), seen, "seed %d cycle %d", seed, cycle)
				require.Empty(t, j.Recovery().Torn)
				require.NoError(t, j.Close())
			}
			rep, err := Verify(dir, VerifyOptions{})
			require.NoError(t, err)
			full := int64(0)
			for _, s := range rep.Segments {
				full += s.Bytes
			}
			require.LessOrEqual(t, int64(len(rep.Segments)), full/(segmentCapacity(256<<10)-8<<10)+2,
				"the death of a process begins no new segment")
			_, err = os.Stat(filepath.Join(dir, asideName))
			require.ErrorIs(t, err, os.ErrNotExist, "the death of a process leaves nothing to put aside")
		})
	}
}

func TestOpen_SecondWriter_Locked(t *testing.T) {
	dir := t.TempDir()
	j, err := Open(dir, Options{SegmentBytes: MinSegmentBytes})
	require.NoError(t, err)
	_, err = Open(dir, Options{})
	require.ErrorIs(t, err, ErrLocked)
	out, err := child(t, "open", dir).Output()
	require.NoError(t, err)
	require.Contains(t, string(out), ErrLocked.Error())
	_, err = j.Append(Entry{Body: []byte("still mine")})
	require.NoError(t, err)
	require.NoError(t, j.Close())
	require.NoError(t, j.Close())
	j, err = Open(dir, Options{})
	require.NoError(t, err)
	require.EqualValues(t, 1, j.Written())
	require.NoError(t, j.Close())
}
