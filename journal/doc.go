// Package journal is an append-only, crash-safe log of records in memory-mapped segment files.
//
// # Caveats first
//
//   - One writer. A directory is locked while it is open; a second [Open], from this process or
//     another, fails at once with [ErrLocked]. Readers are not limited and never block a writer.
//   - Written is not durable. A record that [Journal.Commit] published survives the death of the
//     process (kill -9); it survives the loss of power only once [Journal.Durable] has reached it.
//   - Views end with the call. The body that [Reader.Read] hands to its function lies in a
//     mapping and is valid inside the call only; [Reader.Records] copies.
//   - A local Linux file system that keeps what fsync promises: ext4, xfs, tmpfs (which survives
//     the process only). Those of networks are refused ([ErrFileSystem]), copy-on-write ones are
//     untested, other systems have [ErrPlatform]: PLATFORMS.md has the table, and sizing.
//   - Checksums find accidents, not attackers: whoever can write the files can forge them. A chain
//     of roots finds that too, if a root or a key is kept where they cannot reach.
//
// # Model
//
// A record is numbered by its sequence: an int64 that starts at 1 (or [Options.FirstSequence]),
// has no gaps and survives restarts; 0 means "none yet". Events and voids (the place of an
// aborted claim) advance it; checkpoint, index and seal records carry the number of the event
// before them. Records lie in segments, files of a fixed size that are allocated (as zeros) and
// touched ahead by a goroutine of the journal, so that the writer meets neither a full disk nor,
// as a rule, a page fault in the middle of a store.
//
// Two cursors tell how far things are. Written is the last sequence that readers may see;
// Durable is the last one that a sync covers. [Journal.WaitWritten] and [Journal.WaitDurable]
// wait for them.
//
// # Writing
//
// One goroutine at a time may write:
//
//	seq, err := j.Append(journal.Entry{Type: 7, Body: body}) // stage and commit one record
//
// or, cheaper for many,
//
//	for _, e := range entries {
//		if _, err := j.Stage(e); err != nil { ... }
//	}
//	err := j.Commit() // one publication, one wake-up of readers
//
// or without a copy, in the memory that the record will have, with [Journal.StageInPlace].
//
// An atomic batch ([Journal.AppendBatch], or [Journal.BeginBatch] before the Stages) is there as
// a whole or not at all after a crash. None of them allocates.
//
// # Durability
//
// [Options.Durability] says when the journal syncs. The sync runs in a goroutine of its own; the
// writer never waits for it.
//
//	mode          kill -9 takes           power loss takes
//	None          what is not committed   everything since the last Sync, WaitDurable or Close, but at
//	                                      most some five segments
//	Interval(d)   what is not committed   at most about d, and one sync
//	Group(d, n)   what is not committed   at most about d or n bytes, and one sync
//	Batch         what is not committed   what was committed since the last sync began
//
// In every mode what Durable covers is safe from both. [Journal.Stats] tells at any time what a power
// cut would take: events, bytes, and how old they are.
//
// None and Interval store records into a mapping; Group and Batch write them with pwrite, because
// a sync after stores to a mapping takes two to four times as long ([Options.Backend]). There a
// commit is one system call, and what is staged and not committed is in the process alone. A failed sync is final: after it the
// kernel may have dropped the very pages that it could not write, and a second sync that
// succeeds would prove nothing. The journal is poisoned ([ErrPoisoned]); reopen it.
//
// # Reading
//
// [Journal.NewReader] reads in the same process and is woken by commits. [OpenReader] reads the
// directory from any process, beside a live writer or after a crash, read-only, and polls. Both
// verify the checksum of every record that they deliver and never go past the committed offset.
//
//	r, err := j.NewReader(1, journal.ReaderOptions{})
//	n, err := r.Read(func(rec journal.Record) error { ... })    // all that is there now
//	err = r.Follow(ctx, func(rec journal.Record) error { ... }) // and what comes
//
// [Reader.ReadSpans] and [Reader.FollowSpans] deliver many records with one call.
//
// A reader finds its place by sequence ([Reader.SeekTo]), by time ([Reader.SeekTime]) or from the
// end ([Reader.SeekTail]), can be bounded by sequence, time and types ([ReaderOptions]), reads
// backwards ([Reader.ReadBackward]), and replays at the original pace or a multiple of it
// ([Reader.Replay]).
//
// # Keeping
//
// [Journal.Trim] removes the oldest segments by sequence, age or bytes, but nothing that a
// [Journal.Hold] needs; holds can expire. [Backup] copies a journal, hot and incrementally, up to
// its durable sequence, and [Restore] makes a journal of a copy, as it was at any sequence or time.
// [Journal.Archive] packs sealed segments, compressed, encrypted or both; readers that have codec and
// key ([ArchiveAccess]) see no difference. Package shred, below this one, erases the data of one
// subject from a log that cannot forget.
//
// # Proof
//
// With [Options.Chain] the journal keeps a chain of SHA-256 roots over its sealed segments, and over
// what is durable of the one that is written to, signed if there is an [Options.Signer]. [Verify] recomputes it, [Prove] and [VerifyProof] show one
// record to somebody who has a root and nothing else. FORMAT.md says what that does not protect
// from.
//
// # Recovery
//
// Open tells a torn tail, which a crash leaves, from corruption, which it cannot. The tail is
// kept under aside/ and cut; [Journal.Recovery] reports it. Corruption of a record that was
// acknowledged is a [*CorruptionError]: Open refuses, nothing is changed, the operator decides.
// See examine.go for the table of cases and FORMAT.md for the bytes.
//
// # Repair
//
// [PlanRepair] says what can be kept of a corrupt journal, and [RepairPlan.Apply] does it, as does
// "headrace repair". Every record that verifies in its place stays, behind the damage too, and even if
// its segment's header is gone. The rest becomes records of [KindLost], one a sequence, which readers
// deliver and [Verify] counts. A repair never runs by itself, copies what it replaces to aside, and
// can be repeated after a crash at any step. The chain of roots is cut before the first segment that
// it changed: the losses are in the roots that come after, and a root kept from before no longer
// anchors what follows.
package journal
