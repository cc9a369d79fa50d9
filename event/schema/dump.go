package schema

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	"github.com/headrace/headrace/event"
)

// Format is the version of a dump's JSON.
const Format = 1

// ErrDump reports text that is no dump, or one of a newer format.
var ErrDump = errors.New("schema: not a dump that this version reads")

// Dump is all that a registry says of its types.
type Dump struct {
	Format  int      `json:"format"`
	Types   []Type   `json:"types"`             // in the order of registration
	Retired []string `json:"retired,omitempty"` // names
}

// Type is one event type.
type Type struct {
	Name        string   `json:"name"`
	Version     uint16   `json:"version"`
	LiftsFrom   uint16   `json:"lifts_from"` // the oldest version that its upcasters lift to Version
	Kind        string   `json:"kind"`
	OldNames    []string `json:"old_names,omitempty"`
	Fingerprint string   `json:"fingerprint"` // of version, kind and shape: see Fingerprint
	Shape       Shape    `json:"shape"`
}

// Of describes the types of a registry.
func Of(r *event.Registry) Dump {
	d := Dump{Format: Format, Types: []Type{}, Retired: r.Retired()}
	for _, c := range r.Types() {
		d.Types = append(d.Types, OfType(r, c))
	}
	return d
}

// OfType describes one registered type.
func OfType(r *event.Registry, c event.Codec) Type {
	t := Type{
		Name: c.Name(), Version: c.Version(), LiftsFrom: r.OldestLiftable(c.Name()), Kind: c.Kind().String(),
		OldNames: r.OldNames(c.Name()), Shape: shaper{map[reflect.Type]bool{}}.of(c.GoType()),
	}
	sum := fingerprint(t)
	t.Fingerprint = hex.EncodeToString(sum[:])
	return t
}

// Fingerprint identifies what a program's events of one type look like: SHA-256, shortened to 16
// bytes, over name, version, kind and shape. Two programs with the same one write and read the same
// payloads, as far as shapes tell.
func Fingerprint(r *event.Registry, c event.Codec) [16]byte { return fingerprint(OfType(r, c)) }

func fingerprint(t Type) [16]byte {
	t.LiftsFrom, t.OldNames, t.Fingerprint = 0, nil, ""
	text, err := json.Marshal(t)
	if err != nil {
		panic(err) // a Type has nothing that JSON could refuse
	}
	sum := sha256.Sum256(append([]byte("headrace schema 1\n"), text...))
	return [16]byte(sum[:16])
}

// AppendJSON appends the dump as indented JSON, the same for the same types, for a file under version
// control.
func (d Dump) AppendJSON(dst []byte) ([]byte, error) {
	text, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return dst, err
	}
	return append(append(dst, text...), '\n'), nil
}

// Parse reads what AppendJSON wrote. Errors: ErrDump.
func Parse(text []byte) (Dump, error) {
	var d Dump
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil {
		return Dump{}, fmt.Errorf("%w: %w", ErrDump, err)
	}
	if d.Format != Format {
		return Dump{}, fmt.Errorf("%w: format %d, this version reads %d", ErrDump, d.Format, Format)
	}
	seen := map[string]bool{}
	for _, t := range d.Types {
		if t.Name == "" || t.Version == 0 || seen[t.Name] {
			return Dump{}, fmt.Errorf("%w: type %q in version %d", ErrDump, t.Name, t.Version)
		}
		seen[t.Name] = true
	}
	return d, nil
}
