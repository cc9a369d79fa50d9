package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"syscall"
	"time"
)

// Exit codes; doc.go explains them.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, scenarios(), os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the program without its globals: it measures those of all that args choose.
func run(ctx context.Context, all []Scenario, args []string, stdout, stderr io.Writer) int {
	fs := flag.NewFlagSet("peers", flag.ContinueOnError)
	fs.SetOutput(stderr)
	var set Settings
	fs.IntVar(&set.Rounds, "rounds", 7, "measured rounds of each system, at least 1")
	fs.IntVar(&set.Warmup, "warmup", 1, "rounds of each system before those, at least 0")
	fs.Float64Var(&set.Scale, "scale", 1, "multiplies the number of events of a round")
	fs.DurationVar(&set.Timeout, "timeout", 2*time.Minute, "for one round of one system")
	fs.StringVar(&set.Dir, "dir", "", "directory for the logs of every system (default the system's temporary one)")
	only := fs.String("only", "", "`regexp` that scenario/system must match")
	list := fs.Bool("list", false, "print the names scenario/system and stop")
	asJSON := fs.Bool("json", false, "one JSON object a line instead of tables")
	if err := fs.Parse(args); errors.Is(err, flag.ErrHelp) {
		return exitOK
	} else if err != nil {
		return exitUsage
	}

	usage := func(format string, a ...any) int {
		fmt.Fprintf(stderr, "peers: "+format+"\n", a...)
		return exitUsage
	}
	switch {
	case fs.NArg() > 0:
		return usage("unexpected argument %q", fs.Arg(0))
	case set.Rounds < 1:
		return usage("--rounds %d: want at least 1", set.Rounds)
	case set.Warmup < 0:
		return usage("--warmup %d: want at least 0", set.Warmup)
	case !(set.Scale > 0 && set.Scale <= 1000):
		return usage("--scale %v: want more than 0, at most 1000", set.Scale)
	case set.Timeout <= 0:
		return usage("--timeout %v: want more than 0", set.Timeout)
	}
	re, err := regexp.Compile(*only)
	if err != nil {
		return usage("--only: %v", err)
	}
	chosen := choose(all, re)
	if len(chosen) == 0 {
		return usage("--only %q matches nothing; --list shows the names", *only)
	}
	if *list {
		return report(stderr, printList(stdout, chosen))
	}
	return report(stderr, measure(ctx, chosen, set, *asJSON, stdout))
}

// measure runs the scenarios one after the other, in a directory that is gone when it returns.
func measure(ctx context.Context, chosen []Scenario, set Settings, asJSON bool, stdout io.Writer) (err error) {
	set.Dir, err = os.MkdirTemp(set.Dir, "headrace-peers-")
	if err != nil {
		return fmt.Errorf("directory for the logs: %w", err)
	}
	defer func() {
		if rerr := os.RemoveAll(set.Dir); rerr != nil && err == nil {
			err = rerr
		}
	}()
	show := printer(printJSON)
	if !asJSON {
		show = printTable
		fmt.Fprintf(stdout, "%s %s/%s, GOMAXPROCS %d, %d rounds after %d to warm up\n", runtime.Version(),
			runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0), set.Rounds, set.Warmup)
	}
	for _, sc := range chosen {
		out, err := runScenario(ctx, sc, set)
		if err != nil {
			return err
		}
		if err := show(stdout, out); err != nil {
			return err
		}
	}
	return nil
}

// report prints err, if any, and turns it into an exit code.
func report(stderr io.Writer, err error) int {
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(stderr, "peers: interrupted")
		return exitInterrupted
	}
	fmt.Fprintln(stderr, "peers:", err)
	return exitFailed
}
