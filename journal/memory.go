package journal

import (
	"bytes"
	"encoding/binary"
	"io"
	"runtime/debug"
	"sync/atomic"
	"unsafe"

	"github.com/headrace/headrace/internal/sysio"
)

// All unsafe code of the package is in this file: words of a segment's memory that several
// goroutines or processes share. Offsets are multiples of 8 and memory starts on a page (or, on
// the heap, on a word), so every access is aligned. Segments are little-endian; on a big-endian
// machine the words are swapped.

var le = binary.LittleEndian

var bigEndian = func() bool {
	x := uint16(1)
	return *(*byte)(unsafe.Pointer(&x)) == 0
}()

func swap64(v uint64) uint64 {
	if bigEndian {
		var b [8]byte
		binary.BigEndian.PutUint64(b[:], v)
		return le.Uint64(b[:])
	}
	return v
}

// word points at the 8 bytes of m from off. It panics if they are not inside.
func word(m []byte, off int64) *uint64 {
	_ = m[off : off+8 : off+8]
	return (*uint64)(unsafe.Pointer(&m[off]))
}

// load64 reads a shared word with acquire order.
func load64(m []byte, off int64) uint64 { return swap64(atomic.LoadUint64(word(m, off))) }

// store64 writes a shared word with sequential consistency.
func store64(m []byte, off int64, v uint64) { atomic.StoreUint64(word(m, off), swap64(v)) }

// release64 writes a shared word after everything before it in program order.
func release64(m []byte, off int64, v uint64) { sysio.StoreRelease64(word(m, off), swap64(v)) }

// guard runs f and turns a memory fault inside m into an error that wraps ErrFault. Any other
// panic goes on. It restores the goroutine's fault setting.
func guard(name string, m []byte, f func() error) (err error) {
	old := debug.SetPanicOnFault(true)
	defer restoreFault(old, name, m, &err)
	return f()
}

// restoreFault is the deferred half of guard; call it by defer only.
func restoreFault(old bool, name string, m []byte, err *error) {
	r := recover()
	debug.SetPanicOnFault(old)
	if r == nil {
		return
	}
	if e := asFault(r, name, m); e != nil {
		*err = e
		return
	}
	panic(r)
}

// asFault returns the error for the recovered value r if it is a fault inside m, else nil.
func asFault(r any, name string, m []byte) error {
	f, ok := r.(interface{ Addr() uintptr })
	if !ok || len(m) == 0 {
		return nil
	}
	base := uintptr(unsafe.Pointer(&m[0]))
	if f.Addr() < base || f.Addr() >= base+uintptr(len(m)) {
		return nil
	}
	return errorf("%s: offset %s: %w", name, thousands(int64(f.Addr()-base)), ErrFault)
}

// touchPages makes the pages of m present by adding zero to a word of each, atomically, so that
// it may run beside a writer. For kernels that cannot populate a range.
func touchPages(m []byte) error {
	return guard("touch", m, func() error {
		for off := 0; off+8 <= len(m); off += pageBytes {
			atomic.AddUint64(word(m, int64(off)), 0)
		}
		return nil
	})
}

var zeroPage [64 << 10]byte

// writeZeros writes zeros to [from, to) of f.
func writeZeros(f io.WriterAt, from, to int64) error {
	for off := from; off < to; off += int64(len(zeroPage)) {
		if _, err := f.WriteAt(zeroPage[:min(int64(len(zeroPage)), to-off)], off); err != nil {
			return err
		}
	}
	return nil
}

// isZero tells whether b holds zeros only.
func isZero(b []byte) bool {
	for len(b) > 0 {
		n := min(len(b), len(zeroPage))
		if !bytes.Equal(b[:n], zeroPage[:n]) {
			return false
		}
		b = b[n:]
	}
	return true
}

// wordsToBytes returns the memory of w as bytes.
func wordsToBytes(w []uint64) []byte {
	if len(w) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&w[0])), len(w)*8)
}
