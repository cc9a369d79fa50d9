package shop

import (
	"math"
	"math/big"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseMilli(t *testing.T) {
	for _, c := range []struct {
		text string
		want int64
		err  error
	}{
		{"0", 0, nil},
		{"2.55", 2550, nil},
		{"2.5", 2500, nil},
		{"0.001", 1, nil},
		{"-11062.06", -11062060, nil},
		{"-0.001", -1, nil},
		{"007.10", 7100, nil},
		{"1.2340000", 1234, nil},
		{"9223372036854775.807", math.MaxInt64, nil},
		{"-9223372036854775.807", -math.MaxInt64, nil},
		{"9223372036854775.808", 0, ErrOutOfRange},
		{"9223372036854776", 0, ErrOutOfRange},
		{"99999999999999999999999999", 0, ErrOutOfRange},
		{"0.0001", 0, ErrPrecision},
		{"1.2345", 0, ErrPrecision},
		{"1.00000000000000000000000000001", 0, ErrPrecision},
		{"", 0, ErrSyntax},
		{"-", 0, ErrSyntax},
		{"--1", 0, ErrSyntax},
		{"+1", 0, ErrSyntax},
		{".5", 0, ErrSyntax},
		{"5.", 0, ErrSyntax},
		{"1,5", 0, ErrSyntax},
		{"1e3", 0, ErrSyntax},
		{"1.0001x", 0, ErrSyntax},
		{"92270000000000000A", 0, ErrSyntax},
		{" 1", 0, ErrSyntax},
		{"NaN", 0, ErrSyntax},
		{"१", 0, ErrSyntax},
	} {
		t.Run(c.text, func(t *testing.T) {
			got, err := ParseMilli(c.text)
			require.ErrorIs(t, err, c.err)
			require.Equal(t, c.want, got)
		})
	}
}

var decimalText = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?$`)

// FuzzParseMilli compares with exact rational arithmetic.
func FuzzParseMilli(f *testing.F) {
	for _, s := range []string{"2.55", "-11062.06", "0.0010", "9223372036854775.807", "1e3", ".", "-0.0001"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > 1000 {
			return
		}
		got, err := ParseMilli(s)
		if !decimalText.MatchString(s) {
			require.ErrorIs(t, err, ErrSyntax)
			return
		}
		exact, ok := new(big.Rat).SetString(s)
		require.True(t, ok)
		exact.Mul(exact, big.NewRat(1000, 1))
		switch {
		case !exact.IsInt():
			require.True(t, err == ErrPrecision || err == ErrOutOfRange, "%q: %v", s, err)
		case !exact.Num().IsInt64() || exact.Num().Int64() == math.MinInt64:
			require.ErrorIs(t, err, ErrOutOfRange)
		default:
			require.NoError(t, err)
			require.Equal(t, exact.Num().Int64(), got)
		}
	})
}

func TestParseMilli_DoesNotAllocate(t *testing.T) {
	text := strings.Repeat("0", 10) + "12.345"
	require.Zero(t, testing.AllocsPerRun(100, func() { _, _ = ParseMilli(text) }))
}
