package headrace_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/journal"
)

// answers checks what must hold in any log of the bank, at rest: every deposit has exactly one answer, behind it,
// with the id that derives from it, and no id stands twice.
func checkAnswers(t *testing.T, log []logged) {
	t.Helper()
	ids := map[event.ID]int64{}
	bySeq := map[int64]logged{}
	answered := map[int64]int{}
	for i, l := range log {
		require.Equal(t, int64(i+1), l.seq, "no gap")
		bySeq[l.seq] = l
		if l.kind != journal.KindEvent || l.typeID < handlers.FirstUserType {
			continue
		}
		require.Zero(t, ids[l.header.ID], "event %d has the id of event %d", l.seq, ids[l.header.ID])
		ids[l.header.ID] = l.seq
		if !l.header.HasOrigin {
			continue
		}
		o := l.header.Origin
		cause := bySeq[o.Cause]
		require.NotZero(t, cause.seq, "event %d: its cause %d comes later", l.seq, o.Cause)
		require.Equal(t, cause.header.ID, l.header.CausationID)
		require.Equal(t, event.DeriveID(o.Handler, cause.header.ID, o.Ordinal), l.header.ID)
		answered[o.Cause]++
	}
	for _, l := range log {
		if l.kind == journal.KindEvent && l.typeID >= handlers.FirstUserType && !l.header.HasOrigin {
			require.Equal(t, 1, answered[l.seq], "answers to event %d", l.seq)
		}
	}
}

// Cut the log anywhere, as a power cut may: what is before the cut is there, and every deposit that is left gets its
// answer once, whether the cut took it or not.
func TestEngine_LogCutAnywhere_AnswersStandOnce(t *testing.T) {
	dir := t.TempDir()
	o := small()
	o.Journal.SegmentBytes = 128 << 10
	e := open(t, dir, newApp(t), o)
	p := producer(t, e, "web")
	for i := range int64(200) {
		publish(t, p, deposit{Account: i % 3, Amount: i})
	}
	closeEngine(t, e)
	whole := readLog(t, dir)
	checkAnswers(t, whole)
	files, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	name := filepath.Base(files[0])

	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 1))
	for range 40 {
		cut := int64(8192 + rng.IntN(60<<10))
		torn := copyDir(t, dir)
		require.NoError(t, os.Truncate(filepath.Join(torn, name), cut))
		a := newApp(t)
		e := open(t, torn, a, o)
		closeEngine(t, e)
		log := readLog(t, torn)
		checkAnswers(t, log)
		kept := 0
		for i := range min(len(log), len(whole)) {
			if log[i].header.ID != whole[i].header.ID {
				break
			}
			kept++
		}
		state, _ := a.state()
		deposits := 0
		for _, l := range log {
			if l.kind == journal.KindEvent && l.typeID >= handlers.FirstUserType && !l.header.HasOrigin {
				deposits++
			}
		}
		require.Equal(t, deposits, state.Answers, "seed %d, cut at %d, %d events kept", seed, cut, kept)
	}
}

// A copy of the files at any moment is what a kill leaves behind.
func TestEngine_CopiedWhileRunning_OpensWithAllWritten(t *testing.T) {
	dir := t.TempDir()
	e := open(t, dir, newApp(t), small())
	p := producer(t, e, "web")
	for round := range 5 {
		var last int64
		for i := range int64(300) {
			last = publish(t, p, deposit{Account: int64(round), Amount: i})
		}
		require.NoError(t, e.WaitWritten(limit(t), last))
		crashed := copyDir(t, dir)
		a := newApp(t)
		again := open(t, crashed, a, small())
		closeEngine(t, again)
		log := readLog(t, crashed)
		checkAnswers(t, log)
		require.GreaterOrEqual(t, log[len(log)-1].seq, last)
		state, _ := a.state()
		require.Equal(t, 300*(round+1), state.Answers)
	}
	closeEngine(t, e)
}

func TestEngine_FlippedBit_IsRefusedAndNamed(t *testing.T) {
	dir := t.TempDir()
	e := open(t, dir, newApp(t), small())
	p := producer(t, e, "web")
	for i := range int64(100) {
		publish(t, p, deposit{Amount: i})
	}
	closeEngine(t, e)
	files, _ := filepath.Glob(filepath.Join(dir, "*.seg"))
	data, err := os.ReadFile(files[0])
	require.NoError(t, err)
	for _, at := range []int{8192 + 40, 8192 + 3000, 8192 + 3001, 8192 + 7777} {
		bad := copyDir(t, dir)
		flipped := slices.Clone(data)
		flipped[at] ^= 4
		require.NoError(t, os.WriteFile(filepath.Join(bad, filepath.Base(files[0])), flipped, 0o600))
		_, err := headrace.Open(bad, newApp(t).topology, small())
		var ce *journal.CorruptionError
		require.ErrorAs(t, err, &ce, "bit flipped at %d", at)
		require.Equal(t, filepath.Base(files[0]), ce.Segment)
		require.LessOrEqual(t, ce.Offset, int64(at))
		require.NotZero(t, ce.Sequence)
		_, err = headrace.Replay(bad, newApp(t).topology, headrace.ReplayOptions{})
		require.ErrorAs(t, err, &ce)
	}
}

func TestEngine_Outputs_AreOneAtomicBatch(t *testing.T) {
	dir := t.TempDir()
	a := newAppWith(t, func(c *handlers.Context, d deposit) error {
		for i := range d.Amount % 60 { // batches wrap around the ring's end
			if err := handlers.EmitWith(c, deposited{d.Account, i}, handlers.EmitOptions{Key: strings.Repeat("k", int(i))}); err != nil {
				return err
			}
		}
		return nil
	})
	e := open(t, dir, a, small())
	p := producer(t, e, "web")
	want := 0
	for i := range int64(200) {
		publish(t, p, deposit{Amount: i})
		want += int(i % 60)
	}
	closeEngine(t, e)
	state, _ := a.state()
	require.Equal(t, want, state.Answers)
	log := readLog(t, dir)
	for i := 0; i < len(log); i++ {
		h := log[i].header
		if !h.HasOrigin {
			require.True(t, log[i].typeID < handlers.FirstUserType || log[i].flags&journal.FlagBatch == 0)
			continue
		}
		for k := range h.Origin.Outputs {
			l := log[i+int(k)]
			require.Equal(t, event.Origin{Handler: h.Origin.Handler, Cause: h.Origin.Cause, Ordinal: k, Outputs: h.Origin.Outputs, Depth: 1}, l.header.Origin)
			require.Equal(t, event.DeriveID(h.Origin.Handler, h.CausationID, k), l.header.ID)
			require.Equal(t, k+1 < h.Origin.Outputs, l.flags&journal.FlagBatch != 0, "sequence %d", l.seq)
		}
		i += int(h.Origin.Outputs) - 1
	}
}
