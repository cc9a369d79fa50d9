package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/headrace/headrace/journal"
)

// selection is the flags by which dump, tail and grep choose records.
type selection struct {
	from, until   int64
	since, before string
	types         string
	internal      bool
	durable       bool
	keys          func() (journal.ArchiveAccess, error)
}

func (s *selection) define(in *invocation) {
	f := in.flags
	f.Int64Var(&s.from, "from", 0, "first `sequence`; 0: the oldest")
	f.Int64Var(&s.until, "until", 0, "last `sequence`; 0: the newest")
	f.StringVar(&s.since, "since", "", "first `time`: RFC 3339, a date or unix nanoseconds")
	f.StringVar(&s.before, "until-time", "", "last `time`")
	f.StringVar(&s.types, "types", "", "only events of these type ids or names, separated by `commas`")
	f.BoolVar(&s.internal, "internal", false, "also checkpoint, index and seal records")
	s.keys = keysFlag(in)
	f.BoolVar(&s.durable, "durable", false, "only what is durable")
}

// open opens a reader of the selected records and learns the names of types.
func (s *selection) open(dir string) (r *journal.Reader, names *shower, err error) {
	o := journal.ReaderOptions{Until: s.until, Internal: s.internal}
	if s.durable {
		o.UpTo = journal.Durable
	}
	if o.Archives, err = s.keys(); err != nil {
		return nil, nil, err
	}
	if s.before != "" {
		t, err := moment(s.before)
		if err != nil {
			return nil, nil, err
		}
		o.UntilTime = t.UnixNano()
	}
	if s.from < 0 || s.until < 0 {
		return nil, nil, fmt.Errorf("%w: sequences are not negative", errUsage)
	}
	if s.from > 0 && s.since != "" {
		return nil, nil, fmt.Errorf("%w: --from or --since, not both", errUsage)
	}
	names, err = newShower(dir, s.until, o.Archives)
	if err != nil {
		return nil, nil, err
	}
	if o.Types, err = s.typeIDs(names); err != nil {
		return nil, nil, err
	}
	if s.since != "" {
		t, err := moment(s.since)
		if err != nil {
			return nil, nil, err
		}
		r, err = journal.OpenReaderAt(dir, t, o)
		return r, names, err
	}
	r, err = journal.OpenReader(dir, s.from, o)
	return r, names, err
}

func (s *selection) typeIDs(names *shower) (ids []uint16, err error) {
	for _, word := range strings.FieldsFunc(s.types, func(r rune) bool { return r == ',' }) {
		if n, err := strconv.ParseUint(word, 10, 16); err == nil {
			ids = append(ids, uint16(n))
			continue
		}
		found := false
		for id, name := range names.names {
			if name == word {
				ids, found = append(ids, id), true
			}
		}
		if !found && names.damaged != nil { // it may be behind that
			return nil, names.damaged
		}
		if !found && names.unread != nil {
			return nil, fmt.Errorf("type %q is not in what can be read: %v", word, names.unread)
		}
		if !found {
			return nil, fmt.Errorf("%w: the journal has no type %q", errUsage, word)
		}
	}
	return ids, nil
}

// dumpCommand prints records.
func dumpCommand(in *invocation) func() error {
	var s selection
	s.define(in)
	backwards := in.flags.Bool("backwards", false, "the last one first")
	return func() error {
		r, names, err := s.open(in.args[0])
		if err != nil {
			return err
		}
		defer r.Close()
		out := func(rec journal.Record) error {
			if err := in.ctx.Err(); err != nil {
				return err
			}
			if *backwards && rec.Sequence < s.from {
				return journal.ErrStop
			}
			return in.print(names, rec)
		}
		if !*backwards {
			_, err = r.Read(out)
			return names.told(err)
		}
		if s.since == "" {
			if err := r.SeekTail(0); err != nil {
				return err
			}
		} else if _, err := r.Read(func(journal.Record) error { return in.ctx.Err() }); err != nil {
			return err // to the end; the moment holds backwards too
		}
		_, err = r.ReadBackward(out)
		return names.told(err)
	}
}
