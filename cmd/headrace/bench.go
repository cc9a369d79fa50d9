package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/headrace/headrace/journal"
)

// benchCommand appends to a journal in a fresh directory, reads it back, and says how fast.
func benchCommand(in *invocation) func() error {
	records := in.flags.Int("records", 1_000_000, "records to append")
	size := in.flags.Int("size", 128, "`bytes` of a body")
	batch := in.flags.Int("batch", 64, "records a commit")
	mode := in.flags.String("durability", "none", "none, interval, group or batch")
	return func() (err error) {
		modes := map[string]journal.Durability{"none": journal.None(), "interval": journal.Interval(10 * time.Millisecond),
			"group": journal.Group(5*time.Millisecond, 1<<20), "batch": journal.Batch()}
		d, ok := modes[*mode]
		if !ok || *records < 1 || *batch < 1 || *size < 0 || *size > journal.DefaultMaxBodyBytes {
			return fmt.Errorf("%w: bench: a flag is out of range", errUsage)
		}
		dir, err := os.MkdirTemp(in.args[0], "headrace-bench-")
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
		j, err := journal.Open(dir, journal.Options{Durability: d})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, j.Close()) }()
		body := make([]byte, *size)
		p := in.progress("append")
		start := time.Now()
		for i := range *records {
			if _, err := j.Stage(journal.Entry{Type: 1, Body: body}); err != nil {
				return err
			}
			if (i+1)%*batch == 0 {
				if err := errors.Join(j.Commit(), in.ctx.Err()); err != nil {
					return err
				}
				p.at(int64(i), int64(*records))
			}
		}
		if err := j.Commit(); err != nil {
			return err
		}
		appended := time.Since(start)
		if err := j.Sync(); err != nil {
			return err
		}
		synced := time.Since(start)
		p.end()
		r, err := j.NewReader(0, journal.ReaderOptions{})
		if err != nil {
			return err
		}
		defer r.Close()
		start = time.Now()
		n, err := r.Read(func(journal.Record) error { return nil })
		if err != nil {
			return err
		}
		read := time.Since(start)
		rate := func(d time.Duration) float64 { return float64(n) / max(d.Seconds(), 1e-9) }
		st := j.Stats()
		if in.json {
			return in.show(map[string]any{"records": n, "body_bytes": *size, "durability": d.String(),
				"append_per_s": rate(appended), "append_and_sync_per_s": rate(synced), "read_per_s": rate(read),
				"syncs": st.Syncs, "stalls": st.Stalls, "rolls": st.Rolls})
		}
		_, err = fmt.Fprintf(in.s.out, "%d records of %d bytes, durability %v\nappend         %.2f million/s\nappend + sync  %.2f million/s\nread           %.2f million/s\nsyncs %d, rolls %d, stalls %d\n",
			n, *size, d, rate(appended)/1e6, rate(synced)/1e6, rate(read)/1e6, st.Syncs, st.Rolls, st.Stalls)
		return err
	}
}
