package watermill_test

import "os"

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func mustTempDir() string {
	dir, err := os.MkdirTemp("", "headrace-watermill-")
	must(err)
	return dir
}

func removeAll(dir string) { must(os.RemoveAll(dir)) }
