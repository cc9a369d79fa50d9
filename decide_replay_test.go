package headrace_test

import (
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/event/pack"
	"github.com/headrace/headrace/handlers"
)

// question is an event that counts how often it is decoded.
type question struct{ N int64 }

var questionsDecoded atomic.Int64

func (q *question) AppendMsgpack(dst []byte) ([]byte, error) { return pack.AppendInt(dst, q.N), nil }

func (q *question) DecodeMsgpackBytes(payload []byte) error {
	questionsDecoded.Add(1)
	r := pack.NewReader(payload)
	q.N = r.Int64()
	return r.Close()
}

type replied struct{ N int64 }

func questions(t *testing.T, folds bool) (top *headrace.Topology, asked *int64) {
	r := registry(t)
	event.MustRegister[question](r, "test.question", 1)
	event.MustRegister[replied](r, "test.replied", 1)
	top = headrace.NewTopology(r)
	handlers.Decide(top.Logic(), "oracle", func(c *handlers.Context, q question) error { return handlers.Emit(c, replied(q)) })
	asked = new(int64)
	if folds {
		handlers.Fold(top.Logic(), func(_ *handlers.Context, q question) error { *asked += q.N; return nil })
	}
	return top, asked
}

// What has its answer is not decoded again for those who only answer, at Open and in Replay; for a fold beside them it is.
func TestDecide_ReplayDecodesNothingForIt(t *testing.T) {
	const asked = 50
	dir := t.TempDir()
	decoded := func(do func()) int64 {
		before := questionsDecoded.Load()
		do()
		return questionsDecoded.Load() - before
	}
	open := func(folds bool) (*headrace.Engine, *int64) {
		top, sum := questions(t, folds)
		e, err := headrace.Open(dir, top, small())
		require.NoError(t, err)
		return e, sum
	}
	require.EqualValues(t, asked, decoded(func() {
		e, _ := open(false)
		p := producer(t, e, "web")
		for n := range int64(asked) {
			publish(t, p, question{n})
		}
		closeEngine(t, e)
	}), "live")
	replay := func(folds bool) int64 {
		top, sum := questions(t, folds)
		r, err := headrace.Replay(dir, top, headrace.ReplayOptions{})
		require.NoError(t, err)
		require.Positive(t, r.Events)
		return *sum
	}
	require.Zero(t, decoded(func() { replay(false) }), "Replay")
	require.Zero(t, decoded(func() { e, _ := open(false); closeEngine(t, e) }), "Open")
	require.EqualValues(t, asked, decoded(func() { require.EqualValues(t, asked*(asked-1)/2, replay(true)) }), "a fold in Replay")
	require.EqualValues(t, asked, decoded(func() {
		e, sum := open(true)
		require.EqualValues(t, asked*(asked-1)/2, *sum)
		closeEngine(t, e)
	}), "a fold at Open")
}
