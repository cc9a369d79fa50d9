package journal

import (
	"errors"
)

// ErrRepair reports damage that Repair does not know how to mend, or a journal that is not the one
// that was planned for.
var ErrRepair = errors.New("journal: cannot repair")

// DefaultMaxLost is how many sequences a repair gives up at most by default.
const DefaultMaxLost = 1 << 24

// RepairOptions configure PlanRepair. The zero value is the default.
type RepairOptions struct {
	// MaxLost bounds how many sequences may be given up, >= 1; each becomes a record of 32 bytes.
	// A plan that needs more is ErrRepair: a name or a link that claims so many is rather a
	// file that does not belong there. Default DefaultMaxLost.
	MaxLost int64
	// Archives says how to read archived segments. One that is damaged cannot be mended.
	Archives ArchiveAccess
}

// RepairAction is what one step of a repair does to a file.
type RepairAction string

// Actions. Each leaves a whole file or the old one, however it ends.
const (
	// RepairRewrite puts a mended copy in the place of a segment.
	RepairRewrite RepairAction = "rewrite"
	// RepairMake makes a segment of lost records in the place of one that is missing.
	RepairMake RepairAction = "make"
	// RepairChain cuts the chain before the first link that no longer describes its segment. A
	// writer with Options.Chain makes, and signs, the links anew.
	RepairChain RepairAction = "cut chain"
)

// SequenceRange is the sequences [First, Last].
type SequenceRange struct {
	First int64 `json:"first"`
	Last  int64 `json:"last"`
}

// RepairStep is what Repair does to one file.
type RepairStep struct {
	Action RepairAction
	File   string // base name
	Offset int64  // of the first fault
	Cause  string // what is wrong there
	// Lost is the sequences that become lost records.
	Lost []SequenceRange
	// Blanks is how many damaged stretches without a sequence are blanked.
	Blanks int
	// Kept is how many records stay as they are, index and seal not counted; of the chain, how
	// many links.
	Kept int64
	// Salvaged reports that the header could not be read and was made anew from the records.
	Salvaged bool
	// Aside is true if the file as it was is copied to aside first.
	Aside bool

	v    *salvaged
	seal bool
}

// RepairPlan is what Repair would do, in order.
type RepairPlan struct {
	Dir   string
	Steps []RepairStep
	Lost  int64 // sequences that become lost records, in all
	// Torn reports that nothing needs repair but a torn tail, which the next Open cuts by itself.
	Torn bool

	st storage
	o  RepairOptions
	s  *survey
}
