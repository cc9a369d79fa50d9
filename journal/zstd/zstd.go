// Package zstd is the Zstandard codec for archived segments of package journal: about as small as
// Deflate or smaller, and several times as fast. It is a module of its own, so that who does not use
// it does not have its dependency.
//
//	access := journal.ArchiveAccess{Codecs: []journal.Codec{zstd.Codec()}}
//	j, err := journal.Open(dir, journal.Options{Archives: access})
//	rep, err := j.Archive(ctx, journal.ArchiveOptions{Codec: zstd.Codec(), Access: access})
package zstd

import (
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/headrace/headrace/journal"
)

// ID is what archived segments name the codec by.
const ID = 2

// Codec returns the codec: each block one frame of RFC 8878, with its size and without a checksum,
// which the journal has. It may be used from several goroutines.
func Codec() journal.Codec { return codec{} }

type codec struct{}

// Both keep buffers for a call each; they are made once, when first needed.
var (
	encoder = sync.OnceValues(func() (*zstd.Encoder, error) {
		return zstd.NewWriter(nil, zstd.WithEncoderCRC(false), zstd.WithEncoderConcurrency(1), zstd.WithSingleSegment(true))
	})
	// With a limit of the destination's room a frame cannot make the decoder produce, or
	// allocate, more than the block that is to be filled.
	decoder = sync.OnceValues(func() (*zstd.Decoder, error) {
		return zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderMaxMemory(1<<31))
	})
)

// ID returns 2.
func (codec) ID() uint32 { return ID }

// Name returns "zstd".
func (codec) Name() string { return "zstd" }

// Encode is the journal.Codec's.
func (codec) Encode(dst, src []byte) ([]byte, error) {
	e, err := encoder()
	if err != nil {
		return nil, err
	}
	return e.EncodeAll(src, dst[:0]), nil
}

// Decode is the journal.Codec's.
func (codec) Decode(dst, src []byte) error {
	d, err := decoder()
	if err != nil {
		return err
	}
	out, err := d.DecodeAll(src, dst[:0:len(dst)])
	if err != nil {
		return fmt.Errorf("zstd: %w", err)
	}
	if len(out) != len(dst) {
		return fmt.Errorf("zstd: %d bytes, want %d", len(out), len(dst))
	}
	if len(dst) > 0 && &out[0] != &dst[0] {
		copy(dst, out)
	}
	return nil
}
