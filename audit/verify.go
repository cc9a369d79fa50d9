package audit

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/journal"
)

// VerifyOptions say what an export is held against.
type VerifyOptions struct {
	// Anchor is the root that the proof must lead to, which the caller has from elsewhere. Required.
	Anchor journal.Hash

	// PublicKey, if not nil, must have signed the root.
	PublicKey ed25519.PublicKey
}

// Verified is what VerifyExport has found to be true.
type Verified struct {
	Exported

	// Missing is how many sequences between First and Last the export does not show. If it is 0, nothing was
	// left out.
	Missing int64 `json:"missing"`

	// ClaimedTypes are the names of types that only the export says: the events that bind them to their
	// ids in the log are not in it.
	ClaimedTypes []string `json:"claimed_types,omitempty"`

	// Link is the one that has the root.
	Link journal.Link `json:"link"`
}

// maxLine bounds a line of an export: the largest body in base64 and as JSON, and room to spare.
const maxLine = 512 << 20

// VerifyExport checks an export that was made with ExportOptions.Proof: every byte of it follows from records
// that are in the log which has the root Anchor, in their order, but for the names in
// Verified.ClaimedTypes. It needs no log, and memory for one line.
//
// Errors: journal.ErrProof, which says in which line; journal.ErrSignature; those of r.
func VerifyExport(r io.Reader, o VerifyOptions) (Verified, error) {
	if o.Anchor == (journal.Hash{}) {
		return Verified{}, errors.New("audit: VerifyOptions.Anchor is not set: a proof is worth as much as the root that it is held against")
	}
	v := verifier{names: systemNames(), claimed: map[uint16]string{}, bound: map[uint16]bool{}, lines: newLineEncoder()}
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 64<<10), maxLine)
	s.Split(wholeLines)
	for n := 1; s.Scan(); n++ {
		if err := v.line(s.Bytes()); err != nil {
			return Verified{}, fmt.Errorf("audit: line %d: %w", n, err)
		}
	}
	if err := s.Err(); err != nil {
		return Verified{}, err
	}
	if !v.ended {
		return Verified{}, fmt.Errorf("audit: %w: the export has no end", journal.ErrProof)
	}
	link, err := v.proof.End(o.Anchor, o.PublicKey)
	if err != nil {
		return Verified{}, err
	}
	out := Verified{Exported: v.done, Link: link}
	if v.done.First > 0 {
		out.Missing = v.done.Last - v.done.First + 1 - v.shown
	}
	for id, name := range v.claimed {
		if !v.bound[id] {
			out.ClaimedTypes = append(out.ClaimedTypes, name)
		}
	}
	slices.Sort(out.ClaimedTypes)
	return out, nil
}

// wholeLines splits at LF, and keeps it: a line that is not whole is none of an export.
func wholeLines(data []byte, atEOF bool) (int, []byte, error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i+1], nil
	}
	if atEOF && len(data) > 0 {
		return len(data), data, nil
	}
	return 0, nil, nil
}

type verifier struct {
	proof   journal.SubsetVerifier
	names   map[uint16]string
	claimed map[uint16]string // by lines
	bound   map[uint16]bool   // ids whose binding was seen
	lines   lineEncoder
	done    Exported
	shown   int64 // lines of records
	root    journal.Hash
	ended   bool
}

func (v *verifier) line(text []byte) error {
	bad := func(what string) error { return fmt.Errorf("%w: %s", journal.ErrProof, what) }
	if v.ended {
		return bad("it stands behind the end")
	}
	var l struct {
		line
		pieceLine
	}
	if err := json.Unmarshal(text, &l); err != nil {
		return bad(err.Error())
	}
	var again any
	switch {
	case l.Proof != nil:
		e, err := v.record(l.line)
		if err != nil {
			return err
		}
		again = &line{e, l.Proof}
	case l.Gap != nil || l.Link != nil:
		if err := v.proof.Add(journal.Piece{Gap: l.Gap, Link: l.Link}); err != nil {
			return err
		}
		if l.Link != nil {
			v.root = l.Link.Root
		}
		again = pieceLine{Gap: l.Gap, Link: l.Link}
	case l.End != nil:
		if v.done.Root = v.root; *l.End != v.done {
			return bad("the end does not count what is there")
		}
		v.ended = true
		again = pieceLine{End: l.End}
	default:
		return bad("it has no proof; make the export with one")
	}
	// What a line says beyond its proof, or in another form, nobody has proven.
	if own, err := v.lines.encode(again); err != nil || !bytes.Equal(own, text) {
		return bad("it does not say what its record does")
	}
	return nil
}

// record takes a line with a record, and returns what the line must say.
func (v *verifier) record(l line) (Entry, error) {
	bad := func(what string) (Entry, error) { return Entry{}, fmt.Errorf("%w: %s", journal.ErrProof, what) }
	if err := v.proof.Add(journal.Piece{Shown: l.Proof}); err != nil {
		return Entry{}, err
	}
	rec, _ := l.Proof.Record()
	var view event.View
	switch rec.Kind {
	case journal.KindEvent:
		var err error
		if view, err = event.Parse(rec.Body); err != nil {
			return bad(err.Error())
		}
		if _, known := v.names[rec.Type]; !known {
			v.claimed[rec.Type], v.names[rec.Type] = l.Type, l.Type
		}
		if id, name, ok := binding(rec); ok {
			if other, known := v.names[id]; known && other != name {
				return bad(fmt.Sprintf("lines before call type %d %q, its name is %q", id, other, name))
			}
			v.names[id], v.bound[id] = name, true
		}
	case journal.KindLost, journal.KindVoid:
	default:
		return bad("a record of the journal's own")
	}
	e := proven(rec, view, v.names)
	e.Hash = l.Proof.Hash().String()
	v.shown++
	x := exporter{done: v.done}
	x.count(&e)
	v.done = x.done
	return e, nil
}
