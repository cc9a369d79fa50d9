package journal

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"sync"
)

// Codec compresses the blocks of archived segments. Its methods may be called from several
// goroutines at once.
type Codec interface {
	// ID is stored in the file and names the codec for good: 1 is Deflate, 2 is that of the module
	// journal/zstd, up to 1,023 are this project's, the rest are the applications'.
	ID() uint32
	// Name is for people.
	Name() string
	// Encode appends src, compressed, to dst[:0]'s array if it fits, and returns it.
	Encode(dst, src []byte) ([]byte, error)
	// Decode fills dst with what src was made of, exactly, and fails where src yields more or less.
	// It must not keep either, and allocate no more than a bound of its own, whatever src says.
	Decode(dst, src []byte) error
}

// codecDeflate is the id of the codec that every reader knows.
const (
	codecNone    = 0
	codecDeflate = 1
)

// Deflate is the codec that needs nothing but the standard library (RFC 1951).
func Deflate() Codec { return deflate{} }

type deflate struct{}

func (deflate) ID() uint32   { return codecDeflate }
func (deflate) Name() string { return "deflate" }

var (
	deflaters = sync.Pool{New: func() any {
		w, _ := flate.NewWriter(nil, flate.DefaultCompression) // the level is a good one
		return w
	}}
	inflaters = sync.Pool{New: func() any { return flate.NewReader(bytes.NewReader(nil)) }}
)

func (deflate) Encode(dst, src []byte) ([]byte, error) {
	w := deflaters.Get().(*flate.Writer)
	defer deflaters.Put(w)
	out := bytes.NewBuffer(dst[:0])
	w.Reset(out)
	if _, err := w.Write(src); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func (deflate) Decode(dst, src []byte) error {
	r := inflaters.Get().(io.ReadCloser)
	defer inflaters.Put(r)
	in := bytes.NewReader(src)
	if err := r.(flate.Resetter).Reset(in, nil); err != nil {
		return err
	}
	if _, err := io.ReadFull(r, dst); err != nil {
		return fmt.Errorf("deflate: %w", err)
	}
	var one [1]byte
	if n, err := r.Read(one[:]); n != 0 || err != io.EOF {
		return fmt.Errorf("deflate: more than %d bytes, or no end: %v", len(dst), err)
	}
	if in.Len() > 0 {
		return fmt.Errorf("deflate: %d bytes after the end", in.Len())
	}
	return nil
}
