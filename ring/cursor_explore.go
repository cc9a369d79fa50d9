//go:build headrace_explore

package ring

import (
	"github.com/smartystreets-prototypes/go-disruptor"

	"github.com/headrace/headrace/internal/atomic"
)

type cursor struct{ hidden disruptor.Cursor }

const exploring = true

func plainCursor(c *cursor) *disruptor.Cursor { return &c.hidden }

func (c *cursor) Load() int64   { return atomic.LoadInt64(&c.hidden[0]) }
func (c *cursor) Store(v int64) { atomic.StoreInt64(&c.hidden[0], v) }
