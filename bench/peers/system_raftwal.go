package main

import (
	"errors"
	"io"
	"os"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftwal "github.com/hashicorp/raft-wal"
)

// raftLog is HashiCorp's raft-wal, which syncs every StoreLogs.
type raftLog struct {
	wal  *raftwal.WAL
	logs []*raft.Log
}

var errAlwaysSyncs = errors.New("raft-wal has no mode without sync")

func openRaftWAL(dir string, sync bool) (batchLog, error) {
	if !sync {
		return nil, errAlwaysSyncs
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	w, err := raftwal.Open(dir, raftwal.WithLogger(hclog.New(&hclog.LoggerOptions{Output: io.Discard})))
	if err != nil {
		return nil, err
	}
	return &raftLog{wal: w}, nil
}

func (l *raftLog) append(first int, bodies [][]byte) error {
	for len(l.logs) < len(bodies) {
		l.logs = append(l.logs, new(raft.Log))
	}
	for k, b := range bodies {
		*l.logs[k] = raft.Log{Index: uint64(first + k), Term: 1, Data: b}
	}
	return l.wal.StoreLogs(l.logs[:len(bodies)])
}

func (l *raftLog) read(w Work) (sum uint64, err error) {
	var log raft.Log
	for i := 1; i <= w.Events; i++ {
		if err := l.wal.GetLog(uint64(i), &log); err != nil {
			return 0, err
		}
		sum = foldBody(sum, log.Data)
	}
	return sum, nil
}

func (l *raftLog) Close() error { return l.wal.Close() }
