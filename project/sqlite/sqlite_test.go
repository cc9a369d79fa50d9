package sqlite_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/journal"
	"github.com/headrace/headrace/project/sqlite"
)

type sold struct {
	Article string
	Cents   int64
}

func openEngine(t testing.TB, dir string) *headrace.Engine {
	t.Helper()
	types := event.NewRegistry()
	event.MustRegister[sold](types, "sold", 1)
	e, err := headrace.Open(dir, headrace.NewTopology(types), headrace.Options{Journal: journal.Options{SegmentBytes: 64 << 10, Durability: journal.None()}})
	require.NoError(t, err)
	return e
}

// open is a projection that sums up what was sold by article, and counts; factor 10 is another version's.
func open(t testing.TB, path string, version int, failAt int64) *sqlite.Projection {
	t.Helper()
	p, err := sqlite.Open(path, sqlite.Options{
		Name: "sales", Version: version, Tables: []string{"sales", "counts"}, Batch: 16,
		Create: func(tx *sqlite.Tx) error {
			return errors.Join(
				tx.Exec(`CREATE TABLE `+tx.Table("sales")+` (article TEXT PRIMARY KEY, cents INTEGER NOT NULL)`),
				tx.Exec(`CREATE INDEX `+tx.Table("by_cents")+` ON `+tx.Table("sales")+` (cents)`),
				tx.Exec(`CREATE TABLE `+tx.Table("counts")+` (n INTEGER NOT NULL)`),
				tx.Exec(`INSERT INTO `+tx.Table("counts")+` VALUES (0)`))
		},
	})
	require.NoError(t, err)
	sqlite.Apply(p, func(tx *sqlite.Tx, e sold, d handlers.Delivery) error {
		if d.Sequence == failAt {
			return errFail
		}
		return errors.Join(
			tx.Exec(`INSERT INTO `+tx.Table("sales")+` VALUES (?, ?) ON CONFLICT DO UPDATE SET cents = cents + excluded.cents`, e.Article, e.Cents*int64(version)),
			tx.Exec(`UPDATE `+tx.Table("counts")+` SET n = n + 1`))
	})
	return p
}

var errFail = errors.New("cannot")

func limit(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// run runs p until the returned function is called, which returns its error.
func run(t testing.TB, p *sqlite.Projection, e *headrace.Engine) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(limit(t))
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx, e) }()
	return func() error { cancel(); return <-ended }
}

func publish(t testing.TB, e *headrace.Engine, n int) (last int64) {
	t.Helper()
	web, err := e.Producer("web")
	require.NoError(t, err)
	for i := range n {
		last, err = headrace.Publish(limit(t), web, sold{fmt.Sprint("article ", i%7), int64(i)}, headrace.Meta{})
		require.NoError(t, err)
	}
	return last
}

// rows is what readers see.
func rows(t testing.TB, db *sql.DB) (sales map[string]int64, n int) {
	t.Helper()
	tx, err := db.BeginTx(limit(t), &sql.TxOptions{ReadOnly: true})
	require.NoError(t, err)
	defer tx.Rollback()
	sales = map[string]int64{}
	r, err := tx.Query(`SELECT article, cents FROM sales`)
	require.NoError(t, err)
	defer r.Close()
	for r.Next() {
		var a string
		var c int64
		require.NoError(t, r.Scan(&a, &c))
		sales[a] = c
	}
	require.NoError(t, r.Err())
	require.NoError(t, tx.QueryRow(`SELECT n FROM counts`).Scan(&n))
	return sales, n
}

// want computes the same from the log, up to a sequence.
func want(t testing.TB, dir string, until int64, factor int64) (sales map[string]int64, n int) {
	t.Helper()
	types := event.NewRegistry()
	event.MustRegister[sold](types, "sold", 1)
	top := headrace.NewTopology(types)
	sales = map[string]int64{}
	handlers.Fold(top.Logic(), func(_ *handlers.Context, e sold) error {
		sales[e.Article] += e.Cents * factor
		n++
		return nil
	})
	if until > 0 {
		_, err := headrace.Replay(dir, top, headrace.ReplayOptions{Until: until})
		require.NoError(t, err)
	}
	return sales, n
}

func check(t testing.TB, p *sqlite.Projection, dir string, until, factor int64) {
	t.Helper()
	sales, n := rows(t, p.DB())
	wantSales, wantN := want(t, dir, until, factor)
	require.Equal(t, wantN, n)
	require.Equal(t, wantSales, sales)
}

func TestProjection_FollowsStopsAndGoesOn(t *testing.T) {
	dir, path := filepath.Join(t.TempDir(), "log"), filepath.Join(t.TempDir(), "a b?.db")
	e := openEngine(t, dir)
	for round := range 3 {
		p := open(t, path, 1, 0)
		stop := run(t, p, e)
		last := publish(t, e, 100)
		require.NoError(t, p.WaitFor(limit(t), last), "round %d", round)
		check(t, p, dir, last, 1)
		require.Equal(t, last, p.Sequence())
		require.ErrorIs(t, p.Run(limit(t), e), sqlite.ErrRunning)
		require.NoError(t, stop())
		require.NoError(t, p.Close())
	}
	require.NoError(t, e.Close(limit(t)))

	// The engine's own events move it too.
	e = openEngine(t, dir)
	p := open(t, path, 1, 0)
	stop := run(t, p, e)
	require.NoError(t, p.WaitFor(limit(t), e.Written()))
	require.NoError(t, stop())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, p.WaitFor(ctx, 1<<40), context.Canceled)

	// Run ends with the engine, when all is in the tables.
	last := publish(t, e, 50)
	ended := make(chan error, 1)
	go func() { ended <- p.Run(limit(t), e) }()
	require.NoError(t, p.WaitFor(limit(t), last))
	require.NoError(t, e.Close(limit(t)))
	require.NoError(t, <-ended)
	check(t, p, dir, last, 1)
	require.NoError(t, p.Close())
}

func TestProjection_AFunctionFails_NothingOfItsBatchStays(t *testing.T) {
	dir, path := filepath.Join(t.TempDir(), "log"), filepath.Join(t.TempDir(), "p.db")
	e := openEngine(t, dir)
	last := publish(t, e, 100)
	p := open(t, path, 1, last-10)
	err := p.Run(limit(t), e)
	require.ErrorIs(t, err, errFail)
	require.ErrorContains(t, err, fmt.Sprint("event ", last-10))
	require.Less(t, p.Sequence(), last-10)
	check(t, p, dir, p.Sequence(), 1)
	require.NoError(t, p.Close())
	p = open(t, path, 1, 0) // fixed
	stop := run(t, p, e)
	require.NoError(t, p.WaitFor(limit(t), last))
	check(t, p, dir, last, 1)
	require.NoError(t, stop())
	require.NoError(t, p.Close())
	require.NoError(t, e.Close(limit(t)))
}

// A reader sees the old tables or the new ones, whole, all through a rebuild beside the live projection.
func TestRebuild_BesideTheLiveOne(t *testing.T) {
	dir, path := filepath.Join(t.TempDir(), "log"), filepath.Join(t.TempDir(), "p.db")
	e := openEngine(t, dir)
	p := open(t, path, 1, 0)
	stop := run(t, p, e)
	require.NoError(t, p.WaitFor(limit(t), publish(t, e, 300)))
	_, err := p.DB().Exec(`UPDATE "counts__1" SET n = n + 1000000`) // somebody has damaged it
	require.NoError(t, err)

	rebuilt := make(chan error, 1)
	go func() { rebuilt <- p.Rebuild(limit(t), e) }()
	seen := 0
	for done := false; !done; {
		publish(t, e, 5)
		_, n := rows(t, p.DB())
		require.GreaterOrEqual(t, n, 300, "a reader must not see tables that are being filled")
		seen++
		select {
		case err := <-rebuilt:
			require.NoError(t, err)
			done = true
		default:
		}
	}
	last := publish(t, e, 20)
	require.NoError(t, p.WaitFor(limit(t), last))
	require.NoError(t, stop())
	check(t, p, dir, last, 1)
	require.NoError(t, p.Close())

	// Another version: Run rebuilds first.
	p = open(t, path, 10, 0)
	_, n := rows(t, p.DB())
	require.Positive(t, n, "readers see the old tables until then")
	stop = run(t, p, e)
	last = publish(t, e, 20)
	require.NoError(t, p.WaitFor(limit(t), last))
	require.Eventually(t, func() bool {
		s, _ := rows(t, p.DB())
		w, _ := want(t, dir, last, 10)
		return fmt.Sprint(s) == fmt.Sprint(w)
	}, 5*time.Minute, time.Millisecond)
	require.NoError(t, stop())
	check(t, p, dir, last, 10)
	var tables int
	require.NoError(t, p.DB().QueryRow(`SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name LIKE '%\_\_%' ESCAPE '\'`).Scan(&tables))
	require.Equal(t, 2, tables, "old generations are gone")
	require.NoError(t, p.Close())
	require.NoError(t, e.Close(limit(t)))
}

func TestProjection_AnotherLog_Diverged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p.db")
	for round, wantErr := range []error{nil, handlers.ErrDiverged} {
		e := openEngine(t, filepath.Join(t.TempDir(), "log"))
		p := open(t, path, 1, 0)
		last := publish(t, e, 10)
		if round == 0 {
			stop := run(t, p, e)
			require.NoError(t, p.WaitFor(limit(t), last))
			require.NoError(t, stop())
		} else {
			require.ErrorIs(t, p.Run(limit(t), e), wantErr)
		}
		require.NoError(t, p.Close())
		require.NoError(t, e.Close(limit(t)))
	}
}

func TestOpen_Faults(t *testing.T) {
	create := func(*sqlite.Tx) error { return nil }
	for _, o := range []sqlite.Options{
		{}, {Name: "a b", Create: create}, {Name: "1a", Create: create}, {Name: "a", Create: create, Tables: []string{`x"`}},
		{Name: "a", Create: create, Tables: []string{"x", "x"}}, {Name: "a", Create: create, Batch: -1}, {Name: "a", Create: create, Version: -1}, {Name: "a"},
	} {
		_, err := sqlite.Open(filepath.Join(t.TempDir(), "p.db"), o)
		require.Error(t, err, "%+v", o)
	}
	_, err := sqlite.Open(filepath.Join(t.TempDir(), "none", "p.db"), sqlite.Options{Name: "a", Create: create})
	require.Error(t, err)
}

// A process that publishes, projects and rebuilds is killed again and again; the tables are always what the log says.
func TestKill_TablesAreWhatTheLogSays(t *testing.T) {
	base := os.Getenv("HEADRACE_SQLITE_CHILD")
	if base != "" {
		child(t, base)
		return
	}
	base = t.TempDir()
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 3))
	cycles := 6
	if os.Getenv("HEADRACE_LONG") != "" {
		cycles = 200
	}
	for cycle := range cycles {
		cmd := exec.Command(os.Args[0], "-test.run", "^TestKill_TablesAreWhatTheLogSays$")
		cmd.Env = append(os.Environ(), "HEADRACE_SQLITE_CHILD="+base)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		lines := bufio.NewScanner(out)
		for n := 1 + rnd.IntN(60); n > 0 && lines.Scan(); n-- {
		}
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait()

		p := open(t, filepath.Join(base, "p.db"), 1, 0)
		e := openEngine(t, filepath.Join(base, "log"))
		check(t, p, filepath.Join(base, "log"), p.Sequence(), 1)
		if cycle%3 == 2 {
			require.NoError(t, p.Rebuild(limit(t), e), "seed %d", seed)
			check(t, p, filepath.Join(base, "log"), p.Sequence(), 1)
		}
		require.NoError(t, p.Close())
		require.NoError(t, e.Close(limit(t)))
	}
}

// child says a line each time that the tables have moved, until it is killed.
func child(t *testing.T, base string) {
	e := openEngine(t, filepath.Join(base, "log"))
	p := open(t, filepath.Join(base, "p.db"), 1, 0)
	go func() { t.Error(p.Run(context.Background(), e)) }()
	go func() {
		for {
			_ = p.Rebuild(context.Background(), e)
		}
	}()
	for {
		if p.WaitFor(context.Background(), publish(t, e, 20)) == nil {
			fmt.Println("moved")
		}
	}
}
