package sysio

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestRoom(t *testing.T) {
	require.NoError(t, Room(1<<20))
	mapped := func() int {
		text, err := os.ReadFile("/proc/self/maps")
		require.NoError(t, err)
		return strings.Count(string(text), "\n")
	}
	before := mapped()
	for range 100 {
		require.NoError(t, Room(1<<20))
	}
	require.Less(t, mapped(), before+50, "it was given back")
	if strconv.IntSize == 32 {
		t.Skip("there may be room for whatever an int holds")
	}
	policy, err := os.ReadFile("/proc/sys/vm/overcommit_memory")
	if err != nil || strings.TrimSpace(string(policy)) == "1" {
		t.Skip("this system promises any memory")
	}
	require.ErrorIs(t, Room(1<<44), unix.ENOMEM)
}
