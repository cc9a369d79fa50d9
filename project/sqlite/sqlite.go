package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/headrace/headrace/handlers"
)

// Options describe a projection.
type Options struct {
	// Name of the projection in its database, where several may live: letters, digits and '_', at most 50, not
	// beginning with a digit. Required.
	Name string

	// Version of what Create and the functions of Apply compute, from 1. Default 1.
	Version int

	// Tables are the names that readers see, of tables that Create makes. Same rules as for Name.
	Tables []string

	// Create makes the tables of one generation, empty. Required.
	Create func(tx *Tx) error

	// Batch is how many events one transaction covers at most: [1, 100,000]. Default 512.
	Batch int
}

const (
	defaultBatch = 512
	maxBatch     = 100_000
)

var (
	// ErrRunning reports a second Run, or a second Rebuild, at the same time.
	ErrRunning = errors.New("sqlite: projection is running already")

	// ErrConflict reports that somebody else has moved the projection on: another process, or another Projection, that runs
	// it. When that has stopped, Run goes on from where it left the tables.
	ErrConflict = errors.New("sqlite: another process writes the projection; only one may run it")
)

// Projection is a read model in a database. Its methods may be called from any goroutine.
type Projection struct {
	o       Options
	db      *sql.DB
	applies []func(tx *Tx, d handlers.Delivery) (bool, error)

	write sync.Mutex // held by whoever writes to the database

	mu       sync.Mutex
	live     generation
	moved    chan struct{} // closed and made anew when live changes
	running  bool
	building bool
}

// generation is one set of tables, as the table of projections has it.
type generation struct {
	number  int64
	version int64
	at      handlers.Checkpoint
}

// Open opens the database at path, making it if there is none, with the projection's tables. The file may hold other tables,
// and other projections, whose tables have other names. It must be a file: a database in memory is another one for each
// connection.
func Open(path string, o Options) (*Projection, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	if path == "" || path == ":memory:" {
		return nil, fmt.Errorf("sqlite: path %q: want a file; its readers would each have a database of their own", path)
	}
	if o.Version == 0 {
		o.Version = 1
	}
	if o.Batch == 0 {
		o.Batch = defaultBatch
	}
	// WAL: readers do not wait for the writer. NORMAL: a power cut may take the last transactions, whole; the log has them.
	dsn := (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: url.Values{
		"_pragma": {"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(NORMAL)"}, "_txlock": {"immediate"},
	}.Encode()}).String()
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	p := &Projection{o: o, db: db, moved: make(chan struct{})}
	if err := p.prepare(); err != nil {
		return nil, errors.Join(fmt.Errorf("sqlite: %s: %w", path, err), db.Close())
	}
	return p, nil
}

func (o Options) validate() error {
	var faults []error
	for _, name := range append([]string{o.Name}, o.Tables...) {
		if !validName(name) {
			faults = append(faults, fmt.Errorf("sqlite: Options: name %q: want letters, digits and '_', at most 50, not a digit first", name))
		}
	}
	if o.Version < 0 {
		faults = append(faults, fmt.Errorf("sqlite: Options.Version = %d: want at least 1", o.Version))
	}
	if o.Batch < 0 || o.Batch > maxBatch {
		faults = append(faults, fmt.Errorf("sqlite: Options.Batch = %d: want [1, 100,000]", o.Batch))
	}
	if o.Create == nil {
		faults = append(faults, errors.New("sqlite: Options.Create makes no tables"))
	}
	for i, name := range o.Tables {
		if slices.ContainsFunc(o.Tables[:i], func(before string) bool { return strings.EqualFold(before, name) }) {
			faults = append(faults, fmt.Errorf("sqlite: Options.Tables has %q twice", name))
		}
	}
	return errors.Join(faults...)
}

func validName(name string) bool {
	for i, c := range name {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != "" && len(name) <= 50
}

// DB is the database, for readers. Only the projection writes to its tables.
func (p *Projection) DB() *sql.DB { return p.db }

// Close closes the database. Run and Rebuild must have returned.
func (p *Projection) Close() error { return p.db.Close() }

// Apply registers fn for events of type E, before Run. What it does to the database with tx happens if all of the batch
// does; an error, which Run returns, takes the batch back. Functions for one event run in the order of registration. fn
// must depend on nothing but the event and the tables.
func Apply[E any](p *Projection, fn func(tx *Tx, e E, d handlers.Delivery) error) {
	p.applies = append(p.applies, func(tx *Tx, d handlers.Delivery) (bool, error) {
		e, ok, err := handlers.Decode[E](d)
		if err != nil || !ok {
			return ok, err
		}
		return true, fn(tx, e, d)
	})
}

// Sequence is the last event that the tables contain.
func (p *Projection) Sequence() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.live.at.Sequence
}

// WaitFor returns when the tables that readers see contain the event seq, or with the error of ctx. They never do if
// nobody calls Run.
func (p *Projection) WaitFor(ctx context.Context, seq int64) error {
	for {
		p.mu.Lock()
		at, moved := p.live.at.Sequence, p.moved
		p.mu.Unlock()
		if at >= seq {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Tx is a transaction of the projection, for one generation of its tables. It is valid inside the call.
type Tx struct {
	*sql.Tx
	ctx        context.Context
	generation int64
	statements map[string]*sql.Stmt // prepared in this transaction
}

// Table is the name that a table, an index or another thing called name has in this generation, quoted.
func (tx *Tx) Table(name string) string { return tableName(name, tx.generation) }

func tableName(name string, generation int64) string {
	return `"` + name + suffix(generation) + `"`
}

func suffix(generation int64) string { return fmt.Sprintf("__%d", generation) }

// Exec executes a statement, which is prepared once for all events of a batch.
func (tx *Tx) Exec(query string, args ...any) error {
	s, ok := tx.statements[query]
	if !ok {
		var err error
		if s, err = tx.PrepareContext(tx.ctx, query); err != nil {
			return err
		}
		tx.statements[query] = s
	}
	_, err := s.ExecContext(tx.ctx, args...)
	return err
}
