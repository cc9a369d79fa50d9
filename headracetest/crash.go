package headracetest

import (
	"fmt"
	"strings"

	"github.com/headrace/headrace"
)

// Crash ends the engine as the death of its process would: it halts where it stands, what is in the log at this moment
// stays, nothing is finished, and nothing that was in memory alone is left. Then it opens the engine again, which answers
// what is owed; Settle waits for that. After Publish the crash comes somewhere in the middle, at another place each
// time; EveryCrash tries all places. What a power cut would take, that is written and not durable, is kept.
//
// A handler, or the call of an effect, that runs is waited for: it cannot be ended from outside. What it has emitted is gone.
func (a *App[P]) Crash() *App[P] {
	a.t.Helper()
	a.open()
	e := a.engine
	a.engine = nil
	a.abandon(e)
	a.open()
	return a
}

// EveryCrash tries the step again with a crash behind each event that it led to: it cuts a copy of the log there, opens
// it, and waits until nothing is under way. The log must then hold the same events as without a crash, each as often. Their
// order is not compared, for where several lanes or effects answer it may be another. The App itself is not touched.
//
// It makes a new topology for each crash; effects call again what the cut has taken the answer of.
func (s *Step[P]) EveryCrash() *Step[P] {
	a := s.app
	a.t.Helper()
	a.Settle()
	ctx, cancel := a.limit()
	defer cancel()
	if err := a.engine.WaitDurable(ctx, s.last); err != nil {
		a.t.Fatalf("headracetest: EveryCrash: %v", err)
	}
	for at := s.own; at < s.last; at++ {
		dir := a.tempDir()
		if _, err := headrace.Restore(ctx, a.dir, dir, headrace.RestoreOptions{Until: at}); err != nil {
			a.t.Fatalf("headracetest: EveryCrash: cut behind event %d: %v", at, err)
		}
		b := &App[P]{t: a.t, make: a.make, options: a.options, clock: NewClock(a.clock.Now()), dir: dir}
		b.options.Engine.Clock = b.clock
		b.Settle()
		got, _ := b.consequences(dir, s.before)
		b.abandon(b.engine)
		if text := diffEvents(s.got, got); text != "" {
			a.t.Fatalf("headracetest: after a crash behind event %d other events came of it:\n%s", at, text)
		}
	}
	return s
}

// diffEvents compares events whatever their order. It returns the difference, "" if there is none.
func diffEvents(want, got []logged) string {
	count := map[string]int{}
	for _, l := range got {
		count[l.line()]++
	}
	var b strings.Builder
	for _, l := range want {
		if count[l.line()]--; count[l.line()] < 0 {
			fmt.Fprintf(&b, "    - %s\n", l.line())
			count[l.line()] = 0
		}
	}
	for _, l := range got {
		if count[l.line()] > 0 {
			count[l.line()]--
			fmt.Fprintf(&b, "    + %s\n", l.line())
		}
	}
	if b.Len() == 0 {
		return ""
	}
	return "    - without a crash, + with it\n" + b.String()
}

// snapshot takes a snapshot of the engine.
func (a *App[P]) snapshot() (headrace.SnapshotInfo, error) {
	ctx, cancel := a.limit()
	defer cancel()
	return a.engine.Snapshot(ctx)
}
