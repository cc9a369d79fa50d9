package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/headrace/headrace/cmd/demo/internal/screen"
	"github.com/headrace/headrace/cmd/demo/internal/shop"
	"github.com/headrace/headrace/journal"
)

// errVerify means a journal that is whole and does not agree with what was stored about it.
var errVerify = errors.New("verification failed")

// verdict is what verify finds out, as --json prints it: the figures of the replay, and more.
type verdict struct {
	shop.Summary
	OK         bool    `json:"ok"`
	Segments   int     `json:"segments"`
	Answers    int64   `json:"answers"`
	Unanswered int     `json:"unanswered"` // commands whose answer a kill kept from the log
	Compared   int64   `json:"compared"`   // last sequence of the stored summary, 0 = there is none
	Torn       bool    `json:"torn"`
	Live       bool    `json:"live"`
	Shop       *proven `json:"shop,omitempty"` // of a shop that fulfils its orders
	Problem    string  `json:"problem,omitempty"`
	Segment    string  `json:"segment,omitempty"`  // of damage,
	Offset     int64   `json:"offset,omitempty"`   // where in it,
	Sequence   int64   `json:"sequence,omitempty"` // and the event that should be there
}

// verifyCommand checks every byte of a journal, the rules of the shop, and the stored summary.
func verifyCommand(_ context.Context, args []string, s streams) error {
	f := newFlags("verify")
	asJSON := f.Bool("json", false, "")
	if err := f.parse(args); err != nil {
		return err
	}
	v, err := verify(f.dir)
	v.OK = err == nil
	if err != nil {
		v.Problem = err.Error()
		var damage *journal.CorruptionError
		if errors.As(err, &damage) {
			v.Segment, v.Offset, v.Sequence = damage.Segment, damage.Offset, damage.Sequence
			err = fmt.Errorf("%w: damage in %s at byte %d, where event %d should be: %w",
				errVerify, damage.Segment, damage.Offset, damage.Sequence, err)
		}
	}
	if *asJSON {
		line, jerr := json.Marshal(v)
		if jerr == nil {
			_, jerr = s.out.Write(append(line, '\n'))
		}
		return errors.Join(err, jerr)
	}
	if err != nil {
		return err
	}
	return v.print(s)
}

// verify returns what it found out also with an error.
func verify(dir string) (verdict, error) {
	v := verdict{Summary: shop.Summary{Countries: map[string]int64{}}}
	stored, has, err := loadSummary(dir)
	if err != nil {
		return v, fmt.Errorf("%w: %s cannot be read: %w", errVerify, summaryFile, err)
	}
	if has {
		v.Compared = stored.LastSequence
	}
	report, err := journal.Verify(dir, journal.VerifyOptions{})
	v.Segments, v.Torn, v.Live = len(report.Segments), report.Torn, report.Live
	v.LastSequence, v.DurableSequence, v.Events = report.Last, report.Durable, report.Events
	if err != nil {
		return v, err
	}
	if report.DurableLost > 0 {
		return v, fmt.Errorf("%w: %s was cut: %d events that had been durable are gone; a run recovers what is there and imports the rest again",
			errVerify, report.TornSegment, report.DurableLost)
	}

	if err := v.fulfilment(dir); err != nil {
		return v, fmt.Errorf("%w: %w", errVerify, err)
	}
	a := newApp()
	checks := addAudit(a)
	if v.Summary, err = replay(a, dir, 0); err != nil {
		return v, err
	}
	if has && v.LastSequence < stored.LastSequence {
		where := ""
		if report.TornSegment != "" {
			where = fmt.Sprintf(" (%s is torn or was cut)", report.TornSegment)
		}
		return v, fmt.Errorf("%w: the log ends at sequence %d%s, and %s was made at %d", errVerify, v.LastSequence, where, summaryFile, stored.LastSequence)
	}
	checks.View(func(c *audit, _ int64) {
		v.Answers = c.answered
		v.Unanswered, err = c.end(v.Compared)
	})
	if err != nil || !has {
		return v, err
	}
	then := v.Summary
	if v.LastSequence > stored.LastSequence {
		if then, err = replay(newApp(), dir, stored.LastSequence); err != nil {
			return v, err
		}
	}
	return v, compare(stored, then)
}

// fulfilment holds the log of a shop that fulfils its orders to the invariants of that.
func (v *verdict) fulfilment(dir string) error {
	how, has, err := loadSetup(dir)
	if err != nil || !has {
		return err
	}
	p := proof{dir: dir, how: how, processors: []int{1, 2, 3, 4}}
	if p.samples, err = loadSamples(dir); err != nil {
		return err
	}
	found, err := p.prove()
	v.Shop = &found
	return err
}

// compare reports in what a replay differs from a stored summary of the same sequence.
func compare(stored, replayed shop.Summary) error {
	var faults []error
	for _, line := range stored.Diff(replayed) {
		faults = append(faults, fmt.Errorf("%w: %s and replay differ in %s", errVerify, summaryFile, line))
	}
	if stored.Events != replayed.Events || stored.LastSequence != replayed.LastSequence {
		faults = append(faults, fmt.Errorf("%w: %s has %d events up to sequence %d, replay %d up to %d", errVerify, summaryFile,
			stored.Events, stored.LastSequence, replayed.Events, replayed.LastSequence))
	}
	if stored.DurableSequence > replayed.DurableSequence {
		faults = append(faults, fmt.Errorf("%w: %s has a durable sequence of %d, the journal of %d", errVerify, summaryFile,
			stored.DurableSequence, replayed.DurableSequence))
	}
	return errors.Join(faults...)
}

// print writes the verdict for a person, where all is well.
func (v verdict) print(s streams) error {
	var t screen.Table
	t.Row("segments", screen.Count(int64(v.Segments)))
	t.Row("events", screen.Count(v.Events))
	t.Row("last sequence", screen.Count(v.LastSequence))
	t.Row("answers, one a command", screen.Count(v.Answers))
	if v.Unanswered > 0 {
		t.Row("answers to come", screen.Count(int64(v.Unanswered)))
	}
	text := t.String() + "\n  Every record is whole"
	switch {
	case v.Compared == 0:
		text += "; there is no stored summary to compare with: no run has ended here yet.\n"
	case v.Compared < v.LastSequence:
		text += fmt.Sprintf(", and the replay agrees with the summary of sequence %s; the log goes on behind it.\n", screen.Count(v.Compared))
	default:
		text += ", and the replay agrees with the stored summary.\n"
	}
	if s := v.Shop; s != nil {
		text += fmt.Sprintf("  The ten invariants of the fulfilment hold: %s orders, %s charges, %s states seen live.\n",
			screen.Count(int64(s.Orders)), screen.Count(int64(s.Charges)), screen.Count(int64(s.Samples)))
	}
	if v.Torn {
		text += "  The tail is torn, as a kill leaves it: the next run puts it aside. Nothing acknowledged is in it.\n"
	}
	if v.Live {
		text += "  A run is writing to it: what it had written was checked.\n"
	}
	_, err := fmt.Fprintf(s.out, "%s  state %s\n", text, v.StateHash)
	return err
}
