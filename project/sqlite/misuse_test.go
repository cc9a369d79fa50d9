package sqlite_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/project/sqlite"
)

// A database that has seen more of another log than this log has at all, and half a rebuild of that one.
func TestRebuild_AnotherLog_BeginsAnew(t *testing.T) {
	base := t.TempDir()
	path := filepath.Join(base, "shop.db")
	a := openEngine(t, filepath.Join(base, "a"))
	last := publish(t, a, 200)
	p := open(t, path, 1, 0)
	stop := run(t, p, a)
	require.NoError(t, p.WaitFor(limit(t), last))
	require.NoError(t, stop())
	require.NoError(t, p.Close())
	p = open(t, path, 1, last-50)
	require.ErrorIs(t, p.Rebuild(limit(t), a), errFail)
	require.NoError(t, p.Close())
	require.NoError(t, a.Close(limit(t)))

	dir := filepath.Join(base, "b")
	b := openEngine(t, dir)
	defer b.Close(limit(t))
	last = publish(t, b, 20)
	p = open(t, path, 1, 0)
	defer p.Close()
	require.ErrorIs(t, p.Run(limit(t), b), handlers.ErrDiverged)
	require.NoError(t, p.Rebuild(limit(t), b))
	require.GreaterOrEqual(t, p.Sequence(), last)
	check(t, p, dir, p.Sequence(), 1)
	stop = run(t, p, b)
	last = publish(t, b, 20)
	require.NoError(t, p.WaitFor(limit(t), last))
	require.NoError(t, stop())
	check(t, p, dir, last, 1)
}

// A rebuild that the end of the engine has cut short is none.
func TestRebuild_EngineCloses_SaysSo(t *testing.T) {
	dir := t.TempDir()
	e := openEngine(t, filepath.Join(dir, "log"))
	p := open(t, filepath.Join(dir, "p.db"), 1, 0)
	defer p.Close()
	publish(t, e, 10)
	require.NoError(t, e.Close(limit(t)))
	require.ErrorIs(t, p.Rebuild(limit(t), e), headrace.ErrClosed)
	over, cancel := context.WithCancel(limit(t))
	cancel()
	require.ErrorIs(t, p.Rebuild(over, e), context.Canceled)
	require.NoError(t, p.Run(over, e))
}

// shape is a projection that only counts, in the tables given.
func shape(path, name string, version int, tables ...string) (*sqlite.Projection, error) {
	p, err := sqlite.Open(path, sqlite.Options{Name: name, Version: version, Tables: tables, Create: func(tx *sqlite.Tx) (err error) {
		for _, of := range tables {
			err = errors.Join(err, tx.Exec(`CREATE TABLE `+tx.Table(of)+` (n INTEGER)`))
		}
		return err
	}})
	if err != nil {
		return nil, err
	}
	sqlite.Apply(p, func(tx *sqlite.Tx, e sold, d handlers.Delivery) error {
		if e.Cents < 0 {
			return errFail
		}
		for _, of := range tables {
			if err := tx.Exec(`INSERT INTO `+tx.Table(of)+` VALUES (?)`, e.Cents); err != nil {
				return err
			}
		}
		return nil
	})
	return p, nil
}

func names(t testing.TB, p *sqlite.Projection) (all []string) {
	t.Helper()
	rows, err := p.DB().Query(`SELECT name FROM sqlite_master WHERE name NOT LIKE 'headrace%' AND name NOT LIKE 'sqlite%' ORDER BY name`)
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var name string
		require.NoError(t, rows.Scan(&name))
		all = append(all, name)
	}
	require.NoError(t, rows.Err())
	return all
}

// Versions may have other tables than the ones before: neither a table nor a view of them stays behind, also of a version
// that was never finished.
func TestVersions_WithOtherTables(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "p.db")
	e := openEngine(t, filepath.Join(dir, "log"))
	defer e.Close(limit(t))
	last := publish(t, e, 10)
	one, err := shape(path, "p", 1, "a", "b")
	require.NoError(t, err)
	stop := run(t, one, e)
	require.NoError(t, one.WaitFor(limit(t), last))
	require.NoError(t, stop())
	require.Equal(t, []string{"a", "a__1", "b", "b__1"}, names(t, one))
	require.NoError(t, one.Close())

	two, err := shape(path, "p", 2, "b", "c", "d")
	require.NoError(t, err)
	web, err := e.Producer("web")
	require.NoError(t, err)
	fails, err := headrace.Publish(limit(t), web, sold{"x", -1}, headrace.Meta{})
	require.NoError(t, err)
	require.ErrorIs(t, two.Run(limit(t), e), errFail)
	require.NoError(t, two.Close())
	require.NoError(t, e.WaitWritten(limit(t), fails))

	three, err := sqlite.Open(path, sqlite.Options{Name: "p", Version: 3, Tables: []string{"c", "d"}, Create: func(tx *sqlite.Tx) error {
		return errors.Join(tx.Exec(`CREATE TABLE `+tx.Table("c")+` (n INTEGER)`), tx.Exec(`CREATE TABLE `+tx.Table("d")+` (n INTEGER)`))
	}})
	require.NoError(t, err)
	defer three.Close()
	stop = run(t, three, e)
	require.NoError(t, three.WaitFor(limit(t), fails))
	require.NoError(t, stop())
	require.Equal(t, []string{"c", "c__2", "d", "d__2"}, names(t, three))
}

// Two projections that would show tables of one name, tables that nobody makes, and databases that are no file.
func TestOpen_Misuse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p.db")
	one, err := shape(path, "one", 1, "a")
	require.NoError(t, err)
	defer one.Close()
	_, err = shape(path, "two", 1, "A")
	require.ErrorContains(t, err, `belongs to projection "one"`)
	_, err = sqlite.Open(path, sqlite.Options{Name: "three", Tables: []string{"c"}, Create: func(*sqlite.Tx) error { return nil }})
	require.ErrorContains(t, err, `Create did not make tx.Table("c")`)
	for _, none := range []string{"", ":memory:"} {
		_, err = shape(none, "one", 1, "a")
		require.ErrorContains(t, err, "want a file")
	}
	require.Equal(t, []string{"a", "a__1"}, names(t, one))
}

// Two that run one projection: the second is told, and can run it when the first has stopped.
func TestRun_Twice_ConflictThenGoesOn(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "p.db")
	e := openEngine(t, filepath.Join(dir, "log"))
	defer e.Close(limit(t))
	one, two := open(t, path, 1, 0), open(t, path, 1, 0)
	defer one.Close()
	defer two.Close()
	stop := run(t, one, e)
	require.NoError(t, one.WaitFor(limit(t), publish(t, e, 10)))
	require.NoError(t, stop())
	stop = run(t, two, e) // it was opened before the tables moved
	last := publish(t, e, 10)
	require.NoError(t, two.WaitFor(limit(t), last))
	require.NoError(t, stop())
	check(t, two, filepath.Join(dir, "log"), last, 1)
}
