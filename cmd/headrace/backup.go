package main

import (
	"fmt"

	"github.com/headrace/headrace/journal"
)

// backupCommand copies what is durable.
func backupCommand(in *invocation) func() error {
	trust := in.flags.Bool("no-verify", false, "do not verify the copy")
	keys := keysFlag(in)
	return func() error {
		access, err := keys()
		if err != nil {
			return err
		}
		return in.backUp(in.args[0], in.args[1], journal.VerifyOptions{Archives: access}, !*trust)
	}
}

// restoreCommand verifies a copy and makes a journal of it, or of what it was.
func restoreCommand(in *invocation) func() error {
	keys := keysFlag(in)
	until := in.flags.Int64("until", 0, "last `sequence` to restore; 0: the newest")
	before := in.flags.String("until-time", "", "last `time` to restore")
	return func() (err error) {
		o := journal.RestoreOptions{Until: *until}
		if o.Archives, err = keys(); err != nil {
			return err
		}
		if *before != "" {
			t, err := moment(*before)
			if err != nil {
				return err
			}
			o.UntilTime = t.UnixNano()
		}
		p := in.progress("restore")
		o.Progress = p.at
		rep, err := journal.Restore(in.ctx, in.args[0], in.args[1], o)
		p.end()
		if err != nil {
			return err
		}
		if in.json {
			return in.show(map[string]any{"first_sequence": rep.First, "last_sequence": rep.Last, "segments_copied": rep.Segments,
				"bytes": rep.Bytes, "links": rep.Links, "cut": rep.Cut, "verified": true})
		}
		_, err = fmt.Fprintf(in.s.out, "restore: sequences %d to %d; %d segments (%d bytes)\n", rep.First, rep.Last, rep.Segments, rep.Bytes)
		return err
	}
}

// backUp copies from a journal to a copy of it.
func (in *invocation) backUp(from, to string, o journal.VerifyOptions, verify bool) error {
	p := in.progress("backup")
	rep, err := journal.Backup(from, to, journal.BackupOptions{Progress: p.at})
	p.end()
	if err != nil {
		return err
	}
	if verify {
		v, err := in.verify(to, o)
		if err != nil {
			return fmt.Errorf("backup: the copy does not verify: %w", err)
		}
		if v.Last != rep.Last {
			return fmt.Errorf("backup: the copy ends at sequence %d, want %d", v.Last, rep.Last)
		}
	}
	if in.json {
		return in.show(map[string]any{"first_sequence": rep.First, "last_sequence": rep.Last,
			"segments_copied": rep.Copied, "segments_kept": rep.Kept, "bytes": rep.Bytes, "links": rep.Links, "verified": verify})
	}
	_, err = fmt.Fprintf(in.s.out, "backup: sequences %d to %d; %d segments copied (%d bytes), %d were there\n",
		rep.First, rep.Last, rep.Copied, rep.Bytes, rep.Kept)
	return err
}
