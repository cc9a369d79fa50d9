package main

import (
	"runtime"
	"time"

	"github.com/tidwall/wal"
)

// tidwallLog is tidwall/wal as a batchLog.
type tidwallLog struct {
	log   *wal.Log
	batch *wal.Batch
}

func openTidwall(dir string, sync bool) (batchLog, error) {
	o := tidwallOptions()
	o.NoSync = !sync
	log, err := wal.Open(dir, o)
	if err != nil {
		return nil, err
	}
	return &tidwallLog{log, new(wal.Batch)}, nil
}

func (l *tidwallLog) append(first int, bodies [][]byte) error {
	for k, b := range bodies {
		l.batch.Write(uint64(first+k), b)
	}
	return l.log.WriteBatch(l.batch)
}

func (l *tidwallLog) read(w Work) (uint64, error) { return tidwallRead(l.log, w) }
func (l *tidwallLog) Close() error                { return l.log.Close() }

// tidwallFollow appends in one goroutine and reads what is there in another, which has nothing to wait
// on and asks for the last index again and again.
func tidwallFollow(w Work) (Result, error) {
	defer emptyDir(w.Dir)
	open, err := openTidwall(w.Dir+"/log", false)
	if err != nil {
		return Result{}, err
	}
	defer open.Close()
	log := open.(*tidwallLog)
	type followed struct {
		sum uint64
		err error
	}
	done := make(chan followed, 1)
	start := time.Now()
	go func() {
		var f followed
		for next := uint64(1); next <= uint64(w.Events) && f.err == nil; {
			last, err := log.log.LastIndex()
			if f.err = err; last < next {
				runtime.Gosched()
				continue
			}
			for ; next <= last && f.err == nil; next++ {
				var body []byte
				body, f.err = log.log.Read(next)
				f.sum = foldBody(f.sum, body)
			}
		}
		done <- f
	}()
	if err := appendBatches(log, w); err != nil {
		return Result{}, err
	}
	f := <-done
	return Result{Elapsed: time.Since(start), Sum: f.sum}, f.err
}
