package audit

import (
	"fmt"
	"strconv"
	"time"
	"unicode"
)

// AppendText appends the tree for people, an event a line:
//
//	conversation 0192f3a4-…: 3 events, 12 to 14
//	12  2030-01-01T12:00:00Z  shop.place-order  command by web  key order-17  {"order":"order-17"}
//	└─ 13  2030-01-01T12:00:00Z  shop.order-placed  by handler orders  key order-17  {…}
//	   └─ 14  …
//
// What the log says of itself is in quotes where it could be taken for something else, or could command a
// terminal.
func (t *Tree) AppendText(dst []byte) []byte {
	dst = fmt.Appendf(dst, "conversation %v: %s", t.Correlation, count(t.Events, "event"))
	if t.Events > 0 {
		dst = fmt.Appendf(dst, ", %d to %d", t.First, t.Last)
	}
	if t.Omitted > 0 {
		dst = fmt.Appendf(dst, ", %d of them not shown", t.Omitted)
	}
	if t.Lost > 0 {
		dst = fmt.Appendf(dst, "; %s, which may have been part of it", count(t.Lost, "lost record"))
	}
	dst = append(dst, '\n')
	for _, n := range t.Roots {
		dst = n.appendText(dst, "", "")
	}
	return dst
}

// appendText appends n and what is below it; first stands before its own line, rest before the others.
func (n *Node) appendText(dst []byte, first, rest string) []byte {
	dst = append(n.appendLine(append(dst, first...)), '\n')
	for i, c := range n.Children {
		if i+1 < len(n.Children) || n.Deeper > 0 {
			dst = c.appendText(dst, rest+"├─ ", rest+"│  ")
		} else {
			dst = c.appendText(dst, rest+"└─ ", rest+"   ")
		}
	}
	if n.Deeper > 0 {
		dst = fmt.Appendf(dst, "%s└─ … %s below\n", rest, count(n.Deeper, "event"))
	}
	return dst
}

func (n *Node) appendLine(dst []byte) []byte {
	dst = fmt.Appendf(dst, "%d  %s  %s  ", n.Sequence, n.Journaled.Format(time.RFC3339Nano), plain(n.Type))
	if n.Kind != "notification" {
		dst = append(append(dst, n.Kind...), ' ')
	}
	switch {
	case n.Handler != "":
		dst = append(dst, "by handler "+plain(n.Handler)...)
	case n.Producer != "":
		dst = append(dst, "by "+plain(n.Producer)...)
	default:
		dst = append(dst, "by nobody named"...)
	}
	if n.Key != "" {
		dst = append(dst, "  key "+plain(n.Key)...)
	}
	switch {
	case n.DataOmitted > 0:
		dst = fmt.Appendf(dst, "  %d bytes of data", n.DataOmitted)
	case len(n.Data) > 0:
		dst = append(append(dst, "  "...), printable(string(n.Data))...)
	}
	return dst
}

// plain quotes a text that has blanks or something that does not print.
func plain(s string) string {
	for _, c := range s {
		if c == ' ' || c == '"' || !unicode.IsPrint(c) {
			return strconv.Quote(s)
		}
	}
	return s
}

// printable is JSON with what does not print escaped, as JSON does it.
func printable(s string) string {
	for i, c := range s {
		if unicode.IsPrint(c) {
			continue
		}
		out := []byte(s[:i])
		for _, c := range s[i:] {
			switch {
			case unicode.IsPrint(c):
				out = append(out, string(c)...)
			case c > 0xffff:
				c -= 0x10000
				out = fmt.Appendf(out, `\u%04x\u%04x`, 0xd800+c>>10, 0xdc00+c&0x3ff)
			default:
				out = fmt.Appendf(out, `\u%04x`, c)
			}
		}
		return string(out)
	}
	return s
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
