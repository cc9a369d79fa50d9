package ring

import (
	"fmt"
	"runtime"
	"strings"
)

// MisuseError is what a claim or publish panics with that breaks the rules for producers, in
// programs built with the tag headrace_debug:
//
//   - with SingleProducer, two goroutines claim or publish at the same time, or one claims while
//     another has claims that it has not published, or claims are published out of order;
//   - with either kind, a sequence is published, or aborted, that is not claimed or that is
//     published already, or an empty range is.
//
// Without the tag such a program corrupts events or hangs, and nothing is checked, because a check
// takes longer than a publish. With it, Unpublished also knows who made the claim.
type MisuseError struct {
	Lo, Hi int64  // the sequences concerned, 0 if none are known
	Reason string // which rule was broken
}

func (e *MisuseError) Error() string {
	if e.Hi == 0 {
		return "ring: misuse: " + e.Reason
	}
	return fmt.Sprintf("ring: misuse: [%d, %d]: %s", e.Lo, e.Hi, e.Reason)
}

// stackText renders a stack as function, file and line, a frame a line.
func stackText(stack []uintptr) string {
	if len(stack) == 0 {
		return ""
	}
	var b strings.Builder
	frames := runtime.CallersFrames(stack)
	for {
		f, more := frames.Next()
		fmt.Fprintf(&b, "%s\n\t%s:%d\n", f.Function, f.File, f.Line)
		if !more {
			return b.String()
		}
	}
}

// checked runs a claim of n under the checks.
func (s *sequencer) checked(n int, claim func() (int64, error)) (int64, error) {
	s.debug.enter()
	defer s.debug.leave()
	hi, err := claim()
	if err == nil {
		s.debug.claimed(hi-int64(n)+1, hi)
	}
	return hi, err
}

// check is called before [lo, hi] is published.
func (s *sequencer) check(lo, hi int64) {
	s.debug.enter()
	defer s.debug.leave()
	s.debug.publishing(lo, hi)
}
