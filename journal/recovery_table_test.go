package journal

import (
	"errors"
	"fmt"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every combination of what recovery can meet, against a second statement of the rules.
//
// A journal of two segments is made by hand, the bytes and the promises apart: the older one has
// sequences 1 to 6 and a seal, the newest 7 to 12. One of them is damaged.
//
//	axis       values
//	target     the older segment, the newest
//	header     good, garbled, short file, of another journal, of a later version
//	position   of the damage: first record, middle, last, seal (older only)
//	record     there: intact, one bit flipped, its place zero, zero to the end, garbage to the end
//	promise    that it was synced: none, a pair that ends before it, a pair beyond it, a later record's
//	           durable lag in the segment, the next segment's pair, a record of the next segment
//	life       the writer's boot and mount are these, or others
//	committed  the control page's bare offset is before the damage, or behind everything
//
// What must come of it, first line that fits:
//
//	header of a later version                      refused as such
//	header of another journal                      corruption
//	short, newest                                  cut: the segment goes aside
//	short, older                                   corruption
//	garbled, here or a pair or a promise           corruption
//	garbled, else                                  torn: it and what follows go aside
//	good, record intact                            clean
//	good, pair beyond it                           corruption
//	good, here, committed behind it                corruption
//	good, zero to the end, newest                  clean, and ends there
//	good, only the seal is gone                    sealed again; here, what is left of it is zeroed, else kept aside
//	good, a promise in a record or the next segment  corruption
//	good, here, newest                             the unfinished bytes are zeroed
//	good, here, older                              corruption
//	good, else                                     torn: cut there, kept aside
type tableCase struct {
	target, header, position, record, promise, life, committed int
}

const (
	older, newest                                                          = 0, 1
	hdrGood, hdrGarbled, hdrShort, hdrForeign, hdrFuture                   = 0, 1, 2, 3, 4
	posFirst, posMiddle, posLast, posSeal                                  = 0, 1, 2, 3
	recIntact, recFlipped, recZeroed, recZeroTail, recGarbageTail          = 0, 1, 2, 3, 4
	prNone, prPairBefore, prPair, prRecord, prNextPair, prNextRecord       = 0, 1, 2, 3, 4, 5
	lifeHere, lifeElsewhere                                                = 0, 1
	comBefore, comAfter                                                    = 0, 1
	outClean, outCorrupt, outTorn, outCut, outWiped, outSealed, outVersion = 0, 1, 2, 3, 4, 5, 6
)

// expect is the second statement of the rules. last is the last sequence that must be left where the
// journal opens.
func (c tableCase) expect() (out int, last int64) {
	first, lost := int64(1), int64(1)
	if c.target == newest {
		first = 7
	}
	lost = first + [...]int64{0, 3, 5, 6}[c.position]
	damaged := c.record != recIntact
	gone := c.record == recZeroTail || c.record == recGarbageTail // nothing stands behind it
	// The last record promises; it must still be there, and not be the damaged one.
	byRecord := c.promise == prRecord && !(damaged && (gone || c.position == posLast)) && !(c.position == posSeal)
	byNext := c.target == older && (c.promise == prNextPair || c.promise == prNextRecord)
	pair := c.promise == prPairBefore || c.promise == prPair
	switch c.header {
	case hdrFuture:
		return outVersion, 0
	case hdrForeign:
		return outCorrupt, 0
	case hdrShort:
		if c.target == newest {
			return outCut, 6
		}
		return outCorrupt, 0
	case hdrGarbled:
		if c.life == lifeHere || pair || byRecord || byNext || c.promise == prRecord && c.position == posSeal {
			return outCorrupt, 0
		}
		return outTorn, first - 1
	}
	switch {
	case !damaged:
		return outClean, 12
	case c.promise == prPair, c.life == lifeHere && c.committed == comAfter:
		return outCorrupt, 0
	case c.target == newest && (c.record == recZeroTail || c.record == recZeroed && c.position == posLast):
		return outClean, lost - 1
	case c.position == posSeal:
		return outSealed, 12
	case byRecord, byNext:
		return outCorrupt, 0
	case c.target == newest && c.life == lifeHere:
		return outWiped, lost - 1
	case c.life == lifeHere:
		return outCorrupt, 0
	}
	return outTorn, lost - 1
}

// handMade writes records first..first+5 and, if sealed, a seal, into a new segment. promise is what
// the last event says was durable, 0: nothing.
func handMade(id uint64, first, promise int64, sealed bool) (b []byte, at []int64) {
	n := newMemNode(MinSegmentBytes)
	b = n.bytes()
	h := header{uuid: [16]byte{1}, id: id, first: first, size: MinSegmentBytes, salt: 77 + id}
	h.encode(b[:pageBytes])
	var t frameTail
	off := int64(recordsOffset)
	for seq := first; seq < first+6; seq++ {
		at = append(at, off)
		body := makeBody(seq + 1000)
		if len(body) == 0 {
			body = []byte("x")
		}
		durable := seq - lagUnknown
		if seq == first+5 && promise > 0 {
			durable = promise
		}
		w3 := packWord3(9, KindEvent, 0, lagOf(seq, durable))
		crc := t.sum(checksum(body), h.salt, uint64(off), uint64(recordHeaderBytes+len(body)), uint64(seq), uint64(seq), w3)
		le.PutUint64(b[off:], uint64(recordHeaderBytes+len(body))|uint64(crc)<<32)
		le.PutUint64(b[off+8:], uint64(seq))
		le.PutUint64(b[off+16:], uint64(seq))
		le.PutUint64(b[off+24:], w3)
		copy(b[off+recordHeaderBytes:], body)
		off += recordBytes(len(body))
	}
	at = append(at, off)
	if sealed {
		sl := seal{lastSequence: first + 5, lastTime: first + 5}
		le.PutUint64(b[off:], putSeal(b[off:off+sealRecordBytes], off, h.salt, &sl, first+5-lagUnknown, &t))
		at = append(at, off+sealRecordBytes)
	}
	return b, at
}

func (c tableCase) build() (*memStorage, [2]string) {
	st := newMemStorage()
	st.dirs[memDir] = true
	names := [2]string{segmentName(1, 1), segmentName(7, 2)}
	lost := [2]int64{1, 7}[c.target] + [...]int64{0, 3, 5, 6}[c.position]
	var bytesOf [2][]byte
	for i := range 2 {
		promise := int64(0)
		if c.promise == prRecord && i == c.target {
			promise = min(lost, [2]int64{1, 7}[i]+5)
		}
		if c.promise == prNextRecord && c.target == older && i == newest {
			promise = lost
		}
		b, at := handMade(uint64(i+1), [2]int64{1, 7}[i], promise, i == older)
		bytesOf[i] = b
		end := at[len(at)-1]
		committed, pairAt, pairSeq := end, int64(0), int64(0)
		if i == c.target {
			p := [...]int{0, 3, 5, 6}[c.position]
			if c.committed == comBefore {
				committed = at[p]
			}
			switch c.promise {
			case prPairBefore:
				pairAt, pairSeq = at[p], lost-1
			case prPair:
				pairAt, pairSeq = at[p+1], lost
				if c.position == posSeal {
					pairSeq = lost - 1
				}
			}
			c.harm(b, at, p)
		}
		if c.promise == prNextPair && c.target == older && i == newest {
			pairAt, pairSeq = recordsOffset, 6
		}
		if pairAt > 0 {
			storePair(b, uint64(i+1), pair{1, pairAt, pairSeq})
		}
		id := st.id
		if c.life == lifeElsewhere {
			id.boot[5]++
		}
		storeIdentity(b, uint64(i+1), id)
		store64(b, ctlCommittedOffset, uint64(committed))
		store64(b, ctlCommittedSequence, 6*uint64(i+1))
	}
	for i := range 2 {
		size := int64(MinSegmentBytes)
		if i == c.target && c.header == hdrShort {
			size = 100
		}
		n := newMemNode(size)
		copy(n.bytes(), bytesOf[i])
		st.nodes[filepath.Join(memDir, names[i])] = n
	}
	return st, names
}

// harm does to b what the case says.
func (c tableCase) harm(b []byte, at []int64, p int) {
	from, to, end := at[p], int64(0), at[len(at)-1]
	if p+1 < len(at) {
		to = at[p+1]
	}
	switch c.record {
	case recFlipped:
		b[from+9] ^= 0x40
	case recZeroed:
		clear(b[from:to])
	case recZeroTail:
		clear(b[from:end])
	case recGarbageTail:
		for i := from; i < end; i++ {
			b[i] = byte(i*31) | 1
		}
	}
	switch c.header {
	case hdrGarbled:
		b[48] ^= 1 // the time of creation
	case hdrForeign:
		b[20] ^= 1
		le.PutUint32(b[4092:], checksum(b[:4092]))
	case hdrFuture:
		le.PutUint16(b[8:], formatVersion+1)
		le.PutUint32(b[4092:], checksum(b[:4092]))
	}
}

func TestRecover_TableOfCases(t *testing.T) {
	names := []string{"clean", "corrupt", "torn", "cut", "wiped", "sealed", "version"}
	count := map[int]int{}
	for i := range 2 * 5 * 4 * 5 * 6 * 2 * 2 {
		c := tableCase{target: i % 2, header: i / 2 % 5, position: i / 10 % 4, record: i / 40 % 5, promise: i / 200 % 6, life: i / 1200 % 2, committed: i / 2400 % 2}
		if c.target == newest && (c.position == posSeal || c.promise >= prNextPair) {
			continue // it has neither
		}
		want, last := c.expect()
		count[want]++
		what := fmt.Sprintf("%+v: want %s, last %d", c, names[want], last)
		st, segs := c.build()
		j, err := openMem(st, Options{VerifyAll: true, Durability: None()})
		var bad *CorruptionError
		switch want {
		case outVersion:
			require.ErrorIs(t, err, ErrFormatVersion, what)
			continue
		case outCorrupt:
			require.ErrorAs(t, err, &bad, what)
			untouched, _ := c.build()
			require.Len(t, st.nodes, len(untouched.nodes), what)
			for name, n := range untouched.nodes {
				require.Equal(t, n.bytes(), st.nodes[name].bytes(), "%s: a refusal changes nothing", what)
			}
			continue
		}
		require.NoError(t, err, what)
		rec := j.Recovery()
		require.Equal(t, last, j.Written(), what)
		require.Equal(t, want == outTorn || want == outCut, rec.Torn != "", what)
		require.Equal(t, want == outCut, rec.Cut, what)
		partOfSeal := want == outSealed && c.record != recZeroed && c.record != recZeroTail
		require.Equal(t, want == outWiped || partOfSeal && c.life == lifeHere, rec.Unfinished > 0, what)
		require.Equal(t, want == outTorn || want == outCut || partOfSeal && c.life == lifeElsewhere, len(rec.AsideFiles) > 0, what)
		require.Equal(t, want == outClean, rec.Clean, what)
		seqs, err := collect(j)
		require.NoError(t, err, what)
		require.Len(t, seqs, int(last), what)
		require.NoError(t, j.Close())
		j, err = openMem(st, Options{VerifyAll: true})
		require.NoError(t, err, what)
		require.True(t, j.Recovery().Clean, what)
		require.Equal(t, last, j.Written(), what)
		require.NoError(t, j.Close())
		_ = segs
	}
	for out, name := range names {
		require.Positive(t, count[out], name)
		t.Logf("%s: %d cases", name, count[out])
	}
}

// A tear with segments behind it: every step of the recovery may be the last before a crash.
func TestRecover_LaterSegmentsAside_CrashBetweenAnySteps(t *testing.T) {
	c := tableCase{target: older, position: posMiddle, record: recFlipped, life: lifeElsewhere}
	base, segs := c.build()
	want, last := c.expect()
	require.Equal(t, outTorn, want)
	for ops := 0; ; ops++ {
		st := base.clone()
		left := ops
		st.hook = func(op, _ string) error {
			switch op {
			case "create", "rename", "writeAt", "sync", "syncDir", "mkdir", "remove":
				if left--; left < 0 {
					return syscall.EIO
				}
			}
			return nil
		}
		j, err := openMem(st, Options{VerifyAll: true})
		crashed := err != nil
		st.hook = nil
		if crashed {
			require.ErrorIs(t, err, syscall.EIO)
			st = st.clone()
			j, err = openMem(st, Options{VerifyAll: true})
			require.NoError(t, err, "after %d operations", ops)
		}
		require.Equal(t, last, j.Written(), "after %d operations", ops)
		_, err = j.Append(Entry{Body: []byte("goes on")})
		require.NoError(t, err)
		require.NoError(t, j.Close())
		rep, err := verify(st, memDir, VerifyOptions{})
		require.NoError(t, err, "after %d operations", ops)
		require.Equal(t, last+1, rep.Last)
		require.NotNil(t, st.nodes[filepath.Join(memDir, asideName, segs[newest])], "after %d operations", ops)
		if !crashed {
			require.Greater(t, ops, 10)
			return
		}
	}
}

// collect reads the sequences of a journal and checks that they have no gap.
func collect(j *Journal) (seqs []int64, err error) {
	r, err := j.NewReader(0, ReaderOptions{})
	if err != nil {
		return nil, err
	}
	_, err = r.Read(func(rec Record) error {
		if seqs = append(seqs, rec.Sequence); rec.Sequence != int64(len(seqs)) {
			return fmt.Errorf("%w: %d", ErrGap, rec.Sequence)
		}
		return nil
	})
	return seqs, errors.Join(err, r.Close())
}
