package event

import (
	"errors"
	"io"

	"github.com/headrace/headrace/event/pack"
)

var (
	errNil        = errors.New("nil pointer")
	errNoRegistry = errors.New("the registry is nil")
	errShrunk     = errors.New("AppendMsgpack returned less than it was given")
	errExt        = errors.New("extension where a map is expected")
	errUnread     = errors.New("UnreadByte without ReadByte")
)

// located turns an error of package pack into one of this package.
func located(err error) error {
	if err == nil {
		return nil // before p, which errors.As sends to the heap
	}
	var p *pack.Error
	if errors.As(err, &p) {
		return &MalformedError{p.Offset, p.Err.Error(), err}
	}
	return err
}

// sliceWriter is where msgpack's encoder writes: straight into the caller's slice.
type sliceWriter struct {
	buf   []byte
	limit int // most that buf may hold; what stops a value without end
}

func (w *sliceWriter) Write(p []byte) (int, error) {
	if len(p) > w.limit-len(w.buf) {
		return 0, ErrTooLarge
	}
	w.buf = append(w.buf, p...)
	return len(p), nil
}

func (w *sliceWriter) WriteByte(c byte) error {
	if len(w.buf) >= w.limit {
		return ErrTooLarge
	}
	w.buf = append(w.buf, c)
	return nil
}

// sliceReader is what msgpack's decoder reads from.
//
// That decoder allocates what a length says before it looks for the bytes, and has no limit of
// depth, so reset scans the payload first. One hole is left: where it wants a map it accepts an
// extension header and reads on inside the extension's data, which the scan did not look into.
// Data is read by Read, codes by ReadByte; a ReadByte where data begins can only be that.
type sliceReader struct {
	b    []byte
	pos  int
	exts []int // where the data of extensions begins, ascending
	next int   // exts[:next] lie before pos
}

// reset scans b and returns how many values it holds.
func (r *sliceReader) reset(b []byte) (values int, err error) {
	r.b, r.pos, r.next = b, 0, 0
	values, r.exts, err = pack.ScanExtensions(b, r.exts[:0])
	return values, err
}

func (r *sliceReader) Read(p []byte) (int, error) {
	if r.pos >= len(r.b) && len(p) > 0 {
		return 0, io.EOF
	}
	n := copy(p, r.b[r.pos:])
	r.pos += n
	return n, nil
}

func (r *sliceReader) ReadByte() (byte, error) {
	if r.pos >= len(r.b) {
		return 0, io.EOF
	}
	if len(r.exts) > 0 && r.inExtension() {
		return 0, errExt
	}
	c := r.b[r.pos]
	r.pos++
	return c, nil
}

func (r *sliceReader) inExtension() bool {
	for r.next < len(r.exts) && r.exts[r.next] < r.pos {
		r.next++
	}
	return r.next < len(r.exts) && r.exts[r.next] == r.pos
}

func (r *sliceReader) UnreadByte() error {
	if r.pos == 0 {
		return errUnread
	}
	r.pos--
	return nil
}
