package screen

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// clock is a time that only the test moves.
type clock struct{ t time.Time }

func (c *clock) now() time.Time          { return c.t }
func (c *clock) advance(d time.Duration) { c.t = c.t.Add(d) }

func TestProgress_Terminal_RewritesItsLine(t *testing.T) {
	var b strings.Builder
	c := &clock{time.Unix(1000, 0)}
	p := NewProgress(&b, ProgressOptions{Mode: Terminal, Label: "importing", Unit: "rows", Total: 541909, Start: 1000, Now: c.now})
	p.Set(2000)
	require.Empty(t, b.String(), "too early")
	c.advance(500 * time.Millisecond)
	p.Set(101000)
	require.Equal(t, "\rimporting 101,000 / 541,909 rows  18 %  200,000/s  0:00", b.String())
	b.Reset()
	p.Set(101001)
	require.Empty(t, b.String(), "too soon after the last")
	p.Clear()
	require.Equal(t, "\r"+strings.Repeat(" ", 55)+"\r", b.String())
	b.Reset()
	p.SetTotal(0)
	c.advance(time.Second)
	p.Set(300)
	require.Equal(t, "\rimporting 300 rows  -466/s  0:01", b.String())
	b.Reset()
	p.SetTotal(300)
	c.advance(100 * time.Second)
	p.End()
	require.Equal(t, "\rimporting 300 / 300 rows  100 %  -6/s  1:41\n", b.String())
	b.Reset()
	c.advance(time.Hour)
	p.Set(400)
	p.Clear()
	p.End()
	require.Empty(t, b.String(), "the end is the end")
}

// A shorter line covers what a longer one left.
func TestProgress_Terminal_CoversTheLineBefore(t *testing.T) {
	var b strings.Builder
	c := &clock{time.Unix(1000, 0)}
	p := NewProgress(&b, ProgressOptions{Mode: Terminal, Now: c.now})
	c.advance(time.Second)
	p.Set(1_000_000)
	first := b.Len()
	b.Reset()
	c.advance(time.Second)
	p.Set(5)
	require.Equal(t, "\r5  2/s  0:02"+strings.Repeat(" ", first-len("\r5  2/s  0:02")), b.String())
}

func TestProgress_Plain_WritesALineNowAndThen(t *testing.T) {
	var b strings.Builder
	c := &clock{time.Unix(1000, 0)}
	p := NewProgress(&b, ProgressOptions{Mode: Plain, Unit: "rows", Total: 100, Now: c.now})
	for i := range int64(100) {
		c.advance(100 * time.Millisecond)
		p.Set(i + 1)
	}
	p.Clear()
	p.End()
	require.Equal(t, "50 / 100 rows  50 %  10/s  0:05\n100 / 100 rows  100 %  10/s  0:10\n100 / 100 rows  100 %  10/s  0:10\n", b.String())
}

func TestProgress_Silent(t *testing.T) {
	var b strings.Builder
	for _, p := range []*Progress{NewProgress(&b, ProgressOptions{}), NewProgress(nil, ProgressOptions{Mode: Terminal})} {
		p.Set(1)
		p.Clear()
		p.End()
	}
	require.Empty(t, b.String())
}

func TestProgress_ConcurrentUse(t *testing.T) {
	var b strings.Builder
	p := NewProgress(&b, ProgressOptions{Mode: Terminal})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range int64(500) {
				p.Set(i)
				p.SetTotal(i)
				p.Clear()
			}
		})
	}
	wg.Wait()
	p.End()
	require.True(t, strings.HasSuffix(b.String(), "\n"))
}

func TestModeOf(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	require.NoError(t, err)
	require.Equal(t, Plain, ModeOf(f), "a file")
	require.NoError(t, f.Close())
	require.Equal(t, Plain, ModeOf(f), "a closed file")
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	require.NoError(t, err)
	defer func() { require.NoError(t, null.Close()) }()
	require.Equal(t, Plain, ModeOf(null), "the null device")
	if tty, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0); err == nil {
		defer func() { require.NoError(t, tty.Close()) }()
		t.Setenv("TERM", "xterm")
		require.Equal(t, Terminal, ModeOf(tty))
		t.Setenv("TERM", "dumb")
		require.Equal(t, Plain, ModeOf(tty))
	}
}

func TestClock(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0:00", -time.Second: "0:00", 7900 * time.Millisecond: "0:07", 750 * time.Second: "12:30", 3723 * time.Second: "1:02:03",
	} {
		require.Equal(t, want, Clock(d))
	}
}
