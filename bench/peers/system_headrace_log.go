package main

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"time"

	"github.com/headrace/headrace/journal"
)

// headraceLog is a journal as a batchLog: a batch is staged and committed, and waited for if the log
// syncs.
type headraceLog struct {
	j    *journal.Journal
	sync bool
}

func openHeadrace(dir string, sync bool) (batchLog, error) {
	o := headraceOptions()
	if sync {
		o.Durability = journal.Batch()
	}
	j, err := journal.Open(dir, o)
	if err != nil {
		return nil, err
	}
	return headraceLog{j, sync}, nil
}

func (l headraceLog) append(_ int, bodies [][]byte) error {
	e := journal.Entry{Type: 16, Time: time.Now().UnixNano()}
	for _, e.Body = range bodies {
		if _, err := l.j.Stage(e); err != nil {
			return err
		}
	}
	if err := l.j.Commit(); err != nil || !l.sync {
		return err
	}
	return l.j.WaitDurable(context.Background(), l.j.Written())
}

func (l headraceLog) read(Work) (sum uint64, err error) {
	r, err := l.j.NewReader(1, journal.ReaderOptions{})
	if err != nil {
		return 0, err
	}
	sum, err = headraceRead(r)
	return sum, errors.Join(err, r.Close())
}

func (l headraceLog) Close() error { return l.j.Close() }

// headraceWaiters appends under a lock, because a journal has one writer, and waits outside it.
func headraceWaiters(log batchLog, w Work) error {
	j := log.(headraceLog).j
	var mu sync.Mutex
	next, body := 0, newBody(w.BodyBytes)
	return waiters(w, func() error {
		mu.Lock()
		next++
		stampBody(body, next)
		seq, err := j.Append(journal.Entry{Type: 16, Body: body})
		mu.Unlock()
		if err != nil {
			return err
		}
		return j.WaitDurable(context.Background(), seq)
	})
}

// headraceFollow appends in one goroutine and follows in another, which the journal wakes.
func headraceFollow(w Work) (res Result, err error) {
	defer emptyDir(w.Dir)
	j, err := journal.Open(filepath.Join(w.Dir, "log"), headraceOptions())
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	r, err := j.NewReader(1, journal.ReaderOptions{Until: int64(w.Events)})
	if err != nil {
		return Result{}, err
	}
	done := make(chan error, 1)
	start := time.Now()
	go func() {
		done <- r.Follow(context.Background(), func(rec journal.Record) error {
			res.Sum = foldBody(res.Sum, rec.Body)
			return nil
		})
	}()
	_, err = headraceWrite(j, w)
	err = errors.Join(err, <-done)
	res.Elapsed = time.Since(start)
	return res, errors.Join(err, r.Close())
}

// recycling is a journal that stays open over the rounds and keeps so much; what is older becomes the
// next segments.
type recycling struct {
	j    *journal.Journal
	w    Work
	keep int64 // bytes of segments
}

// headraceRecycled opens one with segments of the default size.
func headraceRecycled(keep int64) func(Work) (Bench, error) {
	return func(w Work) (Bench, error) {
		o := headraceOptions()
		o.RecycleSegments = int(keep/journal.DefaultSegmentBytes) + 8
		j, err := journal.Open(filepath.Join(w.Dir, "log"), o)
		if err != nil {
			return nil, err
		}
		b := &recycling{j: j, w: w, keep: keep}
		// Until every segment has been written to twice; but not where a round is next to nothing.
		for w.Events >= 250_000 && j.Stats().Recycled < uint64(o.RecycleSegments) {
			if _, err := b.Round(); err != nil {
				return nil, errors.Join(err, j.Close())
			}
		}
		return b, nil
	}
}

// Round appends, while another goroutine trims, and then folds the last tailEvents.
func (b *recycling) Round() (Result, error) {
	stop, trimmed := make(chan struct{}), make(chan error, 1)
	go func() { trimmed <- b.trim(stop) }()
	elapsed, err := headraceWrite(b.j, b.w)
	close(stop)
	if err = errors.Join(err, <-trimmed); err != nil {
		return Result{}, err
	}
	r, err := b.j.NewReader(b.j.Written()-int64(min(tailEvents, b.w.Events))+1, journal.ReaderOptions{})
	if err != nil {
		return Result{}, err
	}
	sum, err := headraceRead(r)
	return Result{Elapsed: elapsed, Sum: sum}, errors.Join(err, r.Close())
}

func (b *recycling) trim(stop chan struct{}) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := b.j.Trim(journal.Retention{MaxBytes: b.keep}); err != nil {
			return err
		}
		select {
		case <-stop:
			return nil
		case <-tick.C:
		}
	}
}

func (b *recycling) Close() error { return b.j.Close() }

// tailEvents is how many of the last events a sustained scenario reads back.
const tailEvents = 100_000

// tailSum is the fold of the last tailEvents events.
func tailSum(w Work) (sum uint64) {
	body := newBody(w.BodyBytes)
	for i := max(1, w.Events-tailEvents+1); i <= w.Events; i++ {
		stampBody(body, i)
		sum = foldBody(sum, body)
	}
	return sum
}
