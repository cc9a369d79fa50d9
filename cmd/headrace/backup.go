package main

import (
	"fmt"
	"os"

	"github.com/headrace/headrace/journal"
)

// backupCommand copies what is durable.
func backupCommand(in *invocation) func() error {
	trust := in.flags.Bool("no-verify", false, "do not verify the copy")
	return func() error { return in.copyJournal("backup", in.args[0], in.args[1], !*trust) }
}

// restoreCommand verifies a copy and copies it into an empty directory.
func restoreCommand(in *invocation) func() error {
	return func() error {
		from, to := in.args[0], in.args[1]
		names, err := os.ReadDir(to)
		if err != nil && !os.IsNotExist(err) {
			return err
		}
		if len(names) > 0 {
			return fmt.Errorf("restore: %s is not empty", to)
		}
		if _, err := in.verify(from, journal.VerifyOptions{}); err != nil {
			return err
		}
		return in.copyJournal("restore", from, to, true)
	}
}

func (in *invocation) copyJournal(what, from, to string, verify bool) error {
	p := in.progress(what)
	rep, err := journal.Backup(from, to, journal.BackupOptions{Progress: p.at})
	p.end()
	if err != nil {
		return err
	}
	if verify {
		v, err := in.verify(to, journal.VerifyOptions{})
		if err != nil {
			return fmt.Errorf("%s: the copy does not verify: %w", what, err)
		}
		if v.Last != rep.Last {
			return fmt.Errorf("%s: the copy ends at sequence %d, want %d", what, v.Last, rep.Last)
		}
	}
	if in.json {
		return in.show(map[string]any{"first_sequence": rep.First, "last_sequence": rep.Last,
			"segments_copied": rep.Copied, "segments_kept": rep.Kept, "bytes": rep.Bytes, "links": rep.Links, "verified": verify})
	}
	_, err = fmt.Fprintf(in.s.out, "%s: sequences %d to %d; %d segments copied (%d bytes), %d were there\n",
		what, rep.First, rep.Last, rep.Copied, rep.Bytes, rep.Kept)
	return err
}
