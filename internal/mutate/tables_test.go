package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every mutation of every table still has its place in the code: one whose place has moved would be found out
// only by a campaign, which takes an hour.
func TestTables_FitTheCode(t *testing.T) {
	root := filepath.Join("..", "..")
	var tables []string
	for _, pattern := range []string{".", "*", "cmd/*"} {
		more, err := filepath.Glob(filepath.Join(root, pattern, "mutations.txt"))
		require.NoError(t, err)
		tables = append(tables, more...)
	}
	require.NotEmpty(t, tables)
	for _, table := range tables {
		text, err := os.ReadFile(table)
		require.NoError(t, err)
		all, err := parse(table, string(text))
		require.NoError(t, err)
		for _, m := range all {
			changed := map[string]string{} // changes of one file build on each other
			for _, c := range m.changes {
				source, ok := changed[c.file]
				if !ok {
					b, err := os.ReadFile(filepath.Join(root, c.file))
					require.NoError(t, err, m.name)
					source = string(b)
				}
				source, err = c.apply(source)
				require.NoError(t, err, "%s: %s", table, m.name)
				changed[c.file] = source
			}
		}
	}
}
