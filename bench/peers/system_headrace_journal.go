package main

import (
	"errors"
	"path/filepath"
	"time"

	"github.com/headrace/headrace/journal"
)

// headraceOptions: no sync, everything else as it comes.
func headraceOptions() journal.Options { return journal.Options{Durability: journal.None()} }

// headraceAppend writes a fresh journal, each batch staged and then committed, and reads it back
// untimed.
func headraceAppend(w Work) (res Result, err error) {
	defer emptyDir(w.Dir)
	j, err := journal.Open(filepath.Join(w.Dir, "log"), headraceOptions())
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	elapsed, err := headraceWrite(j, w)
	if err != nil {
		return Result{}, err
	}
	r, err := j.NewReader(1, journal.ReaderOptions{})
	if err != nil {
		return Result{}, err
	}
	sum, err := headraceRead(r)
	return Result{Elapsed: elapsed, Sum: sum}, errors.Join(err, r.Close())
}

// headraceReplay opens one journal, written once, and has read read it from the page cache. Opening is
// timed, as it is for the peers.
func headraceReplay(read func(*journal.Reader) (uint64, error)) func(Work) (Bench, error) {
	return func(w Work) (Bench, error) { return newReplay(w, read) }
}

func newReplay(w Work, read func(*journal.Reader) (uint64, error)) (Bench, error) {
	dir := filepath.Join(w.Dir, "log")
	j, err := journal.Open(dir, headraceOptions())
	if err != nil {
		return nil, err
	}
	_, err = headraceWrite(j, w)
	if err := errors.Join(err, j.Close()); err != nil {
		return nil, err
	}
	return roundFunc(func() (Result, error) {
		start := time.Now()
		r, err := journal.OpenReader(dir, 1, journal.ReaderOptions{})
		if err != nil {
			return Result{}, err
		}
		sum, err := read(r)
		res := Result{Elapsed: time.Since(start), Sum: sum}
		return res, errors.Join(err, r.Close())
	}), nil
}

// headraceWrite stamps the time once a batch, as the engine's journaler does.
func headraceWrite(j *journal.Journal, w Work) (time.Duration, error) {
	body := newBody(w.BodyBytes)
	e := journal.Entry{Type: 16, Body: body}
	start := time.Now()
	for i := 1; i <= w.Events; {
		e.Time = time.Now().UnixNano()
		for range w.Batch {
			stampBody(body, i)
			if _, err := j.Stage(e); err != nil {
				return 0, err
			}
			i++
		}
		if err := j.Commit(); err != nil {
			return 0, err
		}
	}
	return time.Since(start), nil
}

// headraceRead reads all that is there, a call for each record.
func headraceRead(r *journal.Reader) (sum uint64, err error) {
	_, err = r.Read(func(rec journal.Record) error {
		sum = foldBody(sum, rec.Body)
		return nil
	})
	return sum, err
}

// headraceReadSpans is headraceRead with a call for each span of records.
func headraceReadSpans(r *journal.Reader) (sum uint64, err error) {
	_, err = r.ReadSpans(func(recs []journal.Record) error {
		for i := range recs {
			sum = foldBody(sum, recs[i].Body)
		}
		return nil
	})
	return sum, err
}
