package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/headrace/headrace/journal"
)

// Exit codes; main.go documents them.
const (
	exitOK       = 0
	exitFailed   = 1
	exitUsage    = 2
	exitDamaged  = 3
	exitNotFound = 4
)

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
	name string
	args string
	make func(in *invocation) func() error
}

func commands() []command {
	return []command{
		{"info", "DIR", infoCommand},
		{"ls", "DIR", lsCommand},
		{"dump", "DIR", dumpCommand},
		{"tail", "DIR", tailCommand},
		{"grep", "PATTERN DIR", grepCommand},
		{"verify", "DIR", verifyCommand},
		{"prove", "SEQUENCE DIR", proveCommand},
		{"bench", "DIR", benchCommand},
		{"backup", "DIR COPY", backupCommand},
		{"restore", "COPY DIR", restoreCommand},
	}
}

// errNoMatch makes grep exit with exitNotFound and without a word.
var errNoMatch = errors.New("no match")

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
			return exitCode(c.run(ctx, args[1:], s), s)
		}
	}
	fmt.Fprintf(s.err, "headrace: there is no command %q\n", args[0])
	usage(s)
	return exitUsage
}

func usage(s streams) {
	fmt.Fprintln(s.err, "usage: headrace COMMAND [flags] ARGUMENTS")
	for _, c := range commands() {
		fmt.Fprintf(s.err, "  headrace %s %s\n", c.name, c.args)
	}
}

func (c command) run(ctx context.Context, args []string, s streams) error {
	in := &invocation{ctx: ctx, s: s, flags: flag.NewFlagSet(c.name, flag.ContinueOnError)}
	in.flags.SetOutput(s.err)
	in.flags.Usage = func() {
		fmt.Fprintf(s.err, "usage: headrace %s [flags] %s\n", c.name, c.args)
		in.flags.PrintDefaults()
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
	if len(in.args) != len(strings.Fields(c.args)) {
		in.flags.Usage()
		return errUsage
	}
	return do()
}

// exitCode says why a command failed, and turns that into a code.
func exitCode(err error, s streams) int {
	var damaged *journal.CorruptionError
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errNoMatch):
		return exitNotFound
	case errors.Is(err, errUsage):
		if err != errUsage {
			fmt.Fprintln(s.err, "headrace:", err)
		}
		return exitUsage
	}
	fmt.Fprintln(s.err, "headrace:", err)
	switch {
	case errors.As(err, &damaged), errors.Is(err, journal.ErrProof), errors.Is(err, journal.ErrSignature), errors.Is(err, journal.ErrChain):
		return exitDamaged
	case errors.Is(err, journal.ErrNotFound):
		return exitNotFound
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
