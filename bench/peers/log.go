package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// batchLog is a log as the sync scenarios use every system: one goroutine appends batches.
type batchLog interface {
	// append adds the bodies as events first, first+1, … in one batch, synced if the log was opened to be.
	append(first int, bodies [][]byte) error
	// read folds all events 1..w.Events.
	read(w Work) (sum uint64, err error)
	Close() error
}

// openLog makes a log in a directory of its own.
type openLog func(dir string, sync bool) (batchLog, error)

// eachLog makes an Open of a scenario that fills a fresh log each round: work is timed, reading back is
// not.
func eachLog(open openLog, sync bool, work func(batchLog, Work) error) func(Work) (Bench, error) {
	return each(func(w Work) (res Result, err error) {
		defer emptyDir(w.Dir)
		log, err := open(filepath.Join(w.Dir, "log"), sync)
		if err != nil {
			return Result{}, err
		}
		defer func() { err = errors.Join(err, log.Close()) }()
		start := time.Now()
		if err := work(log, w); err != nil {
			return Result{}, err
		}
		elapsed := time.Since(start)
		sum, err := log.read(w)
		return Result{Elapsed: elapsed, Sum: sum}, err
	})
}

// appendBatches appends w.Events in batches of w.Batch from one goroutine.
func appendBatches(log batchLog, w Work) error {
	bodies := make([][]byte, w.Batch)
	for k := range bodies {
		bodies[k] = newBody(w.BodyBytes)
	}
	for i := 1; i <= w.Events; i += w.Batch {
		for k := range bodies {
			stampBody(bodies[k], i+k)
		}
		if err := log.append(i, bodies); err != nil {
			return err
		}
	}
	return nil
}

// waiters runs w.Producers goroutines, each of which calls publish again and again until all w.Events
// are.
func waiters(w Work, publish func() error) error {
	var wg sync.WaitGroup
	errs := make([]error, w.producers())
	for g := range errs {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range w.Events / len(errs) {
				if errs[g] = publish(); errs[g] != nil {
					return
				}
			}
		}()
	}
	wg.Wait()
	return errors.Join(errs...)
}

// waitPlainly is what somebody does first: a lock around an append and its sync.
func waitPlainly(log batchLog, w Work) error {
	var mu sync.Mutex
	next, body := 0, newBody(w.BodyBytes)
	one := [][]byte{body}
	return waiters(w, func() error {
		mu.Lock()
		defer mu.Unlock()
		next++
		stampBody(body, next)
		return log.append(next, one)
	})
}

// waitTogether is a group-commit wrapper around a log: whoever comes while a batch is synced is in the
// next one, and all of a batch wait for its one sync.
func waitTogether(log batchLog, w Work) error {
	type batch struct {
		first  int
		bodies [][]byte
		done   chan struct{}
		err    error
	}
	fresh := func(first int) *batch {
		return &batch{first: first, bodies: make([][]byte, 0, w.producers()), done: make(chan struct{})}
	}
	var mu sync.Mutex
	var free [][]byte
	gathering, next := fresh(1), 0
	work, stopped := make(chan struct{}, 1), make(chan struct{})
	go func() {
		defer close(stopped)
		for range work {
			mu.Lock()
			b := gathering
			if len(b.bodies) == 0 {
				mu.Unlock()
				continue
			}
			gathering = fresh(next + 1)
			mu.Unlock()
			b.err = log.append(b.first, b.bodies)
			close(b.done)
			mu.Lock()
			free = append(free, b.bodies...)
			mu.Unlock()
		}
	}()
	err := waiters(w, func() error {
		mu.Lock()
		next++
		var body []byte
		if n := len(free); n > 0 {
			body, free = free[n-1], free[:n-1]
		} else {
			body = newBody(w.BodyBytes)
		}
		stampBody(body, next)
		b := gathering
		b.bodies = append(b.bodies, body)
		mu.Unlock()
		select {
		case work <- struct{}{}:
		default:
		}
		<-b.done
		return b.err
	})
	close(work)
	<-stopped
	return err
}

// onMemory makes an Open whose directory is on tmpfs, whatever --dir says.
func onMemory(open func(Work) (Bench, error)) func(Work) (Bench, error) {
	return func(w Work) (Bench, error) {
		dir, err := os.MkdirTemp("/dev/shm", "headrace-peers-")
		if err != nil {
			return nil, fmt.Errorf("this scenario needs tmpfs: %w", err)
		}
		w.Dir = dir
		b, err := open(w)
		if err != nil {
			return nil, errors.Join(err, os.RemoveAll(dir))
		}
		return closeToo{b, func() error { return os.RemoveAll(dir) }}, nil
	}
}

// closeToo is a Bench with more to close.
type closeToo struct {
	Bench
	more func() error
}

func (b closeToo) Close() error { return errors.Join(b.Bench.Close(), b.more()) }

// Paced is the Bench's, if it has one.
func (b closeToo) Paced(h *Histogram) (Result, error) {
	if p, ok := b.Bench.(Pacer); ok {
		return p.Paced(h)
	}
	return Result{}, errors.New("system has no latency part")
}
