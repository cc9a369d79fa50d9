package headrace_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/journal"
)

// descriptions counts the records of the log that describe types.
func descriptions(t testing.TB, dir string) (n int) {
	t.Helper()
	r, err := journal.OpenReader(dir, 0, journal.ReaderOptions{Internal: true})
	require.NoError(t, err)
	defer r.Close()
	_, err = r.Read(func(rec journal.Record) error {
		if rec.Type == 12 && rec.Kind == journal.KindCheckpoint {
			n++
		}
		return nil
	})
	require.NoError(t, err)
	return n
}

type (
	paidV1    struct{ Amount int }
	paidMore  struct{ Amount, Fee int }
	paidOther struct{ Amount string }
	paidOwn   deposit
)

func (p *paidOwn) AppendMsgpack(dst []byte) ([]byte, error) { return append(dst, 0x90), nil }
func (p *paidOwn) DecodeMsgpackBytes([]byte) error          { return nil }

// with makes the registry of one version of a program.
func with[T any](version uint16, also ...func(r *event.Registry) error) func() *event.Registry {
	return func() *event.Registry {
		r := event.NewRegistry()
		event.MustRegister[T](r, "paid", version)
		for _, f := range also {
			if err := f(r); err != nil {
				panic(err)
			}
		}
		return r
	}
}

func lift(from uint16) func(r *event.Registry) error {
	return func(r *event.Registry) error {
		return r.Upcast("paid", from, event.UpcastMap(func(map[string]any) error { return nil }))
	}
}

// Which program opens the log that another has written.
func TestSchema_WhatOpensWhat(t *testing.T) {
	renamed := func(r *event.Registry) error { return r.Rename("paid", "settled") }
	asSettled := func() *event.Registry {
		r := event.NewRegistry()
		event.MustRegister[paidOther](r, "settled", 1)
		if err := renamed(r); err != nil {
			panic(err)
		}
		return r
	}
	command := func() *event.Registry {
		r := event.NewRegistry()
		event.MustRegister[paidV1](r, "paid", 1, event.TypeOptions{Kind: event.Command})
		return r
	}
	for name, c := range map[string]struct {
		old, now func() *event.Registry
		says     string // "" = it opens
		news     int    // descriptions that are added
	}{
		"as it was":               {with[paidV1](1), with[paidV1](1), "", 0},
		"a field more":            {with[paidV1](1), with[paidMore](1), "", 1},
		"another version":         {with[paidV1](1), with[paidOther](2, lift(1)), "", 1},
		"a version used again":    {with[paidV1](1), with[paidOther](1), ".Amount: string instead of int64", 0},
		"no upcaster":             {with[paidV1](1), with[paidOther](2), "no upcaster", 0},
		"an older version":        {with[paidV1](2, lift(1)), with[paidV1](1), "version 1 after version 2", 0},
		"an upcaster is gone":     {with[paidV1](2, lift(1)), with[paidV1](2), "cannot be lifted any more", 0},
		"it encodes itself":       {with[paidV1](1), with[paidOwn](1), "own", 0},
		"renamed, and another":    {with[paidV1](1), asSettled, ".Amount: string instead of int64", 0},
		"a command that was none": {with[paidV1](1), command, "kind command instead of notification", 0},
		"gone":                    {with[paidV1](1), event.NewRegistry, "", 0},
	} {
		dir := t.TempDir()
		closeEngine(t, openTop(t, dir, headrace.NewTopology(c.old())))
		before := descriptions(t, dir)
		e, err := headrace.Open(dir, headrace.NewTopology(c.now()), small())
		_, rerr := headrace.Replay(dir, headrace.NewTopology(c.now()), headrace.ReplayOptions{})
		if c.says == "" {
			require.NoError(t, err, name)
			require.NoError(t, rerr, name)
			closeEngine(t, e)
			require.Equal(t, before+c.news, descriptions(t, dir), name)
			continue
		}
		var refused *headrace.SchemaError
		require.ErrorAs(t, err, &refused, name)
		require.ErrorAs(t, rerr, &refused, name)
		require.ErrorContains(t, err, c.says, name)
		require.NotEmpty(t, refused.Changes, name)
		require.Equal(t, before, descriptions(t, dir), "%s: what is refused is not noted", name)
		_, err = headrace.Replay(dir, headrace.NewTopology(c.now()), headrace.ReplayOptions{AcceptSchema: true})
		require.NoError(t, err, name)
		o := small()
		o.AcceptSchema = true
		e, err = headrace.Open(dir, headrace.NewTopology(c.now()), o)
		require.NoError(t, err, name)
		closeEngine(t, e)
		// Accepted once is accepted.
		closeEngine(t, openTop(t, dir, headrace.NewTopology(c.now())))
		require.Equal(t, before+1, descriptions(t, dir), name)
	}
}

// A shape that is too large for a record is left out: then only that it has changed can be said.
func TestSchema_ShapeTooLargeForARecord(t *testing.T) {
	type wide struct {
		AVeryLongNameOfAField1, AVeryLongNameOfAField2, AVeryLongNameOfAField3, AVeryLongNameOfAField4, AVeryLongNameOfAField5   int
		AVeryLongNameOfAField6, AVeryLongNameOfAField7, AVeryLongNameOfAField8, AVeryLongNameOfAField9, AVeryLongNameOfAField10  int
		AVeryLongNameOfAField11, AVeryLongNameOfAField12, AVeryLongNameOfAField13, AVeryLongNameOfAField14, AVeryLongNameOfField int
	}
	type wider struct {
		wide
		More int
	}
	dir := t.TempDir()
	o := small()
	o.Journal.MaxBodyBytes = 1 << 10
	for range 2 {
		e, err := headrace.Open(dir, headrace.NewTopology(with[wide](1)()), o)
		require.NoError(t, err)
		closeEngine(t, e)
	}
	_, err := headrace.Open(dir, headrace.NewTopology(with[wider](1)()), o)
	var refused *headrace.SchemaError
	require.ErrorAs(t, err, &refused)
	require.ErrorContains(t, err, "too large to tell")
	e, err := headrace.Open(dir, headrace.NewTopology(with[wider](2, lift(1))()), o)
	require.NoError(t, err)
	closeEngine(t, e)
}

// The registry is described once, not at every Open, and completely.
func TestSchema_DescribedOnce(t *testing.T) {
	dir := t.TempDir()
	for range 3 {
		e := open(t, dir, newApp(t), small())
		publish(t, producer(t, e, "web"), deposit{1, 1})
		closeEngine(t, e)
	}
	require.Equal(t, len(registry(t).Types()), descriptions(t, dir))
}
