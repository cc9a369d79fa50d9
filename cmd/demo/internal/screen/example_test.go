package screen_test

import (
	"fmt"

	"github.com/headrace/headrace/cmd/demo/internal/screen"
)

func ExampleTable() {
	var t screen.Table
	t.Row("lines", screen.Count(541909))
	t.Row("net", screen.Milli(9_747_747_934))
	fmt.Print(t.String())
	// Output:
	//   lines    541,909
	//   net    9,747,747.934
}
