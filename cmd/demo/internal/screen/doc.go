// Package screen is what the demo shows a person: numbers with separators, tables in columns, and
// a line of progress that rewrites itself on a terminal.
package screen
