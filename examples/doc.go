// Package examples is a guide in ten small programs, one idea each. Run them from the module's root:
//
//	go run ./examples/01-publish
//
// Each prints what stands in its output.txt; a test holds them to that.
package examples
