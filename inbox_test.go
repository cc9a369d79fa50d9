package headrace_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
)

func from(source string, offset int64) headrace.Meta {
	return headrace.Meta{Source: source, SourceOffset: offset}
}

// naiveInbox remembers everything.
type naiveInbox map[string][]handlers.SourcePlace

func (n naiveInbox) find(source string, offset int64) (seq int64, repeat bool) {
	all := n[source]
	if len(all) == 0 || all[len(all)-1].Offset < offset {
		return 0, false
	}
	for _, p := range all {
		if p.Offset >= offset {
			return p.Sequence, true
		}
	}
	panic("no")
}

// has tells whether there is an event with this very offset.
func (n naiveInbox) has(source string, offset int64) bool {
	return slices.ContainsFunc(n[source], func(p handlers.SourcePlace) bool { return p.Offset == offset })
}

// Publishing from sources, with repeats, gaps, batches, failures, restarts, snapshots and a trimmed log, against a list
// of everything: each offset is in the log once, and a repeat is answered with where it is.
// With the whole log there, and with its beginning given up now and then: then most of what lies between two marks is gone.
func TestInbox_AgainstNaive(t *testing.T) {
	t.Run("kept", func(t *testing.T) { inboxAgainstNaive(t, false) })
	t.Run("trimmed", func(t *testing.T) { inboxAgainstNaive(t, true) })
}

func inboxAgainstNaive(t *testing.T, trims bool) {
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	o := small()
	o.Snapshots.Keep = 1
	o.Snapshots.AtClose = true
	naive := naiveInbox{}
	oldest := int64(1)
	next := map[string]int64{}
	var e *headrace.Engine
	var p *headrace.Producer
	begin := func() {
		a := newApp(t)
		a.topology.Logic().Stateless()
		e = open(t, dir, a, o)
		p = producer(t, e, "bridge")
		for source, all := range naive {
			at, ok := e.Inbox(source)
			require.True(t, ok)
			require.Equal(t, headrace.SourcePosition{Source: source, Offset: all[len(all)-1].Offset, Sequence: all[len(all)-1].Sequence}, at, "seed %d", seed)
		}
		require.Len(t, e.Inboxes(), len(naive))
	}
	begin()
	for step := range 2600 {
		source := fmt.Sprint("queue/", rng.IntN(3)*rng.IntN(2))
		offset := next[source] + int64(rng.IntN(3))
		if rng.IntN(3) == 0 {
			offset = rng.Int64N(next[source] + 1) // any repeat
		}
		want, repeat := naive.find(source, offset)
		trimmed := repeat && (want < oldest || oldest > 1 && !naive.has(source, offset))
		switch rng.IntN(12) {
		case 0: // cannot be encoded: it is not in the log
			_, err := headrace.Publish(limit(t), p, refusing{}, from(source, offset))
			if repeat {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, errRefusing)
			}
			continue
		case 1:
			n := 2 + rng.IntN(3)
			var all []headrace.Message
			for i := range n {
				all = append(all, headrace.Message{Value: note{"x"}, Meta: from(source, offset+2*int64(i))})
			}
			_, repeatLast := naive.find(source, offset+2*int64(n-1))
			seq, err := p.PublishBatch(limit(t), all)
			switch {
			case repeat && !repeatLast:
				require.ErrorIs(t, err, headrace.ErrPartialRepeat)
				require.ErrorIs(t, err, handlers.ErrOffset)
			case repeat && !trimmed:
				require.NoError(t, err)
				require.Equal(t, want, seq, "seed %d, step %d", seed, step)
			case repeat:
				require.NoError(t, err)
			default:
				require.NoError(t, err)
				for i := range n {
					naive[source] = append(naive[source], handlers.SourcePlace{Offset: offset + 2*int64(i), Sequence: seq + int64(i)})
				}
				next[source] = offset + 2*int64(n-1) + 1
			}
			continue
		case 2:
			publish(t, p, note{"from nowhere"})
		case 3:
			if rng.IntN(20) > 0 {
				break
			}
			if rng.IntN(2) == 0 {
				closeEngine(t, e)
			} else { // as a kill leaves it
				require.NoError(t, e.WaitWritten(limit(t), e.Stats().Ring.Cursor))
				dir2 := copyDir(t, dir)
				if _, err := os.Stat(filepath.Join(dir, "snapshots")); err == nil {
					require.NoError(t, os.CopyFS(filepath.Join(dir2, "snapshots"), os.DirFS(filepath.Join(dir, "snapshots"))))
				}
				closeEngine(t, e)
				dir = dir2
			}
			begin()
		case 4:
			if trims && rng.IntN(20) == 0 {
				_, err := e.Snapshot(limit(t))
				require.NoError(t, err)
				rep, err := e.Trim(headrace.Retention{MaxBytes: 1})
				require.NoError(t, err)
				oldest = rep.First
			}
		}
		var seq int64
		var err error
		if rng.IntN(2) == 0 {
			seq, err = headrace.Publish(limit(t), p, note{"x"}, from(source, offset))
		} else if seq, err = p.TryPublish(note{"x"}, from(source, offset)); errors.Is(err, headrace.ErrWouldBlock) {
			continue
		}
		require.NoError(t, err)
		switch want, again := naive.find(source, offset); {
		case again && (want < oldest || oldest > 1 && seq == 0 && !naive.has(source, offset)):
			require.Contains(t, []int64{0, want}, seq)
		case again:
			require.Equal(t, want, seq, "seed %d, step %d: %s at %d", seed, step, source, offset)
		default:
			naive[source] = append(naive[source], handlers.SourcePlace{Offset: offset, Sequence: seq})
			next[source] = offset + 1
		}
	}
	closeEngine(t, e)
	require.Greater(t, len(naive["queue/0"]), 520, "more than is kept as it is")
	first := int64(0)
	seen := naiveInbox{}
	for _, l := range readLogFrom(t, dir) {
		if first == 0 {
			first = l.seq
		}
		if s := l.header.Source; s != "" {
			seen[s] = append(seen[s], handlers.SourcePlace{Offset: l.header.SourceOffset, Sequence: l.seq})
		}
	}
	for source, all := range naive {
		var want []handlers.SourcePlace
		for _, p := range all {
			if p.Sequence >= first {
				want = append(want, p)
			}
		}
		require.Equal(t, want, seen[source], "seed %d", seed)
	}
}

// Several deliver the same messages at once, as a queue does that nobody has answered: each is in the log once.
func TestInbox_ManyAtOnce(t *testing.T) {
	dir := t.TempDir()
	e := open(t, dir, newApp(t), small())
	var wg sync.WaitGroup
	const most = 400
	answers := make([][most]int64, 4)
	for k := range answers {
		p := producer(t, e, fmt.Sprint(k))
		wg.Go(func() {
			for i := range int64(most) {
				seq, err := headrace.Publish(context.Background(), p, note{"x"}, from("q", i))
				if err != nil {
					t.Error(err)
				}
				answers[k][i] = seq
			}
		})
	}
	wg.Wait()
	closeEngine(t, e)
	for k := range answers {
		require.Equal(t, answers[0], answers[k], "all are answered the same")
	}
	n := int64(0)
	for _, l := range readLog(t, dir) {
		if l.header.Source != "" {
			require.Equal(t, n, l.header.SourceOffset)
			require.Equal(t, answers[0][n], l.seq)
			n++
		}
	}
	require.EqualValues(t, most, n)
}

func TestInbox_Misuse(t *testing.T) {
	e := open(t, t.TempDir(), newApp(t), small())
	p := producer(t, e, "web")
	var field *event.FieldError
	long := make([]byte, 256)
	for i := range long {
		long[i] = 'x'
	}
	for _, m := range []headrace.Meta{from("", 1), from("q", -1), from(string(long), 1), from("q\xff", 1)} {
		_, err := headrace.Publish(limit(t), p, note{}, m)
		require.ErrorAs(t, err, &field)
		_, err = p.PublishBatch(limit(t), []headrace.Message{{Value: note{}, Meta: m}, {Value: note{}}})
		require.ErrorAs(t, err, &field)
	}
	two := []headrace.Message{{Value: note{}, Meta: from("a", 1)}, {Value: note{}, Meta: from("b", 2)}}
	_, err := p.PublishBatch(limit(t), two)
	require.ErrorAs(t, err, &field)
	two[1].Meta = from("a", 1)
	_, err = p.PublishBatch(limit(t), two)
	require.ErrorContains(t, err, "does not ascend")
	_, err = e.Append(limit(t), "s", headrace.ExpectAny, headrace.Message{Value: note{}, Meta: from("a", 1)})
	require.ErrorAs(t, err, &field)
	_, err = headrace.Call[deposited](limit(t), p, deposit{}, from("a", 1))
	require.ErrorContains(t, err, "known when it is repeated")
	_, ok := e.Inbox("a")
	require.False(t, ok)
	require.Empty(t, e.Inboxes())

	m := from("a", 7)
	m.ID = event.IDFromName("command")
	first, err := headrace.Call[deposited](limit(t), p, deposit{Amount: 3}, m)
	require.NoError(t, err)
	again, err := headrace.Call[deposited](limit(t), p, deposit{Amount: 3}, m)
	require.NoError(t, err)
	require.Equal(t, first, again, "a command that is delivered twice has one answer")
	closeEngine(t, e)
	_, err = headrace.Publish(limit(t), p, note{}, from("a", 8))
	require.ErrorIs(t, err, headrace.ErrClosed)
	seq, err := headrace.Publish(limit(t), p, note{}, from("a", 7))
	require.True(t, err != nil || seq == first.Command)

	mem, err := headrace.OpenMemory(newApp(t).topology, headrace.Options{})
	require.NoError(t, err)
	mp := producer(t, mem, "web")
	for i := range int64(5) {
		seq, err := headrace.Publish(limit(t), mp, note{}, from("a", i/2))
		require.NoError(t, err)
		require.EqualValues(t, 1+i/2, seq)
	}
	closeEngine(t, mem)
}

// A message that cannot be published leaves its source to the next one.
func TestInbox_RefusedMessage_GivesUpItsTurn(t *testing.T) {
	e := open(t, t.TempDir(), newApp(t), small())
	p := producer(t, e, "web")
	_, err := headrace.Publish(limit(t), p, refusing{}, from("q", 0))
	require.ErrorIs(t, err, errRefusing)
	_, err = p.PublishBatch(limit(t), []headrace.Message{{Value: note{}, Meta: from("q", 0)}, {Value: refusing{}, Meta: from("q", 1)}})
	require.ErrorIs(t, err, errRefusing)
	_, err = p.TryPublish(note{}, from("q", 0))
	require.NoError(t, err)
	at, ok := e.Inbox("q")
	require.True(t, ok)
	require.Zero(t, at.Offset)
	closeEngine(t, e)
}

// The sequence of a batch is that of its first message, also of a repeat of which the first has no source.
func TestInbox_Batch_FirstWithoutSource(t *testing.T) {
	dir := t.TempDir()
	e := open(t, dir, newApp(t), small())
	batch := []headrace.Message{{Value: note{"from nowhere"}}, {Value: note{"x"}}, {Value: note{"y"}, Meta: from("q", 3)}, {Value: note{"z"}, Meta: from("q", 4)}}
	first, err := producer(t, e, "web").PublishBatch(limit(t), batch)
	require.NoError(t, err)
	for range 2 {
		again, err := producer(t, e, "web").PublishBatch(limit(t), batch)
		require.NoError(t, err)
		require.Equal(t, first, again)
		at, ok := e.Inbox("q")
		require.True(t, ok)
		require.Equal(t, headrace.SourcePosition{Source: "q", Offset: 4, Sequence: first + 3}, at)
		closeEngine(t, e)
		e = open(t, dir, newApp(t), small())
	}
	closeEngine(t, e)
}

func TestInboxes_ByName(t *testing.T) {
	e := open(t, t.TempDir(), newApp(t), small())
	p := producer(t, e, "web")
	want := make([]headrace.SourcePosition, 20)
	for _, i := range rand.Perm(len(want)) {
		m := from(fmt.Sprintf("queue/%02d", i), int64(i))
		seq, err := headrace.Publish(limit(t), p, note{"x"}, m)
		require.NoError(t, err)
		want[i] = headrace.SourcePosition{Source: m.Source, Offset: m.SourceOffset, Sequence: seq}
	}
	require.Equal(t, want, e.Inboxes())
	closeEngine(t, e)
}
