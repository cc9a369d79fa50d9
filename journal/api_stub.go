package journal

import (
	"context"
	"errors"
	"iter"
)

const (
	pageBytes         = 4096
	recordHeaderBytes = 32
)

func segmentCapacity(n int64) int64 { return n - 2*pageBytes - max(pageBytes, n>>10) }

var errTODO = errors.New("journal: being built")

type Journal struct{}
type Reader struct{}
type Stats struct {
	Written, Durable      int64 // last sequences
	LossEvents, LossBytes int64 // written and not durable
	Syncs, Rolls, Stalls  uint64
}
type Recovery struct {
	Created, Clean bool
	First, Last    int64
}
type VerifyOptions struct{}
type Report struct{}

func Open(dir string, o Options) (*Journal, error)                { return nil, errTODO }
func (j *Journal) Recovery() Recovery                             { return Recovery{} }
func (j *Journal) UUID() [16]byte                                 { return [16]byte{} }
func (j *Journal) FirstSequence() int64                           { return 0 }
func (j *Journal) Written() int64                                 { return 0 }
func (j *Journal) Durable() int64                                 { return 0 }
func (j *Journal) Append(e Entry) (seq int64, err error)          { return 0, errTODO }
func (j *Journal) AppendBatch(es []Entry) (last int64, err error) { return 0, errTODO }
func (j *Journal) Stage(e Entry) (seq int64, err error)           { return 0, errTODO }
func (j *Journal) BeginBatch(records int, bodyBytes int64) error  { return errTODO }

// CancelBatch takes back what was staged since BeginBatch.
func (j *Journal) CancelBatch()                                           {}
func (j *Journal) Commit() error                                          { return errTODO }
func (j *Journal) Sync() error                                            { return errTODO }
func (j *Journal) RequestSync()                                           {}
func (j *Journal) WaitWritten(ctx context.Context, seq int64) error       { return errTODO }
func (j *Journal) WaitDurable(ctx context.Context, seq int64) error       { return errTODO }
func (j *Journal) Err() error                                             { return errTODO }
func (j *Journal) Stats() Stats                                           { return Stats{} }
func (j *Journal) Close() error                                           { return errTODO }
func (j *Journal) NewReader(from int64, o ReaderOptions) (*Reader, error) { return nil, errTODO }
func OpenReader(dir string, from int64, o ReaderOptions) (*Reader, error) { return nil, errTODO }
func (r *Reader) Read(fn func(Record) error) (n int, err error)           { return 0, errTODO }
func (r *Reader) Follow(ctx context.Context, fn func(Record) error) error { return errTODO }
func (r *Reader) Records() iter.Seq2[Record, error]                       { return nil }

// Sequence is the last event or void delivered.
func (r *Reader) Sequence() int64                        { return 0 }
func (r *Reader) Close() error                           { return nil }
func Verify(dir string, o VerifyOptions) (Report, error) { return Report{}, errTODO }
