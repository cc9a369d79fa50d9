package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/journal"
)

// acksFile is where a parent keeps the acknowledgements that it read, in the journal's directory.
const acksFile = "acks"

var (
	// errLost means an event that was acknowledged and is not in the journal, or not as it was.
	errLost = errors.New("an acknowledged event was lost")
	// errTwice means one sequence that was acknowledged for two events.
	errTwice = errors.New("one sequence was acknowledged for two events")
)

// promise is what was acknowledged about one sequence.
type promise struct {
	id                  event.ID
	payload, body       uint32
	hasPayload, hasBody bool
}

// add takes an acknowledgement in, and reports one that contradicts those before it.
func (p *promise) add(a ack) error {
	crc, has := &p.payload, &p.hasPayload
	if a.body {
		crc, has = &p.body, &p.hasBody
	}
	if (p.hasPayload || p.hasBody) && p.id != a.id || *has && *crc != a.crc {
		return fmt.Errorf("%w: %d, as %s and as %s", errTwice, a.seq, p.id, a.id)
	}
	p.id, *crc, *has = a.id, a.crc, true
	return nil
}

// check compares the promise with a record of the journal.
func (p *promise) check(rec journal.Record) error {
	v, err := event.Parse(rec.Body)
	switch {
	case rec.Kind != journal.KindEvent:
		return fmt.Errorf("%w: at sequence %d stands a %s, acknowledged was event %s", errLost, rec.Sequence, rec.Kind, p.id)
	case err != nil:
		return fmt.Errorf("%w: event %d, %s: %w", errLost, rec.Sequence, p.id, err)
	case v.ID() != p.id:
		return fmt.Errorf("%w: at sequence %d stands event %s, acknowledged was %s", errLost, rec.Sequence, v.ID(), p.id)
	case p.hasBody && checksum(rec.Body) != p.body, p.hasPayload && checksum(v.Payload()) != p.payload:
		return fmt.Errorf("%w: event %d, %s, has other bytes than were acknowledged", errLost, rec.Sequence, p.id)
	}
	return nil
}

// promises are the acknowledgements that a parent has read: in a file that only grows, and in memory.
type promises struct {
	file    *os.File
	w       *bufio.Writer
	all     map[int64]promise // by sequence
	oldest  int64             // lowest sequence acknowledged since the last check; 0 = none
	highest int64             // of those with a body
	buf     []byte
}

// openPromises reads the acknowledgements in dir, of which there may be none, and goes on with them.
func openPromises(dir string) (p *promises, err error) {
	f, err := os.OpenFile(filepath.Join(dir, acksFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = f.Close()
		}
	}()
	p = &promises{file: f, w: bufio.NewWriter(f), all: map[int64]promise{}}
	whole := int64(0) // bytes of complete lines
	for r := bufio.NewReader(f); ; {
		line, err := r.ReadString('\n')
		if errors.Is(err, io.EOF) {
			break // what stands there without a newline does not count
		}
		if err != nil {
			return nil, err
		}
		whole += int64(len(line))
		a, err := parseAck(strings.TrimSuffix(line, "\n"))
		if err == nil {
			err = p.remember(a)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name(), err)
		}
	}
	if err := f.Truncate(whole); err != nil {
		return nil, err
	}
	_, err = f.Seek(whole, io.SeekStart)
	return p, err
}

// add keeps an acknowledgement.
func (p *promises) add(a ack) error {
	p.buf = a.appendLine(p.buf[:0])
	if _, err := p.w.Write(p.buf); err != nil {
		return err
	}
	return p.remember(a)
}

func (p *promises) remember(a ack) error {
	one := p.all[a.seq]
	if err := one.add(a); err != nil {
		return err
	}
	p.all[a.seq] = one
	if p.oldest == 0 || a.seq < p.oldest {
		p.oldest = a.seq
	}
	if a.body {
		p.highest = max(p.highest, a.seq)
	}
	return nil
}

// check looks for every event acknowledged since the last check, and so for all in the first one, in
// the journal in dir, at its sequence and byte for byte.
func (p *promises) check(dir string) error {
	if err := p.w.Flush(); err != nil {
		return err
	}
	if p.oldest == 0 {
		return nil
	}
	err := p.checkFrom(dir, p.oldest)
	p.oldest = 0
	return err
}

// checkAll looks for all of them.
func (p *promises) checkAll(dir string) error {
	p.oldest = 0
	if err := p.w.Flush(); err != nil || len(p.all) == 0 {
		return err
	}
	return p.checkFrom(dir, 1)
}

func (p *promises) checkFrom(dir string, from int64) error {
	r, err := journal.OpenReader(dir, from, journal.ReaderOptions{})
	if errors.Is(err, journal.ErrNotFound) {
		return fmt.Errorf("%w: event %d and all the others: %w", errLost, from, err)
	}
	if err != nil {
		return err
	}
	last := from - 1
	_, err = r.Read(func(rec journal.Record) error {
		last = rec.Sequence
		if one, ok := p.all[rec.Sequence]; ok {
			return one.check(rec)
		}
		return nil
	})
	if err := errors.Join(err, r.Close()); err != nil {
		return err
	}
	missing, first := 0, int64(0)
	for seq := range p.all {
		if seq > last { // the reader leaves out nothing before
			missing++
			if first == 0 || seq < first {
				first = seq
			}
		}
	}
	if missing > 0 {
		return fmt.Errorf("%w: %d of them: event %d, %s, and what follows; the journal ends at %d",
			errLost, missing, first, p.all[first].id, last)
	}
	return nil
}

func (p *promises) close() error { return errors.Join(p.w.Flush(), p.file.Close()) }
