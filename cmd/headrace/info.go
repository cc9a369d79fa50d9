package main

import (
	"fmt"
	"maps"
	"slices"
	"text/tabwriter"
	"time"

	engine "github.com/headrace/headrace"
	"github.com/headrace/headrace/journal"
)

// infoCommand tells what is in a journal. It checks every record on the way, as verify does, but for those whose key it
// was not given: those it says so of.
func infoCommand(in *invocation) func() error {
	keys := keysFlag(in)
	return func() error {
		access, err := keys()
		if err != nil {
			return err
		}
		rep, err := in.verify(in.args[0], journal.VerifyOptions{Archives: access, SkipUnreadable: true})
		if err != nil && len(rep.Segments) == 0 {
			return err
		}
		if e := in.showReport(rep); e != nil {
			return e
		}
		return err
	}
}

// reportJSON is a journal.Report as --json writes it.
type reportJSON struct {
	UUID        string `json:"uuid"`
	First       int64  `json:"first_sequence"`
	Last        int64  `json:"last_sequence"`
	Durable     int64  `json:"durable_sequence"`
	Events      int64  `json:"events"`
	Lost        int64  `json:"lost"`
	Records     int64  `json:"records"`
	Segments    int    `json:"segments"`
	Bytes       int64  `json:"bytes"`
	Live        bool   `json:"live"`
	Torn        bool   `json:"torn"`
	TornSegment string `json:"torn_segment,omitempty"`
	TornOffset  int64  `json:"torn_offset,omitempty"`
	Cut         bool   `json:"cut"`
	DurableLost int64  `json:"durable_lost"`
	Links       int    `json:"links"`
	Signed      int    `json:"signed"`
	Chained     int64  `json:"chained_sequence"`
	Root        string `json:"root,omitempty"`
	Unread      int    `json:"unread_segments,omitempty"`

	Snapshots []snapshotJSON `json:"snapshots,omitempty"`
	Damaged   []string       `json:"damaged_snapshots,omitempty"`
}

// snapshotJSON is a snapshot as --json writes it.
type snapshotJSON struct {
	Sequence int64     `json:"sequence"`
	Bytes    int64     `json:"bytes"`
	SHA256   string    `json:"sha256"`
	Created  time.Time `json:"created"`
}

// snapshots adds what lies beside the journal in dir.
func (r *reportJSON) snapshots(dir string) error {
	good, damaged, err := engine.Snapshots(dir)
	for _, s := range good {
		r.Snapshots = append(r.Snapshots, snapshotJSON{s.Sequence, s.Bytes, fmt.Sprintf("%x", s.SHA256), s.Created})
	}
	for _, d := range damaged {
		r.Damaged = append(r.Damaged, d.Error())
	}
	return err
}

// packed says how a segment is packed that cannot be read.
func packed(s journal.SegmentReport) string {
	if s.KeyID != 0 {
		return fmt.Sprintf("encrypted, key id %d", s.KeyID)
	}
	return fmt.Sprintf("compressed, codec %d", s.Codec)
}

func (in *invocation) showReport(rep journal.Report) error {
	r := reportJSON{
		UUID: fmt.Sprintf("%x", rep.UUID), First: rep.First, Last: rep.Last, Durable: rep.Durable,
		Events: rep.Events, Lost: rep.Lost, Records: rep.Records, Segments: len(rep.Segments), Live: rep.Live,
		Torn: rep.Torn, TornSegment: rep.TornSegment, TornOffset: rep.TornOffset, Cut: rep.Cut, DurableLost: rep.DurableLost,
		Links: rep.Links, Signed: rep.Signed, Chained: rep.Chained,
	}
	if rep.Links > 0 {
		r.Root = rep.Root.String()
	}
	why := map[string]int{}
	for _, s := range rep.Segments {
		r.Bytes += s.Bytes
		if s.Unread {
			r.Unread++
			why[packed(s)]++
		}
	}
	if err := r.snapshots(in.args[0]); err != nil {
		return err
	}
	if in.json {
		return in.show(r)
	}
	w := tabwriter.NewWriter(in.s.out, 0, 0, 2, ' ', 0)
	line := func(name string, format string, args ...any) {
		fmt.Fprintf(w, "%s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	line("journal", "%s", r.UUID)
	line("sequences", "%d to %d, durable to %d", r.First, r.Last, r.Durable)
	line("records", "%d, of which %d events and voids", r.Records, r.Events)
	for _, p := range slices.Sorted(maps.Keys(why)) {
		line("not read", "%d segments, %s: their records are neither counted nor checked", why[p], p)
	}
	line("segments", "%d with %d bytes of records", r.Segments, r.Bytes)
	if r.Live {
		line("writer", "has it open")
	} else {
		line("writer", "none")
	}
	if r.Lost > 0 {
		line("lost", "%d given up by a repair; dump shows them", r.Lost)
	}
	if r.Torn {
		promise := "no promise is broken by that"
		if r.DurableLost > 0 {
			promise = fmt.Sprintf("%d records behind it had been promised durable", r.DurableLost)
		}
		line("tail", "torn at %s offset %d: the next writer cuts it; %s", r.TornSegment, r.TornOffset, promise)
	}
	if r.Cut {
		line("cut", "the newest segment's file is shorter than its header says")
	}
	if r.Links > 0 {
		line("chain", "%d links, %d signed, to sequence %d", r.Links, r.Signed, r.Chained)
		line("root", "%s", r.Root)
	} else {
		line("chain", "none")
	}
	for _, s := range r.Snapshots {
		line("snapshot", "at %d, %d bytes, %s old, sha256 %s", s.Sequence, s.Bytes, time.Since(s.Created).Round(time.Second), s.SHA256)
	}
	for _, d := range r.Damaged {
		line("damaged", "%s", d)
	}
	return w.Flush()
}
