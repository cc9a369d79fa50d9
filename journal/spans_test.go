package journal

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// readings returns what Read delivers and, apart from that, what ReadSpans does, to readers that open opens: the
// records, where the reader stands then, and the error.
func readings(t testing.TB, open func() (*Reader, error)) (plain, spans []string) {
	t.Helper()
	read := func(many bool) (got []string) {
		r, err := open()
		if err != nil {
			return []string{err.Error()}
		}
		n := 0
		if many {
			n, err = r.ReadSpans(func(recs []Record) error {
				require.NotEmpty(t, recs)
				for _, rec := range recs {
					got = append(got, fmt.Sprintf("%+v", rec))
				}
				return nil
			})
		} else {
			n, err = r.Read(func(rec Record) error { got = append(got, fmt.Sprintf("%+v", rec)); return nil })
		}
		require.Len(t, got, n)
		got = append(got, fmt.Sprintf("%d: %v", r.Sequence(), err))
		require.NoError(t, r.Close())
		return got
	}
	return read(false), read(true)
}

// randomly returns reader options.
func randomly(rnd *rand.Rand, last int64) ReaderOptions {
	o := ReaderOptions{Internal: rnd.IntN(3) == 0, UpTo: Gate(rnd.IntN(2))}
	if rnd.IntN(2) == 0 {
		o.Until = 1 + rnd.Int64N(last)
	}
	if rnd.IntN(2) == 0 {
		o.UntilTime = 1000 + rnd.Int64N(1000)
	}
	switch rnd.IntN(4) {
	case 0:
		o.Types = []uint16{uint16(rnd.IntN(3))}
	case 1:
		o.Types = []uint16{0, 2}
	}
	return o
}

// Whatever the options and the place to begin at, spans together are what Read delivers; beside the writer, from
// outside, and after Close.
func TestReader_ReadSpans_AreWhatReadDelivers(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 14))
	st := newMemStorage()
	j := mixed(t, st, rnd, 3000)
	require.NoError(t, j.Sync())
	appendTo(t, j, j.Written()+300) // not durable
	last := j.Written()
	round := func(i int, open func(from int64, o ReaderOptions) (*Reader, error)) {
		o, from, at := randomly(rnd, last), 1+rnd.Int64N(last), int64(0)
		if rnd.IntN(3) == 0 {
			at = 1000 + rnd.Int64N(1000)
		}
		plain, spans := readings(t, func() (*Reader, error) {
			r, err := open(from, o)
			if err == nil && at > 0 {
				err = r.SeekTime(time.Unix(0, at))
			}
			return r, err
		})
		require.Equal(t, plain, spans, "round %d: %+v from %d, time %d", i, o, from, at)
	}
	outside := func(from int64, o ReaderOptions) (*Reader, error) { return openReader(st, memDir, from, o) }
	for i := range 100 {
		round(i, j.NewReader)
		round(i, outside)
	}
	require.NoError(t, j.Close())
	for i := range 50 {
		round(i, outside)
	}
}

// A byte of a journal is changed, any of them: what ReadSpans delivers, and the error that ends it, are Read's.
func TestReader_ReadSpans_Damage(t *testing.T) {
	st := newMemStorage()
	j := mixed(t, st, rand.New(rand.NewPCG(2, 7)), 50)
	end := j.w.off
	require.NoError(t, j.Close())
	m := st.nodes[st.segments()[0]].bytes()
	open := func() (*Reader, error) { return openReader(st, memDir, 0, ReaderOptions{}) }
	whole, _ := readings(t, open)
	differ := 0
	for off := int64(0); off < end+64; off++ {
		m[off] ^= 0x21
		plain, spans := readings(t, open)
		require.Equal(t, plain, spans, "byte %d", off)
		if m[off] ^= 0x21; len(plain) != len(whole) {
			differ++
		}
	}
	require.Greater(t, int64(differ), (end-recordsOffset)*9/10, "damage ends the reading")
}

// A span whose function fails or panics is delivered again, all of it; one that ended with ErrStop is not.
// What the function does with its slice changes nothing.
func TestReader_ReadSpans_Again(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	j := mixed(t, newMemStorage(), rnd, 3000)
	oops := errors.New("oops")
	for round := range 100 {
		o, from := randomly(rnd, j.Written()), 1+rnd.Int64N(j.Written())
		o.UpTo = Written
		var want, got []string
		r, err := j.NewReader(from, o)
		require.NoError(t, err)
		_, err = r.Read(func(rec Record) error { want = append(want, fmt.Sprintf("%+v", rec)); return nil })
		require.NoError(t, err)
		require.NoError(t, r.Close())

		r, err = j.NewReader(from, o)
		require.NoError(t, err)
		for over := false; !over; {
			calls, count := 1+rnd.IntN(6), 0
			ends := []error{nil, ErrStop, oops, oops}[rnd.IntN(4)]
			panics := ends == oops && rnd.IntN(2) == 0
			func() {
				defer func() {
					if p := recover(); p != nil && p != oops {
						panic(p)
					}
				}()
				n, err := r.ReadSpans(func(recs []Record) error {
					if recs[0].Kind.advances() {
						require.Less(t, r.Sequence(), recs[0].Sequence, "the span does not count yet")
					}
					if calls--; calls > 0 || ends != oops {
						for _, rec := range recs {
							got = append(got, fmt.Sprintf("%+v", rec))
						}
						count += len(recs)
					}
					clear(recs)
					_ = append(recs, Record{}, Record{})
					switch {
					case calls > 0:
						return nil
					case panics:
						panic(oops)
					}
					return ends
				})
				require.Equal(t, count, n)
				if over = calls > 0; over || ends != oops {
					require.NoError(t, err)
				} else {
					require.ErrorIs(t, err, oops)
				}
				over = over || ends == nil
			}()
		}
		require.Equal(t, want, got, "round %d: %+v from %d", round, o, from)
		require.NoError(t, r.Close())
	}
	require.NoError(t, j.Close())
}

// A reader that is closed by whom it delivers to delivers nothing more.
func TestReader_ReadSpans_ClosedInside(t *testing.T) {
	j, err := openMem(newMemStorage(), Options{Durability: None()})
	require.NoError(t, err)
	appendTo(t, j, 500)
	for _, at := range []int{1, 2, 5} {
		r, err := j.NewReader(0, ReaderOptions{})
		require.NoError(t, err)
		calls, count := 0, 0
		n, err := r.ReadSpans(func(recs []Record) error {
			count += len(recs)
			if calls++; calls == at {
				return r.Close()
			}
			return nil
		})
		if err != nil {
			require.ErrorIs(t, err, ErrClosed)
		}
		require.Equal(t, at, calls)
		require.Equal(t, count, n)
	}
	require.NoError(t, j.Close())
}

// Small records come many at a time, and nothing is allocated for them.
func TestReader_ReadSpans_DoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	j, err := Open(t.TempDir(), Options{Durability: None()})
	require.NoError(t, err)
	defer j.Close()
	body := make([]byte, 128)
	for range 20_000 {
		_, err := j.Stage(Entry{Body: body, Time: 1})
		require.NoError(t, err)
	}
	require.NoError(t, j.Commit())
	r, err := j.NewReader(0, ReaderOptions{})
	require.NoError(t, err)
	defer r.Close()
	spans, records := 0, 0
	read := func(recs []Record) error {
		records += len(recs)
		if spans++; spans%2 == 0 {
			return ErrStop
		}
		return nil
	}
	_, err = r.ReadSpans(read)
	require.NoError(t, err)
	require.Zero(t, testing.AllocsPerRun(50, func() { _, _ = r.ReadSpans(read) }))
	require.Equal(t, 104, spans)
	require.Greater(t, records, 90*spans, "of at most 96")
}

// Spans follow a writer: all records once, in order, to the end that is asked for, or that comes.
func TestReader_FollowSpans(t *testing.T) {
	j, err := openMem(newMemStorage(), Options{Durability: None()})
	require.NoError(t, err)
	const last = 5000
	ends := map[string]struct {
		o    ReaderOptions
		stop int64
	}{
		"until":  {o: ReaderOptions{Until: 4321}},
		"stop":   {stop: 3000},
		"closed": {},
	}
	type result struct {
		name string
		last int64
		err  error
	}
	over := make(chan result)
	for name, e := range ends {
		r, err := j.NewReader(0, e.o)
		require.NoError(t, err)
		defer r.Close()
		go func() {
			at := int64(0)
			err := r.FollowSpans(context.Background(), func(recs []Record) error {
				for _, rec := range recs {
					if at++; rec.Sequence != at {
						return fmt.Errorf("%d came after %d", rec.Sequence, at-1)
					}
				}
				if e.stop > 0 && at >= e.stop {
					return ErrStop
				}
				return nil
			})
			over <- result{name, at, err}
		}()
	}
	for j.Written() < last {
		appendTo(t, j, j.Written()+1+j.Written()%7)
	}
	end := j.Written()
	require.NoError(t, j.Close())
	for range ends {
		switch got := <-over; got.name {
		case "until":
			require.NoError(t, got.err)
			require.EqualValues(t, 4321, got.last)
		case "stop":
			require.NoError(t, got.err)
			require.GreaterOrEqual(t, got.last, int64(3000))
		default:
			require.ErrorIs(t, got.err, ErrClosed)
			require.Equal(t, end, got.last)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var r Reader
	require.ErrorIs(t, r.FollowSpans(ctx, nil), context.Canceled)
}

func ExampleReader_ReadSpans() {
	dir, err := os.MkdirTemp("", "journal")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	j, err := Open(dir, Options{Durability: None()})
	if err != nil {
		panic(err)
	}
	defer j.Close()
	for i := range 1000 {
		if _, err := j.Stage(Entry{Type: 1, Body: make([]byte, i%100)}); err != nil {
			panic(err)
		}
	}
	if err := j.Commit(); err != nil {
		panic(err)
	}
	r, err := j.NewReader(0, ReaderOptions{})
	if err != nil {
		panic(err)
	}
	defer r.Close()
	bytes := 0
	n, err := r.ReadSpans(func(recs []Record) error {
		for i := range recs { // by index: a Record is a cache line
			bytes += len(recs[i].Body)
		}
		return nil
	})
	fmt.Println(n, "records,", bytes, "bytes,", err)
	// Output: 1000 records, 49500 bytes, <nil>
}
