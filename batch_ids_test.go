package headrace_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
)

// identified are events with ids.
func identified(ids ...event.ID) []headrace.Message {
	var all []headrace.Message
	for i, id := range ids {
		all = append(all, headrace.Message{Value: note{Text: strings.Repeat("x", i)}, Meta: headrace.Meta{ID: id}})
	}
	return all
}

// A batch that fails has not used up its ids, whatever it fails on, and holds up nobody who comes with one of them: the same
// ids are published once more, and after that are repeats, also behind a restart.
func TestPublishBatch_Fails_ItsIDsAreFree(t *testing.T) {
	type attempt func(t *testing.T, p *headrace.Producer, ids []event.ID) (free []event.ID)
	refused := func(change func(all []headrace.Message), want error) attempt {
		return func(t *testing.T, p *headrace.Producer, ids []event.ID) []event.ID {
			all := identified(ids...)
			change(all)
			_, err := p.PublishBatch(limit(t), all)
			require.ErrorIs(t, err, want)
			return ids
		}
	}
	for name, fails := range map[string]attempt{
		"first-cannot-be-encoded": refused(func(all []headrace.Message) { all[0].Value = refusing{} }, errRefusing),
		"last-cannot-be-encoded":  refused(func(all []headrace.Message) { all[len(all)-1].Value = refusing{} }, errRefusing),
		"envelope":                refused(func(all []headrace.Message) { all[2].Meta.Key = strings.Repeat("k", 1<<16) }, event.ErrFieldTooLong),
		"too-large": refused(func(all []headrace.Message) {
			for i := range all {
				all[i].Value = note{strings.Repeat("x", 16<<10)}
			}
		}, handlers.ErrBatchTooLarge),
		"one-is-known": func(t *testing.T, p *headrace.Producer, ids []event.ID) []event.ID {
			// The greatest: the others have been taken when it is looked at.
			known := slices.MaxFunc(ids, event.ID.Compare)
			_, err := p.PublishBatch(limit(t), identified(known))
			require.NoError(t, err)
			_, err = p.PublishBatch(limit(t), identified(ids...))
			require.ErrorIs(t, err, headrace.ErrPartialRepeat)
			return slices.DeleteFunc(slices.Clone(ids), func(id event.ID) bool { return id == known })
		},
		"one-is-of-another-type": func(t *testing.T, p *headrace.Producer, ids []event.ID) []event.ID {
			other := slices.MaxFunc(ids, event.ID.Compare)
			_, err := p.Publish(limit(t), deposit{}, headrace.Meta{ID: other})
			require.NoError(t, err)
			_, err = p.PublishBatch(limit(t), identified(ids...))
			require.ErrorIs(t, err, handlers.ErrIDConflict)
			return slices.DeleteFunc(slices.Clone(ids), func(id event.ID) bool { return id == other })
		},
		"source-was-read-further": func(t *testing.T, p *headrace.Producer, ids []event.ID) []event.ID {
			_, err := p.Publish(limit(t), note{}, from("queue", 1))
			require.NoError(t, err)
			all := identified(ids...)
			for i := range all {
				all[i].Meta.Source, all[i].Meta.SourceOffset = "queue", int64(i)
			}
			_, err = p.PublishBatch(limit(t), all)
			require.ErrorIs(t, err, handlers.ErrOffset)
			return ids
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			e := open(t, dir, newApp(t), small())
			free := fails(t, producer(t, e, "p"), []event.ID{event.NewID(), event.NewID(), event.NewID(), event.NewID()})
			publishedOnce(t, dir, e, free)
		})
	}

	t.Run("no-room", func(t *testing.T) {
		t.Parallel()
		entered, leave := make(chan struct{}), make(chan struct{})
		a := newAppWith(t, func(*handlers.Context, deposit) error {
			close(entered)
			<-leave
			return nil
		})
		dir := t.TempDir()
		e := open(t, dir, a, small())
		p := producer(t, e, "p")
		publish(t, p, deposit{})
		<-entered // from here on the lane makes no more room
		for {
			if _, err := p.TryPublish(note{}, headrace.Meta{}); err != nil {
				require.ErrorIs(t, err, headrace.ErrWouldBlock)
				break
			}
		}
		ids := []event.ID{event.NewID(), event.NewID(), event.NewID()}
		ctx, cancel := context.WithCancel(limit(t))
		given := make(chan error)
		go func() {
			_, err := p.PublishBatch(ctx, identified(ids...))
			given <- err
		}()
		await(t, func() bool { return e.Stats().Ring.Waiting == 1 })
		cancel()
		require.ErrorIs(t, <-given, context.Canceled)
		_, err := p.TryPublish(note{}, headrace.Meta{ID: ids[1]})
		require.ErrorIs(t, err, headrace.ErrWouldBlock)
		close(leave)
		publishedOnce(t, dir, e, ids)
	})
}

// publishedOnce publishes ids that nobody has published, again, and once more after a restart.
func publishedOnce(t *testing.T, dir string, e *headrace.Engine, ids []event.ID) {
	again := func(e *headrace.Engine) (first int64, fresh bool) {
		// Who comes with an id that a failed batch has kept waits for it as long as he may.
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		before := e.Stats().Ring.Cursor
		first, err := producer(t, e, "again").PublishBatch(ctx, identified(ids...))
		require.NoError(t, err)
		return first, first > before
	}
	first, fresh := again(e)
	require.True(t, fresh, "it is published now, not before")
	repeat, fresh := again(e)
	require.False(t, fresh)
	require.Equal(t, first, repeat)
	for i, m := range identified(ids...) { // also one at a time
		seq, err := producer(t, e, "again").Publish(limit(t), m.Value, m.Meta)
		require.NoError(t, err)
		require.Equal(t, first+int64(i), seq)
	}
	closeEngine(t, e)

	e = open(t, dir, newApp(t), small())
	repeat, fresh = again(e)
	require.False(t, fresh)
	require.Equal(t, first, repeat, "known from the log")
	closeEngine(t, e)
	seen := map[event.ID][]int64{}
	for _, l := range readLog(t, dir) {
		seen[l.header.ID] = append(seen[l.header.ID], l.seq)
	}
	for i, id := range ids {
		require.Equal(t, []int64{first + int64(i)}, seen[id], "id %d", i)
	}
}
