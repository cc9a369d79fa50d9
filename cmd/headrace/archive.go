package main

import (
	"fmt"

	"github.com/headrace/headrace/journal"
)

// archiveCommand packs sealed segments.
func archiveCommand(in *invocation) func() error {
	keys := keysFlag(in)
	var o journal.ArchiveOptions
	keyID := in.flags.Uint("encrypt", 0, "encrypt with the key of this `id` from --keys")
	in.flags.BoolVar(&o.Stored, "no-compress", false, "do not compress")
	in.flags.IntVar(&o.KeepPlain, "keep", 0, "leave so many of the newest sealed segments plain")
	in.flags.Int64Var(&o.Before, "before", 0, "only segments whose records are all before this `sequence`")
	in.flags.Int64Var(&o.BytesPerSecond, "rate", 0, "at most so many `bytes` a second; 0: no limit")
	return func() (err error) {
		if *keyID > 1<<32-1 {
			return fmt.Errorf("%w: --encrypt: %d is no key id", errUsage, *keyID)
		}
		o.KeyID = uint32(*keyID)
		if o.Access, err = keys(); err != nil {
			return err
		}
		if o.KeyID > 0 && o.Access.Key == nil {
			return fmt.Errorf("%w: --encrypt %d needs --keys, the file with the key of that id", errUsage, o.KeyID)
		}
		p := in.progress("archive")
		o.Progress = func(done, total int) { p.at(int64(done), int64(total)) }
		rep, err := journal.Archive(in.ctx, in.args[0], o)
		p.end()
		if err != nil {
			return err
		}
		if in.json {
			return in.show(map[string]any{"segments_archived": rep.Archived, "segments_skipped": rep.Skipped,
				"bytes_before": rep.Before, "bytes_after": rep.After})
		}
		_, err = fmt.Fprintf(in.s.out, "archive: %d segments, %d bytes, now %d; %d left as they were\n",
			rep.Archived, rep.Before, rep.After, rep.Skipped)
		return err
	}
}
