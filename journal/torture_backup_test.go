package journal

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const backupEnv = "HEADRACE_JOURNAL_BACKUP_CHILD"

func init() {
	tortureChildren[backupEnv] = func(arg string) error {
		dir, to, _ := strings.Cut(arg, "\n")
		var began sync.Once
		tell := func() { began.Do(func() { fmt.Println() }) }
		rep, err := Backup(dir, to, BackupOptions{Beside: func() error { tell(); return nil }})
		tell()
		return json.NewEncoder(os.Stdout).Encode(backedUp{rep.Last, fmt.Sprint(err), err == nil, errors.Is(err, ErrLocked),
			errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrNotFound), errors.Is(err, ErrBackupGap)})
	}
}

// backedUp is what a child says of its backup, in the second line of its output; the first, empty, comes when it has the
// lock, or could not get it.
type backedUp struct {
	Last                        int64
	Err                         string
	Whole, Locked, Missing, Gap bool
}

// TestTorture_KillBackup backs a journal up again and again, into one copy, while a writer writes, archives and trims:
// by processes that are killed at random moments, two at once now and then, and with the writer killed in the middle. What an
// earlier backup has reported stays; a whole one has all that was durable when it began; every record of the copy is the
// right one, and what is restored of it too.
func TestTorture_KillBackup(t *testing.T) {
	c := newCampaign(t, 10, 2000)
	t.Parallel()
	root := t.TempDir()
	b := &backupKiller{killer: killer{campaign: c, rnd: c.rand(11), dir: filepath.Join(root, "journal"), page: newPage(t)}, root: root}
	require.NoError(t, os.MkdirAll(b.dir, 0o700))
	for life := uint32(1); c.more(); life++ {
		b.cycle(life)
	}
	b.notes = note("%d backups killed, %d whole, %d met another at the lock, %d overtaken by Trim, %d writers killed in the middle; %d restored",
		b.killed, b.whole, b.locked, b.overtaken, b.orphans, b.restores)
}

type backupKiller struct {
	killer
	root, to                                            string
	copies                                              int
	reported                                            int64 // the end that a backup into to has reported
	trims                                               bool  // a life has trimmed
	stale                                               bool  // to cannot go on
	killed, whole, locked, overtaken, orphans, restores int
}

// cycle is one life of the writer, and some backups beside it.
func (b *backupKiller) cycle(life uint32) {
	rnd := b.rnd
	o := order{Dir: b.dir, Life: life, Seed: b.seed, Mode: int(life) % len(tortureModes), Large: killLarge,
		SegmentBytes: []int64{64 << 10, 128 << 10, 256 << 10}[rnd.IntN(3)], Chain: rnd.IntN(2) == 0,
		Records: 300 + rnd.Int64N(2000), Pause: 100 * time.Microsecond, Backend: Backend(rnd.IntN(3))}
	if rnd.IntN(3) == 0 {
		o.Keep, o.Recycle = 2_000, rnd.IntN(3)*32
		b.trims = true
	}
	if rnd.IntN(2) == 0 {
		o.Archive = 1 + rnd.Uint32N(2)
	}
	writer, err := b.page.launch(o)
	b.check(err, "start")
	b.check(writer.reach(phaseOpened), "life %d", life)
	b.lives.recovered(b.page.load(wordLast), life)
	if b.to == "" || b.stale || rnd.IntN(6) == 0 {
		b.copies++
		b.check(os.RemoveAll(b.to), "remove")
		b.to, b.reported, b.stale = filepath.Join(b.root, fmt.Sprint("copy", b.copies)), 0, false
	}
	alive := true
	for range 2 {
		durable := b.page.load(wordDurable)
		one := b.start()
		var two *copier
		if rnd.IntN(3) == 0 {
			two = b.start()
		}
		switch rnd.IntN(3) {
		case 0:
			limit := 60 * time.Millisecond // most of it is the start of the process
			if rnd.IntN(4) > 0 {
				_, err := one.said.ReadByte()
				b.check(err, "backup")
				limit = 20 * time.Millisecond
			}
			b.check(one.killAfter(shortly(rnd, limit)), "backup")
			b.killed++
		case 1: // the writer dies in the middle
			_, err := one.said.ReadByte()
			b.check(err, "backup")
			b.check(writer.killAfter(shortly(rnd, 10*time.Millisecond)), "life %d", life)
			alive = false
			b.orphans++
			fallthrough
		default:
			b.ended(one, durable, two != nil)
		}
		if two != nil {
			b.ended(two, durable, true)
		}
		if b.look(); !alive {
			return
		}
	}
	b.check(writer.kill(), "life %d", life)
	durable := b.page.load(wordDurable)
	b.ended(b.start(), durable, false)
	b.look()
}

// copier is a child that makes a backup.
type copier struct {
	trial
	said *bufio.Reader
}

func (b *backupKiller) start() *copier {
	cmd, _, err := childCommand(backupEnv+"="+b.dir+"\n"+b.to, "GOMAXPROCS=2")
	b.check(err, "backup")
	out, err := cmd.StdoutPipe()
	b.check(err, "backup")
	c := &copier{trial{cmd: cmd, out: &bytes.Buffer{}}, bufio.NewReader(out)}
	cmd.Stderr = c.out
	b.check(cmd.Start(), "backup")
	return c
}

// ended waits for a backup and judges it: durable is what was durable before it began.
func (b *backupKiller) ended(c *copier, durable int64, rival bool) {
	all, err := io.ReadAll(c.said)
	b.check(err, "backup")
	b.check(c.cmd.Wait(), "backup: %s", c.out)
	var r backedUp
	b.check(json.Unmarshal(all, &r), "backup: %s", all)
	switch {
	case r.Whole:
		if r.Last < durable {
			b.fail("%d was durable, a backup reports %d", durable, r.Last)
		}
		b.reported = max(b.reported, r.Last)
		b.whole++
	case r.Locked && rival:
		b.locked++
	case r.Missing && (b.trims || durable == 0):
		b.overtaken++
	case r.Gap && b.trims:
		b.overtaken++
		b.stale = true
	default:
		b.fail("backup into %s: %s", b.to, r.Err)
	}
}

// look checks the copy, and now and then what is restored of it.
func (b *backupKiller) look() {
	segs, _, _, err := listSegments(osStorage{}, b.to)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(segs) == 0 {
		if b.reported > 0 {
			b.fail("%s is empty, %d was reported", b.to, b.reported)
		}
		return
	}
	b.check(err, "list")
	at := killer{campaign: b.campaign, dir: b.to, lives: b.lives, acked: b.reported, first: math.MaxInt64}
	at.everything()
	if b.rnd.IntN(4) > 0 {
		return
	}
	at.dir = filepath.Join(b.root, "restored")
	_, err = Restore(b.t.Context(), b.to, at.dir, RestoreOptions{Archives: tortureKeys})
	b.check(err, "restore")
	at.everything()
	b.restores++
	b.check(os.RemoveAll(at.dir), "remove")
}
