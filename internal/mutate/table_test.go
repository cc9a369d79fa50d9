package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

const table = `
# a comment
mutation off-by-one
why   a slot too many
why   is handed out
test  -run '^TestA b$' -tags x ./ring
test  ./ring
env   HEADRACE_LONG=1
says  gate: too high
file  ring/a.go
- if need > gate {
+ if need > gate+1 {
- first
- second
+

mutation pad
why   slower
test  ./ring
shows -bench X ./ring
file  ring/b.go
- _ cpu.Pad
+ // gone
`

func TestParse_Table(t *testing.T) {
	all, err := parse("t", table)
	require.NoError(t, err)
	require.Len(t, all, 2)
	m := all[0]
	require.Equal(t, "off-by-one", m.name)
	require.Equal(t, "a slot too many is handed out", m.why)
	require.Equal(t, [][]string{{"-run", "^TestA b$", "-tags", "x", "./ring"}, {"./ring"}}, m.tests)
	require.Equal(t, []string{"HEADRACE_LONG=1"}, m.env)
	require.Equal(t, "gate: too high", m.says)
	require.Equal(t, []change{
		{"ring/a.go", []string{"if need > gate {"}, []string{"if need > gate+1 {"}},
		{"ring/a.go", []string{"first", "second"}, []string{""}},
	}, m.changes)
	require.Equal(t, [][]string{{"-bench", "X", "./ring"}}, all[1].shows)
}

func TestParse_Faults(t *testing.T) {
	for name, text := range map[string]string{
		"no name":       "mutation\n",
		"twice":         "mutation a\nmutation a\n",
		"before":        "why x\n",
		"no file":       "mutation a\n- x\n",
		"only new":      "mutation a\nfile f\n+ x\n",
		"no change":     "mutation a\nwhy w\ntest ./x\n",
		"no test":       "mutation a\nwhy w\nfile f\n- x\n+ y\n",
		"no why":        "mutation a\ntest ./x\nfile f\n- x\n+ y\n",
		"open quote":    "mutation a\ntest 'x\n",
		"says nothing":  "mutation a\nsays\n",
		"strange word":  "mutation a\nbecause x\n",
		"empty command": "mutation a\ntest\n",
	} {
		_, err := parse("t", text)
		require.Error(t, err, name)
	}
}

func TestChange_Apply(t *testing.T) {
	text := "a\n\tb\n\tc\nd\n\tb\n"
	for _, c := range []struct {
		old  []string
		want string // empty: an error
	}{
		{[]string{"a"}, "new\n\tb\n\tc\nd\n\tb\n"},
		{[]string{"b", "c"}, "a\nnew\nd\n\tb\n"},
		{[]string{"b"}, ""},      // twice
		{[]string{"c", "b"}, ""}, // not in this order
		{[]string{"e"}, ""},
	} {
		got, err := change{"f", c.old, []string{"new"}}.apply(text)
		require.Equal(t, c.want == "", err != nil, c.old)
		require.Equal(t, c.want, got)
	}
}
