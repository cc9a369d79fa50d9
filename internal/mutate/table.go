package main

import (
	"fmt"
	"strings"
)

// A mutation is one entry of a table.
type mutation struct {
	name    string
	why     string
	tests   [][]string // arguments of go test, one of which has to fail
	shows   [][]string // arguments of go test for a benchmark, of a mutation that tests cannot see
	env     []string
	says    string // what a failing test has to print; "" = anything
	changes []change
	line    int // where it begins
}

// A change replaces the lines old, found exactly once in a file, by new.
type change struct {
	file     string
	old, new []string
}

// parse reads a table.
func parse(name, text string) ([]mutation, error) {
	var all []mutation
	var m *mutation
	file := ""
	fail := func(n int, format string, args ...any) error {
		return fmt.Errorf("mutate: %s:%d: %s", name, n, fmt.Sprintf(format, args...))
	}
	seen := map[string]bool{}
	for i, line := range strings.Split(text, "\n") {
		n := i + 1
		line = strings.TrimRight(line, " \t\r")
		if line == "" || line[0] == '#' {
			continue
		}
		word, rest, _ := strings.Cut(line, " ")
		rest = strings.TrimSpace(rest)
		if word == "mutation" {
			if rest == "" || seen[rest] {
				return nil, fail(n, "a mutation needs a name of its own, %q is none", rest)
			}
			seen[rest] = true
			all = append(all, mutation{name: rest, line: n})
			m, file = &all[len(all)-1], ""
			continue
		}
		if m == nil {
			return nil, fail(n, "%q stands before the first mutation", line)
		}
		switch {
		case word == "why":
			m.why = strings.TrimSpace(m.why + " " + rest)
		case word == "test" || word == "shows":
			args, err := fields(rest)
			if err != nil || len(args) == 0 {
				return nil, fail(n, "arguments of go test are wanted, not %q", rest)
			}
			if word == "test" {
				m.tests = append(m.tests, args)
			} else {
				m.shows = append(m.shows, args)
			}
		case word == "says":
			if rest == "" || m.says != "" {
				return nil, fail(n, "a mutation says one thing")
			}
			m.says = rest
		case word == "env":
			m.env = append(m.env, rest)
		case word == "file":
			file = rest
		case line[0] == '-' || line[0] == '+':
			if file == "" {
				return nil, fail(n, "a change needs a file")
			}
			text := strings.TrimSpace(line[1:])
			last := len(m.changes) - 1
			begins := last < 0 || m.changes[last].file != file || line[0] == '-' && len(m.changes[last].new) > 0
			if begins {
				if line[0] == '+' {
					return nil, fail(n, "a change begins with the lines that it takes away")
				}
				m.changes = append(m.changes, change{file: file})
				last++
			}
			if line[0] == '-' {
				m.changes[last].old = append(m.changes[last].old, text)
			} else {
				m.changes[last].new = append(m.changes[last].new, text)
			}
		default:
			return nil, fail(n, "%q is not a word of the table", word)
		}
	}
	for _, m := range all {
		switch {
		case len(m.changes) == 0:
			return nil, fail(m.line, "%s changes nothing", m.name)
		case len(m.tests) == 0:
			return nil, fail(m.line, "%s names no test", m.name)
		case m.why == "":
			return nil, fail(m.line, "%s does not say why it is a fault", m.name)
		}
	}
	return all, nil
}

// fields splits at spaces, except within single quotes.
func fields(s string) ([]string, error) {
	var out []string
	for s = strings.TrimSpace(s); s != ""; s = strings.TrimSpace(s) {
		if s[0] != '\'' {
			word, rest, _ := strings.Cut(s, " ")
			out, s = append(out, word), rest
			continue
		}
		word, rest, ok := strings.Cut(s[1:], "'")
		if !ok {
			return nil, fmt.Errorf("a quote is not closed")
		}
		out, s = append(out, word), rest
	}
	return out, nil
}

// apply makes a change in the text of its file.
func (c change) apply(text string) (string, error) {
	lines := strings.Split(text, "\n")
	at := -1
	for i := 0; i+len(c.old) <= len(lines); i++ {
		found := true
		for k, want := range c.old {
			if strings.TrimSpace(lines[i+k]) != want {
				found = false
				break
			}
		}
		if !found {
			continue
		}
		if at >= 0 {
			return "", fmt.Errorf("%s: lines %d and %d both are %q: take more lines", c.file, at+1, i+1, c.old[0])
		}
		at = i
	}
	if at < 0 {
		return "", fmt.Errorf("%s: not found: %q", c.file, strings.Join(c.old, "\\n"))
	}
	out := append([]string{}, lines[:at]...)
	out = append(out, c.new...)
	out = append(out, lines[at+len(c.old):]...)
	return strings.Join(out, "\n"), nil
}
