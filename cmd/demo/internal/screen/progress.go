package screen

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// Mode is how Progress shows itself.
type Mode uint8

// The modes of a Progress.
const (
	Silent   Mode = iota // nothing is written
	Plain                // a line now and then: for logs and pipes
	Terminal             // one line that rewrites itself
)

// ModeOf returns Terminal when f is one that can rewrite a line, else Plain.
func ModeOf(f *os.File) Mode {
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 || os.Getenv("TERM") == "dumb" {
		return Plain
	}
	if null, err := os.Stat(os.DevNull); err == nil && os.SameFile(info, null) {
		return Plain
	}
	return Terminal
}

// ProgressOptions configure a Progress.
type ProgressOptions struct {
	// Mode; default Silent.
	Mode Mode
	// Label begins each line, such as "importing"; default none.
	Label string
	// Unit names what is counted, such as "rows"; default none.
	Unit string
	// Total is how many there are in all; 0 or less = not known.
	Total int64
	// Start is how many were done before, such as by an import that this one goes on with: they
	// count as done, not for the rate.
	Start int64
	// Now is the clock; default time.Now.
	Now func() time.Time
}

// How often a line is written.
const (
	terminalInterval = 100 * time.Millisecond
	plainInterval    = 5 * time.Second
)

// Progress shows how far a piece of work is: done, total, rate and time. It is safe for concurrent
// use. Errors of the writer are not reported: progress is no result.
type Progress struct {
	mu      sync.Mutex
	w       io.Writer
	o       ProgressOptions
	started time.Time
	shown   time.Time // last line
	done    int64
	width   int // of the line on the terminal
	ended   bool
}

// NewProgress returns a Progress that starts now and writes to w, which may be nil when silent.
func NewProgress(w io.Writer, o ProgressOptions) *Progress {
	if o.Now == nil {
		o.Now = time.Now
	}
	if w == nil {
		o.Mode = Silent
	}
	now := o.Now()
	return &Progress{w: w, o: o, started: now, shown: now, done: o.Start}
}

// Set says that done are done. It writes at most every tenth of a second to a terminal, every five
// seconds elsewhere, and can be called for every event.
func (p *Progress) Set(done int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done = done
	if p.o.Mode == Silent || p.ended {
		return
	}
	interval := plainInterval
	if p.o.Mode == Terminal {
		interval = terminalInterval
	}
	if now := p.o.Now(); now.Sub(p.shown) >= interval {
		p.shown = now
		p.write(now)
	}
}

// SetTotal says how many there are in all, once that is known.
func (p *Progress) SetTotal(total int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.o.Total = total
}

// End writes the last figures and leaves them standing on a line of their own. Later calls do
// nothing.
func (p *Progress) End() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.o.Mode == Silent || p.ended {
		return
	}
	p.ended = true
	p.write(p.o.Now())
	if p.o.Mode == Terminal {
		_, _ = io.WriteString(p.w, "\n")
	}
}

// Clear removes the line from a terminal, so that something else can be written there; the next
// Set or End writes it again.
func (p *Progress) Clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.o.Mode == Terminal && p.width > 0 && !p.ended {
		_, _ = io.WriteString(p.w, "\r"+strings.Repeat(" ", p.width)+"\r")
		p.width = 0
		p.shown = p.started
	}
}

func (p *Progress) write(now time.Time) {
	line := p.line(now.Sub(p.started))
	if p.o.Mode != Terminal {
		_, _ = io.WriteString(p.w, line+"\n")
		return
	}
	pad := max(0, p.width-len(line))
	p.width = len(line)
	_, _ = io.WriteString(p.w, "\r"+line+strings.Repeat(" ", pad))
}

// line returns "importing 12,345 / 541,909 rows  2 %  98,000/s  0:12".
func (p *Progress) line(elapsed time.Duration) string {
	var b strings.Builder
	if p.o.Label != "" {
		b.WriteString(p.o.Label + " ")
	}
	b.WriteString(Count(p.done))
	if p.o.Total > 0 {
		b.WriteString(" / " + Count(p.o.Total))
	}
	if p.o.Unit != "" {
		b.WriteString(" " + p.o.Unit)
	}
	if p.o.Total > 0 {
		fmt.Fprintf(&b, "  %d %%", percent(p.done, p.o.Total))
	}
	if s := elapsed.Seconds(); s > 0 {
		fmt.Fprintf(&b, "  %s/s", Count(int64(float64(p.done-p.o.Start)/s)))
	}
	b.WriteString("  " + Clock(elapsed))
	return b.String()
}

// percent returns done of total, rounded down, in [0, 100].
func percent(done, total int64) int {
	return int(100 * (float64(min(max(done, 0), total)) / float64(total)))
}

// Clock formats d as minutes and seconds, or hours, minutes and seconds: 0:07, 12:30, 1:02:03.
func Clock(d time.Duration) string {
	s := int64(max(d, 0) / time.Second)
	if s < 3600 {
		return fmt.Sprintf("%d:%02d", s/60, s%60)
	}
	return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
}
