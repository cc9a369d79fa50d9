//go:build !headrace_debug

package ring

// debugging is set by the build tag headrace_debug: then every claim and publish is checked, and a
// misuse panics with a *MisuseError. Without it the checks are not compiled.
const debugging = false

// debugState is what the checks know.
type debugState struct{}

func (*debugState) init(*sequencer)              {}
func (*debugState) enter()                       {}
func (*debugState) leave()                       {}
func (*debugState) claimed(lo, hi int64)         {}
func (*debugState) publishing(lo, hi int64)      {}
func (*debugState) claimant(seq int64) []uintptr { return nil }
func (*debugState) polls(c *Consumer)            {}
func (*debugState) polling() *Consumer           { return nil }
