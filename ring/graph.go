package ring

import "slices"

// register puts a consumer behind those of after. Because they exist already, there is no cycle.
func (r *Ring[T]) register(c *Consumer, l *loop[T]) {
	r.consumers = append(r.consumers, c)
	r.loops = append(r.loops, l)
}

// leaves returns the consumers with nobody after them. To gate on them is to gate on all: a
// consumer's cursor is never past those that it comes after.
func leaves(consumers []*Consumer) []*Consumer {
	inner := map[*Consumer]bool{}
	for _, c := range consumers {
		for _, up := range c.after {
			inner[up] = true
		}
	}
	var out []*Consumer
	for _, c := range consumers {
		if !inner[c] {
			out = append(out, c)
		}
	}
	return out
}

// distinct returns after without repetitions, in its order, in memory of its own.
func distinct(after []*Consumer) []*Consumer {
	var out []*Consumer
	for _, c := range after {
		if !slices.Contains(out, c) {
			out = append(out, c)
		}
	}
	return out
}
