package journal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// The file PROGRESS tells readers in other processes how far a writer has come whose records go
// through pwrite.
//
// The control page of a segment could say it, as it does for a mapped writer. But a page that is
// stored to at every commit is written at every sync, and a second, distant page makes a sync of some
// kilobytes two to three times as long as the one range of records would take. So the numbers that
// change live in a file of their own, which no sync touches, and the control page is brought up to
// date when the segment is full, at Sync and Close, and some 50 times a second.
//
// The slots have no checksum. They hold while its writer lives, and after its death under the same boot
// and mount, when what was stored is there: the same that is said of a control page's committed offset. The mark behind
// them is another matter, see mark.go.
const (
	progressName  = "PROGRESS"
	progressMagic = "HEADPROG"

	// A slot for segments with an even id and one for those with an odd id.
	progressSlots     = 128
	progressSlotBytes = 128

	slotID              = 0 // stored last when a slot is given to a segment; 0: nobody's
	slotCommittedOffset = 8
	slotCommitted       = 16
	slotDurableOffset   = 24
	slotDurable         = 32
)

func progressSlot(id uint64) int64 { return progressSlots + int64(id&1)*progressSlotBytes }

// standing is what a slot says of one segment. Each number is a lower bound by itself.
type standing struct {
	offset, sequence               int64 // committed
	durableOffset, durableSequence int64
}

// loadStanding reads the slot of segment id; ok is false if the slot is another's.
func loadStanding(m []byte, id uint64) (s standing, ok bool) {
	at := progressSlot(id)
	if id == 0 || load64(m, at+slotID) != id {
		return s, false
	}
	s = standing{
		int64(load64(m, at+slotCommittedOffset)), int64(load64(m, at+slotCommitted)),
		int64(load64(m, at+slotDurableOffset)), int64(load64(m, at+slotDurable)),
	}
	return s, load64(m, at+slotID) == id
}

// plausible tells whether a reader of a segment of that size may use s.
func (s *standing) plausible(segmentBytes int64) bool {
	return s.offset >= recordsOffset && s.offset <= segmentBytes && s.offset%recordAlign == 0
}

// progress is the writer's side: the file for others, and the same on the heap for readers of this
// process, which may outlive the mapping.
type progress struct {
	heap []byte
	file []byte
	f    file
}

// keepWord stores in the control pages what PROGRESS alone says, so that it may be cleared: who dies behind that, with
// the recovery half done, leaves the promise of the writer before to the next.
func (s *survey) keepWord() error {
	for _, seg := range s.segs {
		if !seg.told || seg.archive != nil {
			continue
		}
		if err := s.control(seg, func(m []byte) {
			if stored := loadPair(m, seg.id); seg.pair.offset > stored.offset {
				seg.pair.generation = stored.generation + 1
				storePair(m, seg.id, seg.pair)
			}
			store64(m, ctlCommittedOffset, uint64(seg.committed))
			store64(m, ctlCommittedSequence, uint64(seg.committedSeq))
		}); err != nil {
			return errorf("%s: what %s says of it: %w", seg.name, progressName, err)
		}
	}
	return nil
}

// clearProgress makes the slots of an existing file say nothing. An earlier writer's word ends here, but for its mark.
func clearProgress(st storage, dir string) error {
	f, err := st.open(filepath.Join(dir, progressName), true)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = f.WriteAt(newPages(1)[:markOffset], 0)
	return errors.Join(err, f.close())
}

// openProgress opens or makes the file.
func openProgress(st storage, dir string) (_ *progress, err error) {
	path := filepath.Join(dir, progressName)
	f, err := st.open(path, true)
	if errors.Is(err, os.ErrNotExist) {
		f, err = st.create(path, pageBytes)
	}
	if err != nil {
		return nil, err
	}
	p := &progress{heap: newPages(1), f: f}
	size, err := f.size()
	if err == nil && size < pageBytes {
		err = f.allocate(pageBytes)
	}
	if err == nil {
		p.file, err = f.mmap(pageBytes, true)
	}
	if err == nil {
		err = guard(progressName, p.file, func() error {
			store64(p.file, 0, le.Uint64([]byte(progressMagic)))
			return nil
		})
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", progressName, errors.Join(err, f.close()))
	}
	return p, nil
}

// begin gives the slot to a segment of which [0, offset) is committed. It promises nothing: where
// anything is durable the control page says so.
func (p *progress) begin(id uint64, offset, sequence int64) {
	at := progressSlot(id)
	for _, m := range [2][]byte{p.heap, p.file} {
		store64(m, at+slotID, 0)
		store64(m, at+slotCommittedOffset, uint64(offset))
		store64(m, at+slotCommitted, uint64(sequence))
		store64(m, at+slotDurableOffset, 0)
		store64(m, at+slotDurable, 0)
		store64(m, at+slotID, id)
	}
}

// commit tells how far segment id, whose slot it is, is committed. Only the writer calls it.
func (p *progress) commit(id uint64, offset, sequence int64) {
	at := progressSlot(id)
	for _, m := range [2][]byte{p.heap, p.file} {
		release64(m, at+slotCommittedOffset, uint64(offset))
		release64(m, at+slotCommitted, uint64(sequence))
	}
}

// durable tells how far segment id is durable, if the slot is still its own.
func (p *progress) durable(id uint64, offset, sequence int64) {
	at := progressSlot(id)
	for _, m := range [2][]byte{p.heap, p.file} {
		if load64(m, at+slotID) == id {
			store64(m, at+slotDurableOffset, uint64(offset))
			store64(m, at+slotDurable, uint64(sequence))
		}
	}
}

func (p *progress) close() error {
	if p == nil {
		return nil
	}
	return errors.Join(p.f.munmap(p.file), p.f.close())
}

// progressView is the file as a reader in another process maps it.
type progressView struct {
	mem []byte
	f   file
}

// viewProgress maps the file, if there is one.
func viewProgress(st storage, dir string) *progressView {
	f, err := st.open(filepath.Join(dir, progressName), false)
	if err != nil {
		return nil
	}
	if size, err := f.size(); err == nil && size == pageBytes {
		if m, err := f.mmap(pageBytes, false); err == nil {
			return &progressView{m, f}
		}
	}
	f.close()
	return nil
}

func (v *progressView) standing(id uint64) (s standing, ok bool) {
	err := guard(progressName, v.mem, func() error {
		if load64(v.mem, 0) == le.Uint64([]byte(progressMagic)) {
			s, ok = loadStanding(v.mem, id)
		}
		return nil
	})
	return s, ok && err == nil
}

func (v *progressView) close() error {
	if v == nil {
		return nil
	}
	return errors.Join(v.f.munmap(v.mem), v.f.close())
}

// readProgress returns a copy of the file, nil where there is none or its slots say nothing, and its mark.
func readProgress(st storage, dir string) (page []byte, m mark, err error) {
	f, err := st.open(filepath.Join(dir, progressName), false)
	if errors.Is(err, os.ErrNotExist) {
		return nil, mark{}, nil
	}
	if err != nil {
		return nil, mark{}, err
	}
	defer f.close()
	page = newPages(1)
	if _, err := f.ReadAt(page, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, mark{}, err
	}
	m = loadMark(page)
	if le.Uint64(page) != le.Uint64([]byte(progressMagic)) {
		page = nil
	}
	return page, m, nil
}
