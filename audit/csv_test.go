package audit

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSafe_NoCellIsAFormula(t *testing.T) {
	for cell, want := range map[string]string{
		"": "", "order-1": "order-1", "a=b": "a=b", "{\"a\":-1}": "{\"a\":-1}", "12": "12",
		"=1+1": "'=1+1", "+1": "'+1", "-1": "'-1", "@x": "'@x", "\t=1": "'\t=1", "\r=1": "'\r=1", "\n=1": "'\n=1",
		"  =1": "'  =1", "\u00a0=1": "'\u00a0=1", "＝1": "'＝1", "'quoted": "''quoted",
	} {
		require.Equal(t, want, safe(cell), "%q", cell)
	}
}
