package main

import (
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// What the operating system's calls do by themselves, with the bytes that headrace would write: a body
// and 32 bytes of header for each event, no checksum. None of these is a log: they are floors.

const headerBytes = 32

// fileLog is one file: a batch is one write, and one fdatasync.
type fileLog struct {
	f     *os.File
	buf   []byte
	sync  bool
	at    int64 // -1: the file grows
	bytes int
}

// openFile lets the file grow.
func openFile(dir string, sync bool) (batchLog, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.Create(filepath.Join(dir, "log"))
	return &fileLog{f: f, sync: sync, at: -1}, err
}

// openWritten writes over a file whose blocks were written and synced before: no sync is shorter.
func openWritten(dir string, sync bool) (batchLog, error) {
	l, err := openFile(dir, sync)
	if err != nil {
		return nil, err
	}
	f := l.(*fileLog).f
	zeros := make([]byte, 1<<20)
	for range 64 {
		if _, err := f.Write(zeros); err != nil {
			return nil, err
		}
	}
	l.(*fileLog).at = 0
	return l, f.Sync()
}

func (l *fileLog) append(_ int, bodies [][]byte) error {
	l.buf = l.buf[:0]
	for _, b := range bodies {
		l.bytes = len(b)
		l.buf = append(append(l.buf, make([]byte, headerBytes)...), b...)
	}
	var err error
	if l.at < 0 {
		_, err = l.f.Write(l.buf)
	} else {
		_, err = l.f.WriteAt(l.buf, l.at)
		l.at += int64(len(l.buf))
	}
	if err == nil && l.sync {
		err = unix.Fdatasync(int(l.f.Fd()))
	}
	return err
}

func (l *fileLog) read(w Work) (sum uint64, err error) {
	all, err := os.ReadFile(l.f.Name())
	if err != nil {
		return 0, err
	}
	step := headerBytes + w.BodyBytes
	for i := range w.Events {
		sum = foldBody(sum, all[i*step+headerBytes:(i+1)*step])
	}
	return sum, nil
}

func (l *fileLog) Close() error { return l.f.Close() }

// copyAndHash is the least that an append of a checked record does: copy the body behind a header into
// memory that is there already, and its CRC32C with 48 bytes besides.
func copyAndHash(w Work) (Bench, error) {
	const size = 64 << 20
	memory, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, err
	}
	table := crc32.MakeTable(crc32.Castagnoli)
	body, tail, step := newBody(w.BodyBytes), make([]byte, 48), headerBytes+w.BodyBytes
	for i := 0; i < size; i += 4096 {
		memory[i] = 1
	}
	sums := uint32(0)
	round := roundFunc(func() (Result, error) {
		start := time.Now()
		at := 0
		for i := 1; i <= w.Events; i++ {
			if at+step > size {
				at = 0
			}
			stampBody(body, i)
			to := memory[at+headerBytes : at+step]
			copy(to, body)
			sums += crc32.Update(crc32.Update(0, table, to), table, tail)
			at += step
		}
		return Result{Elapsed: time.Since(start), Sum: tailSum(w)}, nil
	})
	return closeToo{round, func() error {
		if sums == 0 {
			return fmt.Errorf("checksums sum up to %d", sums)
		}
		return unix.Munmap(memory)
	}}, nil
}

// hashBytes is the CRC32C of the bytes of w.Events records, one call for 152 of them, out of the page
// cache by pread in pieces of 128 KiB, and the fold of the bodies that every reader does.
func hashBytes(w Work) (Bench, error) {
	log, err := openFile(filepath.Join(w.Dir, "log"), false)
	if err != nil {
		return nil, err
	}
	if err := appendBatches(log, w); err != nil {
		return nil, err
	}
	f := log.(*fileLog).f
	table, step := crc32.MakeTable(crc32.Castagnoli), headerBytes+w.BodyBytes
	buf := make([]byte, (128<<10)/step*step)
	sums := uint32(0)
	return closeToo{roundFunc(func() (res Result, err error) {
		start := time.Now()
		for at, end := int64(0), int64(w.Events*step); at < end; at += int64(len(buf)) {
			piece := buf[:min(int64(len(buf)), end-at)]
			if _, err := f.ReadAt(piece, at); err != nil {
				return res, err
			}
			for ; len(piece) > 0; piece = piece[step:] {
				sums += crc32.Update(0, table, piece[8:step])
				res.Sum = foldBody(res.Sum, piece[headerBytes:step])
			}
		}
		res.Elapsed = time.Since(start)
		return res, nil
	}), f.Close}, nil
}
