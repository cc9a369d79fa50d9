//go:build headrace_debug

package ring_test

import (
	"errors"
	"fmt"

	"github.com/headrace/headrace/ring"
)

// A program built with the tag headrace_debug is told what it does wrong.
func ExampleMisuseError() {
	r, _ := ring.New[int](ring.Options{})
	defer func() {
		err, _ := recover().(error)
		var misuse *ring.MisuseError
		fmt.Println(errors.As(err, &misuse))
		fmt.Println(err)
	}()
	r.Publish(put(r, 10), 1) // a second time
	// Output:
	// true
	// ring: misuse: [1, 1]: sequence 1 is not claimed, or is published already
}
