package main

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/headrace/headrace/journal"
)

// keysFlag defines --keys, by which commands get the keys of encrypted segments, and returns what reads
// the file once the flags are parsed.
func keysFlag(in *invocation) func() (journal.ArchiveAccess, error) {
	name := in.flags.String("keys", "", "`file` with the keys of encrypted segments: on each line the key's id, and its bytes in hex")
	return func() (journal.ArchiveAccess, error) {
		if *name == "" {
			return journal.ArchiveAccess{}, nil
		}
		return readKeys(*name)
	}
}

// maxKeys bounds the lines of a file of keys.
const maxKeys = 1 << 16

func readKeys(name string) (a journal.ArchiveAccess, err error) {
	f, err := os.Open(name)
	if err != nil {
		return a, err
	}
	defer f.Close()
	keys := map[uint32][]byte{}
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		bad := fmt.Errorf("%w: %s: line %d: want a key id from 1 on and 16 to 64 bytes in hex", errUsage, name, n)
		if len(fields) != 2 || len(keys) == maxKeys {
			return a, bad
		}
		id, err := strconv.ParseUint(fields[0], 10, 32)
		key, e := hex.DecodeString(fields[1])
		if err != nil || e != nil || id == 0 || len(key) < 16 || len(key) > 64 {
			return a, bad // without the line: it may be a key
		}
		keys[uint32(id)] = key
	}
	a.Key = func(id uint32) ([]byte, error) {
		if k, ok := keys[id]; ok {
			return k, nil
		}
		return nil, fmt.Errorf("%s has no key %d", name, id)
	}
	return a, lines.Err()
}
