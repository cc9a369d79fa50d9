package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"time"

	"github.com/headrace/headrace/internal/failpoint"
)

// errChild means a child that ended by itself, and should not have.
var errChild = errors.New("the child failed")

// hungAfter is when a child that neither ends nor gets to the moment at which it is to be killed counts
// as hung.
const (
	hungAfter = 5 * time.Minute
	hungTicks = 300
)

// killPlan is when to kill a child. The zero plan lets it end.
type killPlan struct {
	afterOrders int64         // acknowledged; 0 = not so
	afterStart  time.Duration // 0 = not so
	afterOpen   time.Duration // once its engine is open; 0 = not so
	failpoint   string        // it kills itself at this place, if it comes there; "" = not so
}

// childProcess is what to start.
type childProcess struct {
	args []string
	note func(line string) (taken bool, err error) // is given the lines that may be no acknowledgements; nil = none
}

// life is what became of a child.
type life struct {
	pid    int
	killed bool
	struck bool          // it killed itself, at its failpoint
	opened time.Duration // from its start until its engine was open; 0 = it did not get so far
	orders int64         // acknowledged to the producer
}

// liveAndDie starts a child, keeps what it acknowledges in acks and kills it as planned. It returns when
// the child is gone and all that it had written has been read. watch, which may be nil, is told
// the number of orders acknowledged so far.
func liveAndDie(ctx context.Context, o childProcess, plan killPlan, acks *promises, watch func(orders int64)) (l life, err error) {
	exe, err := os.Executable()
	if err != nil {
		return l, err
	}
	cmd := exec.Command(exe, o.args...)
	if plan.failpoint != "" {
		cmd.Env = append(os.Environ(), failpoint.Variable+"="+plan.failpoint)
	}
	said := &tail{}
	cmd.Stderr = said
	hold, err := cmd.StdinPipe() // while it is open the child knows its parent to be alive
	if err != nil {
		return l, err
	}
	defer func() { _ = hold.Close() }()
	out, err := cmd.StdoutPipe()
	if err != nil {
		return l, err
	}
	if err := cmd.Start(); err != nil {
		return l, err
	}
	start := time.Now()
	l.pid = cmd.Process.Pid

	var killed, hung atomic.Bool
	kill := func() {
		killed.Store(true)
		_ = cmd.Process.Kill() // it may be gone
	}
	stop := context.AfterFunc(ctx, kill)
	defer stop()
	gone := make(chan struct{})
	defer close(gone)
	go func() { // in ticks: when all of us were stopped for a while, nobody hangs
		tick := time.NewTicker(hungAfter / hungTicks)
		defer tick.Stop()
		for range hungTicks {
			select {
			case <-tick.C:
			case <-gone:
				return
			}
		}
		hung.Store(true)
		kill()
	}()
	if plan.afterStart > 0 {
		defer time.AfterFunc(plan.afterStart, kill).Stop()
	}
	readErr := eachLine(out, func(line string) error {
		if strings.HasPrefix(line, openWord+" ") {
			l.opened = time.Since(start)
			if plan.afterOpen > 0 {
				time.AfterFunc(plan.afterOpen, kill) // of no effect once it is gone
			}
			return nil
		}
		if o.note != nil {
			if taken, err := o.note(line); taken || err != nil {
				return err
			}
		}
		a, err := parseAck(line)
		if err != nil {
			return err
		}
		if !a.body {
			if l.orders++; l.orders == plan.afterOrders {
				kill()
			}
			if watch != nil {
				watch(l.orders)
			}
		}
		return acks.add(a)
	})
	if readErr != nil {
		kill()
	}
	waitErr := cmd.Wait()
	l.struck = plan.failpoint != "" && waitErr != nil && cmd.ProcessState.ExitCode() < 0 && !killed.Load()
	l.killed = l.struck || killed.Load() && waitErr != nil
	switch {
	case readErr != nil:
		return l, readErr
	case ctx.Err() != nil:
		return l, ctx.Err()
	case hung.Load():
		return l, fmt.Errorf("the child %d neither ended nor went on for %v\n%s", l.pid, hungAfter, said)
	case waitErr != nil && !l.killed:
		return l, fmt.Errorf("%w: %d: %w\n%s", errChild, l.pid, waitErr, said)
	case !l.killed && plan.afterOrders > 0:
		return l, fmt.Errorf("the child %d ended after %d orders, before it could be killed", l.pid, l.orders)
	}
	return l, nil
}

// eachLine calls fn with each complete line, without its newline, until the end or an error.
func eachLine(in io.Reader, fn func(string) error) error {
	for r := bufio.NewReaderSize(in, 64<<10); ; {
		line, err := r.ReadSlice('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := fn(string(line[:len(line)-1])); err != nil {
			return err
		}
	}
}

// tail keeps the end of what a child said, for an error message.
type tail struct{ buf []byte }

const tailBytes = 8 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.buf = append(t.buf, p...)
	if n := len(t.buf); n > 2*tailBytes {
		t.buf = append(t.buf[:0], t.buf[n-tailBytes:]...)
	}
	return len(p), nil
}

func (t *tail) String() string { return string(bytes.TrimSpace(t.buf)) }
