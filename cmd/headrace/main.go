// Command headrace looks into journal directories: it lists, prints, follows, searches, verifies,
// proves, backs up and repairs. It works from outside, beside a live writer; no command but archive,
// and repair --apply, changes the journal that it is pointed at.
//
//	headrace info    DIR             what is in it, in one screen
//	headrace ls      DIR             its segments
//	headrace dump    DIR             its records, from --from or --since to --until
//	headrace tail    DIR             the last records, and with -f what comes
//	headrace grep    PATTERN DIR     records whose JSON or raw body matches a regular expression
//	headrace trace   DIR             what caused what in the conversation --correlation, or that of --event
//	headrace export  DIR             events as JSON lines or CSV, with --proof provable; --check FILE checks
//	headrace schema  DIR             what the log says of its types, as JSON; --json-schema, --history
//	headrace verify  DIR             checks everything; --key and --anchor for the chain
//	headrace repair  DIR             shows what a repair would do; with --apply does it
//	headrace backup  DIR COPY        hot, to the durable sequence; again: what is new
//	headrace restore COPY DIR        a copy into an empty directory, verified; --until and --until-time
//	headrace archive DIR             packs sealed segments: compressed, with --encrypt encrypted
//	headrace prove   SEQUENCE DIR    a proof of one record as JSON; --check FILE checks one
//	headrace bench   DIR             appends to a fresh journal under DIR and measures
//
// Flags stand before the other arguments. --json makes every command write JSON: one object, or one
// a line where there are many. Results go to standard output, everything else to standard error,
// where long work shows a bar if that is a terminal.
//
// Where segments are encrypted and --keys is not given, info, ls and tail show what needs no key, and say of which
// segments they do not show the records; the other commands fail.
//
// Exit codes: 0 done, and of verify and repair: nothing is wrong; 1 failed, the reason on standard
// error; 2 the command line was not understood; 3 the journal, or the proof, is damaged or false,
// or repair --dry-run found something to repair; 4 nothing was found (grep, trace, export, schema, and where
// there is no journal); 5 a writer has the journal open, and the command needs it for itself.
//
// README.md beside this file shows each of them at work.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], streams{os.Stdout, os.Stderr})
	stop()
	os.Exit(code)
}
