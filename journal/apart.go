package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/headrace/headrace/internal/sysio"
)

// ErrOverlap reports a directory to copy to, or from, that is the other or lies in it. It is an ErrDirectory.
var ErrOverlap = fmt.Errorf("%w: source and copy overlap", ErrDirectory)

// checkSource checks that there is a journal in dir, and that to lies apart from it.
func checkSource(st storage, dir, to string) error {
	segs, _, _, err := listSegments(st, dir)
	if errors.Is(err, os.ErrNotExist) || err == nil && len(segs) == 0 {
		return fmt.Errorf("%w: %s", ErrNotFound, dir)
	}
	if err == nil && to == "" {
		err = fmt.Errorf("%w: the name of the copy is empty", ErrDirectory)
	}
	if err != nil {
		return err
	}
	return st.apart(dir, to)
}

// apart compares where the directories are: under whatever names, over links, and where a part of the tree is mounted in
// a second place.
func (osStorage) apart(a, b string) error {
	x, err := placeOf(a)
	if err != nil {
		return err
	}
	y, err := placeOf(b)
	if err != nil {
		return err
	}
	sameDevice := x.device != "" && x.device == y.device
	switch {
	case x.path == y.path || sameDevice && x.inside == y.inside:
		return fmt.Errorf("%w: %s and %s are one directory", ErrOverlap, a, b)
	case within(x.path, y.path) || sameDevice && within(x.inside, y.inside):
		return fmt.Errorf("%w: %s lies in %s", ErrOverlap, b, a)
	case within(y.path, x.path) || sameDevice && within(y.inside, x.inside):
		return fmt.Errorf("%w: %s lies in %s", ErrOverlap, a, b)
	}
	return nil
}

// within tells whether path b lies below path a.
func within(a, b string) bool {
	return strings.HasPrefix(b, strings.TrimSuffix(a, "/")+"/") && a != b
}

// directoryPlace is where a directory is, or will be.
type directoryPlace struct {
	path           string // from the root on, without links
	device, inside string // which file system it lies on, "" if that is not known, and where there
}

func placeOf(dir string) (p directoryPlace, err error) {
	at, err := filepath.Abs(dir)
	if err != nil {
		return p, err
	}
	missing := ""
	for {
		real, err := filepath.EvalSymlinks(at)
		if err == nil {
			p.path = filepath.Join(real, missing)
			if device, inside, ok := sysio.Place(real); ok {
				p.device, p.inside = device, filepath.Join(inside, missing)
			}
			return p, nil
		}
		if !errors.Is(err, os.ErrNotExist) || filepath.Dir(at) == at {
			return p, err
		}
		missing = filepath.Join(filepath.Base(at), missing)
		at = filepath.Dir(at)
	}
}
