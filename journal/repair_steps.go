package journal

import (
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
)

// add appends the step for v.
func (p *RepairPlan) add(action RepairAction, v *salvaged, seal bool) error {
	step := RepairStep{Action: action, File: segmentName(v.hdr.first, v.hdr.id), Offset: v.at, Cause: v.fault.Error(),
		Kept: v.kept, Salvaged: v.rebuilt && v.kept > 0, Aside: v.seg != nil, v: v, seal: seal}
	if len(v.wounds) > 0 {
		// An index in the middle may name a place that is now inside a lost record.
		for _, x := range v.indexes {
			if x[0] < v.end && x[0] > v.wounds[0].off {
				v.wounds = insertWound(v.wounds, wound{off: x[0], end: x[1], time: v.time})
			}
		}
	}
	give := func(first, n int64) {
		if n <= 0 {
			return
		}
		p.Lost += n
		if k := len(step.Lost); k > 0 && step.Lost[k-1].Last == first-1 {
			step.Lost[k-1].Last += n
			return
		}
		step.Lost = append(step.Lost, SequenceRange{first, first + n - 1})
	}
	for _, w := range v.wounds {
		if w.off >= v.end {
			continue
		}
		if give(w.first, w.lost); w.lost == 0 && !w.padding {
			step.Blanks++
		}
	}
	if give(v.last+1, v.lostEnd); p.Lost > p.o.MaxLost {
		return p.tooMany(p.Lost)
	}
	p.Steps = append(p.Steps, step)
	return nil
}

// insertWound keeps the wounds ascending.
func insertWound(all []wound, w wound) []wound {
	i := len(all)
	for i > 0 && all[i-1].off > w.off {
		i--
	}
	if i > 0 {
		w.time = all[i-1].time
	}
	all = append(all, wound{})
	copy(all[i+1:], all[i:])
	all[i] = w
	return all
}

// cutChain plans the end of the chain before the first link that does not hold any more.
func (p *RepairPlan) cutChain(links []Link, fault error) error {
	changed := map[uint64]bool{}
	for _, s := range p.Steps {
		changed[s.v.hdr.id] = true
	}
	byID := map[uint64]*found{}
	for _, seg := range p.s.segs {
		byID[seg.id] = seg
	}
	keep := len(links)
	for i := range links {
		l := &links[i]
		seg := byID[l.Segment]
		err := l.check(nil)
		switch {
		case err != nil:
		case changed[l.Segment]:
			err = fmt.Errorf("%w: segment %016x is repaired", ErrChain, l.Segment)
		case seg != nil:
			o := hashing{}
			if l.Tail {
				o.records = l.Records
			}
			got, _, herr := hashSegment(p.st, filepath.Join(p.Dir, seg.name), p.o.Archives, o)
			if herr != nil && !isCorruption(herr) {
				return herr
			}
			if got.Tree != l.Tree || got.Records != l.Records || got.Last != l.Last {
				err = fmt.Errorf("%w: the contents of segment %016x are not those that were chained", ErrChain, l.Segment)
			}
		}
		if err != nil {
			keep, fault = i, err
			break
		}
	}
	if fault == nil {
		return nil
	}
	p.Steps = append(p.Steps, RepairStep{Action: RepairChain, File: chainName, Offset: int64(keep) * linkBytes,
		Cause: fault.Error(), Kept: int64(keep), Aside: true})
	return nil
}

// String describes the plan, a line a step.
func (p *RepairPlan) String() string {
	var b strings.Builder
	for _, s := range p.Steps {
		fmt.Fprintf(&b, "%s %s: %s at offset %s; %d kept, %d ranges lost, %d blanked\n",
			s.Action, s.File, s.Cause, thousands(s.Offset), s.Kept, len(s.Lost), s.Blanks)
	}
	return b.String()
}

// same tells whether two plans do the same.
func (p *RepairPlan) same(q *RepairPlan) bool {
	if len(p.Steps) != len(q.Steps) || p.Lost != q.Lost {
		return false
	}
	for i := range p.Steps {
		a, b := p.Steps[i], q.Steps[i]
		a.v, b.v = nil, nil
		if !reflect.DeepEqual(a, b) {
			return false
		}
	}
	return true
}
