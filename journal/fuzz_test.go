package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Fuzzing of the other decoders; those of records, segments and names are in hostile_test.go. What a
// decoder takes must come back the same from its encoder, and nothing may make it panic, hang or
// allocate without bound.

func FuzzIndex(f *testing.F) {
	st := newMemStorage()
	golden(f, st)
	m := st.nodes[st.segments()[0]].bytes()
	var h header
	require.NoError(f, h.decode(m))
	end := int64(0)
	for off := int64(recordsOffset); ; {
		fr, body, next, err := readFrame(m, off, int64(len(m)), h.salt)
		require.NoError(f, err)
		if fr.kind == KindIndex {
			f.Add(bytes.Clone(body), off)
			end = off
		}
		if off = next; fr.kind == KindSeal {
			break
		}
	}
	f.Add([]byte{}, end)
	f.Add([]byte{255, 255, 255, 255, 24, 0, 0, 0}, end)
	f.Fuzz(func(t *testing.T, body []byte, end int64) {
		if end < 0 || end > int64(len(m)) {
			return
		}
		v, err := asIndex(body, end)
		if err != nil {
			if !errors.Is(err, ErrIndex) {
				t.Fatal(err)
			}
			return
		}
		for i := range v.len() {
			if p := v.at(i); p.offset < recordsOffset || p.offset >= end {
				t.Fatalf("place %d: %+v, end %d", i, p, end)
			}
			if p, ok := v.before(func(p place) bool { return p.sequence <= v.at(i).sequence }); !ok || p.sequence != v.at(i).sequence {
				t.Fatalf("place %d is not found: %+v, %v", i, p, ok)
			}
		}
		if checkIndex(m, &h, body, end) == nil {
			for i := range v.len() {
				if fr, _, _, err := readFrame(m, v.at(i).offset, end, h.salt); err != nil || fr.time != v.at(i).time {
					t.Fatalf("place %d was checked, and is no record: %v", i, err)
				}
			}
		}
	})
}

func FuzzSeal(f *testing.F) {
	var b [sealBodyBytes]byte
	(&seal{flags: sealAtTear, lastSequence: 7, lastTime: 8, indexOffset: 9000}).encode(b[:])
	f.Add(b[:])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		var s, again seal
		if s.decode(b) != nil {
			return
		}
		var out [sealBodyBytes]byte
		s.encode(out[:])
		if err := again.decode(out[:]); err != nil || again != s {
			t.Fatalf("%+v became %+v: %v", s, again, err)
		}
	})
}

func FuzzLink(f *testing.F) {
	var b [linkBytes]byte
	l := Link{Segment: 3, First: 1, Last: 9, LastTime: 5, Records: 11}
	l.encode(b[:])
	f.Add(b[:])
	l.PublicKey, l.Signature = make([]byte, 32), make([]byte, 64)
	l.encode(b[:])
	f.Add(b[:])
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) != linkBytes {
			return
		}
		// Past the checksum, so that the fields behind it are judged too.
		b = bytes.Clone(b)
		le.PutUint32(b, checksum(b[4:]))
		var l Link
		if l.decode(b) != nil {
			return
		}
		_ = l.check(nil)
		var out [linkBytes]byte
		l.encode(out[:])
		if len(l.Signature) == 0 {
			clear(b[160:256]) // ignored without the flag
			le.PutUint32(b, checksum(b[4:]))
		}
		if !bytes.Equal(out[:], b) {
			t.Fatalf("%x became %x", b, out)
		}
	})
}

func FuzzHolds(f *testing.F) {
	f.Add([]byte(`[{"name":"a","sequence":3,"expires":"0001-01-01T00:00:00Z"}]`), true)
	f.Add([]byte("00000000\n[]"), false)
	f.Fuzz(func(t *testing.T, b []byte, sum bool) {
		if sum {
			b = append([]byte(hex8(checksum(b))+"\n"), b...)
		}
		st := newMemStorage()
		st.dirs[memDir] = true
		n := newMemNode(int64(len(b)))
		copy(n.bytes(), b)
		st.nodes[filepath.Join(memDir, holdsName)] = n
		holds, err := readHolds(st, memDir)
		if err != nil {
			if !errors.Is(err, ErrHold) {
				t.Fatal(err)
			}
			return
		}
		if err := writeHolds(st, memDir, sortedHolds(holds)); err != nil {
			return // such as a time that JSON cannot hold
		}
		again, err := readHolds(st, memDir)
		if err != nil || len(again) != len(holds) {
			t.Fatalf("%v became %v: %v", holds, again, err)
		}
	})
}

func hex8(v uint32) string {
	const digits = "0123456789abcdef"
	var b [8]byte
	for i := range b {
		b[i] = digits[v>>(28-4*i)&15]
	}
	return string(b[:])
}

// FuzzProof checks that no proof that was changed proves another record.
func FuzzProof(f *testing.F) {
	st := newMemStorage()
	golden(f, st)
	j, err := openMem(st, Options{Chain: true})
	require.NoError(f, err)
	root, err := j.WaitChained(f.Context(), 1)
	require.NoError(f, err)
	require.NoError(f, j.Close())
	p, err := prove(st, memDir, 1, ProveOptions{Anchor: root.Root})
	require.NoError(f, err)
	b, err := json.Marshal(p)
	require.NoError(f, err)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		var q Proof
		if json.Unmarshal(b, &q) != nil {
			return
		}
		rec, err := VerifyProof(q, root.Root, nil)
		if err == nil && rec.Sequence == 1 && string(rec.Body) != "the first event" {
			t.Fatalf("it proves %+v", rec)
		}
	})
}

// FuzzDirectory makes a directory out of a script: files of a good journal removed, doubled under
// other names, cut, patched and lengthened, and names that are none. Whatever it is, every way in
// either refuses it or works.
func FuzzDirectory(f *testing.F) {
	base := newMemStorage()
	j, err := openMem(base, Options{Durability: None(), Chain: true})
	require.NoError(f, err)
	for j.Stats().Rolls < 2 {
		appendTo(f, j, j.Written()+1)
	}
	require.NoError(f, j.Hold("h", 3, time.Time{}))
	require.NoError(f, j.Close())
	f.Add([]byte{0}, byte(1))
	f.Add([]byte{1, 1, 0, 0, 0}, byte(1))
	f.Add([]byte{2, 0, 200, 1, 2}, byte(2))
	f.Add([]byte{3, 2, 0, 32, 9}, byte(2))
	f.Add([]byte{4, 1, 7, 9, 0, 5, 2, 0, 0, 0}, byte(2))
	f.Fuzz(func(t *testing.T, script []byte, boot byte) {
		st := base.clone()
		st.id.boot[0] = boot
		for ; len(script) >= 5; script = script[5:] {
			st.disturb(script[0], script[1], int64(script[2])<<8|int64(script[3]), script[4])
		}
		_, _ = verify(st.clone(), memDir, VerifyOptions{})
		if r, err := openReader(st, memDir, 0, ReaderOptions{Internal: true}); err == nil {
			n := 0
			_, _ = r.Read(func(Record) error { n++; return nil })
			_, _ = r.ReadBackward(func(Record) error { return nil })
			_ = r.Close()
			if n > 100_000 {
				t.Fatalf("%d records", n)
			}
		}
		j, err := openMem(st, Options{Chain: boot%2 == 0})
		if err != nil {
			return
		}
		n, readErr := readAllAnyBody(j)
		if _, err := j.Append(Entry{Body: []byte("goes on")}); err != nil {
			t.Fatal(err)
		}
		_, _ = j.Trim(Retention{Before: 100})
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		again, err := openMem(st, Options{})
		if err != nil {
			t.Fatalf("opened once, and then: %v", err)
		}
		defer again.Close()
		if readErr == nil && again.Written() < int64(n) {
			t.Fatalf("%d records were read, then %d are left", n, again.Written())
		}
	})
}

// disturb does one thing to one file.
func (s *memStorage) disturb(what, which byte, at int64, value byte) {
	var names []string
	for name := range s.nodes {
		names = append(names, name)
	}
	sortStrings(names)
	if len(names) == 0 || len(names) > 64 {
		return
	}
	name := names[int(which)%len(names)]
	n := s.nodes[name]
	at = at * max(1, n.size/65536) % max(1, n.size)
	switch what % 7 {
	case 0:
		delete(s.nodes, name)
	case 1: // another name for the same content
		first, id, ok := parseSegmentName(filepath.Base(name))
		if !ok {
			return
		}
		c := newMemNode(n.size)
		copy(c.bytes(), n.bytes())
		s.nodes[filepath.Join(memDir, segmentName(first+at, id+uint64(value)))] = c
	case 2:
		c := newMemNode(at)
		copy(c.bytes(), n.bytes())
		s.nodes[name] = c
	case 3:
		if n.size > 0 {
			n.bytes()[at] = value
		}
	case 4: // a field of a header, and a checksum that fits
		if n.size > pageBytes && strings.HasSuffix(name, segmentSuffix) {
			n.bytes()[at%76] = value
			le.PutUint32(n.bytes()[4092:], checksum(n.bytes()[:4092]))
		}
	case 5:
		c := newMemNode(min(n.size+at, 4*MinSegmentBytes))
		copy(c.bytes(), n.bytes())
		s.nodes[name] = c
	case 6:
		s.nodes[filepath.Join(memDir, []string{failedName, "x" + spareSuffix, "00000000000000000001-.seg", lockName}[value%4])] = newMemNode(at % 1000)
	}
}
