package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/headrace/headrace/journal"
)

// tailCommand prints the last records and, with -f, what comes until it is interrupted.
func tailCommand(in *invocation) func() error {
	var s selection
	s.define(in)
	n := in.flags.Int64("n", 10, "how many `sequences` from the end")
	follow := in.flags.Bool("f", false, "go on with what comes")
	return func() error {
		if *n < 0 {
			return fmt.Errorf("%w: -n %d: want at least 0", errUsage, *n)
		}
		r, names, err := s.open(in.args[0])
		if err != nil {
			return err
		}
		defer r.Close()
		if s.from == 0 && s.since == "" {
			if err := r.SeekTail(*n); err != nil {
				return err
			}
		}
		out := func(rec journal.Record) error { return in.print(names, rec) }
		if !*follow {
			_, err = r.Read(out)
			return names.told(err)
		}
		if err = r.Follow(in.ctx, out); errors.Is(err, context.Canceled) {
			err = nil // that is how one ends it
		}
		return names.told(err)
	}
}
