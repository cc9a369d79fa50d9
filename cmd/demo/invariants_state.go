package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/journal"
)

// sample is a live state as a child saw it: of the fulfilment when it contained the events up to seq, of the same read model
// when it was added later, or of the logic lane at rest.
type sample struct {
	seq  int64
	name string
	hash string
}

const (
	sampleWord = "sample"
	samplesIn  = "samples" // file in the journal's directory, written by the parent

	sampleState = "fulfilment"
	sampleLate  = "late"
	sampleLane  = "logic" // at rest: what is decided is in the log
)

func (s sample) line() string { return fmt.Sprintf("%s %d %s %s\n", sampleWord, s.seq, s.name, s.hash) }

// parseSample reads a line, without its newline; ok is false if it is something else.
func parseSample(line string) (s sample, ok bool, err error) {
	part := strings.Split(line, " ")
	if part[0] != sampleWord {
		return s, false, nil
	}
	if len(part) != 4 {
		return s, true, fmt.Errorf("not a sample: %q", line)
	}
	s.seq, err = strconv.ParseInt(part[1], 10, 64)
	s.name, s.hash = part[2], part[3]
	return s, true, err
}

// loadSamples reads the samples in dir, of which there may be none. A line that is torn does not count.
func loadSamples(dir string) (all []sample, err error) {
	f, err := os.Open(filepath.Join(dir, samplesIn))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for r := bufio.NewReader(f); ; {
		line, err := r.ReadString('\n')
		if err != nil {
			return all, nil // the end
		}
		s, ok, err := parseSample(strings.TrimSuffix(line, "\n"))
		if err != nil || !ok {
			return nil, fmt.Errorf("%s: %q: %w", samplesIn, line, err)
		}
		all = append(all, s)
	}
}

// sampleUpTo compares the samples up to seq with the state, which contains the events up to there.
func (in *inspector) sampleUpTo(seq int64) {
	hash := "" // of the state now
	for ; in.next < len(in.proof.samples) && in.proof.samples[in.next].seq <= seq; in.next++ {
		s := in.proof.samples[in.next]
		if s.name == sampleLane {
			continue
		}
		if hash == "" {
			hash = in.state.Hash()
		}
		in.found.Samples++
		if s.hash != hash {
			in.wrong = append(in.wrong, fmt.Errorf("%w: %s at sequence %d was %s live, and is %s by the log", errAsOf, s.name, s.seq, s.hash, hash))
		}
	}
}

// checkSamples holds the log to errAsOf: every sample, and the last one by a replay that ends there.
func (in *inspector) checkSamples() error {
	in.sampleUpTo(1 << 62)
	if err := firstFew(in.wrong); err != nil {
		return err
	}
	all := in.proof.samples
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].name != sampleState {
			continue
		}
		a := newShop(shopOptions{saga: in.proof.how.Saga})
		if _, err := headrace.Replay(in.proof.dir, a.topology, headrace.ReplayOptions{Until: all[i].seq, FromStart: true}); err != nil {
			return fmt.Errorf("%w: sequence %d: %w", errAsOf, all[i].seq, err)
		}
		if got := a.shop.figures().StateHash; got != all[i].hash {
			return fmt.Errorf("%w: at sequence %d it was %s live, and is %s replayed", errAsOf, all[i].seq, all[i].hash, got)
		}
		break
	}
	return nil
}

// laneHash is one hash of all that a lane keeps.
func laneHash(l *handlers.Lane) (hash string, seq int64, err error) {
	all, seq, err := l.Hashes()
	var b strings.Builder
	for _, h := range all {
		fmt.Fprintf(&b, "%s=%x;", h.Name, h.SHA256)
	}
	return fmt.Sprintf("%08x", checksum([]byte(b.String()))), seq, err
}

// checkState holds the log to errState: the lanes of the last child at rest, what each snapshot holds, a replay of the
// whole log, and one of what stands behind each snapshot, all lead to one state, on any number of processors. Children
// take snapshots live, each with its size of batches and number of processors. a was replayed.
func (p *proof) checkState(found *proven, a *app) error {
	lane, at, err := laneHash(a.topology.Logic())
	if err != nil {
		return err
	}
	for i := len(p.samples) - 1; i >= 0; i-- {
		if s := p.samples[i]; s.name == sampleLane && s.seq == at && s.hash != lane {
			return fmt.Errorf("%w: the logic lane was %s live at sequence %d, and is %s replayed", errState, s.hash, at, lane)
		}
	}
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	var want []handlers.StateHash
	for _, n := range p.processors {
		runtime.GOMAXPROCS(n)
		var first *app // that is replayed from zero
		report, err := headrace.VerifySnapshots(p.dir, func() *headrace.Topology {
			again := newShop(shopOptions{saga: p.how.Saga})
			if first == nil {
				first = again
			}
			return again.topology
		}, headrace.VerifyOptions{})
		if err != nil {
			return fmt.Errorf("%w: on %d processors: %w", errState, n, err)
		}
		if report.Base != 0 {
			return fmt.Errorf("%w: the log's beginning is gone, it was replayed from snapshot %d", errState, report.Base)
		}
		got, _, err := laneHash(first.topology.Logic())
		if err != nil {
			return err
		}
		if now := first.shop.figures().StateHash; now != found.Hash || got != lane {
			return fmt.Errorf("%w: on %d processors it is %s and %s, else %s and %s", errState, n, now, got, found.Hash, lane)
		}
		if want == nil {
			want = report.Hashes
		}
		if !slices.Equal(want, report.Hashes) {
			return fmt.Errorf("%w: on %d processors the lanes are %v, else %v", errState, n, report.Hashes, want)
		}
		found.Snapshots = 0
		for _, s := range report.Snapshots {
			if s.Err == nil { // else it is of another version of the shop
				found.Snapshots++
			}
		}
	}
	return nil
}

// checkSnapshots holds the snapshots to errState: what handlers have answered to the events in one is in the log that goes
// with it, whatever a power cut may take.
func (p *proof) checkSnapshots() error {
	all, damaged, err := headrace.Snapshots(p.dir)
	if err = errors.Join(append(damaged, err)...); err != nil {
		return fmt.Errorf("%w: %w", errState, err)
	}
	log, err := journal.Verify(p.dir, journal.VerifyOptions{})
	if err != nil {
		return err
	}
	for _, s := range all {
		if s.Sequence <= log.Durable && log.Durable < s.Complete {
			return fmt.Errorf("%w: snapshot %d needs the log up to %d, and durable is %d", errState, s.Sequence, s.Complete, log.Durable)
		}
	}
	anyOrder := map[uint64]bool{} // effects: a snapshot knows what they owe
	for _, id := range []string{chargeID, refundID, mailID} {
		anyOrder[event.HandlerID(id)] = true
	}
	r, err := journal.OpenReader(p.dir, 0, journal.ReaderOptions{})
	if err != nil {
		return err
	}
	_, err = r.Read(func(rec journal.Record) error {
		if rec.Kind != journal.KindEvent {
			return nil
		}
		v, err := event.Parse(rec.Body)
		if err != nil {
			return err
		}
		o, ok := v.Origin()
		if !ok || anyOrder[o.Handler] {
			return nil
		}
		for _, s := range all {
			if o.Cause <= s.Sequence && rec.Sequence > s.Complete {
				return fmt.Errorf("%w: snapshot %d has event %d handled, and the answer %d stands behind %d, up to which it needs the log",
					errState, s.Sequence, o.Cause, rec.Sequence, s.Complete)
			}
		}
		return nil
	})
	return errors.Join(err, r.Close())
}
