package main

import (
	"fmt"
	"strings"

	"github.com/headrace/headrace/journal"
)

// repairCommand shows what a repair would do, or does it. It is the only command that changes the
// journal that it is pointed at, and only with --apply.
func repairCommand(in *invocation) func() error {
	dry := in.flags.Bool("dry-run", false, "show the plan and change nothing; this is also the default")
	apply := in.flags.Bool("apply", false, "carry the plan out")
	most := in.flags.Int64("max-lost", journal.DefaultMaxLost, "refuse a plan that gives up more `sequences`")
	keys := keysFlag(in)
	return func() error {
		if *dry && *apply {
			return fmt.Errorf("%w: --dry-run or --apply, not both", errUsage)
		}
		if *most < 1 {
			return fmt.Errorf("%w: --max-lost: want at least 1", errUsage)
		}
		access, err := keys()
		if err != nil {
			return err
		}
		dir := in.args[0]
		plan, err := journal.PlanRepair(dir, journal.RepairOptions{MaxLost: *most, Archives: access})
		if err != nil {
			return err
		}
		if err := in.showPlan(plan, *apply); err != nil || len(plan.Steps) == 0 {
			return err
		}
		if !*apply {
			if !in.json {
				fmt.Fprintf(in.s.err, "nothing was changed; to do it: headrace repair --apply %s\n", quoted(dir))
			}
			return errPlanned
		}
		p := in.progress("repair")
		err = plan.Apply(func(done, total int) { p.at(int64(done), int64(total)) })
		p.end()
		if err == nil && !in.json {
			fmt.Fprintf(in.s.out, "repaired and verified; the files as they were are in %s\n", quoted(dir+"/aside"))
		}
		return err
	}
}

// repairJSON is a plan as --json writes it.
type repairJSON struct {
	Steps   []repairStepJSON `json:"steps"`
	Lost    int64            `json:"lost"`
	Torn    bool             `json:"torn"`
	Applied bool             `json:"apply"`
}

type repairStepJSON struct {
	Action   string                  `json:"action"`
	File     string                  `json:"file"`
	Offset   int64                   `json:"offset"`
	Cause    string                  `json:"cause"`
	Lost     []journal.SequenceRange `json:"lost"`
	Blanks   int                     `json:"blanked"`
	Kept     int64                   `json:"kept"`
	Salvaged bool                    `json:"header_rebuilt"`
	Aside    bool                    `json:"kept_aside"`
}

func (in *invocation) showPlan(plan *journal.RepairPlan, apply bool) error {
	if in.json {
		out := repairJSON{Steps: []repairStepJSON{}, Lost: plan.Lost, Torn: plan.Torn, Applied: apply}
		for _, s := range plan.Steps {
			lost := s.Lost
			if lost == nil {
				lost = []journal.SequenceRange{}
			}
			out.Steps = append(out.Steps, repairStepJSON{string(s.Action), s.File, s.Offset, s.Cause, lost, s.Blanks, s.Kept, s.Salvaged, s.Aside})
		}
		return in.show(out)
	}
	w := in.s.out
	if len(plan.Steps) == 0 {
		note := ""
		if plan.Torn {
			note = "; the torn tail is cut by the next writer that opens the journal"
		}
		_, err := fmt.Fprintf(w, "nothing to repair%s\n", note)
		return err
	}
	for i, s := range plan.Steps {
		fmt.Fprintf(w, "%d. %s\n   found   %s, at offset %d\n   do      %s\n", i+1, s.File, s.Cause, s.Offset, what(s))
		if len(s.Lost) > 0 {
			fmt.Fprintf(w, "   lost    %s\n", ranges(s.Lost))
		}
		if s.Aside {
			fmt.Fprintf(w, "   aside   the file as it is\n")
		}
	}
	all := "no event is lost"
	if plan.Lost > 0 {
		all = fmt.Sprintf("in all %d sequences are given up: they become lost records, and their numbers stay taken", plan.Lost)
	}
	_, err := fmt.Fprintln(w, all)
	return err
}

// what says in words what a step does.
func what(s journal.RepairStep) string {
	switch s.Action {
	case journal.RepairMake:
		return "make a segment of lost records in its place"
	case journal.RepairChain:
		return fmt.Sprintf("cut the chain of roots after its first %d links; a writer that keeps the chain goes on from there", s.Kept)
	}
	if s.Kept == 0 {
		return "write it anew, of lost records: nothing in it verifies"
	}
	text := fmt.Sprintf("write it anew with the %d records that verify", s.Kept)
	if s.Salvaged {
		text += ", and a header made from them"
	}
	if s.Blanks > 0 {
		text += fmt.Sprintf("; %d places without a sequence are blanked", s.Blanks)
	}
	return text
}

// ranges lists the first few ranges of sequences.
func ranges(all []journal.SequenceRange) string {
	const most = 8
	var words []string
	n := int64(0)
	for i, r := range all {
		n += r.Last - r.First + 1
		switch {
		case i >= most:
		case r.First == r.Last:
			words = append(words, fmt.Sprint(r.First))
		default:
			words = append(words, fmt.Sprintf("%d to %d", r.First, r.Last))
		}
	}
	text := strings.Join(words, ", ")
	if len(all) > most {
		text += fmt.Sprintf(" and %d ranges more", len(all)-most)
	}
	return fmt.Sprintf("%s (%d)", text, n)
}

// quoted makes a path one word of a shell's.
func quoted(path string) string {
	plain := func(r rune) bool {
		return r == '/' || r == '.' || r == '-' || r == '_' || r == '+' || r == ',' ||
			r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
	}
	if path != "" && !strings.ContainsFunc(path, func(r rune) bool { return !plain(r) }) {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
