package journal

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sort"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestTorture_PageModel cuts the power of a simulated machine. A journal is written, in lives that
// end at a random operation of the storage or between two; at that moment every sector of 512 bytes
// that was changed since its file was synced is, independently, as it was at the last sync, as it
// is, as it was at some time between, or partly the one and partly the other; and of what was done
// to names since their directory was synced a beginning is there. Where few sectors are concerned
// every combination is a case, else random ones. Recovery must leave all that was durable and a
// prefix of what was written, unaltered, and go on from there. Some lives end by a mere kill, after
// which everything written is there, and is durable once the next life has opened it.
//
// Some cases are harsher than the journal promises to survive: a sector that held durable bytes too
// is zero, or the changes of names are there in another order. It may refuse those, as
// *CorruptionError, and where the very promise that something was durable did not reach the disk it
// may end earlier; it may not deliver anything wrong.
func TestTorture_PageModel(t *testing.T) {
	for worker := range uint64(2) {
		t.Run(fmt.Sprintf("worker=%d", worker), func(t *testing.T) {
			t.Parallel()
			c := newCampaign(t, 800, 500_000)
			m := &pageModel{campaign: c, rnd: c.rand(worker)}
			for !m.full() {
				m.scenario()
			}
			m.notes = note("%d scenarios, %d cuts inside recovery, %d kills before a cut, %d states with every combination tried, %d harsh ones of which %d were refused",
				m.scenarios, m.inside, m.killed, m.exhaustive, m.harsh, m.refused)
		})
	}
}

type pageModel struct {
	*campaign
	rnd   *rand.Rand
	lives lives
	buf   []byte

	killedAt, killedDurable int64 // written, and durable, when the last writer was killed

	scenarios, inside, exhaustive, harsh, refused, killed int
}

func (m *pageModel) full() bool { return m.cases.Load() >= m.want || m.t.Failed() }

// cutPoint is the moment at which the power goes.
type cutPoint struct {
	files   []cutFile
	ops     []dirOp // of files, by index
	dirs    map[string]bool
	sectors []cutSector
	id      identity
	durable int64
	written int64
}

// cutFile is a file that may be there afterwards.
type cutFile struct {
	node     *memNode
	name     string   // as of the last sync of the directory; empty: it did not exist
	versions [][]byte // synced, then later ones, the present last
}

// cutSector is a sector whose versions differ.
type cutSector struct {
	file, off int
	clobbers  bool // the synced version is not zero
}

const pageLarge = 12_000

// scenario is some lives of one journal.
func (m *pageModel) scenario() {
	m.scenarios++
	m.lives = lives{}
	st := newMemStorage()
	durable, written, least := int64(0), int64(0), int64(0)
	for life := uint32(1); life <= uint32(1+m.rnd.IntN(4)) && !m.full(); life++ {
		cut := m.live(st, life, durable, least, written)
		if cut == nil {
			// The process died and nothing else: all that was written is there, synced or not.
			durable, written, least = m.killedDurable, m.killedAt, m.killedAt
			m.killed++
			continue
		}
		durable, written, least = cut.durable, cut.written, cut.durable
		m.states(cut)
		// The next life goes on from one of them.
		st = m.materialise(cut, m.choose(cut, false), m.prefix(cut))
	}
}

// live opens the journal, writes, and returns the moment of the cut.
func (m *pageModel) live(st *memStorage, life uint32, durable, least, written int64) *cutPoint {
	rnd := m.rnd
	st.crashy = true
	var cut *cutPoint
	var j *Journal
	var mu sync.Mutex
	known, most := durable, written
	snaps := map[*memNode][]snap{}
	armed := true // the hook may look: nobody else changes anything
	left := -1
	if rnd.IntN(2) == 0 {
		left = shortInt(rnd, 120)
	}
	st.setHook(func(op, name string) error {
		mu.Lock()
		defer mu.Unlock()
		if left--; left == -1 && armed && cut == nil {
			if j != nil {
				known, most = j.Durable(), j.w.seq
			} else {
				m.inside++
			}
			cut = freeze(st, snaps, known, most)
		}
		return nil
	})
	o := Options{Durability: None(), SegmentBytes: MinSegmentBytes, TouchAheadBytes: 64 << 10, RecycleSegments: 8 * rnd.IntN(2)}
	if rnd.IntN(2) == 0 {
		o.Backend = BackendPwrite
	}
	j2, err := open(st, memDir, o, systemRandomness())
	m.check(err, "open, life %d, durable %d, written %d", life, durable, written)
	mu.Lock()
	j = j2
	armed = false
	cutInOpen := cut != nil
	mu.Unlock()
	last := j.Written()
	if last < least || last > written {
		m.fail("life %d: recovery left %d, of %d to %d", life, last, least, written)
	}
	if cutInOpen {
		// What was before is still what counts; but the cut state is judged with the older lives.
		abandon(j)
		return cut
	}
	m.lives.recovered(last, life)
	w := lifeWriter{j: j, life: life, large: pageLarge, rnd: rnd}
	steps := 1 + shortInt(rnd, 150)
	for i := 0; i < steps; i++ {
		m.check(w.step(), "append")
		if rnd.IntN(30) == 0 {
			mu.Lock()
			armed = true // during Sync the writer rests
			if rnd.IntN(4) == 0 && cut == nil {
				left = rnd.IntN(4) // right now
			}
			mu.Unlock()
			m.check(j.Sync(), "sync")
			mu.Lock()
			armed = false
			stop := cut != nil
			mu.Unlock()
			clear(snaps)
			if stop {
				break
			}
			if rnd.IntN(3) == 0 && j.Written() > 100 {
				_, err := j.Trim(Retention{Before: j.Written() - 50})
				m.check(err, "trim")
			}
		}
		if rnd.IntN(40) == 0 {
			snapshot(st, snaps)
		}
	}
	mu.Lock()
	if cut == nil {
		cut = freeze(st, snaps, j.Durable(), j.w.seq)
	}
	mu.Unlock()
	if cut.written == j.w.seq && rnd.IntN(5) == 0 {
		m.killedAt, m.killedDurable = j.Written(), j.Durable()
		abandon(j)
		return nil
	}
	if rnd.IntN(30) == 0 && cut.durable == j.Durable() {
		m.check(j.Close(), "close")
		cut = freeze(st, nil, j.Durable(), j.Written())
		return cut
	}
	abandon(j)
	return cut
}

func shortInt(rnd *rand.Rand, limit int) int { return rnd.IntN(limit>>rnd.IntN(5) + 1) }

// snap is the content of a file after so many syncs of it.
type snap struct {
	syncs   int
	content []byte
}

// snapshot keeps the files' contents as a time between syncs. The journal's goroutines change no
// contents but in a sync.
func snapshot(st *memStorage, snaps map[*memNode][]snap) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for name, n := range st.nodes {
		if filepath.Ext(name) == segmentSuffix && len(snaps[n]) < 2 {
			n.mu.RLock()
			snaps[n] = append(snaps[n], snap{n.syncs, n.copied().bytes()})
			n.mu.RUnlock()
		}
	}
}

// freeze copies what a power cut now can leave.
func freeze(st *memStorage, snaps map[*memNode][]snap, durable, written int64) *cutPoint {
	st.mu.Lock()
	defer st.mu.Unlock()
	c := &cutPoint{durable: durable, written: written, id: st.id, dirs: map[string]bool{}}
	for d := range st.dirs {
		c.dirs[d] = true
	}
	copies := map[*memNode]*memNode{}
	add := func(name string, n *memNode) *memNode {
		if k := copies[n]; k != nil {
			return k
		}
		n.mu.RLock() // the journal's other goroutines write and sync
		defer n.mu.RUnlock()
		k := &memNode{size: n.size}
		copies[n] = k
		old := make([]byte, n.size)
		copy(old, n.image)
		f := cutFile{node: k, name: name, versions: [][]byte{old}}
		for _, s := range snaps[n] {
			if len(s.content) == len(old) && s.syncs == n.syncs {
				f.versions = append(f.versions, s.content)
			}
		}
		f.versions = append(f.versions, n.copied().bytes())
		c.files = append(c.files, f)
		return k
	}
	names := make([]string, 0, len(st.synced))
	for name := range st.synced {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		add(name, st.synced[name])
	}
	for _, op := range st.ops {
		op.node = add("", op.node)
		c.ops = append(c.ops, op)
	}
	for i, f := range c.files {
		for off := 0; off < len(f.versions[0]); off += 512 {
			end := min(off+512, len(f.versions[0]))
			old := f.versions[0][off:end]
			for _, v := range f.versions[1:] {
				if !bytes.Equal(v[off:end], old) {
					c.sectors = append(c.sectors, cutSector{i, off, !isZero(old)})
					break
				}
			}
		}
	}
	return c
}

// sectorState says what a sector holds: a version, or up to split one and then another, or zeros.
type sectorState struct {
	version, other uint8
	split          uint16
	zero           bool
}

// choose draws a state of all sectors.
func (m *pageModel) choose(c *cutPoint, harsh bool) []sectorState {
	rnd := m.rnd
	states := make([]sectorState, len(c.sectors))
	flavour := rnd.IntN(6)
	for i := range states {
		latest := uint8(len(c.files[c.sectors[i].file].versions) - 1)
		s := &states[i]
		switch flavour {
		case 0: // all new
			s.version, s.split = latest, 512
		case 1: // few are old
			if s.version, s.split = latest, 512; rnd.IntN(8) == 0 {
				s.version = 0
			}
		case 2: // few are new
			if s.split = 512; rnd.IntN(8) == 0 {
				s.version = latest
			}
		default:
			s.version, s.other = uint8(rnd.IntN(int(latest)+1)), uint8(rnd.IntN(int(latest)+1))
			s.split = 512
			if rnd.IntN(4) == 0 {
				s.split = uint16(8 * rnd.IntN(65))
			}
		}
		if harsh && rnd.IntN(6) == 0 {
			s.zero = true
		}
	}
	return states
}

// prefix draws how many of the changes of names are there: a mask of the operations.
func (m *pageModel) prefix(c *cutPoint) uint64 {
	return 1<<m.rnd.IntN(min(63, len(c.ops))+1) - 1
}

// materialise makes the storage that a machine would find.
func (m *pageModel) materialise(c *cutPoint, states []sectorState, ops uint64) *memStorage {
	st := newMemStorage()
	// The machine was started anew, or only the file system was mounted again.
	if st.id = c.id; m.rnd == nil || m.rnd.IntN(3) > 0 {
		st.id.boot[0]++
	} else {
		st.id.mount++
	}
	for d := range c.dirs {
		st.dirs[d] = true
	}
	at := 0
	names := map[*memNode]*memNode{}
	for i, f := range c.files {
		n := newMemNode(f.node.size)
		b := n.bytes()
		copy(b, f.versions[0])
		for ; at < len(states) && c.sectors[at].file == i; at++ {
			off := c.sectors[at].off
			end := min(off+512, len(b))
			s := states[at]
			if s.zero {
				clear(b[off:end])
				continue
			}
			split := min(off+int(s.split), end)
			copy(b[off:split], f.versions[s.version][off:split])
			copy(b[split:end], f.versions[s.other][split:end])
		}
		n.image = append([]byte(nil), b...)
		names[f.node] = n
		if f.name != "" {
			st.nodes[f.name] = n
		}
	}
	for i, op := range c.ops {
		if i < 64 && ops&(1<<i) == 0 {
			continue
		}
		if op.from != "" && st.nodes[op.from] == names[op.node] {
			delete(st.nodes, op.from)
		}
		if op.to != "" {
			st.nodes[op.to] = names[op.node]
		}
	}
	for name, n := range st.nodes {
		st.synced[name] = n
	}
	return st
}

// states tries what a cut can leave: every combination if there are not many, else some.
func (m *pageModel) states(c *cutPoint) {
	const most = 2048
	total := 1
	for _, s := range c.sectors {
		if total *= len(c.files[s.file].versions); total > most {
			break
		}
	}
	if total *= len(c.ops) + 1; total <= most && m.longEnough(total) {
		for n := range total {
			if !m.more() {
				return
			}
			left := n
			states := make([]sectorState, len(c.sectors))
			for i, s := range c.sectors {
				k := len(c.files[s.file].versions)
				states[i] = sectorState{version: uint8(left % k), split: 512}
				left /= k
			}
			m.exhaustive++
			m.try(c, states, 1<<left-1, false)
		}
		return
	}
	tries := 600
	if !longForm() {
		tries = 30
	}
	for range tries {
		if !m.more() {
			return
		}
		m.try(c, m.choose(c, false), m.prefix(c), false)
	}
	for range tries / 10 {
		if !m.more() {
			return
		}
		m.harsh++
		ops := m.prefix(c)
		if m.rnd.IntN(3) == 0 {
			ops = m.rnd.Uint64()
		}
		m.try(c, m.choose(c, true), ops, true)
	}
}

func (m *pageModel) longEnough(total int) bool { return longForm() || total < 200 }

// try judges one state. Of a harsh one recovery may say that it is damaged.
func (m *pageModel) try(c *cutPoint, states []sectorState, ops uint64, harsh bool) {
	st := m.materialise(c, states, ops)
	describe := func() string {
		out := fmt.Sprintf("durable %d, written %d, ops %b of %d", c.durable, c.written, ops, len(c.ops))
		for i, s := range states {
			if i == 40 {
				return out + " …"
			}
			out += fmt.Sprintf("; %s+%d: %+v", filepath.Base(c.files[c.sectors[i].file].name), c.sectors[i].off, s)
		}
		return out
	}
	refusal := func(err error) bool {
		var bad *CorruptionError
		return harsh && errors.As(err, &bad)
	}
	if n := m.cases.Load(); n%4 == 0 {
		r, err := openReader(st, memDir, 0, ReaderOptions{Internal: true})
		if err == nil {
			err = m.delivers(r, c, harsh)
		}
		if err != nil && !(errors.Is(err, ErrNotFound) && (c.durable == 0 || harsh)) && !refusal(err) {
			m.fail("a reader before recovery: %v (%s)", err, describe())
		}
	}
	j, err := open(st, memDir, Options{Durability: None(), SegmentBytes: MinSegmentBytes, TouchAheadBytes: 64 << 10}, systemRandomness())
	if refusal(err) {
		m.refused++
		return
	}
	if err != nil {
		m.fail("open: %v (%s)", err, describe())
	}
	if last := j.Written(); (last < c.durable || last > c.written) && !(harsh && last < c.durable) {
		m.fail("recovery left %d (%s)", last, describe())
	}
	r, err := j.NewReader(0, ReaderOptions{Internal: true})
	if err == nil {
		err = m.delivers(r, c, harsh)
	}
	if err != nil && !refusal(err) {
		m.fail("after recovery: %v (%s)", err, describe())
	}
	if m.cases.Load()%16 == 0 {
		before := j.Written()
		_, err := j.Append(Entry{Type: 1, Body: []byte("goes on")})
		if err == nil {
			err = j.Close()
		}
		if err != nil {
			m.fail("goes on: %v (%s)", err, describe())
		}
		rep, err := verify(st, memDir, VerifyOptions{})
		if err == nil && (rep.Last != before+1 || rep.Torn) {
			err = fmt.Errorf("last %d, want %d; torn %v", rep.Last, before+1, rep.Torn)
		}
		if err != nil && !refusal(err) {
			m.fail("verify: %v (%s)", err, describe())
		}
		return
	}
	abandon(j)
}

// delivers reads everything and checks it against lives and promises, and closes r.
func (m *pageModel) delivers(r *Reader, c *cutPoint, harsh bool) error {
	defer r.Close()
	check := m.lives.reader(r.next, pageLarge)
	check.buf = m.buf
	_, err := r.Read(check.record)
	m.buf = check.buf
	if err == nil {
		err = check.end()
	}
	if last := check.next - 1; err == nil && (last < c.durable || last > c.written) && !(harsh && last < c.durable) {
		return fmt.Errorf("delivered up to %d", last)
	}
	return err
}

// Each removal of Trim is durable before the next is made, so that no file system, whatever the order
// in which it writes names, leaves a journal with a gap.
func TestTrim_EachRemovalIsDurableBeforeTheNext(t *testing.T) {
	st := newMemStorage()
	j, err := openMem(st, Options{Durability: None()})
	require.NoError(t, err)
	for j.Stats().Rolls < 5 {
		appendTo(t, j, j.Written()+1)
	}
	require.NoError(t, j.Sync())
	var mu sync.Mutex
	removed, synced := 0, true
	st.setHook(func(op, name string) error {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case op == "syncDir":
			synced = true
		case op == "remove" && filepath.Ext(name) == segmentSuffix:
			require.True(t, synced, "removal of %s", name)
			removed, synced = removed+1, false
		}
		return nil
	})
	_, err = j.Trim(Retention{Before: j.Written() - 10})
	require.NoError(t, err)
	require.True(t, synced)
	require.GreaterOrEqual(t, removed, 3)
	require.NoError(t, j.Close())
}
