package screen

import "strconv"

// Count formats n with a comma between thousands: 541909 is "541,909".
func Count(n int64) string {
	var b [32]byte
	digits := strconv.AppendInt(b[:0], n, 10)
	sign := 0
	if n < 0 {
		sign = 1
	}
	out := append(make([]byte, 0, 32), digits[:sign]...)
	digits = digits[sign:]
	for i, c := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			out = append(out, ',')
		}
		out = append(out, c)
	}
	return string(out)
}

// Milli formats an amount in thousandths: with two decimals, or three where the third is not 0.
// 2550 is "2.55", -1234567 is "-1,234.567".
func Milli(n int64) string {
	whole, frac := n/1000, n%1000
	sign := ""
	if n < 0 {
		frac = -frac
		if whole == 0 {
			sign = "-"
		}
	}
	decimals := strconv.FormatInt(1000+frac, 10)[1:]
	if decimals[2] == '0' {
		decimals = decimals[:2]
	}
	return sign + Count(whole) + "." + decimals
}
