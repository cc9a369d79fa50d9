//go:build !headrace_explore

package ring

import "github.com/smartystreets-prototypes/go-disruptor"

// A cursor is go-disruptor's. With the tag headrace_explore it is one whose accesses the schedule
// explorer sees.
type cursor = disruptor.Cursor

// exploring is set by the tag headrace_explore.
const exploring = false

// plainCursor returns what go-disruptor's Reader and a store without a fence need.
func plainCursor(c *cursor) *disruptor.Cursor { return c }
