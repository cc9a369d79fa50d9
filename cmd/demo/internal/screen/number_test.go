package screen

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCount(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0", 7: "7", 999: "999", 1000: "1,000", 541909: "541,909", 1000000: "1,000,000", -1: "-1", -100: "-100",
		-1000: "-1,000", math.MaxInt64: "9,223,372,036,854,775,807", math.MinInt64: "-9,223,372,036,854,775,808",
	} {
		require.Equal(t, want, Count(n))
	}
}

func TestMilli(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0.00", 1: "0.001", 10: "0.01", 100: "0.10", 2550: "2.55", -1: "-0.001", -999: "-0.999", -1000: "-1.00",
		10655622484: "10,655,622.484", -896812490: "-896,812.49", 1005: "1.005",
		math.MaxInt64: "9,223,372,036,854,775.807", math.MinInt64: "-9,223,372,036,854,775.808",
	} {
		require.Equal(t, want, Milli(n))
	}
}
