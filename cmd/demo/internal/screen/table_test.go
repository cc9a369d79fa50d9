package screen

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTable(t *testing.T) {
	var tab Table
	require.Empty(t, tab.String())
	tab.Row("orders", "1,234")
	tab.Gap()
	tab.Row("Côte d'Ivoire", "-5.25")
	tab.Row("bad\x1b[2J", "12,345.678")
	require.Equal(t, ""+
		"  orders          1,234\n"+
		"\n"+
		"  Côte d'Ivoire      -5.25\n"+
		"  bad?[2J        12,345.678\n", tab.String())
}
