package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/headrace/headrace/audit"
	"github.com/headrace/headrace/journal"
)

// Exit codes; main.go documents them.
const (
	exitOK       = 0
	exitFailed   = 1
	exitUsage    = 2
	exitDamaged  = 3
	exitNotFound = 4
	exitBusy     = 5
)

// exitHelp is what help says about them.
const exitHelp = `exit codes
  0  done; of verify and repair: nothing is wrong
  1  failed, the reason is on standard error
  2  the command line was not understood
  3  the journal, or the proof, is damaged or false; repair --dry-run found something to repair
  4  nothing was found: no journal, or no record that grep, trace, export or schema asks for
  5  a writer has the journal open, and the command needs it for itself
`

// streams are where results (out) and everything else (err) go.
type streams struct{ out, err io.Writer }

// invocation is one command being run.
type invocation struct {
	ctx   context.Context
	s     streams
	flags *flag.FlagSet
	json  bool
	args  []string // after the flags
}

// command is what a name stands for. It defines its flags and returns what to do once they are
// parsed and the arguments, as many as it names, are there.
type command struct {
	name  string
	args  string
	about string
	make  func(in *invocation) func() error
}

func commands() []command {
	return []command{
		{"info", "DIR", "what is in it, in one screen", infoCommand},
		{"ls", "DIR", "its segments", lsCommand},
		{"dump", "DIR", "its records, from --from or --since to --until", dumpCommand},
		{"tail", "DIR", "the last records, and with -f what comes", tailCommand},
		{"grep", "PATTERN DIR", "records whose JSON or raw body matches a regular expression", grepCommand},
		{"trace", "DIR", "what caused what in the conversation --correlation, or that of --event", traceCommand},
		{"export", "DIR", "events as JSON lines or CSV, with --proof provable; --check FILE checks", exportCommand},
		{"schema", "DIR", "what the log says of its types, as JSON; --json-schema, --history", schemaCommand},
		{"verify", "DIR", "check everything; --key and --anchor for the chain", verifyCommand},
		{"repair", "DIR", "show what a repair would do; with --apply do it", repairCommand},
		{"backup", "DIR COPY", "copy, hot, log, snapshots and checkpoints; again: what is new", backupCommand},
		{"restore", "COPY DIR", "a copy into an empty directory, verified; --until and --until-time", restoreCommand},
		{"archive", "DIR", "pack sealed segments: compressed, with --encrypt encrypted", archiveCommand},
		{"prove", "SEQUENCE DIR", "a proof of one record as JSON; --check FILE checks one", proveCommand},
		{"bench", "DIR", "append to a fresh journal under DIR, read it, and measure", benchCommand},
	}
}

// errNoMatch makes grep exit with exitNotFound and without a word.
var errNoMatch = errors.New("no match")

// errPlanned makes a repair that is only planned exit with exitDamaged: its plan says why.
var errPlanned = errors.New("there is something to repair")

// errCut reports that promised records went with the end of a file.
var errCut = errors.New("records that had been promised durable are gone with the end of the newest file")

// errUsage is a command line that was not understood.
var errUsage = errors.New("usage")

// run runs one command line and returns its exit code.
func run(ctx context.Context, args []string, s streams) int {
	if len(args) == 0 {
		usage(s)
		return exitUsage
	}
	if args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
		usage(s)
		return exitOK
	}
	for _, c := range commands() {
		if c.name == args[0] {
			return c.run(ctx, args[1:], s)
		}
	}
	fmt.Fprintf(s.err, "headrace: there is no command %q\n", args[0])
	usage(s)
	return exitUsage
}

func usage(s streams) {
	fmt.Fprintln(s.err, "usage: headrace COMMAND [flags] ARGUMENTS")
	for _, c := range commands() {
		fmt.Fprintf(s.err, "  headrace %-7s %-13s %s\n", c.name, c.args, c.about)
	}
	fmt.Fprintf(s.err, "flags stand before the arguments; headrace COMMAND -h lists them;\n--json writes JSON; where segments are encrypted, --keys FILE has a line for each key: its id, and its bytes in hex\n%s", exitHelp)
}

// run runs the command and returns its exit code.
func (c command) run(ctx context.Context, args []string, s streams) int {
	in := &invocation{ctx: ctx, s: s, flags: flag.NewFlagSet(c.name, flag.ContinueOnError)}
	err := c.do(in, args)
	where := "DIR"
	if i := slices.Index(strings.Fields(c.args), where); i >= 0 && i < len(in.args) && !strings.Contains(c.args, "COPY") {
		where = quoted(in.args[i])
	}
	return exitCode(err, s, where)
}

func (c command) do(in *invocation, args []string) error {
	in.flags.SetOutput(in.s.err)
	in.flags.Usage = func() {
		fmt.Fprintf(in.s.err, "usage: headrace %s [flags] %s\n%s\n", c.name, c.args, c.about)
		in.flags.PrintDefaults()
		fmt.Fprint(in.s.err, exitHelp)
	}
	in.flags.BoolVar(&in.json, "json", false, "write JSON")
	do := c.make(in)
	if err := in.flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return errUsage
	}
	in.args = in.flags.Args()
	if want := strings.Fields(c.args); len(in.args) != len(want) {
		fmt.Fprintf(in.s.err, "headrace: %s wants %s behind the flags and got %d arguments\n", c.name, strings.Join(want, " and "), len(in.args))
		in.flags.Usage()
		return errUsage
	}
	return do()
}

// advice makes what the package tells a program one for who typed the command.
var advice = strings.NewReplacer("give the codec, or the key, with ArchiveAccess", "give the key with --keys FILE; of codecs this command knows deflate")

// exitCode says why a command failed, and turns that into a code. where is the journal's directory,
// for the advice that an error gives.
func exitCode(err error, s streams, where string) int {
	var damaged *journal.CorruptionError
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errNoMatch):
		return exitNotFound
	case errors.Is(err, errPlanned):
		return exitDamaged
	case errors.Is(err, errUsage):
		if err != errUsage {
			fmt.Fprintln(s.err, "headrace:", err)
		}
		return exitUsage
	}
	fmt.Fprintln(s.err, "headrace:", advice.Replace(strings.ReplaceAll(err.Error(), "headrace repair --dry-run DIR", "headrace repair --dry-run "+where)))
	switch {
	case errors.Is(err, journal.ErrOverlap):
		return exitUsage
	case errors.As(err, &damaged), errors.Is(err, journal.ErrProof), errors.Is(err, journal.ErrSignature), errors.Is(err, journal.ErrChain),
		errors.Is(err, journal.ErrRepair), errors.Is(err, journal.ErrDirectory), errors.Is(err, errCut):
		return exitDamaged
	case errors.Is(err, journal.ErrNotFound), errors.Is(err, audit.ErrNotFound):
		return exitNotFound
	case errors.Is(err, journal.ErrLocked):
		return exitBusy
	}
	return exitFailed
}

// show writes v as one line of JSON.
func (in *invocation) show(v any) error { return json.NewEncoder(in.s.out).Encode(v) }

// moment parses a time: RFC 3339, a date, or unix nanoseconds.
func moment(s string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	var ns int64
	if _, err := fmt.Sscanf(s, "%d", &ns); err == nil && fmt.Sprint(ns) == s {
		return time.Unix(0, ns), nil
	}
	return time.Time{}, fmt.Errorf("%w: %q is no time: want RFC 3339, a date or unix nanoseconds", errUsage, s)
}

// stamp shows a record's time.
func stamp(ns int64) string { return time.Unix(0, ns).UTC().Format(time.RFC3339Nano) }

// progress shows how far long work is, on a line of standard error that it rewrites, at most ten
// times a second; nothing where that is no terminal, or with --json.
type progress struct {
	in   *invocation
	what string
	next time.Time
	used bool
}

func (in *invocation) progress(what string) *progress {
	return &progress{in: in, what: what, next: time.Now().Add(200 * time.Millisecond)}
}

func (p *progress) at(done, total int64) {
	now := time.Now()
	if now.Before(p.next) || total <= 0 || p.in.json || !isTerminal(p.in.s.err) {
		return
	}
	p.next, p.used = now.Add(100*time.Millisecond), true
	const width = 30
	full := int(width * min(done, total) / total)
	fmt.Fprintf(p.in.s.err, "\r%s [%s%s] %3d %%", p.what, strings.Repeat("#", full), strings.Repeat(".", width-full), 100*min(done, total)/total)
}

func (p *progress) end() {
	if p.used {
		fmt.Fprint(p.in.s.err, "\r\x1b[K")
	}
}
