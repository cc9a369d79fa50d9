package sysio

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Place returns which file system a directory lies on and where in it, which is the same by whatever mount it was
// reached. ok is false where the kernel does not tell.
func Place(dir string) (device, path string, ok bool) {
	d, err := os.Open(dir)
	if err != nil {
		return "", "", false
	}
	defer d.Close()
	name, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", d.Fd()))
	if err != nil {
		return "", "", false
	}
	id := ""
	if !lines(fmt.Sprintf("/proc/self/fdinfo/%d", d.Fd()), func(f []string) bool {
		if len(f) == 2 && f[0] == "mnt_id:" {
			id = f[1]
		}
		return id != ""
	}) {
		return "", "", false
	}
	ok = lines("/proc/self/mountinfo", func(f []string) bool {
		if len(f) < 5 || f[0] != id {
			return false
		}
		below, err := filepath.Rel(unescape(f[4]), name)
		if err != nil || below == ".." || strings.HasPrefix(below, "../") {
			return false
		}
		device, path = f[2], filepath.Join(unescape(f[3]), below)
		return true
	})
	return device, path, ok
}

// lines calls found with the fields of each line of a file until it returns true, and tells whether it did.
func lines(file string, found func(fields []string) bool) bool {
	f, err := os.Open(file)
	if err != nil {
		return false
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	for s.Scan() {
		if found(strings.Fields(s.Text())) {
			return true
		}
	}
	return false
}

// unescape undoes what the kernel does to spaces and the like in names: \040 is a space.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
