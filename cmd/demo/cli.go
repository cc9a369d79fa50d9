package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"github.com/headrace/headrace/cmd/demo/internal/screen"
	"github.com/headrace/headrace/journal"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1 // the reason is on standard error
	exitUsage  = 2 // the command line was not understood
)

// streams are what a command reads and writes. Results go to out, all else to err.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// say writes a line for a person to standard error. What cannot be written is lost.
func (s streams) say(format string, args ...any) { _, _ = fmt.Fprintf(s.err, format+"\n", args...) }

// progress returns a progress on standard error.
func (s streams) progress(o screen.ProgressOptions) *screen.Progress {
	o.Mode = screen.Plain
	if f, ok := s.err.(*os.File); ok {
		o.Mode = screen.ModeOf(f)
	}
	return screen.NewProgress(s.err, o)
}

// usageError is a command line that was not understood.
type usageError struct {
	command string
	err     error
}

func (e *usageError) Error() string { return e.err.Error() }

func (e *usageError) Unwrap() error { return e.err }

// command is what a name on the command line stands for.
type command struct {
	name string
	run  func(ctx context.Context, args []string, s streams) error
}

// commands returns all there are. The last ones are for the demo itself to start.
func commands() []command {
	return []command{
		{"run", runCommand},
		{"replay", replayCommand},
		{"verify", verifyCommand},
		{"torture", tortureCommand},
		{"asof", asofCommand},
		{"trace", traceCommand},
		{"deadletters", deadlettersCommand},
		{"redrive", redriveCommand},
		{childName, childCommand},
		{shopChildName, shopChildCommand},
		{outsideName, outsideCommand},
	}
}

const usage = `An order shop that survives kill -9, on headrace.

  demo                 the story: take orders, be killed, recover, prove that nothing is lost
  demo run --dir D     take orders, into the journal in directory D; go on where it ends
  demo replay --dir D  rebuild the shop from the journal alone, and print its figures
  demo verify --dir D  check every byte of the journal, and the figures against a replay
  demo torture --dir D --cycles N
                       kill a child N times, and look for every event it had acknowledged
  demo asof --dir D --sequence N
                       print the figures as they were at a sequence, or at a time
  demo trace --dir D --order INVOICE@ROW
                       print what an order led to, each event below its cause
  demo deadletters --dir D
                       list what could not be done, and holds up its order
  demo redrive --dir D try that again, with the bug fixed

run
  --dir D              directory of the journal; made if it is not there
  --input F            import the orders of this CSV file, gzip or plain, with the columns
                       InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country
                       (default: orders made up from a seed)
  --orders N           stop after N orders in all (default: the whole file, or 100,000)
  --seed S             of the orders that are made up (default 1)
  --rate R             orders a second (default: as fast as it goes)
  --durability M       when the journal syncs: none, interval, group (default) or batch
  --snapshots N        store the state each time N events came, and at the end: the next run goes on from there
                       (default: it reads the whole log)
  --json               print the figures as one JSON object on the last line
  --shop               fulfil the orders: reserve goods, charge, ship and mail, and undo that where a
                       step fails; the payment gateway and the mail server are processes of their own
                       (made up are 2,000 orders, if --orders does not say else)
  --saga M             who directs that: choreography (default) or orchestration; with --shop
  --poison N           a bug keeps one order in N from being charged, until redrive; with --shop

replay
  --dir D, --json
  --until SEQ          as of this sequence (default: the end)

verify
  --dir D, --json

asof
  --dir D, --json
  --sequence N         at this sequence, or
  --time T             at this time, as 2006-01-02T15:04:05.999Z

trace
  --dir D, --json
  --order K            the conversation that this order began, or
  --correlation ID     the one with this id

deadletters
  --dir D, --json
  --all                also those that wait for their next attempt

redrive
  --dir D, --json
  --handler H          only those of this handler,
  --sequence N         only this event

torture
  --dir D              directory of the journal and of the acknowledgements
  --cycles N           how often to kill (default 20)
  --durability M       as above; acknowledged is what is written (none) or durable (all others)
  --seed S             of the moments to kill at (default: another one each time; it is printed)
  --shop               the child fulfils its orders, and its log is held to ten invariants
  --saga M             who directs that; with --shop

Exit status: 0 if all is well, 1 if not, 2 if the command line was not understood.
Progress goes to standard error. Interrupt (^C) ends a run in order; a second one at once.
`

// execute runs one command line and returns the exit code.
func execute(ctx context.Context, args []string, s streams) int {
	err := dispatch(ctx, args, s)
	var wrong *usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &wrong):
		s.say("demo%s: %v\n\"demo help\" tells how it is used.", wrong.command, err)
		return exitUsage
	}
	s.say("demo: %v", err)
	return exitFailed
}

func dispatch(ctx context.Context, args []string, s streams) error {
	if len(args) == 0 {
		return story(ctx, s)
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		_, err := io.WriteString(s.out, usage)
		return err
	}
	for _, c := range commands() {
		if c.name != args[0] {
			continue
		}
		err := c.run(ctx, args[1:], s)
		if errors.Is(err, flag.ErrHelp) {
			_, err = io.WriteString(s.out, usage)
		}
		var wrong *usageError
		if errors.As(err, &wrong) {
			wrong.command = " " + c.name
		}
		return err
	}
	return &usageError{err: fmt.Errorf("unknown command %q", args[0])}
}

// flags is a command's flag set, which reports what is wrong as a usageError.
type flags struct {
	*flag.FlagSet
	dir string
	set map[string]bool // given on the command line
}

func newFlags(name string) *flags {
	f := &flags{FlagSet: flag.NewFlagSet(name, flag.ContinueOnError), set: map[string]bool{}}
	f.SetOutput(io.Discard)
	f.StringVar(&f.dir, "dir", "", "")
	return f
}

// parse reads args. Every command has --dir, and none takes arguments.
func (f *flags) parse(args []string) error {
	err := f.Parse(args)
	f.Visit(func(one *flag.Flag) { f.set[one.Name] = true })
	switch {
	case errors.Is(err, flag.ErrHelp):
		return err
	case err != nil:
	case f.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", f.Arg(0))
	case f.dir == "":
		err = errors.New("--dir is missing")
	}
	if err != nil {
		return &usageError{err: err}
	}
	return nil
}

// wrong is a usageError about a flag's value.
func wrong(format string, args ...any) error { return &usageError{err: fmt.Errorf(format, args...)} }

// mode is a durability as the command line names it.
type mode string

const (
	modeNone     mode = "none"
	modeInterval mode = "interval"
	modeGroup    mode = "group"
	modeBatch    mode = "batch"
)

// syncEvery is the delay of mode interval.
const syncEvery = 100 * time.Millisecond

// Set implements flag.Value.
func (m *mode) Set(s string) error {
	switch mode(s) {
	case modeNone, modeInterval, modeGroup, modeBatch:
		*m = mode(s)
		return nil
	}
	return errors.New("want none, interval, group or batch")
}

// String implements flag.Value.
func (m *mode) String() string { return string(*m) }

func (m mode) durability() journal.Durability {
	switch m {
	case modeNone:
		return journal.None()
	case modeInterval:
		return journal.Interval(syncEvery)
	case modeBatch:
		return journal.Batch()
	}
	return journal.Group(5*time.Millisecond, 1<<20)
}

// promise says what an acknowledgement in this mode means.
func (m mode) promise() string {
	if m == modeNone {
		return "written"
	}
	return "durable"
}

// checkRate reports a rate that no orders can be paced by.
func checkRate(ratePerSecond float64) error {
	if !(ratePerSecond > 0) || math.IsInf(ratePerSecond, 0) || ratePerSecond > 1e9 {
		return wrong("--rate %v: want more than 0 and at most 1e9 orders a second", ratePerSecond)
	}
	return nil
}
