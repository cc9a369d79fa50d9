package headrace

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/headrace/headrace/journal"
	"github.com/headrace/headrace/ring"
)

// Bus is what a configuration opens: where an application gets its publishers from. An Engine is one.
type Bus interface {
	// Publisher returns what publishes under this name.
	Publisher(producer string) (Publisher, error)
	// Close refuses new events and returns when those that were published are handled, or handed over.
	Close(ctx context.Context) error
}

var _ Bus = (*Engine)(nil)

// Publisher is Producer for those who know a Bus only.
func (e *Engine) Publisher(producer string) (Publisher, error) {
	p, err := e.Producer(producer)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// A Driver opens the bus of a scheme. It gets the topology because it has its event types, and its handlers
// if it can run them; a driver that cannot should say so rather than leave them idle. o is what the
// program says besides the configuration, which wins.
type Driver func(c Config, t *Topology, o Options) (Bus, error)

const (
	schemeMemory  = "memory"
	schemeJournal = "journal"
)

var drivers = struct {
	mu       sync.RWMutex
	byScheme map[string]Driver
}{byScheme: map[string]Driver{
	schemeMemory:  func(c Config, t *Topology, o Options) (Bus, error) { return asBus(openMemoryConfig(c, t, o)) },
	schemeJournal: func(c Config, t *Topology, o Options) (Bus, error) { return asBus(openJournalConfig(c, t, o)) },
}}

// asBus keeps a nil engine from becoming a bus that is not nil.
func asBus(e *Engine, err error) (Bus, error) {
	if err != nil {
		return nil, err
	}
	return e, nil
}

// RegisterDriver makes a scheme known to OpenConfig: a package does so in its init function, and a program
// imports it for that. It panics if the scheme is taken, empty, not in lower case, or d is nil. It may be called from any
// goroutine.
func RegisterDriver(scheme string, d Driver) {
	drivers.mu.Lock()
	defer drivers.mu.Unlock()
	switch {
	case d == nil:
		panic("headrace: driver " + strconv.Quote(scheme) + " is nil")
	case scheme == "" || scheme != strings.ToLower(scheme):
		panic("headrace: driver scheme " + strconv.Quote(scheme) + " must be in lower case, as it is in a parsed URL")
	case drivers.byScheme[scheme] != nil:
		panic("headrace: two drivers for scheme " + strconv.Quote(scheme))
	}
	drivers.byScheme[scheme] = d
}

// Drivers returns the schemes that OpenConfig knows, sorted.
func Drivers() []string {
	drivers.mu.RLock()
	defer drivers.mu.RUnlock()
	return slices.Sorted(maps.Keys(drivers.byScheme))
}

// OpenConfig opens what c describes, for the types and handlers of t. o is for what no configuration can say, such
// as Logger and OnError, and for defaults: an option in c wins over its field.
//
// Errors: ErrConfig, with all faults of c joined; those of Open, OpenMemory or the registered driver. What it returns
// for memory and journal is an *Engine.
func OpenConfig(c Config, t *Topology, o Options) (Bus, error) {
	drivers.mu.RLock()
	d := drivers.byScheme[c.Scheme]
	drivers.mu.RUnlock()
	if d == nil {
		return nil, fmt.Errorf("%w: unknown scheme %q; known are %s (is the package that registers it imported?)",
			ErrConfig, c.Scheme, strings.Join(Drivers(), ", "))
	}
	return d(c, t, o)
}

func openMemoryConfig(c Config, t *Topology, o Options) (*Engine, error) {
	err := c.refuse(o.settings())
	if c.Path != "" {
		err = errors.Join(err, fmt.Errorf("%w: memory has no path, but the URL names %q", ErrConfig, c.Path))
	}
	if err != nil {
		return nil, err
	}
	o.Journal = journal.Options{MaxBodyBytes: o.Journal.MaxBodyBytes} // the rest is for whom the program runs with a journal
	return OpenMemory(t, o)
}

func openJournalConfig(c Config, t *Topology, o Options) (*Engine, error) {
	known := o.settings()
	maps.Copy(known, o.journalSettings())
	err := c.refuse(known)
	if c.Path == "" {
		err = errors.Join(err, fmt.Errorf("%w: journal needs a directory: journal:///var/lib/shop", ErrConfig))
	}
	if err != nil {
		return nil, err
	}
	return Open(c.Path, t, o)
}

// settings are the options of every engine, by name; each sets a field of o.
func (o *Options) settings() map[string]func(string) error {
	return map[string]func(string) error{
		"slots":          number(&o.Slots),
		"slot-bytes":     size(&o.SlotBytes),
		"dedup-window":   number(&o.DedupWindow),
		"feedback-bytes": size(&o.FeedbackBytes),
		"overflow-bytes": size(&o.OverflowBytes),
		"cascade-depth":  number(&o.CascadeDepth),
		"max-body-bytes": size(&o.Journal.MaxBodyBytes),
		"wait": func(s string) (err error) {
			o.Wait, err = parseWait(s)
			return err
		},
	}
}

func (o *Options) journalSettings() map[string]func(string) error {
	return map[string]func(string) error{
		"segment-bytes":    size(&o.Journal.SegmentBytes),
		"recycle-segments": number(&o.Journal.RecycleSegments),
		"verify-all":       yesNo(&o.Journal.VerifyAll),
		"chain":            yesNo(&o.Journal.Chain),
		"any-file-system":  yesNo(&o.Journal.AnyFileSystem),
		"accept-lost":      yesNo(&o.AcceptLost),
		"chain-every": func(s string) (err error) {
			o.Journal.ChainEvery, err = time.ParseDuration(s)
			return err
		},
		"durability": func(s string) (err error) {
			o.Journal.Durability, err = parseDurability(s)
			return err
		},
	}
}

func number(field *int) func(string) error {
	return func(s string) (err error) {
		*field, err = strconv.Atoi(s)
		return positive(err, *field > 0)
	}
}

// positive refuses 0, which would be the default under another name, and what is below it.
func positive(err error, ok bool) error {
	if err == nil && !ok {
		err = errors.New("want more than 0; leave the option out for the default")
	}
	return err
}

func yesNo(field *bool) func(string) error {
	return func(s string) (err error) {
		*field, err = strconv.ParseBool(s)
		return err
	}
}

func size[N int | int64](field *N) func(string) error {
	return func(s string) error {
		n, err := parseBytes(s)
		if err == nil && int64(N(n)) != n {
			err = strconv.ErrRange
		}
		*field = N(n)
		return positive(err, n > 0)
	}
}

// parseBytes reads a number of bytes, with a unit or without.
func parseBytes(s string) (int64, error) {
	shift := 0
	for i, unit := range []string{"KiB", "MiB", "GiB"} {
		if rest, has := strings.CutSuffix(s, unit); has {
			s, shift = rest, 10*(i+1)
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err == nil && n<<shift>>shift != n {
		err = strconv.ErrRange
	}
	if err != nil {
		return 0, fmt.Errorf("want a number of bytes, such as 65536, 64KiB, 16MiB or 1GiB: %w", err)
	}
	return n << shift, nil
}

func parseWait(s string) (ring.WaitStrategy, error) {
	for _, w := range []ring.WaitStrategy{ring.WaitAdaptive(), ring.WaitPark(), ring.WaitYield(), ring.WaitSleep(), ring.WaitSpin()} {
		if w.String() == s {
			return w, nil
		}
	}
	return ring.WaitStrategy{}, errors.New("want adaptive, park, yield, sleep or spin")
}

// parseDurability reads MODE, MODE:TIME or MODE:TIME:BYTES.
func parseDurability(s string) (d journal.Durability, err error) {
	mode, rest, detailed := strings.Cut(s, ":")
	delay, bytes := 5*time.Millisecond, int64(1<<20)
	if mode == "interval" {
		delay = time.Second
	}
	if detailed {
		t, b, both := strings.Cut(rest, ":")
		if delay, err = time.ParseDuration(t); err == nil && both {
			bytes, err = parseBytes(b)
		}
		if mode != "group" && (mode != "interval" || both) {
			err = errors.New("says more than the mode takes")
		}
	}
	if err != nil {
		return d, err
	}
	switch mode {
	case "none":
		return journal.None(), nil
	case "interval":
		return journal.Interval(delay), nil
	case "group":
		return journal.Group(delay, bytes), nil
	case "batch":
		return journal.Batch(), nil
	}
	return d, errors.New("want none, batch, interval, interval:TIME, group, group:TIME or group:TIME:BYTES")
}
