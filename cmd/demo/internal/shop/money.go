package shop

import "math"

// ParseMilli reads money in thousandths: an optional minus, digits, and an optional point with
// digits. It is exact: what is finer than a thousandth is an ErrPrecision (zeros are not), what does
// not fit an int64 an ErrOutOfRange, any other text an ErrSyntax. It does not allocate.
func ParseMilli(s string) (int64, error) {
	neg := len(s) > 0 && s[0] == '-'
	if neg {
		s = s[1:]
	}
	const most = math.MaxInt64 / 1000
	whole, i := uint64(0), 0
	for ; i < len(s) && isDigit(s[i]); i++ {
		whole = min(whole*10+uint64(s[i]-'0'), most+1) // stays there: too large, if it is a number at all
	}
	if i == 0 {
		return 0, ErrSyntax
	}
	frac := uint64(0)
	if i < len(s) {
		if s[i] != '.' || i+1 == len(s) {
			return 0, ErrSyntax
		}
		unit, tooFine := uint64(100), false
		for i++; i < len(s); i++ {
			if !isDigit(s[i]) {
				return 0, ErrSyntax
			}
			tooFine = tooFine || unit == 0 && s[i] != '0'
			frac += uint64(s[i]-'0') * unit
			unit /= 10
		}
		if tooFine {
			return 0, ErrPrecision
		}
	}
	if whole > most || whole*1000+frac > math.MaxInt64 {
		return 0, ErrOutOfRange
	}
	milli := int64(whole*1000 + frac)
	if neg {
		milli = -milli
	}
	return milli, nil
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
