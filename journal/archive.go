package journal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// ArchiveOptions say what Archive does. The zero value compresses every sealed segment with Deflate.
type ArchiveOptions struct {
	// Codec compresses; nil is Deflate. Stored keeps the records as they are, to encrypt only.
	Codec Codec
	// Stored, if true, does without a codec.
	Stored bool
	// KeyID, if not 0, is the id of the key to encrypt with. Access.Key is asked for it.
	KeyID uint32
	// Access has the key, and reads segments that are archived already.
	Access ArchiveAccess
	// Before, if not 0, leaves segments alone whose records are not all of lower sequences.
	Before int64
	// KeepPlain is how many of the newest sealed segments stay as they are, for readers that are
	// not far behind: reading an archived segment costs what its codec does.
	KeepPlain int
	// BytesPerSecond, if not 0, is the most that is packed in a second; each byte is read once
	// more to verify the archive, and counts twice.
	BytesPerSecond int64
	// Progress, if not nil, is called before each segment.
	Progress func(done, total int)
}

// ArchiveReport is what Archive did.
type ArchiveReport struct {
	Archived int   // segments packed, or packed anew
	Skipped  int   // sealed segments that were in that form already, or would not get smaller
	Before   int64 // bytes of the files of those packed: before
	After    int64 // and now
}

// Archive rewrites sealed segments in packed form: compressed, encrypted, or both. Readers see no
// difference, if they have the codec and the key: records keep sequence, offset and checksum, the
// chain and its proofs hold as they are. Segments that are archived in another way are packed anew,
// which is how a key is changed; give the old key by its id too.
//
// It packs what is sealed and durable, and chained if there is a chain, the oldest first. The packed
// file is written beside the segment, synced, read back and compared with it, and then takes its
// name, in one step: a reader, or a crash, meets the one or the other, whole. Who has the old one
// open reads on in it. A crash leaves a spare, which Open or the next Archive removes.
//
// Archive runs in the caller's goroutine, beside the writer, which it does not disturb, and keeps
// Trim waiting while it looks for segments and while one takes its new name. A segment stays plain if packing makes it
// no smaller and nothing is to be encrypted. What was there before encryption is free space on the
// disk afterwards, not overwritten, and copies made earlier stay plain.
//
// Errors: the options' faults; ctx's; *AccessError; *CorruptionError; *NoSpaceError; the sticky
// error. After an error what was packed stays packed, and the rest as it was.
func (j *Journal) Archive(ctx context.Context, o ArchiveOptions) (rep ArchiveReport, err error) {
	if err := j.Err(); err != nil {
		return rep, err
	}
	if o.Access.isZero() {
		o.Access = j.o.Archives
	}
	a := &archiver{st: j.st, dir: j.dir, o: o, pace: newPace(ctx, o.BytesPerSecond)}
	j.archiveMu.Lock()
	defer j.archiveMu.Unlock()
	a.stop = func() bool { return j.failed.Load() }
	a.may = func(seg *found) bool {
		j.mu.Lock()
		oldestLive := j.live[0].hdr.id
		j.mu.Unlock()
		return seg.id < oldestLive && j.chain.covers(seg.id)
	}
	a.swap = func(f func() error) error {
		j.trimMu.Lock()
		defer j.trimMu.Unlock()
		if err := j.Err(); err != nil {
			return err
		}
		return f()
	}
	err = a.run()
	return a.rep, err
}

// Archive is Journal.Archive for a journal that no writer has open. Errors also: ErrLocked;
// ErrNotFound.
func Archive(ctx context.Context, dir string, o ArchiveOptions) (ArchiveReport, error) {
	rep, err := archive(ctx, osStorage{}, dir, o)
	return rep, named(err)
}

func archive(ctx context.Context, st storage, dir string, o ArchiveOptions) (rep ArchiveReport, err error) {
	return archiveAs(ctx, st, dir, o, archiveForm{})
}

// archiveAs is archive with what the form has besides codec and key.
func archiveAs(ctx context.Context, st storage, dir string, o ArchiveOptions, form archiveForm) (rep ArchiveReport, err error) {
	segs, _, _, err := listSegments(st, dir)
	if errors.Is(err, os.ErrNotExist) || err == nil && len(segs) == 0 {
		return rep, fmt.Errorf("%w: %s", ErrNotFound, dir)
	}
	if err != nil {
		return rep, err
	}
	lock, err := st.lock(dir)
	if err != nil {
		return rep, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	a := &archiver{st: st, dir: dir, o: o, form: form, pace: newPace(ctx, o.BytesPerSecond)}
	links, err := chainOf(st, dir)
	if err != nil {
		return rep, err
	}
	whole := lastWhole(links)
	a.may = func(seg *found) bool { return len(links) == 0 || seg.id <= whole.Segment }
	a.swap = func(f func() error) error { return f() }
	err = a.run()
	return a.rep, err
}

// chainOf reads the chain of the journal in dir.
func chainOf(st storage, dir string) ([]Link, error) {
	segs, _, _, err := listSegments(st, dir)
	if err != nil || len(segs) == 0 {
		return nil, err
	}
	s := &survey{st: st, dir: dir}
	if err := s.readPages(segs[0]); err != nil {
		return nil, err
	}
	if segs[0].hdrErr != nil {
		return nil, badHeader(segs[0])
	}
	links, _, err := readChain(st, dir, segs[0].hdr.uuid)
	return links, err
}

// archiver is one call of Archive.
type archiver struct {
	st   storage
	dir  string
	o    ArchiveOptions
	form archiveForm
	pace *pace
	may  func(*found) bool          // whether the segment may be packed
	swap func(f func() error) error // runs f while nobody else changes the directory
	stop func() bool
	rep  ArchiveReport
}

func (a *archiver) run() error {
	if err := a.prepare(); err != nil {
		return err
	}
	var todo []*found
	var links []Link
	err := a.swap(func() (err error) { // so that no segment is removed between its name and its pages
		if todo, err = a.find(); err == nil && len(todo) > 0 {
			links, err = chainOf(a.st, a.dir)
		}
		return err
	})
	if err != nil {
		return err
	}
	whole := make(map[uint64]*Link, len(links))
	for i := range links {
		if !links[i].Tail {
			whole[links[i].Segment] = &links[i]
		}
	}
	for i, seg := range todo {
		if err := a.pace.ctx.Err(); err != nil {
			return err
		}
		if a.o.Progress != nil {
			a.o.Progress(i, len(todo))
		}
		if a.isInForm(seg) {
			a.rep.Skipped++
			continue
		}
		if err := a.pack(seg, whole[seg.id]); err != nil {
			if errors.Is(err, os.ErrNotExist) {
				continue // Trim was faster
			}
			if isNoSpace(err) {
				err = &NoSpaceError{Dir: a.dir, Bytes: seg.fileBytes, Err: err}
			}
			return err
		}
	}
	return nil
}

// find returns the segments to pack, those that are in that form already among them.
func (a *archiver) find() (todo []*found, err error) {
	d, err := durableIn(a.st, a.dir)
	if errors.Is(err, ErrNotFound) {
		return nil, nil // nothing is durable yet
	}
	if err != nil {
		return nil, err
	}
	for _, p := range d.parts {
		if p.sealed && a.may(p) && (a.o.Before == 0 || p.pair.sequence < a.o.Before) {
			todo = append(todo, p)
		}
	}
	return todo[:max(0, len(todo)-a.o.KeepPlain)], nil
}

// prepare checks the options, gets the key, and removes what an earlier call left.
func (a *archiver) prepare() error {
	o := &a.o
	switch {
	case o.KeepPlain < 0 || o.Before < 0 || o.BytesPerSecond < 0:
		return fmt.Errorf("journal: archive: negative KeepPlain, Before or BytesPerSecond")
	case o.Stored && o.Codec != nil:
		return fmt.Errorf("journal: archive: Stored and a Codec")
	case o.Stored && o.KeyID == 0:
		return fmt.Errorf("journal: archive: Stored without a KeyID changes nothing")
	case o.Codec != nil && o.Codec.ID() == codecNone:
		return fmt.Errorf("journal: archive: codec %s has id 0", o.Codec.Name())
	}
	if a.form.codec = o.Codec; !o.Stored && o.Codec == nil {
		a.form.codec = Deflate()
	}
	if c := o.Codec; c != nil {
		o.Access.Codecs = append([]Codec{c}, o.Access.Codecs...)
	}
	if o.KeyID != 0 {
		key, err := o.Access.key(o.KeyID)
		if err != nil {
			return &AccessError{KeyID: o.KeyID, Codec: a.form.codecID(), Err: err}
		}
		a.form.keyID, a.form.key = o.KeyID, key
	}
	_, spares, _, err := listSegments(a.st, a.dir)
	if err != nil {
		return err
	}
	for _, name := range spares {
		if _, _, ok := parseSegmentName(name[:len(name)-len(spareSuffix)]); !ok {
			continue // somebody else's
		}
		if err := a.st.remove(filepath.Join(a.dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// isInForm tells whether the segment is archived as it is to be.
func (a *archiver) isInForm(seg *found) bool {
	h := seg.archive
	return h != nil && h.codec == a.form.codecID() && seg.hdr.keyID == a.form.keyID
}

// pack packs one segment, whose link is l if it has one, and puts the archive in its place.
func (a *archiver) pack(seg *found, l *Link) (err error) {
	path := filepath.Join(a.dir, seg.name)
	tmp := path + spareSuffix
	dst, err := a.st.create(tmp, 0)
	if err != nil {
		return err
	}
	keep := false
	defer func() {
		if !keep {
			_ = a.st.remove(tmp)
		}
	}()
	packed, err := packSegment(a.st, path, a.o.Access, dst, a.form, hashing{pace: a.pace, stop: a.stop})
	if err == nil {
		err = dst.sync()
	}
	bytes, e := dst.size()
	if err = errors.Join(err, e, dst.close()); err != nil {
		return err
	}
	if bytes >= seg.fileBytes && a.form.keyID == 0 && seg.hdr.keyID == 0 {
		a.rep.Skipped++
		return nil
	}
	// What is about to be trusted is what a reader will see.
	read, _, err := hashSegment(a.st, tmp, a.o.Access, hashing{pace: a.pace, stop: a.stop})
	if isCorruption(err) { // of the archive, which goes: the segment is as it was
		return errorf("the archive of %s does not read back as the segment (is the codec right?): %v", seg.name, err)
	}
	if err != nil {
		return err
	}
	if read.Tree != packed.Tree || read.Records != packed.Records {
		return fmt.Errorf("journal: the archive of %s does not read back as the segment (is the codec right?)", seg.name)
	}
	if l != nil && (l.Tree != packed.Tree || l.Records != packed.Records) {
		return corrupt(seg, recordsOffset, seg.first, fmt.Errorf("%w: the contents are not those that were chained", ErrChain))
	}
	return a.swap(func() error {
		if f, err := a.st.open(path, false); err != nil {
			return err // removed by Trim: the archive must not bring it back
		} else if err := f.close(); err != nil {
			return err
		}
		if err := a.st.rename(tmp, path); err != nil {
			return err
		}
		keep = true
		a.rep.Archived++
		a.rep.Before += seg.fileBytes
		a.rep.After += bytes
		return a.st.syncDir(a.dir)
	})
}
