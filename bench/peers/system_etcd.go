package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"go.etcd.io/etcd/raft/v3/raftpb"
	"go.etcd.io/etcd/server/v3/wal"
	"go.etcd.io/etcd/server/v3/wal/walpb"
	"go.uber.org/zap"
)

// etcdLog is etcd's write-ahead log. Save syncs when entries are new, which they always are; without
// sync it is told to leave out the fsync, as etcd's --unsafe-no-fsync does.
type etcdLog struct {
	wal     *wal.WAL
	dir     string
	entries []raftpb.Entry
}

func openEtcd(dir string, sync bool) (batchLog, error) {
	w, err := wal.Create(zap.NewNop(), dir, nil)
	if err != nil {
		return nil, err
	}
	if !sync {
		w.SetUnsafeNoFsync()
	}
	return &etcdLog{wal: w, dir: dir}, nil
}

func (l *etcdLog) append(first int, bodies [][]byte) error {
	l.entries = l.entries[:0]
	for k, b := range bodies {
		l.entries = append(l.entries, raftpb.Entry{Term: 1, Index: uint64(first + k), Data: b})
	}
	return l.wal.Save(raftpb.HardState{Term: 1, Commit: uint64(first + len(bodies) - 1)}, l.entries)
}

func (l *etcdLog) read(w Work) (uint64, error) {
	if err := l.wal.Close(); err != nil {
		return 0, err
	}
	l.wal = nil
	return etcdRead(l.dir, w)
}

// etcdRead opens and reads a whole log: there is no way to read a part.
func etcdRead(dir string, w Work) (sum uint64, err error) {
	log, err := wal.OpenForRead(zap.NewNop(), dir, walpb.Snapshot{})
	if err != nil {
		return 0, err
	}
	defer log.Close()
	_, _, entries, err := log.ReadAll()
	if err != nil {
		return 0, err
	}
	if len(entries) != w.Events {
		return 0, fmt.Errorf("%d entries, %d were written", len(entries), w.Events)
	}
	for i := range entries {
		sum = foldBody(sum, entries[i].Data)
	}
	return sum, nil
}

func (l *etcdLog) Close() error {
	if l.wal == nil {
		return nil
	}
	return l.wal.Close()
}

// etcdReplay opens and reads one log, written once, from the page cache, as it does at a start.
func etcdReplay(w Work) (Bench, error) {
	dir := filepath.Join(w.Dir, "log")
	log, err := openEtcd(dir, false)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(appendBatches(log, w), log.Close()); err != nil {
		return nil, err
	}
	return roundFunc(func() (Result, error) {
		start := time.Now()
		sum, err := etcdRead(dir, w)
		return Result{Elapsed: time.Since(start), Sum: sum}, err
	}), nil
}
