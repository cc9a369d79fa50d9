package journal

import (
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// sealedIndex returns the places of a sealed segment's index.
func sealedIndex(t testing.TB, st *memStorage, name string) (places []place, indexAt, sealAt int64) {
	t.Helper()
	m := st.nodes[name].bytes()
	var h header
	require.NoError(t, h.decode(m[:pageBytes]))
	end := int64(load64(m, ctlCommittedOffset))
	v, sl, ok := findIndex(&readSegment{mem: m, hdr: h}, end)
	require.True(t, ok, "%s has no index", name)
	for i := range v.len() {
		places = append(places, v.at(i))
	}
	return places, int64(sl.indexOffset), end - sealRecordBytes
}

func TestIndex_SameWhoeverWroteIt(t *testing.T) {
	// The writer alone; a writer that was stopped and opened again; one with batches taken back.
	write := func(how string) []place {
		st := newMemStorage()
		j, err := openMem(st, Options{Durability: None()})
		require.NoError(t, err)
		for n := 0; j.Stats().Rolls == 0; n++ {
			seq := j.Written() + 1
			if n == 300 && how == "reopened" {
				require.NoError(t, j.Close())
				j, err = openMem(st, Options{Durability: None()})
				require.NoError(t, err)
			}
			if how == "cancelled" {
				require.NoError(t, j.BeginBatch(40, 20_00))
				for range 30 {
					_, err := j.Stage(Entry{Body: make([]byte, 50), Time: 1000 + seq})
					require.NoError(t, err)
				}
				j.CancelBatch()
				if j.Stats().Rolls > 0 {
					break // to make room for what was taken back
				}
			}
			_, err := j.Append(Entry{Type: 9, Time: 1000 + seq, Body: bodyOf(seq)})
			require.NoError(t, err)
		}
		require.NoError(t, j.Commit())
		places, indexAt, _ := sealedIndex(t, st, st.segments()[0])
		require.Greater(t, len(places), 10)
		require.NoError(t, j.Close())
		_, err = verify(st, memDir, VerifyOptions{})
		require.NoError(t, err)
		require.Less(t, places[len(places)-1].offset, indexAt)
		return places
	}
	plain := write("plain")
	require.Equal(t, plain, write("reopened"))
	cancelled := write("cancelled")
	require.Equal(t, plain[:len(cancelled)], cancelled)
}

func TestSeek_FewReads(t *testing.T) {
	st := newMemStorage()
	j, err := openMem(st, Options{Durability: None()})
	require.NoError(t, err)
	body := make([]byte, 1000)
	for j.Stats().Rolls < 256 {
		_, err := j.Append(Entry{Time: 10 * (j.Written() + 1), Body: body})
		require.NoError(t, err)
	}
	last := j.Written()
	var opens atomic.Int64
	st.setHook(func(op, _ string) error {
		if op == "open" {
			opens.Add(1)
		}
		return nil
	})
	r, err := j.NewReader(0, ReaderOptions{})
	require.NoError(t, err)
	for _, want := range []int64{1, 2, 57, 58, last / 3, last / 2, last - 100, last} {
		for name, seek := range map[string]func() error{
			"sequence": func() error { return r.SeekTo(want) },
			"time":     func() error { return r.SeekTime(time.Unix(0, 10*want-3)) },
		} {
			opens.Store(0)
			require.NoError(t, seek())
			var got Record
			_, err = r.Read(func(rec Record) error { got = rec; return ErrStop })
			require.NoError(t, err)
			require.Equal(t, want, got.Sequence, name)
			// Eleven at most by the reader; the writer's helper may open a file of its own meanwhile.
			require.LessOrEqual(t, opens.Load(), int64(13), "files opened to find %s %d among 257", name, want)
			// From the place to the record there is at most a spacing and a record.
			if _, ok := r.readFrom(); ok && got.Segment < 257 {
				from, _ := r.readFrom()
				require.Less(t, got.Offset-from, int64(minIndexSpacing+2*len(body)))
			}
		}
	}
	st.setHook(nil)
	require.NoError(t, j.Close())
}

// readFrom is the place from which the current segment's index would read the last record.
func (r *Reader) readFrom() (int64, bool) {
	end, _ := r.end()
	v, _, ok := findIndex(r.seg, end)
	if !ok {
		return 0, false
	}
	p, ok := v.before(func(p place) bool { return p.sequence < r.next })
	return p.offset, ok
}

func TestIndex_LiesAreFound(t *testing.T) {
	st := newMemStorage()
	j, err := openMem(st, Options{Durability: None()})
	require.NoError(t, err)
	for j.Stats().Rolls == 0 {
		appendTo(t, j, j.Written()+1)
	}
	require.NoError(t, j.Close())
	name := st.segments()[0]
	m := st.nodes[name].bytes()
	places, at, _ := sealedIndex(t, st, name)
	var h header
	require.NoError(t, h.decode(m[:pageBytes]))
	for what, lie := range map[string]func(p *place){
		"sequence": func(p *place) { p.sequence++ },
		"time":     func(p *place) { p.time-- },
		"offset":   func(p *place) { p.offset += 8 },
		"outside":  func(p *place) { p.offset = at },
	} {
		c := st.clone()
		m := c.nodes[name].bytes()
		s := sampler{places: append([]place(nil), places...)}
		lie(&s.places[5])
		var tail frameTail
		f := peekFrame(m, at)
		le.PutUint64(m[at:], s.put(m[at:at+s.recordBytes()], at, h.salt, f.sequence, f.time, 0, &tail))
		_, err := verify(c, memDir, VerifyOptions{})
		var bad *CorruptionError
		require.ErrorAs(t, err, &bad, what)
		require.ErrorIs(t, err, ErrIndex, what)
		require.Equal(t, filepath.Base(name), bad.Segment)
		// A reader is led astray and says so, or reads right; it never delivers wrong data.
		r, err := openReader(c, memDir, 0, ReaderOptions{})
		require.NoError(t, err)
		for seq := int64(1); seq < 500; seq += 7 {
			require.NoError(t, r.SeekTo(seq))
			_, err := r.Read(func(rec Record) error {
				require.Equal(t, seq, rec.Sequence)
				require.Equal(t, bodyOf(seq), rec.Body)
				return ErrStop
			})
			if err != nil {
				require.ErrorAs(t, err, &bad)
			}
		}
	}
}

// A power cut may keep the index and lose the seal and the next segment. The journal goes on.
func TestIndex_WithoutSeal_GoesOn(t *testing.T) {
	// In the larger segment the room at the end does not suffice for two indexes.
	for i, bytes := range []int64{64 << 10, 64 << 10, 4 << 20} {
		boot := byte(1 + i%2)
		o := Options{Durability: None(), SegmentBytes: bytes}
		st := newMemStorage()
		j, err := openMem(st, o)
		require.NoError(t, err)
		for j.Stats().Rolls == 0 {
			appendTo(t, j, j.Written()+1)
		}
		last := j.Written()
		abandon(j)
		names := st.segments()
		_, at, sealAt := sealedIndex(t, st, names[0])
		m := st.nodes[names[0]].bytes()
		clear(m[sealAt : sealAt+sealRecordBytes])
		clear(m[ctlPair0 : ctlPair1+128])
		store64(m, ctlCommittedOffset, uint64(at))
		store64(m, ctlCommittedSequence, uint64(last-1))
		delete(st.nodes, names[1])
		st.id.boot[0], st.id.mount = boot, uint64(boot)
		j, err = openMem(st, o)
		require.NoError(t, err)
		require.Equal(t, last-1, j.Written())
		appendTo(t, j, 2*last)
		got, err := readAll(j)
		require.NoError(t, err)
		require.Equal(t, 2*last, got)
		require.NoError(t, j.Close())
		_, err = verify(st, memDir, VerifyOptions{})
		require.NoError(t, err)
	}
}
