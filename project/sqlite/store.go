package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/headrace/headrace/handlers"
)

// The table of projections: one row for each generation that has tables. live is 1 for the one that readers see.
const createStore = `CREATE TABLE IF NOT EXISTS headrace_projections (
	name TEXT NOT NULL, generation INTEGER NOT NULL, live INTEGER NOT NULL, version INTEGER NOT NULL,
	sequence INTEGER NOT NULL, segment INTEGER NOT NULL, crc INTEGER NOT NULL,
	PRIMARY KEY (name, generation))`

// The tables of each generation, by the names that readers see: another version of the program may have others.
const createTables = `CREATE TABLE IF NOT EXISTS headrace_projection_tables (
	name TEXT NOT NULL, generation INTEGER NOT NULL, shown TEXT NOT NULL COLLATE NOCASE,
	PRIMARY KEY (name, generation, shown))`

// transact runs fn in a transaction.
func (p *Projection) transact(ctx context.Context, generation int64, fn func(tx *Tx) error) error {
	t, err := p.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer t.Rollback() // after Commit it does nothing
	if err := fn(&Tx{Tx: t, ctx: ctx, generation: generation, statements: map[string]*sql.Stmt{}}); err != nil {
		return err
	}
	return t.Commit()
}

// prepare makes what is not there, and learns what is.
func (p *Projection) prepare() error {
	ctx := context.Background()
	return p.transact(ctx, 1, func(tx *Tx) error {
		if err := errors.Join(tx.Exec(createStore), tx.Exec(createTables)); err != nil {
			return err
		}
		g, ok, err := p.row(tx, true)
		if err != nil {
			return err
		}
		if !ok {
			g = generation{number: 1, version: int64(p.o.Version)}
			if err := p.create(tx, g, true); err != nil {
				return err
			}
			if err := p.show(tx); err != nil {
				return err
			}
		}
		p.live = g
		return nil
	})
}

// refresh learns which generation is live, which another process may have changed.
func (p *Projection) refresh(ctx context.Context) error {
	p.write.Lock()
	defer p.write.Unlock()
	return p.transact(context.WithoutCancel(ctx), p.generation().number, func(tx *Tx) error {
		g, ok, err := p.row(tx, true)
		switch {
		case err != nil:
			return err
		case !ok:
			return fmt.Errorf("sqlite: projection %q is not in its database any more; open it again", p.o.Name)
		case g != p.generation():
			p.setLive(g)
		}
		return nil
	})
}

// row reads the generation that is live, or the one that is being built.
func (p *Projection) row(tx *Tx, live bool) (g generation, ok bool, err error) {
	var segment, crc int64
	err = tx.QueryRowContext(tx.ctx, `SELECT generation, version, sequence, segment, crc FROM headrace_projections WHERE name = ? AND live = ?`, p.o.Name, live).
		Scan(&g.number, &g.version, &g.at.Sequence, &segment, &crc)
	if errors.Is(err, sql.ErrNoRows) {
		return g, false, nil
	}
	g.at.Segment, g.at.CRC = uint64(segment), uint32(crc)
	return g, err == nil, err
}

// create makes the tables and the row of a generation, which tx is for.
func (p *Projection) create(tx *Tx, g generation, live bool) error {
	for _, name := range p.o.Tables {
		var owner string
		err := tx.QueryRowContext(tx.ctx, `SELECT name FROM headrace_projection_tables WHERE shown = ? AND name <> ?`, name, p.o.Name).Scan(&owner)
		if err == nil {
			return fmt.Errorf("table %q belongs to projection %q: names of tables are unique in a database", name, owner)
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
	}
	if err := p.o.Create(tx); err != nil {
		return fmt.Errorf("create tables: %w", err)
	}
	for _, name := range p.o.Tables {
		var n int
		err := tx.QueryRowContext(tx.ctx, `SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?`, name+suffix(g.number)).Scan(&n)
		if err == nil && n == 0 {
			err = fmt.Errorf("Options.Tables has %q, and Create did not make tx.Table(%[1]q)", name)
		}
		if err == nil {
			err = tx.Exec(`INSERT INTO headrace_projection_tables VALUES (?, ?, ?)`, p.o.Name, g.number, name)
		}
		if err != nil {
			return err
		}
	}
	return tx.Exec(`INSERT INTO headrace_projections VALUES (?, ?, ?, ?, 0, 0, 0)`, p.o.Name, g.number, live, g.version)
}

// show makes the views those of the generation that tx is for.
func (p *Projection) show(tx *Tx) error {
	for _, name := range p.o.Tables {
		if err := tx.Exec(`DROP VIEW IF EXISTS "` + name + `"`); err != nil {
			return err
		}
		if err := tx.Exec(`CREATE VIEW "` + name + `" AS SELECT * FROM ` + tx.Table(name)); err != nil {
			return err
		}
	}
	return nil
}

// hide removes the views of tables that a generation had and the program has no more.
func (p *Projection) hide(tx *Tx, g generation) error {
	had, err := p.tables(tx, g)
	if err != nil {
		return err
	}
	for _, name := range had {
		if slices.ContainsFunc(p.o.Tables, func(now string) bool { return strings.EqualFold(now, name) }) {
			continue
		}
		if err := tx.Exec(`DROP VIEW IF EXISTS "` + name + `"`); err != nil {
			return err
		}
	}
	return nil
}

// tables returns the tables of a generation, whatever version of the program made it.
func (p *Projection) tables(tx *Tx, g generation) (names []string, err error) {
	rows, err := tx.QueryContext(tx.ctx, `SELECT shown FROM headrace_projection_tables WHERE name = ? AND generation = ?`, p.o.Name, g.number)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	if names == nil { // made before they were noted
		names = p.o.Tables
	}
	return names, rows.Err()
}

// drop removes the tables that a generation has.
func (p *Projection) drop(tx *Tx, g generation) error {
	had, err := p.tables(tx, g)
	if err != nil {
		return err
	}
	for _, name := range had {
		if err := tx.Exec(`DROP TABLE IF EXISTS ` + tableName(name, g.number)); err != nil {
			return err
		}
	}
	if err := tx.Exec(`DELETE FROM headrace_projection_tables WHERE name = ? AND generation = ?`, p.o.Name, g.number); err != nil {
		return err
	}
	return tx.Exec(`DELETE FROM headrace_projections WHERE name = ? AND generation = ?`, p.o.Name, g.number)
}

// move notes that a generation has come from one place to another.
func (p *Projection) move(tx *Tx, from generation, to handlers.Checkpoint) error {
	r, err := tx.ExecContext(tx.ctx, `UPDATE headrace_projections SET sequence = ?, segment = ?, crc = ? WHERE name = ? AND generation = ? AND sequence = ?`,
		to.Sequence, int64(to.Segment), int64(to.CRC), p.o.Name, from.number, from.at.Sequence)
	if err != nil {
		return err
	}
	if n, err := r.RowsAffected(); err != nil || n != 1 {
		return errors.Join(ErrConflict, err)
	}
	return nil
}
