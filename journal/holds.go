package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sort"
	"time"
	"unicode/utf8"
)

// Hold keeps records from Trim, for a checkpoint, a follower or a snapshot that needs them.
type Hold struct {
	Name     string    `json:"name"`
	Sequence int64     `json:"sequence"` // it and everything after it stay
	Expires  time.Time `json:"expires"`  // zero: never
}

const (
	holdsName    = "HOLDS"
	maxHolds     = 4096
	maxHoldsFile = 4 << 20
	maxHoldName  = 255
)

// Hold sets the hold of that name: the record sequence and all after it stay until the hold is
// moved, released, or expires (a zero time: never). A follower that is gone for good must not
// fill the disk, so give it an expiry and renew it. The hold is durable when Hold returns.
//
// Errors: ErrOutOfRange if the record is gone already; ErrHold; the sticky error.
func (j *Journal) Hold(name string, sequence int64, expires time.Time) error {
	if name == "" || len(name) > maxHoldName || !utf8.ValidString(name) {
		return fmt.Errorf("%w: a name of 1 to %d bytes of UTF-8, not %q", ErrHold, maxHoldName, name)
	}
	return j.changeHolds(func(holds map[string]Hold) error {
		if first := j.FirstSequence(); sequence < first {
			return fmt.Errorf("%w: hold %q at %d, the first is %d", ErrOutOfRange, name, sequence, first)
		}
		if _, ok := holds[name]; !ok && len(holds) >= maxHolds {
			return fmt.Errorf("%w: there are %d already", ErrHold, len(holds))
		}
		holds[name] = Hold{name, sequence, expires}
		return nil
	})
}

// Release removes the hold of that name; it is no error if there is none.
func (j *Journal) Release(name string) error {
	return j.changeHolds(func(holds map[string]Hold) error {
		delete(holds, name)
		return nil
	})
}

// Holds returns the holds, expired ones too, by name.
func (j *Journal) Holds() ([]Hold, error) {
	j.trimMu.Lock()
	defer j.trimMu.Unlock()
	holds, err := readHolds(j.st, j.dir)
	if err != nil {
		return nil, named(err)
	}
	return sortedHolds(holds), nil
}

func sortedHolds(holds map[string]Hold) []Hold {
	all := make([]Hold, 0, len(holds))
	for _, h := range holds {
		all = append(all, h)
	}
	sort.Slice(all, func(i, k int) bool { return all[i].Name < all[k].Name })
	return all
}

func (j *Journal) changeHolds(change func(map[string]Hold) error) error {
	if err := j.Err(); err != nil {
		return err
	}
	j.trimMu.Lock()
	defer j.trimMu.Unlock()
	holds, err := readHolds(j.st, j.dir)
	if err != nil {
		return named(err)
	}
	if err := change(holds); err != nil {
		return err
	}
	return named(j.withRoom(func() error { return writeHolds(j.st, j.dir, sortedHolds(holds)) }))
}

// readHolds reads the file: a line with the CRC32C of the rest in hex, then JSON. A file that
// cannot be read is an error and not "no holds".
func readHolds(st storage, dir string) (holds map[string]Hold, err error) {
	holds = map[string]Hold{}
	f, err := st.open(filepath.Join(dir, holdsName), false)
	if errors.Is(err, os.ErrNotExist) {
		return holds, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.close()
	size, err := f.size()
	if err != nil {
		return nil, err
	}
	if size < 9 || size > maxHoldsFile {
		return nil, fmt.Errorf("%w: %s has %d bytes", ErrHold, holdsName, size)
	}
	b := make([]byte, size)
	if err := readFull(f, b, 0); err != nil {
		return nil, err
	}
	var all []Hold
	if string(b[:9]) != fmt.Sprintf("%08x\n", checksum(b[9:])) || json.Unmarshal(b[9:], &all) != nil {
		return nil, fmt.Errorf("%w: %s is damaged; remove it to give up all holds", ErrHold, holdsName)
	}
	for _, h := range all {
		holds[h.Name] = h
	}
	return holds, nil
}

func writeHolds(st storage, dir string, all []Hold) error {
	b, err := json.Marshal(all)
	if err != nil {
		return errorf("%w: %w", ErrHold, err)
	}
	b = append([]byte(fmt.Sprintf("%08x\n", checksum(b))), b...)
	if len(b) > maxHoldsFile {
		return fmt.Errorf("%w: %d bytes in all", ErrHold, len(b))
	}
	return writeWhole(st, dir, holdsName+spareSuffix, holdsName, 0, func(f file) error {
		_, err := f.WriteAt(b, 0)
		return err
	})
}

// held returns the lowest sequence that a hold keeps at that moment.
func held(holds map[string]Hold, now time.Time) int64 {
	low := int64(math.MaxInt64)
	for _, h := range holds {
		if h.Expires.IsZero() || h.Expires.After(now) {
			low = min(low, h.Sequence)
		}
	}
	return low
}
