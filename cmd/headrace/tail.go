package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/headrace/headrace/journal"
)

// tailCommand prints the last records and, with -f, what comes until it is interrupted. Of a segment whose key it was not
// given it says which sequences are in it.
func tailCommand(in *invocation) func() error {
	var s selection
	s.define(in)
	n := in.flags.Int64("n", 10, "how many `sequences` from the end")
	follow := in.flags.Bool("f", false, "go on with what comes")
	return func() error {
		if *n < 0 {
			return fmt.Errorf("%w: -n %d: want at least 0", errUsage, *n)
		}
		end := true
		for {
			err := in.tail(&s, end, *n, *follow)
			u, ok := unreadable(err)
			if !ok || u.last < s.from {
				return err
			}
			if err := in.notShown(u); err != nil || s.until > 0 && u.last >= s.until {
				return err
			}
			s.from, s.since, end = u.last+1, "", false
		}
	}
}

// tail prints what s selects; if end, and s does not say from where, the last n.
func (in *invocation) tail(s *selection, end bool, n int64, follow bool) error {
	r, names, err := s.open(in.args[0])
	if err != nil {
		return err
	}
	defer r.Close()
	if end && s.from == 0 && s.since == "" {
		if err := r.SeekTail(n); err != nil {
			return err
		}
	}
	out := func(rec journal.Record) error { return in.print(names, rec) }
	if !follow {
		_, err = r.Read(out)
		return names.told(err)
	}
	if err = r.Follow(in.ctx, out); errors.Is(err, context.Canceled) {
		err = nil // that is how one ends it
	}
	return names.told(err)
}

// notShown prints what stands for the records of u.
func (in *invocation) notShown(u unread) error {
	if in.json {
		return in.show(map[string]any{"segment": u.segment, "first": u.first, "last": u.last, "unread": u.how})
	}
	_, err := fmt.Fprintf(in.s.out, "%d to %d  %s: %s\n", u.first, u.last, u.how, u.segment)
	return err
}
