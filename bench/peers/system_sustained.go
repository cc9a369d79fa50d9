package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/journal"
)

// Logs so large that reading them back whole would take longer than writing them: the last tailEvents
// are folded instead.

// tailReader is a batchLog that reads its end by itself.
type tailReader interface {
	tail(w Work) (sum uint64, err error)
}

// sustained makes an Open that fills a fresh log each round.
func sustained(open openLog) func(Work) (Bench, error) {
	return each(func(w Work) (res Result, err error) {
		defer emptyDir(w.Dir)
		log, err := open(filepath.Join(w.Dir, "log"), false)
		if err != nil {
			return Result{}, err
		}
		defer func() { err = errors.Join(err, log.Close()) }()
		start := time.Now()
		if err := appendBatches(log, w); err != nil {
			return Result{}, err
		}
		elapsed := time.Since(start)
		sum, err := log.(tailReader).tail(w)
		return Result{Elapsed: elapsed, Sum: sum}, err
	})
}

func firstOfTail(w Work) int { return max(1, w.Events-tailEvents+1) }

func (l *tidwallLog) tail(w Work) (sum uint64, err error) {
	for i := firstOfTail(w); i <= w.Events; i++ {
		body, err := l.log.Read(uint64(i))
		if err != nil {
			return 0, err
		}
		sum = foldBody(sum, body)
	}
	return sum, nil
}

func (l headraceLog) tail(w Work) (sum uint64, err error) {
	r, err := l.j.NewReader(int64(firstOfTail(w)), journal.ReaderOptions{})
	if err != nil {
		return 0, err
	}
	sum, err = headraceRead(r)
	return sum, errors.Join(err, r.Close())
}

func (l *fileLog) tail(w Work) (sum uint64, err error) {
	step := headerBytes + w.BodyBytes
	buf := make([]byte, (w.Events-firstOfTail(w)+1)*step)
	if _, err := l.f.ReadAt(buf, int64((firstOfTail(w)-1)*step)); err != nil {
		return 0, err
	}
	for ; len(buf) > 0; buf = buf[step:] {
		sum = foldBody(sum, buf[headerBytes:step])
	}
	return sum, nil
}

// eachDirect writes as many bytes past the page cache, a mebibyte at a time, and syncs: the disk's own
// bandwidth. It is that of a new file, or, where over is set, of a gibibyte that was written before, again and again.
func eachDirect(over bool) func(Work) (Bench, error) {
	const piece, room = 1 << 20, 1 << 30
	return func(w Work) (Bench, error) {
		buf, err := unix.Mmap(-1, 0, piece, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
		if err != nil {
			return nil, err
		}
		for i := range buf {
			buf[i] = byte(i) | 1
		}
		write := func(f *os.File, bytes int64) error {
			for at := int64(0); at < bytes; at += piece {
				to := at
				if over {
					to %= room
				}
				if _, err := f.WriteAt(buf, to); err != nil {
					return err
				}
			}
			return f.Sync()
		}
		name := filepath.Join(w.Dir, "log")
		return closeToo{roundFunc(func() (res Result, err error) {
			f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|unix.O_DIRECT, 0o600)
			if err != nil {
				return res, fmt.Errorf("writing past the page cache: %w", err)
			}
			defer func() { err = errors.Join(err, f.Close(), os.Remove(name)) }()
			bytes := int64(w.Events) * int64(headerBytes+w.BodyBytes)
			if over {
				if err := write(f, min(bytes, room)); err != nil {
					return res, err
				}
			}
			start := time.Now()
			if err := write(f, bytes); err != nil {
				return res, err
			}
			return Result{Elapsed: time.Since(start), Sum: tailSum(w)}, nil
		}), func() error { return unix.Munmap(buf) }}, nil
	}
}
