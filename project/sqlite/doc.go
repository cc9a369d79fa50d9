// Package sqlite keeps read models in tables of a SQLite database, with how far they are in the same transaction: after
// any crash the tables hold what the log says up to one sequence, no event twice and none left out.
//
//	p, err := sqlite.Open("shop.db", sqlite.Options{
//		Name: "sales", Version: 1, Tables: []string{"sales"},
//		Create: func(tx *sqlite.Tx) error {
//			return tx.Exec(`CREATE TABLE ` + tx.Table("sales") + ` (article TEXT PRIMARY KEY, cents INTEGER)`)
//		},
//	})
//	sqlite.Apply(p, func(tx *sqlite.Tx, e Sold, d handlers.Delivery) error {
//		return tx.Exec(`INSERT INTO `+tx.Table("sales")+` VALUES (?, ?)
//			ON CONFLICT DO UPDATE SET cents = cents + excluded.cents`, e.Article, e.Cents)
//	})
//	go p.Run(ctx, eng)
//	…
//	err = p.WaitFor(ctx, seq)                           // read your own writes
//	rows, err := p.DB().Query(`SELECT … FROM sales`)    // a view of the same name
//
// It follows the log at its own pace (headrace.Engine.Follow), so the ring never waits for the database. What is read at
// a time is one transaction, up to Options.Batch events: many while it catches up, few when it is at the end.
//
// # Tables
//
// Functions name their tables with Tx.Table, which adds a generation to the name. Readers use the plain names,
// which are views of the generation that is live. A rebuild fills the next generation beside the live one, and switches
// the views in one transaction: readers see the old tables, then the new ones, and never anything between.
//
// Indexes and whatever else has a name in the database are named with Tx.Table too, and need not be in
// Options.Tables if they go with a table that is.
//
// # Versions
//
// Raise Options.Version whenever Create or a function of Apply computes something else. Run then rebuilds first, while
// readers still see the old tables. Projection.Rebuild does it at any other time, beside Run. A rebuild that a crash
// has interrupted goes on where its last transaction ended.
//
// # One log
//
// A checkpoint names the record that it stands behind. A database that has seen events which a power cut took from the
// log, or those of another log, is handlers.ErrDiverged; Projection.Rebuild begins anew.
package sqlite
