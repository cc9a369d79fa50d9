package pack

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// appendNumber appends a JSON number: as an integer where it is written as one and fits 64 bits,
// else as a float64.
func appendNumber(dst []byte, n json.Number) ([]byte, error) {
	s := string(n)
	if !strings.ContainsAny(s, ".eE") && s != "-0" {
		if i, err := strconv.ParseInt(s, 10, 64); err == nil {
			return AppendInt(dst, i), nil
		}
		if u, err := strconv.ParseUint(s, 10, 64); err == nil {
			return AppendUint(dst, u), nil
		}
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return dst, fmt.Errorf("%w: %s", ErrRange, s)
	}
	return AppendFloat64(dst, f), nil
}
