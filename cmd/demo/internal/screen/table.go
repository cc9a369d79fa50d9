package screen

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Table lays out rows of two columns: names to the left, values aligned at their right end, or at
// their decimal point where they have one. The zero Table is empty and ready.
type Table struct {
	rows []tableRow
}

type tableRow struct{ name, value string }

// Row adds a row. What is not printable, and could change the terminal, becomes a question mark.
func (t *Table) Row(name, value string) {
	t.rows = append(t.rows, tableRow{strings.Map(printable, name), strings.Map(printable, value)})
}

func printable(c rune) rune {
	if !unicode.IsPrint(c) {
		return '?'
	}
	return c
}

// Gap adds an empty line.
func (t *Table) Gap() { t.rows = append(t.rows, tableRow{}) }

// String returns the rows, each ending in a newline, without spaces at the end.
func (t *Table) String() string {
	var names, wholes int
	for _, r := range t.rows {
		names = max(names, utf8.RuneCountInString(r.name))
		wholes = max(wholes, wholeWidth(r.value))
	}
	var b strings.Builder
	for _, r := range t.rows {
		if r != (tableRow{}) {
			b.WriteString("  ")
			b.WriteString(r.name)
			pad := names - utf8.RuneCountInString(r.name) + 2 + wholes - wholeWidth(r.value)
			b.WriteString(strings.Repeat(" ", pad))
			b.WriteString(r.value)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// wholeWidth returns the width of a number in front of its point. Any other text, such as a hash,
// counts as 0 wide and therefore starts where a decimal point would be.
func wholeWidth(value string) int {
	whole, _, _ := strings.Cut(value, ".")
	for _, c := range whole {
		if (c < '0' || c > '9') && c != '-' && c != ',' {
			return 0
		}
	}
	return len(whole)
}
