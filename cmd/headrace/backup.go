package main

import (
	"fmt"
	"os"

	engine "github.com/headrace/headrace"
	"github.com/headrace/headrace/journal"
)

// backupCommand copies what is durable, and what an engine keeps beside it.
func backupCommand(in *invocation) func() error {
	trust := in.flags.Bool("no-verify", false, "do not verify the copy")
	keys := keysFlag(in)
	return func() error {
		access, err := keys()
		if err != nil {
			return err
		}
		if from, err := os.Stat(in.args[0]); err == nil {
			if to, err := os.Stat(in.args[1]); err == nil && os.SameFile(from, to) {
				return fmt.Errorf("%w: %s cannot be its own copy", errUsage, in.args[0])
			}
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
		o := engine.RestoreOptions{Until: *until}
		if o.Archives, err = keys(); err != nil {
			return err
		}
		if *before != "" {
			if o.UntilTime, err = moment(*before); err != nil {
				return err
			}
		}
		p := in.progress("restore")
		o.Progress = p.at
		rep, err := engine.Restore(in.ctx, in.args[0], in.args[1], o)
		p.end()
		if err != nil {
			return err
		}
		if in.json {
			return in.show(map[string]any{"first_sequence": rep.First, "last_sequence": rep.Last, "segments_copied": rep.Segments,
				"bytes": rep.Bytes, "links": rep.Links, "cut": rep.Cut, "verified": true,
				"snapshots": snapshotSequences(rep.Snapshots), "checkpoints": rep.Checkpoints})
		}
		for _, why := range rep.PassedOver {
			fmt.Fprintf(in.s.err, "headrace: not restored: %v\n", why)
		}
		_, err = fmt.Fprintf(in.s.out, "restore: sequences %d to %d; %d segments (%d bytes)%s\n", rep.First, rep.Last, rep.Segments, rep.Bytes, beside(rep.Snapshots, rep.Checkpoints))
		return err
	}
}

// backUp copies from a journal to a copy of it.
func (in *invocation) backUp(from, to string, o journal.VerifyOptions, verify bool) error {
	p := in.progress("backup")
	rep, err := engine.Backup(from, to, engine.BackupOptions{Progress: p.at, Archives: o.Archives, NoVerify: true})
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
			"segments_copied": rep.Copied, "segments_kept": rep.Kept, "bytes": rep.Bytes, "links": rep.Links, "verified": verify,
			"snapshots": snapshotSequences(rep.Snapshots), "checkpoints": rep.Checkpoints})
	}
	for _, why := range rep.Damaged {
		fmt.Fprintf(in.s.err, "headrace: not copied: %v\n", why)
	}
	_, err = fmt.Fprintf(in.s.out, "backup: sequences %d to %d; %d segments copied (%d bytes), %d were there%s\n",
		rep.First, rep.Last, rep.Copied, rep.Bytes, rep.Kept, beside(rep.Snapshots, rep.Checkpoints))
	return err
}

// beside says what an engine keeps beside the log, "" for nothing.
func beside(all []engine.SnapshotInfo, checkpoints int) string {
	if len(all) == 0 && checkpoints == 0 {
		return ""
	}
	s := fmt.Sprintf("; %d snapshots", len(all))
	if len(all) > 0 {
		s += fmt.Sprintf(", the newest at %d, the oldest at %d", all[0].Sequence, all[len(all)-1].Sequence)
	}
	return s + fmt.Sprintf("; %d checkpoints", checkpoints)
}

func snapshotSequences(all []engine.SnapshotInfo) []int64 {
	seqs := make([]int64, 0, len(all))
	for _, s := range all {
		seqs = append(seqs, s.Sequence)
	}
	return seqs
}
