package main

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/tidwall/wal"
)

// tidwallOptions: no sync, reads that do not copy, and segments as large as headrace's. From 2 to 64 MB
// the size hardly mattered to appends; 64 read faster than the default of 20.
func tidwallOptions() *wal.Options {
	o := *wal.DefaultOptions
	o.NoSync = true
	o.NoCopy = true
	o.SegmentSize = 64 << 20
	return &o
}

// tidwallAppend writes a fresh log in batches, one reused Batch, and reads it back untimed.
func tidwallAppend(w Work) (Result, error) {
	defer emptyDir(w.Dir)
	log, err := wal.Open(filepath.Join(w.Dir, "log"), tidwallOptions())
	if err != nil {
		return Result{}, err
	}
	defer log.Close()
	elapsed, err := tidwallWrite(log, w)
	if err != nil {
		return Result{}, err
	}
	sum, err := tidwallRead(log, w)
	return Result{Elapsed: elapsed, Sum: sum}, err
}

// tidwallReplay opens and reads one log, written once, from the page cache. Opening is timed: it
// loads the newest segment.
func tidwallReplay(w Work) (Bench, error) {
	dir := filepath.Join(w.Dir, "log")
	log, err := wal.Open(dir, tidwallOptions())
	if err != nil {
		return nil, err
	}
	_, err = tidwallWrite(log, w)
	if cerr := log.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return nil, err
	}
	return roundFunc(func() (Result, error) {
		start := time.Now()
		log, err := wal.Open(dir, tidwallOptions())
		if err != nil {
			return Result{}, err
		}
		defer log.Close()
		sum, err := tidwallRead(log, w)
		return Result{Elapsed: time.Since(start), Sum: sum}, err
	}), nil
}

func tidwallWrite(log *wal.Log, w Work) (time.Duration, error) {
	body := newBody(w.BodyBytes)
	batch := new(wal.Batch)
	start := time.Now()
	for i := 1; i <= w.Events; {
		for range w.Batch {
			stampBody(body, i)
			batch.Write(uint64(i), body)
			i++
		}
		if err := log.WriteBatch(batch); err != nil {
			return 0, err
		}
	}
	return time.Since(start), nil
}

func tidwallRead(log *wal.Log, w Work) (sum uint64, err error) {
	last, err := log.LastIndex()
	if err != nil {
		return 0, err
	}
	if last != uint64(w.Events) {
		return 0, fmt.Errorf("log ends at %d, %d were written", last, w.Events)
	}
	for i := uint64(1); i <= last; i++ {
		body, err := log.Read(i)
		if err != nil {
			return 0, fmt.Errorf("read %d: %w", i, err)
		}
		sum = foldBody(sum, body)
	}
	return sum, nil
}
