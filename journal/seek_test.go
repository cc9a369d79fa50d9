package journal

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// timed is a journal of many segments on the heap: types 1 to 3, some voids and checkpoints, and
// times that often stand still. It returns the records as they were written.
func timed(t testing.TB, st *memStorage, n int, o Options) (*Journal, []Record) {
	t.Helper()
	o.Durability = None()
	j, err := openMem(st, o)
	require.NoError(t, err)
	return j, appendTimed(t, j, n)
}

func appendTimed(t testing.TB, j *Journal, n int) (all []Record) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(7, uint64(n)))
	at := int64(1_000_000)
	for range n {
		if rnd.IntN(3) == 0 {
			at += int64(rnd.IntN(1000))
		}
		rec := Record{Time: at, Type: uint16(1 + rnd.IntN(3)), Kind: KindEvent, Body: make([]byte, rnd.IntN(300))}
		if rnd.IntN(10) == 0 {
			rec.Kind, rec.Type, rec.Body = KindVoid, 0, nil
		}
		seq, err := j.Append(Entry{Type: rec.Type, Kind: rec.Kind, Time: rec.Time, Body: rec.Body})
		require.NoError(t, err)
		rec.Sequence = seq
		all = append(all, rec)
		if rnd.IntN(20) == 0 {
			_, err := j.Append(Entry{Kind: KindCheckpoint, Time: at, Body: []byte("c")})
			require.NoError(t, err)
		}
	}
	return all
}

// sequences collects what a reading method delivers.
func sequences(t testing.TB, read func(func(Record) error) (int, error)) (got []int64) {
	t.Helper()
	n, err := read(func(rec Record) error { got = append(got, rec.Sequence); return nil })
	require.NoError(t, err)
	require.Equal(t, len(got), n)
	return got
}

// where is the oracle: the sequences of the records that satisfy f.
func where(all []Record, f func(Record) bool) (want []int64) {
	for _, rec := range all {
		if f(rec) {
			want = append(want, rec.Sequence)
		}
	}
	return want
}

func TestReader_SeekTime_EveryTime(t *testing.T) {
	st := newMemStorage()
	j, all := timed(t, st, 1500, Options{})
	require.Greater(t, j.Stats().Rolls, uint64(2))
	moments := map[int64]bool{0: true, all[len(all)-1].Time + 1: true}
	for _, rec := range all {
		moments[rec.Time-1], moments[rec.Time], moments[rec.Time+1] = true, true, true
	}
	outside, err := openReader(st, memDir, 0, ReaderOptions{})
	require.NoError(t, err)
	inside, err := j.NewReader(0, ReaderOptions{})
	require.NoError(t, err)
	k := 0
	for at := range moments {
		if k++; testing.Short() && k%20 != 0 {
			continue
		}
		want := where(all, func(rec Record) bool { return rec.Time >= at })
		for _, r := range []*Reader{inside, outside} {
			require.NoError(t, r.SeekTime(time.Unix(0, at)))
			require.Equal(t, want, sequences(t, r.Read), "from time %d", at)
		}
	}
	for seq := int64(1); seq <= int64(len(all)); seq++ {
		for _, r := range []*Reader{inside, outside} {
			require.NoError(t, r.SeekTo(seq))
			_, err := r.Read(func(rec Record) error {
				require.Equal(t, seq, rec.Sequence)
				return ErrStop
			})
			require.NoError(t, err)
			require.Equal(t, seq, r.Sequence(), "delivered %d", seq)
		}
	}
	// Back to a sequence: the moment is forgotten.
	require.NoError(t, inside.SeekTo(0))
	require.Len(t, sequences(t, inside.Read), len(all))
	require.ErrorIs(t, inside.SeekTo(-1), ErrOutOfRange)
	require.NoError(t, j.Close())
}

func TestReader_SeekTime_WaitsForTheFuture(t *testing.T) {
	j, err := Open(t.TempDir(), Options{Durability: None()})
	require.NoError(t, err)
	defer j.Close()
	r, err := j.NewReaderAt(time.Unix(0, 50), ReaderOptions{})
	require.NoError(t, err)
	defer r.Close()
	written := make(chan error, 1)
	go func() {
		for at := int64(10); at <= 100; at += 10 {
			if _, err := j.Append(Entry{Time: at}); err != nil {
				written <- err
				return
			}
		}
		written <- nil
	}()
	var got []int64
	require.NoError(t, r.Follow(context.Background(), func(rec Record) error {
		if got = append(got, rec.Time); rec.Time == 100 {
			return ErrStop
		}
		return nil
	}))
	require.NoError(t, <-written) // before Close: both are the writer's
	require.Equal(t, []int64{50, 60, 70, 80, 90, 100}, got)
}

func TestReader_TypesUntilTimeTail(t *testing.T) {
	st := newMemStorage()
	j, all := timed(t, st, 1500, Options{})
	mid := all[700].Time
	last := all[len(all)-1].Sequence
	for name, c := range map[string]struct {
		o    ReaderOptions
		tail int64
		want func(Record) bool
	}{
		"types":      {ReaderOptions{Types: []uint16{2}}, -1, func(r Record) bool { return r.Type == 2 }},
		"type zero":  {ReaderOptions{Types: []uint16{0, 9}}, -1, func(r Record) bool { return false }},
		"until time": {ReaderOptions{UntilTime: mid}, -1, func(r Record) bool { return r.Time <= mid }},
		"both": {ReaderOptions{UntilTime: mid, Types: []uint16{1, 3}}, -1,
			func(r Record) bool { return r.Time <= mid && (r.Type == 1 || r.Type == 3) }},
		"tail":       {ReaderOptions{}, 10, func(r Record) bool { return r.Sequence > last-10 }},
		"tail types": {ReaderOptions{Types: []uint16{2}}, 10, func(r Record) bool { return r.Sequence > last-10 && r.Type == 2 }},
		"tail none":  {ReaderOptions{}, 0, func(Record) bool { return false }},
		"tail all":   {ReaderOptions{}, 1 << 40, func(Record) bool { return true }},
		"tail until": {ReaderOptions{Until: 500}, 10, func(r Record) bool { return r.Sequence > 490 && r.Sequence <= 500 }},
	} {
		t.Run(name, func(t *testing.T) {
			inside, err := j.NewReader(0, c.o)
			require.NoError(t, err)
			outside, err := openReader(st, memDir, 0, c.o)
			require.NoError(t, err)
			for _, r := range []*Reader{inside, outside} {
				if c.tail >= 0 {
					require.NoError(t, r.SeekTail(c.tail))
				}
				require.Equal(t, where(all, c.want), sequences(t, r.Read))
				if c.o.UntilTime != 0 {
					require.NoError(t, r.Follow(context.Background(), func(Record) error { return nil }))
				}
				require.NoError(t, r.Close())
			}
		})
	}
	require.NoError(t, j.Close())
}

func TestReader_SeekTail_Durable(t *testing.T) {
	st := newMemStorage()
	j, _ := timed(t, st, 300, Options{})
	require.NoError(t, j.Sync())
	appendTimed(t, j, 50)
	for _, open := range []func() (*Reader, error){
		func() (*Reader, error) { return j.NewReader(0, ReaderOptions{UpTo: Durable}) },
		func() (*Reader, error) { return openReader(st, memDir, 0, ReaderOptions{UpTo: Durable}) },
	} {
		r, err := open()
		require.NoError(t, err)
		require.NoError(t, r.SeekTail(2))
		require.Equal(t, []int64{299, 300}, sequences(t, r.Read))
		require.Equal(t, int64(300), sequences(t, r.ReadBackward)[0])
	}
	abandon(j)
	// After a power cut the tail is what recovery would keep.
	st.id = identity{boot: [16]byte{9}, mount: 9}
	r, err := openReader(st, memDir, 0, ReaderOptions{})
	require.NoError(t, err)
	require.NoError(t, r.SeekTail(1))
	require.Equal(t, []int64{350}, sequences(t, r.Read))
}

func TestReader_ReadBackward_IsReadReversed(t *testing.T) {
	st := newMemStorage()
	// Recovery leaves segments without an event: backwards too they are no end.
	j, all := timed(t, st, 900, Options{})
	for range 3 {
		require.NoError(t, j.roll())
		_, err := j.Append(Entry{Kind: KindCheckpoint, Time: all[len(all)-1].Time})
		require.NoError(t, err)
	}
	for range 5 {
		rec := Record{Time: all[len(all)-1].Time, Type: 3, Kind: KindEvent}
		var err error
		rec.Sequence, err = j.Append(Entry{Type: 3, Time: rec.Time})
		require.NoError(t, err)
		all = append(all, rec)
	}
	reverse := func(s []int64) (out []int64) {
		for i := len(s) - 1; i >= 0; i-- {
			out = append(out, s[i])
		}
		return out
	}
	mid := all[450]
	for name, c := range map[string]struct {
		o    ReaderOptions
		want func(Record) bool
	}{
		"all":   {ReaderOptions{}, func(Record) bool { return true }},
		"types": {ReaderOptions{Types: []uint16{3}}, func(r Record) bool { return r.Type == 3 }},
		"until": {ReaderOptions{Until: 333}, func(r Record) bool { return r.Sequence <= 333 }},
		"time":  {ReaderOptions{UntilTime: mid.Time}, func(r Record) bool { return r.Time <= mid.Time }},
	} {
		t.Run(name, func(t *testing.T) {
			inside, err := j.NewReader(0, c.o)
			require.NoError(t, err)
			outside, err := openReader(st, memDir, 0, c.o)
			require.NoError(t, err)
			for _, r := range []*Reader{inside, outside} {
				require.NoError(t, r.SeekTail(0))
				require.Equal(t, reverse(where(all, c.want)), sequences(t, r.ReadBackward))
				require.EqualValues(t, 0, r.Sequence())
				require.Equal(t, where(all, c.want), sequences(t, r.Read), "and forwards again")
			}
		})
	}
	// In steps, from the middle, and never before the moment that was sought.
	r, err := j.NewReader(0, ReaderOptions{})
	require.NoError(t, err)
	require.NoError(t, r.SeekTo(500))
	n, err := r.ReadBackward(func(rec Record) error { return ErrStop })
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.EqualValues(t, 498, r.Sequence())
	n, err = r.ReadBackward(func(rec Record) error { return os.ErrInvalid })
	require.ErrorIs(t, err, os.ErrInvalid)
	require.Zero(t, n)
	require.EqualValues(t, 498, r.Sequence(), "a record that failed is delivered again")
	require.NoError(t, r.SeekTime(time.Unix(0, mid.Time)))
	want := where(all, func(r Record) bool { return r.Time >= mid.Time })
	require.Equal(t, want, sequences(t, r.Read))
	require.Equal(t, reverse(want), sequences(t, r.ReadBackward))
	require.NoError(t, j.Close())
}

func TestReader_ReadBackward_Corrupt(t *testing.T) {
	st := newMemStorage()
	j, _ := timed(t, st, 900, Options{})
	r, err := j.NewReader(0, ReaderOptions{})
	require.NoError(t, err)
	var at Record
	_, err = r.Read(func(rec Record) error {
		if rec.Sequence == 400 && len(rec.Body) == 0 || rec.Sequence > 400 {
			at = rec
			return ErrStop
		}
		return nil
	})
	require.NoError(t, err)
	for _, name := range st.segments() {
		if _, id, _ := parseSegmentName(filepath.Base(name)); id == at.Segment {
			st.nodes[name].bytes()[at.Offset+20] ^= 4
		}
	}
	require.NoError(t, r.SeekTail(0))
	seen := int64(0)
	_, err = r.ReadBackward(func(rec Record) error { seen = rec.Sequence; return nil })
	var c *CorruptionError
	require.ErrorAs(t, err, &c)
	require.Equal(t, at.Sequence, c.Sequence)
	require.Greater(t, seen, at.Sequence)
	abandon(j)
}

// fakeClock is a clock that only sleeping moves.
type fakeClock struct {
	t     time.Time
	slept []time.Duration
}

func (c *fakeClock) now() time.Time { return c.t }
func (c *fakeClock) sleep(ctx context.Context, d time.Duration) error {
	c.t = c.t.Add(d)
	c.slept = append(c.slept, d)
	return ctx.Err()
}

func TestReader_Replay_AtThePaceOfTheTimes(t *testing.T) {
	j, err := Open(t.TempDir(), Options{Durability: None()})
	require.NoError(t, err)
	defer j.Close()
	base := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	offsets := []time.Duration{0, 0, time.Second, 3 * time.Second, 3 * time.Second, 10 * time.Second, 4 * time.Hour}
	for _, d := range offsets {
		_, err := j.Append(Entry{Time: base.Add(d).UnixNano()})
		require.NoError(t, err)
	}
	for _, speed := range []float64{1, 10, 0.5} {
		r, err := j.NewReader(0, ReaderOptions{})
		require.NoError(t, err)
		clock := &fakeClock{t: time.Unix(1000, 0)}
		r.clock = clock
		i := 0
		n, err := r.Replay(context.Background(), speed, func(rec Record) error {
			want := time.Duration(float64(offsets[i]) / speed)
			require.Equal(t, want, clock.t.Sub(time.Unix(1000, 0)), "record %d at speed %v", i, speed)
			i++
			return nil
		})
		require.NoError(t, err)
		require.Equal(t, len(offsets), n)
		require.NoError(t, r.Close())
	}
	// A slow function eats up the pauses.
	r, err := j.NewReader(0, ReaderOptions{Until: 6})
	require.NoError(t, err)
	defer r.Close()
	clock := &fakeClock{t: time.Unix(1000, 0)}
	r.clock = clock
	_, err = r.Replay(context.Background(), 1, func(Record) error { clock.t = clock.t.Add(2 * time.Second); return nil })
	require.NoError(t, err)
	require.Empty(t, clock.slept)
	for _, bad := range []float64{0, -1} {
		_, err = r.Replay(context.Background(), bad, nil)
		require.ErrorContains(t, err, "speed")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.NoError(t, r.SeekTo(1))
	_, err = r.Replay(ctx, 1, func(Record) error { return nil })
	require.ErrorIs(t, err, context.Canceled)
}

func ExampleReader_SeekTime() {
	dir, err := os.MkdirTemp("", "journal")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	j, err := Open(dir, Options{SegmentBytes: 1 << 20, Durability: None()})
	if err != nil {
		panic(err)
	}
	defer j.Close()
	noon := time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)
	for i := range 5 {
		at := noon.Add(time.Duration(i) * time.Minute)
		if _, err := j.Append(Entry{Type: uint16(i % 2), Time: at.UnixNano(), Body: fmt.Append(nil, at.Format("15:04"))}); err != nil {
			panic(err)
		}
	}
	show := func(rec Record) error { fmt.Printf("%d %s\n", rec.Sequence, rec.Body); return nil }
	r, err := OpenReaderAt(dir, noon.Add(90*time.Second), ReaderOptions{Types: []uint16{0}})
	if err != nil {
		panic(err)
	}
	defer r.Close()
	_, err = r.Read(show)
	fmt.Println("from 12:01:30 on, type 0:", err)
	if err := r.SeekTail(2); err != nil {
		panic(err)
	}
	_, err = r.Read(show)
	fmt.Println("of the last two, type 0:", err)
	_, err = r.ReadBackward(show)
	fmt.Println("and back to the first:", err)
	// Output:
	// 3 12:02
	// 5 12:04
	// from 12:01:30 on, type 0: <nil>
	// 5 12:04
	// of the last two, type 0: <nil>
	// 5 12:04
	// 3 12:02
	// 1 12:00
	// and back to the first: <nil>
}
