package headracetest

import "strings"

// diff shows two lists of events beside each other: "-" is expected and missing, "+" is there and not expected.
func diff(want []expected, got []logged) string {
	// common[i][k] is how many of want[i:] and got[k:] stand in both, in one order.
	common := make([][]int, len(want)+1)
	for i := range common {
		common[i] = make([]int, len(got)+1)
	}
	for i := len(want) - 1; i >= 0; i-- {
		for k := len(got) - 1; k >= 0; k-- {
			if want[i].matches(got[k]) {
				common[i][k] = common[i+1][k+1] + 1
			} else {
				common[i][k] = max(common[i+1][k], common[i][k+1])
			}
		}
	}
	var b strings.Builder
	b.WriteString("    - expected, + got\n")
	if len(want)+len(got) == 0 {
		b.WriteString("      nothing\n")
	}
	for i, k := 0, 0; i < len(want) || k < len(got); {
		switch {
		case i < len(want) && k < len(got) && want[i].matches(got[k]):
			b.WriteString("      " + got[k].line() + "\n")
			i, k = i+1, k+1
		case k == len(got) || i < len(want) && common[i+1][k] >= common[i][k+1]:
			b.WriteString("    - " + want[i].line() + "\n")
			i++
		default:
			b.WriteString("    + " + got[k].line() + "\n")
			k++
		}
	}
	return b.String()
}
