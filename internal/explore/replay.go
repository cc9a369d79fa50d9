package explore

import (
	"fmt"
	"path"
	"runtime"
	"strconv"
	"strings"
)

// replay chooses as a run before did.
type replay struct{ order []actor }

func (c *replay) spun(actor) {}

func (c *replay) next(_ *Run, enabled uint64) (actor, bool) {
	if len(c.order) == 0 {
		return 0, false
	}
	a := c.order[0]
	c.order = c.order[1:]
	if a < 0 || enabled&a.bit() == 0 {
		return 0, false
	}
	return a, true
}

func (c *replay) pick(*Run, int) int {
	if len(c.order) == 0 || c.order[0] >= 0 {
		return 0
	}
	i := int(-1 - c.order[0])
	c.order = c.order[1:]
	return i
}

// schedule writes an order: numbers of goroutines, b before that of one whose buffer is flushed, ?
// before what was picked, and *n for n times the same.
func schedule(order []actor) string {
	var b strings.Builder
	for i := 0; i < len(order); {
		n := 1
		for i+n < len(order) && order[i+n] == order[i] {
			n++
		}
		if i > 0 {
			b.WriteByte(' ')
		}
		switch a := order[i]; {
		case a < 0:
			fmt.Fprintf(&b, "?%d", -1-a)
		case a >= bufferOf:
			fmt.Fprintf(&b, "b%d", a-bufferOf)
		default:
			fmt.Fprintf(&b, "%d", a)
		}
		if n > 1 {
			fmt.Fprintf(&b, "*%d", n)
		}
		i += n
	}
	return b.String()
}

func parseSchedule(s string) (order []actor, err error) {
	for _, word := range strings.Fields(s) {
		word, times, many := strings.Cut(word, "*")
		n := 1
		if many {
			if n, err = strconv.Atoi(times); err != nil {
				return nil, fmt.Errorf("explore: schedule: %w", err)
			}
		}
		number, err := strconv.Atoi(strings.TrimLeft(word, "b?"))
		if err != nil || number < 0 || number >= bufferOf {
			return nil, fmt.Errorf("explore: schedule: %q names nobody", word)
		}
		a := actor(number)
		switch word[0] {
		case '?':
			a = -1 - a
		case 'b':
			a += bufferOf
		}
		for range n {
			order = append(order, a)
		}
	}
	return order, nil
}

// A trace remembers the steps of a run.
type trace struct {
	lines []traced
	names map[uintptr]int
}

type traced struct {
	who   string
	kind  Kind
	where string
	touch string
}

func (t *trace) add(r *Run, a actor) {
	o := r.opOf(a)
	l := traced{kind: o.kind}
	if a >= bufferOf {
		l.who = "buffer of " + r.threads[a-bufferOf].name
	} else {
		l.who, l.where = r.threads[a].name, place(o.pcs)
	}
	for _, x := range o.touches {
		l.touch += " " + t.name(x.addr)
	}
	t.lines = append(t.lines, l)
}

// name gives addresses numbers in the order in which they appear.
func (t *trace) name(addr uintptr) string {
	if t.names == nil {
		t.names = map[uintptr]int{}
	}
	n, ok := t.names[addr]
	if !ok {
		n = len(t.names) + 1
		t.names[addr] = n
	}
	return "m" + strconv.Itoa(n)
}

// text returns the last steps.
func (t *trace) text(r *Run, most int) string {
	var b strings.Builder
	from := max(0, len(t.lines)-most)
	for i, l := range t.lines[from:] {
		fmt.Fprintf(&b, "%5d  %-22s %-7s%-9s %s\n", from+i+1, l.who, l.kind, l.touch, l.where)
	}
	for _, th := range r.threads {
		if !th.finished || th.op.kind == Recv || th.op.kind == Lock {
			fmt.Fprintf(&b, "       %-22s before %-7s %s\n", th.name, th.op.kind, place(th.op.pcs))
		}
	}
	return b.String()
}

func callers() []uintptr {
	pcs := make([]uintptr, 16)
	return pcs[:runtime.Callers(3, pcs)]
}

// place names the innermost caller that is not part of the machinery.
func place(pcs []uintptr) string {
	if len(pcs) == 0 {
		return ""
	}
	frames := runtime.CallersFrames(pcs)
	var out []string
	for more := true; more && len(out) < 2; {
		var f runtime.Frame
		f, more = frames.Next()
		pkg := path.Base(path.Dir(f.File))
		if pkg == "explore" || pkg == "atomic" || pkg == "block" || strings.HasSuffix(f.File, "cursor_explore.go") {
			continue
		}
		out = append(out, fmt.Sprintf("%s:%d", path.Base(f.File), f.Line))
	}
	return strings.Join(out, " < ")
}
