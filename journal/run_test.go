package journal

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace/internal/crc"
)

// A run ends before the first record that is not in its place, wherever in a group of three that is,
// although the record verifies.
func TestRun_Places(t *testing.T) {
	const n, salt = 12, 77
	size := recordBytes(20)
	p := expected{segment: 1, salt: salt, sequence: 5, time: 100, lastTime: 200}
	for bad := range n {
		for name, place := range map[string]func(sequence, time int64) (int64, int64){
			"good":     func(s, t int64) (int64, int64) { return s, t },
			"gap":      func(s, t int64) (int64, int64) { return s + 1, t },
			"repeated": func(s, t int64) (int64, int64) { return s - 1, t },
			"earlier":  func(s, t int64) (int64, int64) { return s, 99 },
			"late":     func(s, t int64) (int64, int64) { return s, 201 },
		} {
			m := make([]byte, n*size)
			for i := range int64(n) {
				sequence, time := p.sequence+i, p.time+i
				if int(i) == bad {
					sequence, time = place(sequence, time)
				}
				copy(m[i*size:], encodeEvent(make([]byte, 20), salt, i*size, sequence, time))
			}
			w := &window{buf: m, n: int64(len(m))}
			w.run.fill(w, 0, p)
			want := bad
			if name == "good" {
				want = n
			}
			require.Equal(t, want, w.run.n, "record %d: %s", bad, name)
			for i, rec := range w.run.recs[:w.run.n] {
				require.Equal(t, p.sequence+int64(i), rec.Sequence)
				require.Equal(t, int64(i)*size, rec.Offset)
			}
		}
	}
}

// mixed makes a journal of n records: runs of events of one length and of many, three types, three of a time, and now
// and then a void or a checkpoint.
func mixed(t testing.TB, st *memStorage, rnd *rand.Rand, n int) *Journal {
	t.Helper()
	j, err := openMem(st, Options{Durability: None(), SegmentBytes: MinSegmentBytes})
	require.NoError(t, err)
	size := 40
	for i := range n {
		if rnd.IntN(30) == 0 {
			size = rnd.IntN(300)
		}
		e := Entry{Type: uint16(rnd.IntN(3)), Time: int64(1000 + i/3), Body: make([]byte, size)}
		if k := rnd.IntN(40); i > 0 && k < 2 {
			e.Kind, e.Type = KindVoid+Kind(k), 0
			if e.Kind == KindVoid {
				e.Body = nil
			}
		}
		_, err := j.Stage(e)
		require.NoError(t, err)
	}
	require.NoError(t, j.Commit())
	return j
}

// Readers with all kinds of options, stopped by errors, by ErrStop and by panics at any record, deliver what a
// plain reading gives after the options are applied to it, once each.
func TestReader_Run_StoppedAnywhere(t *testing.T) {
	rnd := rand.New(rand.NewPCG(8, 9))
	j := mixed(t, newMemStorage(), rnd, 3000)
	var all []Record
	plain, err := j.NewReader(0, ReaderOptions{Internal: true})
	require.NoError(t, err)
	_, err = plain.Read(func(rec Record) error { rec.Body = nil; all = append(all, rec); return nil })
	require.NoError(t, err)
	require.NoError(t, plain.Close())
	require.Greater(t, j.Stats().Rolls, uint64(2))
	oops := errors.New("oops")
	for round := range 300 {
		o := ReaderOptions{Internal: rnd.IntN(3) == 0}
		if rnd.IntN(2) == 0 {
			o.Until = 1 + rnd.Int64N(j.Written())
		}
		if rnd.IntN(2) == 0 {
			o.UntilTime = 1000 + rnd.Int64N(1000)
		}
		if rnd.IntN(2) == 0 {
			o.Types = []uint16{uint16(rnd.IntN(3))}
		}
		from := 1 + rnd.Int64N(j.Written())
		until, untilTime := o.Until, o.UntilTime
		if until == 0 {
			until = math.MaxInt64
		}
		if untilTime == 0 {
			untilTime = math.MaxInt64
		}
		var want []Record
		for _, rec := range all {
			if rec.Kind.advances() && (rec.Sequence > until || rec.Time > untilTime) {
				break
			}
			if rec.Sequence < from || !o.Internal && !rec.Kind.advances() ||
				rec.Kind.advances() && o.Types != nil && !newTypeSet(o.Types).wants(rec.Kind, rec.Type) {
				continue
			}
			want = append(want, rec)
		}
		r, err := j.NewReader(from, o)
		require.NoError(t, err)
		every := 2 + rnd.IntN(60)
		var got []Record
		done := false
		for !done {
			stop := rnd.IntN(every)
			count, kind := 0, rnd.IntN(3)
			func() {
				defer func() {
					if p := recover(); p != nil && p != oops {
						panic(p)
					}
				}()
				n, err := r.Read(func(rec Record) error {
					rec.Body = nil
					if count == stop {
						switch kind {
						case 0:
							return oops
						case 1:
							panic(oops)
						}
						got = append(got, rec)
						count++
						return ErrStop
					}
					got = append(got, rec)
					count++
					return nil
				})
				require.Equal(t, count, n)
				if err != nil {
					require.ErrorIs(t, err, oops)
				}
				done = err == nil && (n < stop || n == 0)
				if n == stop && kind < 2 && err == nil {
					done = true
				}
			}()
		}
		if o.Internal { // the ends of what is internal are for other tests
			want, got = events(want), events(got)
		}
		require.Equal(t, fmt.Sprint(want), fmt.Sprint(got), "round %d: %+v from %d, stopped every %d", round, o, from, every)
		require.NoError(t, r.Close())
	}
	require.NoError(t, j.Close())
}

// events leaves out records that have no sequence of their own.
func events(recs []Record) (left []Record) {
	for _, rec := range recs {
		if rec.Kind.advances() {
			left = append(left, rec)
		}
	}
	return left
}

// A reader that is closed by whom it delivers to delivers nothing more.
func TestReader_ClosedInside(t *testing.T) {
	j, err := openMem(newMemStorage(), Options{Durability: None(), SegmentBytes: MinSegmentBytes})
	require.NoError(t, err)
	appendTo(t, j, 200)
	for _, at := range []int{0, 1, 5, 23, 24, 100, 199} {
		r, err := j.NewReader(0, ReaderOptions{})
		require.NoError(t, err)
		n := 0
		k, err := r.Read(func(Record) error {
			if n++; n == at+1 {
				return r.Close()
			}
			return nil
		})
		if err != nil {
			require.ErrorIs(t, err, ErrClosed)
		}
		require.Equal(t, at+1, n)
		require.Equal(t, at+1, k)
	}
	require.NoError(t, j.Close())
}

// A run has what the plain decoder takes for events in their places, and not one record more, whatever is done to
// the bytes, with and without checksums that fit.
func FuzzRun(f *testing.F) {
	const salt = 99
	var base []byte
	var starts []int64
	p := expected{segment: 1, salt: salt, sequence: 5, time: 100, lastTime: 200}
	for i, n := range []int{20, 20, 20, 20, 3, 3, 3, 0, 0, 0, 0, 8, 8, 8, 16, 8} {
		starts = append(starts, int64(len(base)))
		base = append(base, encodeEvent(make([]byte, n), salt, int64(len(base)), p.sequence+int64(i), p.time+int64(i/2))...)
	}
	f.Add(uint16(0), []byte{}, false)
	f.Add(uint16(24), []byte{3, 0, 2}, true)
	f.Add(uint16(16), []byte{99}, true)
	f.Add(uint16(54), []byte{1}, true)
	f.Add(uint16(0), []byte{33}, true)
	f.Fuzz(func(t *testing.T, at uint16, patch []byte, fix bool) {
		m := append([]byte(nil), base...)
		if int(at) < len(m) {
			copy(m[at:], patch)
		}
		for _, off := range starts {
			if n := int64(le.Uint32(m[off:])); fix && n >= recordHeaderBytes && n <= int64(len(m))-off {
				le.PutUint32(m[off+4:], crc.Record(m[off:off+n], salt, uint64(off)))
			}
		}
		var want []Record
		for off := int64(0); off < int64(len(m)); {
			fr, body, next, err := readFrame(m, off, int64(len(m)), salt)
			last := int64(len(want)) + p.sequence - 1
			time := p.time
			if len(want) > 0 {
				time = want[len(want)-1].Time
			}
			if err != nil || fr.kind != KindEvent || fr.sequence != last+1 || fr.time < time || fr.time > p.lastTime {
				break
			}
			want = append(want, Record{fr.sequence, fr.time, fr.typ, fr.kind, fr.flags, fr.crc, body, off, 1})
			off = next
		}
		w := &window{buf: m, n: int64(len(m))}
		w.run.fill(w, 0, p)
		if got := w.run.recs[:w.run.n]; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("patch %x at %d, fixed %v: %d records, want %d:\n%v\n%v", patch, at, fix, len(got), len(want), got, want)
		}
	})
}

// encodeEvent returns the record of an event, padding included.
func encodeEvent(body []byte, salt uint64, off, sequence, time int64) []byte {
	w3 := packWord3(3, KindEvent, 0, 0)
	length := uint64(recordHeaderBytes + len(body))
	var tail frameTail
	sum := tail.frame(body, salt, uint64(off), length, uint64(sequence), uint64(time), w3)
	rec := make([]byte, recordBytes(len(body)))
	le.PutUint64(rec, length|uint64(sum)<<32)
	le.PutUint64(rec[8:], uint64(sequence))
	le.PutUint64(rec[16:], uint64(time))
	le.PutUint64(rec[24:], w3)
	copy(rec[recordHeaderBytes:], body)
	return rec
}
