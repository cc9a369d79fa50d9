package main

import (
	"errors"
	"fmt"
	"regexp"

	"github.com/headrace/headrace/journal"
)

// grepCommand prints the records that match.
func grepCommand(in *invocation) func() error {
	var s selection
	s.define(in)
	count := in.flags.Bool("count", false, "print how many match, not which")
	return func() error {
		pattern, err := regexp.Compile(in.args[0])
		if err != nil {
			return fmt.Errorf("%w: %v", errUsage, err)
		}
		r, names, err := s.open(in.args[1])
		if err != nil {
			return err
		}
		defer r.Close()
		p, last := in.progress("grep"), int64(0)
		if *count || !isTerminal(in.s.out) { // else the hits show how far it is
			if last, err = newest(in.args[1]); err != nil {
				return err
			}
		}
		hits := 0
		_, err = r.Read(func(rec journal.Record) error {
			if err := in.ctx.Err(); err != nil {
				return err
			}
			p.at(rec.Sequence, last)
			shown := names.record(rec)
			if !pattern.Match(rec.Body) && !pattern.Match(shown.Event) {
				return nil
			}
			if hits++; *count {
				return nil
			}
			return in.print(names, rec)
		})
		p.end()
		if err != nil {
			return err
		}
		if *count {
			if in.json {
				err = in.show(map[string]int{"matches": hits})
			} else {
				_, err = fmt.Fprintln(in.s.out, hits)
			}
		}
		if err == nil && hits == 0 {
			err = errNoMatch
		}
		return names.told(err)
	}
}

// newest returns the last sequence of the journal in dir.
func newest(dir string) (int64, error) {
	r, err := journal.OpenReader(dir, 0, journal.ReaderOptions{})
	if err != nil {
		return 0, err
	}
	err = r.SeekTail(0)
	return r.Sequence(), errors.Join(err, r.Close())
}
