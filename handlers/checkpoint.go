package handlers

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/headrace/headrace/internal/failpoint"
	"github.com/headrace/headrace/journal"
)

// Checkpoint is how far a follower got, kept outside the journal. Besides the sequence it names the
// record that had it, because a number that was written and not durable can be given out again
// after a power cut: then the checkpoint belongs to a history that is no more.
type Checkpoint struct {
	Sequence int64  `json:"sequence"`
	Segment  uint64 `json:"segment"` // id of the record's segment
	CRC      uint32 `json:"crc"`     // of the record
}

// CheckpointOf returns the checkpoint of a follower that has handled rec.
func CheckpointOf(rec journal.Record) Checkpoint {
	return Checkpoint{Sequence: rec.Sequence, Segment: rec.Segment, CRC: rec.CRC}
}

// LoadCheckpoint reads a checkpoint from path. A file that does not exist is the zero Checkpoint. A
// file that cannot be understood is ErrCheckpoint.
func LoadCheckpoint(path string) (Checkpoint, error) {
	var c Checkpoint
	data, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return c, nil
	case err != nil:
		return c, fmt.Errorf("handlers: checkpoint: %w", err)
	}
	if err := json.Unmarshal(data, &c); err != nil {
		return Checkpoint{}, fmt.Errorf("%w: %s: %w", ErrCheckpoint, path, err)
	}
	if c.Sequence < 1 {
		return Checkpoint{}, fmt.Errorf("%w: %s: it names no event", ErrCheckpoint, path)
	}
	return c, nil
}

// tempSuffix cannot be part of a follower's name.
const tempSuffix = "~"

// Save replaces the file at path by c: after a crash it holds the old or the new one, whole. The
// directory of path is made if need be.
func (c Checkpoint) Save(path string) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("handlers: checkpoint: %w", err)
		}
	}()
	data, err := json.Marshal(c)
	if err != nil {
		return err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path+tempSuffix, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(data, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	failpoint.Hit(failpoint.BeforeCheckpoint)
	if err := os.Rename(path+tempSuffix, path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// Check compares the checkpoint with the record that has its sequence: ErrDiverged if it is another.
func (c Checkpoint) Check(rec journal.Record) error {
	if got := CheckpointOf(rec); got != c {
		return fmt.Errorf("%w: sequence %d is in segment %016x with CRC %08x, the checkpoint says %016x with CRC %08x",
			ErrDiverged, c.Sequence, got.Segment, got.CRC, c.Segment, c.CRC)
	}
	return nil
}
