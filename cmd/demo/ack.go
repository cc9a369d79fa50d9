package main

import (
	"bufio"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/headrace/headrace/event"
)

// An acknowledgement is a line that a child writes once the engine has promised it an event:
//
//	SEQ ID CRC payload     the producer: Publish returned SEQ, the wait for it is over, and CRC is that
//	                       of the command, encoded a second time
//	SEQ ID CRC body        a read model behind the gate: it was given the event, and CRC is that of
//	                       its bytes in the ring
//
// Only a line that ends in a newline counts. A line "open SEQ" says that the engine is open, with a
// log up to SEQ.
type ack struct {
	seq  int64
	id   event.ID
	crc  uint32
	body bool
}

const (
	openWord    = "open"
	payloadWord = "payload"
	bodyWord    = "body"
)

// errAck means a line that is no acknowledgement.
var errAck = errors.New("not an acknowledgement")

// castagnoli is what the acknowledgements are hashed with.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

func (a ack) appendLine(dst []byte) []byte {
	dst = append(strconv.AppendInt(dst, a.seq, 10), ' ')
	dst, _ = a.id.AppendText(dst)
	dst = fmt.Appendf(dst, " %08x ", a.crc)
	if a.body {
		dst = append(dst, bodyWord...)
	} else {
		dst = append(dst, payloadWord...)
	}
	return append(dst, '\n')
}

// parseAck reads a line, without its newline.
func parseAck(line string) (a ack, err error) {
	fault := func(err error) (ack, error) { return ack{}, fmt.Errorf("%w: %q: %w", errAck, line, err) }
	part := strings.Split(line, " ")
	if len(part) != 4 {
		return fault(errors.New("want four words"))
	}
	if a.seq, err = strconv.ParseInt(part[0], 10, 64); err != nil || a.seq < 1 {
		return fault(errors.New("want a sequence"))
	}
	if a.id, err = event.ParseID(part[1]); err != nil {
		return fault(err)
	}
	crc, err := strconv.ParseUint(part[2], 16, 32)
	if err != nil || len(part[2]) != 8 {
		return fault(errors.New("want a checksum"))
	}
	a.crc = uint32(crc)
	switch part[3] {
	case bodyWord:
		a.body = true
	case payloadWord:
	default:
		return fault(errors.New("want payload or body"))
	}
	return a, nil
}

// ackWriter writes acknowledgements from several goroutines.
type ackWriter struct {
	mu  sync.Mutex
	w   *bufio.Writer
	buf []byte
}

func newAckWriter(w io.Writer) *ackWriter { return &ackWriter{w: bufio.NewWriterSize(w, 16<<10)} }

func (w *ackWriter) open(seq int64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, err := fmt.Fprintf(w.w, "%s %d\n", openWord, seq); err != nil {
		return err
	}
	return w.w.Flush()
}

// write may keep lines until the next flush.
func (w *ackWriter) write(a ack) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.buf = a.appendLine(w.buf[:0])
	_, err := w.w.Write(w.buf)
	return err
}

// sample writes a state that was seen.
func (w *ackWriter) sample(s sample) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, err := w.w.WriteString(s.line()); err != nil {
		return err
	}
	return w.w.Flush()
}

func (w *ackWriter) flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.w.Flush()
}
