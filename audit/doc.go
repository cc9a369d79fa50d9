// Package audit answers who did what, when and why, from an engine's log alone.
//
//	log, err := audit.Open(dir, audit.Options{Registry: types})
//	err = log.Events(ctx, audit.Query{Key: "order-17"}, func(e audit.Entry) error {
//		fmt.Println(e.Sequence, e.Journaled, e.Who(), e.Type, string(e.Data))
//		return nil
//	})
//
// It only reads, in any process: a directory that an engine writes to, one that was closed or that a crash
// left, a backup. A query is a pass over its part of the log, so bound it by sequence or time where the
// log is long.
//
// # Why
//
// Every event names the one that caused it, and the conversation that both belong to: its correlation, which is
// the id of the event that began it. Log.Trace makes a tree of that: what came from outside, what each
// handler answered, what came of the answers. Tree.AppendText prints it, and it marshals to JSON.
//
// # Export
//
// Log.Export writes JSON lines or CSV, an event a line, with the columns that Columns lists, in memory for one
// event. In CSV no cell is taken for a formula.
//
// ExportOptions.Hashes adds the hash of each record, which is its leaf in the journal's Merkle trees: with
// journal.Prove anyone can be shown later that the record is in the log. With ExportOptions.Proof an
// export of JSON lines carries the proof itself: the bytes of each record, what stands between them
// as hashes, and the links of the chain up to a root. VerifyExport checks it with the root alone, without
// the log: that each event is in it, in this order, and that its line says what the bytes say. See package
// journal for what a root protects from, and Options.Chain for keeping one.
//
// A proof shows that what is there is true. That nothing was left out it shows only for an export without a
// filter, where no event lies between: Verified.Missing counts the records that are not shown.
package audit
