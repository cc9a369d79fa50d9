package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/journal"
)

var testKey = ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))

// base is the time of the first record; each is a minute after the one before.
var base = time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)

type assigned struct {
	ID   uint16 `msgpack:"id"`
	Name string `msgpack:"name"`
}

type placed struct {
	Order string `msgpack:"order"`
	Cents int64  `msgpack:"cents"`
}

// body is an envelope as an engine would write it.
func body[T any](t testing.TB, name string, v T) []byte {
	t.Helper()
	typ, err := event.Register[T](event.NewRegistry(), name, 1)
	require.NoError(t, err)
	b, err := event.AppendHeader(nil, &event.Header{ID: event.IDFromName(name), Time: base.UnixNano(), Kind: event.Notification, Version: 1})
	require.NoError(t, err)
	b, err = typ.AppendPayload(b, &v)
	require.NoError(t, err)
	return b
}

// sample is a signed journal of 60 records in several segments: the binding of a type, events of
// it, plain text, and bytes.
func sample(t testing.TB) (dir string, root journal.Hash) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "j")
	j, err := journal.Open(dir, journal.Options{SegmentBytes: journal.MinSegmentBytes, Signer: testKey})
	require.NoError(t, err)
	for seq := int64(1); seq <= 60; seq++ {
		e := journal.Entry{Type: 16, Time: base.Add(time.Duration(seq-1) * time.Minute).UnixNano()}
		switch {
		case seq == 1:
			e.Type, e.Body = 1, body(t, "headrace.type-assigned", assigned{16, "order.placed"})
		case seq == 2:
			e.Type, e.Body = 17, []byte("plain\x1b[31m text")
		case seq == 3:
			e.Type, e.Body = 18, []byte{0xff, 0, 1}
		case seq%10 == 0:
			e.Type, e.Body = 19, bytes.Repeat([]byte("x"), 20_000)
		default:
			e.Body = body(t, "order.placed", placed{fmt.Sprintf("A-%d", seq), 100 * seq})
		}
		_, err := j.Append(e)
		require.NoError(t, err)
	}
	require.NoError(t, j.Sync())
	l, err := j.WaitChained(context.Background(), 40)
	require.NoError(t, err)
	require.NoError(t, j.Close())
	return dir, l.Root
}

// headrace runs a command line.
func headrace(args ...string) (code int, out, errs string) {
	var o, e bytes.Buffer
	code = run(context.Background(), args, streams{&o, &e})
	return code, o.String(), e.String()
}

// ok runs a command line that must succeed.
func ok(t testing.TB, args ...string) string {
	t.Helper()
	code, out, errs := headrace(args...)
	require.Equal(t, exitOK, code, "%v: %s", args, errs)
	require.Empty(t, errs)
	return out
}

// lines decodes a JSON object a line.
func lines(t testing.TB, out string) (all []map[string]any) {
	t.Helper()
	for _, line := range strings.Split(strings.TrimSpace(out), "\n") {
		m := map[string]any{}
		require.NoError(t, json.Unmarshal([]byte(line), &m), line)
		all = append(all, m)
	}
	return all
}

func sequencesOf(t testing.TB, out string) (seqs []int) {
	if strings.TrimSpace(out) == "" {
		return nil
	}
	for _, m := range lines(t, out) {
		seqs = append(seqs, int(m["sequence"].(float64)))
	}
	return seqs
}

func TestInfo_Ls(t *testing.T) {
	dir, root := sample(t)
	m := lines(t, ok(t, "info", "--json", dir))[0]
	require.EqualValues(t, 60, m["last_sequence"])
	require.EqualValues(t, 60, m["durable_sequence"])
	require.Equal(t, root.String(), m["root"])
	require.Equal(t, m["links"], m["signed"])
	require.Contains(t, ok(t, "info", dir), "1 to 60, durable to 60")
	segs := lines(t, ok(t, "ls", "--json", dir))
	require.Len(t, segs, int(m["segments"].(float64)))
	require.Equal(t, "sealed", segs[0]["state"])
	require.Equal(t, "open", segs[len(segs)-1]["state"])
	require.Contains(t, ok(t, "ls", dir), "SEGMENT")
}

func TestDump_Selections(t *testing.T) {
	dir, _ := sample(t)
	upTo := func(lo, hi int) (s []int) {
		for i := lo; i <= hi; i++ {
			s = append(s, i)
		}
		return s
	}
	for args, want := range map[string][]int{
		"":                                  upTo(1, 60),
		"--from 58":                         {58, 59, 60},
		"--from 5 --until 7":                {5, 6, 7},
		"--since 2024-05-01T12:57:30Z":      {59, 60},
		"--until-time 2024-05-01T12:01:00Z": {1, 2},
		"--types 19":                        {10, 20, 30, 40, 50, 60},
		"--types order.placed,17 --until 5": {2, 4, 5},
		"--backwards --until 3":             {3, 2, 1},
		"--backwards --from 59":             {60, 59},
		"--backwards --since 2024-05-01T12:58:00Z":   {60, 59},
		fmt.Sprintf("--since %d", base.UnixNano()+1): upTo(2, 60),
	} {
		out := ok(t, append(append([]string{"dump", "--json"}, strings.Fields(args)...), dir)...)
		require.Equal(t, want, sequencesOf(t, out), "dump %s", args)
	}
	kinds := ""
	for _, m := range lines(t, ok(t, "dump", "--json", "--internal", dir)) {
		kinds += m["kind"].(string) + " "
	}
	require.Contains(t, kinds, "index seal")
}

func TestDump_Decodes(t *testing.T) {
	dir, _ := sample(t)
	all := lines(t, ok(t, "dump", "--json", "--until", "4", dir))
	require.Equal(t, "order.placed", all[3]["name"])
	data := all[3]["event"].(map[string]any)["data"].(map[string]any)
	require.Equal(t, "A-4", data["order"])
	require.EqualValues(t, 400, data["cents"])
	require.Equal(t, "plain\x1b[31m text", all[1]["text"])
	require.Equal(t, "/wAB", all[2]["body"])
	human := ok(t, "dump", "--until", "4", dir)
	require.NotContains(t, human, "\x1b", "a body must not command the terminal")
	require.Contains(t, human, `4  2024-05-01T12:03:00Z  order.placed  {`)
	// The name is known wherever one begins.
	require.Contains(t, ok(t, "tail", "-n", "2", dir), "order.placed")
}

func TestTail_Follow(t *testing.T) {
	dir, _ := sample(t)
	require.Equal(t, []int{58, 59, 60}, sequencesOf(t, ok(t, "tail", "--json", "-n", "3", dir)))
	require.Empty(t, ok(t, "tail", "--json", "-n", "0", dir))
	j, err := journal.Open(dir, journal.Options{SegmentBytes: journal.MinSegmentBytes})
	require.NoError(t, err)
	defer j.Close()
	ctx, cancel := context.WithCancel(context.Background())
	out := &watched{until: `"sequence":61,`, done: cancel}
	ended := make(chan int)
	go func() { ended <- run(ctx, []string{"tail", "--json", "-f", "-n", "1", dir}, streams{out, os.Stderr}) }()
	_, err = j.Append(journal.Entry{Body: []byte("new")})
	require.NoError(t, err)
	require.Equal(t, exitOK, <-ended)
	got := sequencesOf(t, out.String())
	require.Equal(t, 61, got[len(got)-1])
}

// watched ends the command when it has written what is waited for.
type watched struct {
	bytes.Buffer
	until string
	done  func()
}

func (w *watched) Write(b []byte) (int, error) {
	n, err := w.Buffer.Write(b)
	if strings.Contains(w.String(), w.until) {
		w.done()
	}
	return n, err
}

func TestGrep(t *testing.T) {
	dir, _ := sample(t)
	require.Equal(t, []int{7}, sequencesOf(t, ok(t, "grep", "--json", `"order":"A-7"`, dir)))
	require.Equal(t, []int{2}, sequencesOf(t, ok(t, "grep", "--json", "plain", dir)))
	require.Equal(t, "6\n", ok(t, "grep", "--count", "xxx", dir))
	code, out, _ := headrace("grep", "nothing like it", dir)
	require.Equal(t, exitNotFound, code)
	require.Empty(t, out)
	code, _, errs := headrace("grep", "(", dir)
	require.Equal(t, exitUsage, code)
	require.Contains(t, errs, "missing")
}

func TestVerify_Prove(t *testing.T) {
	dir, root := sample(t)
	key := hex.EncodeToString(testKey.Public().(ed25519.PublicKey))
	require.Contains(t, ok(t, "verify", "--key", key, "--anchor", root.String(), dir), "verified")
	code, _, _ := headrace("verify", "--anchor", strings.Repeat("00", 31)+"01", dir)
	require.Equal(t, exitDamaged, code)
	code, _, _ = headrace("verify", "--key", strings.Repeat("00", 32), dir)
	require.Equal(t, exitDamaged, code)

	proof := ok(t, "prove", "7", dir)
	file := filepath.Join(t.TempDir(), "proof.json")
	require.NoError(t, os.WriteFile(file, []byte(proof), 0o600))
	require.Contains(t, ok(t, "prove", "--check", file, "--anchor", root.String(), "--key", key, "7", "-"), `"order":"A-7"`)
	code, _, _ = headrace("prove", "--check", file, "--anchor", root.String(), "8", "-")
	require.Equal(t, exitDamaged, code)
	require.NoError(t, os.WriteFile(file, []byte(strings.Replace(proof, `"Index":6`, `"Index":5`, 1)), 0o600))
	code, _, _ = headrace("prove", "--check", file, "--anchor", root.String(), "7", "-")
	require.Equal(t, exitDamaged, code)

	names, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	require.NoError(t, err)
	b, err := os.ReadFile(names[0])
	require.NoError(t, err)
	b[8192+40] ^= 1
	require.NoError(t, os.WriteFile(names[0], b, 0o600))
	for _, args := range [][]string{{"verify", dir}, {"info", dir}, {"dump", dir}, {"prove", "2", dir}} {
		code, _, errs := headrace(args...)
		require.Equal(t, exitDamaged, code, "%v", args)
		require.Contains(t, errs, filepath.Base(names[0]), "%v", args)
	}
}

func TestRepair(t *testing.T) {
	dir, _ := sample(t)
	require.Contains(t, ok(t, "repair", dir), "nothing to repair")
	names, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	require.NoError(t, err)
	b, err := os.ReadFile(names[1])
	require.NoError(t, err)
	clear(b[:4096]) // the header
	b[8192+40] ^= 1 // the first record
	require.NoError(t, os.WriteFile(names[1], b, 0o600))

	// Every command that meets it gives the very command that helps.
	advice := "headrace repair --dry-run " + dir
	for _, args := range [][]string{{"verify", dir}, {"info", dir}, {"dump", dir}, {"grep", "x", dir}, {"tail", dir}} {
		code, _, errs := headrace(args...)
		require.Equal(t, exitDamaged, code, "%v", args)
		require.Contains(t, errs, advice, "%v", args)
	}
	for _, args := range [][]string{{"repair", dir}, {"repair", "--dry-run", dir}} {
		code, out, errs := headrace(args...)
		require.Equal(t, exitDamaged, code)
		require.Contains(t, out, filepath.Base(names[1]))
		require.Contains(t, errs, "headrace repair --apply "+dir)
	}
	code, out, _ := headrace("repair", "--json", dir)
	require.Equal(t, exitDamaged, code)
	plan := lines(t, out)[0]
	require.EqualValues(t, 1, plan["lost"])
	require.Equal(t, false, plan["apply"])
	now, err := os.ReadFile(names[1])
	require.NoError(t, err)
	require.Equal(t, b, now, "a dry run changes nothing")

	j, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.NotContains(t, fmt.Sprint(j), "aside")
	require.Contains(t, ok(t, "repair", "--apply", dir), "repaired")
	aside, err := os.ReadFile(filepath.Join(dir, "aside", filepath.Base(names[1])))
	require.NoError(t, err)
	require.Equal(t, b, aside)
	require.Contains(t, ok(t, "verify", dir), "1 given up by a repair")
	require.Contains(t, ok(t, "ls", dir), "repaired")
	kinds := map[string]int{}
	for i, m := range lines(t, ok(t, "dump", "--json", dir)) {
		require.EqualValues(t, i+1, m["sequence"])
		kinds[m["kind"].(string)]++
	}
	require.Equal(t, map[string]int{"event": 59, "lost": 1}, kinds)
	require.Contains(t, ok(t, "repair", dir), "nothing to repair")

	w, err := journal.Open(dir, journal.Options{SegmentBytes: journal.MinSegmentBytes})
	require.NoError(t, err)
	code, _, errs := headrace("repair", dir)
	require.Equal(t, exitBusy, code)
	require.Contains(t, errs, "locked")
	require.NoError(t, w.Close())
	for _, args := range [][]string{{"repair", "--dry-run", "--apply", dir}, {"repair", "--max-lost", "0", dir}} {
		code, _, _ = headrace(args...)
		require.Equal(t, exitUsage, code)
	}
}

func TestHelp_NamesCommandsAndExitCodes(t *testing.T) {
	_, _, errs := headrace("help")
	for _, c := range commands() {
		require.Contains(t, errs, "headrace "+c.name)
		require.Contains(t, errs, c.about)
		_, _, own := headrace(c.name, "-h")
		require.Contains(t, own, "exit codes")
		// Whatever reads a journal reads encrypted segments.
		if reads := c.name != "bench"; reads {
			require.Contains(t, own, "-keys file", c.name)
		} else {
			require.NotContains(t, own, "-keys", c.name)
		}
	}
	require.Contains(t, errs, exitHelp)
	require.Contains(t, errs, "--keys FILE")
	require.Equal(t, "'a b'", quoted("a b"))
	require.Equal(t, `'it'\''s'`, quoted("it's"))
	require.Equal(t, "/var/lib/x-1.0", quoted("/var/lib/x-1.0"))
}

func TestBackup_Restore(t *testing.T) {
	dir, root := sample(t)
	copyDir, back := filepath.Join(t.TempDir(), "copy"), filepath.Join(t.TempDir(), "back")
	first := lines(t, ok(t, "backup", "--json", dir, copyDir))[0]
	require.EqualValues(t, 60, first["last_sequence"])
	require.EqualValues(t, 0, first["segments_kept"])
	again := lines(t, ok(t, "backup", "--json", dir, copyDir))[0]
	require.EqualValues(t, 1, again["segments_copied"], "only the open one")
	ok(t, "restore", copyDir, back)
	require.Equal(t, ok(t, "dump", "--json", dir), ok(t, "dump", "--json", back))
	ok(t, "verify", "--anchor", root.String(), back)
	code, _, errs := headrace("restore", copyDir, back)
	require.Equal(t, exitFailed, code)
	require.Contains(t, errs, "not empty")
}

func TestArchive_Restore(t *testing.T) {
	dir, root := sample(t)
	plain := ok(t, "dump", "--json", dir)
	keys := filepath.Join(t.TempDir(), "keys")
	require.NoError(t, os.WriteFile(keys, []byte("# id and key\n7 "+strings.Repeat("ab", 32)+"\n"), 0o600))
	rep := lines(t, ok(t, "archive", "--json", "--keys", keys, "--encrypt", "7", dir))[0]
	require.Positive(t, rep["segments_archived"])
	code, _, errs := headrace("verify", dir)
	require.Equal(t, exitFailed, code)
	require.Contains(t, errs, "no key")
	ok(t, "verify", "--keys", keys, "--anchor", root.String(), "--rate", "1000000000", dir)
	require.Equal(t, plain, ok(t, "dump", "--json", "--keys", keys, dir))
	require.Contains(t, ok(t, "ls", "--keys", keys, dir), "archived, encrypted")
	require.EqualValues(t, root.String(), lines(t, ok(t, "info", "--json", "--keys", keys, dir))[0]["root"])
	for _, command := range []string{"repair", "dump"} {
		code, _, errs := headrace(command, dir)
		require.Equal(t, exitFailed, code, command)
		require.Contains(t, errs, "no key", command)
	}
	ok(t, "repair", "--keys", keys, dir)
	require.Contains(t, ok(t, "archive", "--keys", keys, "--encrypt", "7", dir), "archive: 0 segments")

	back := filepath.Join(t.TempDir(), "back")
	got := lines(t, ok(t, "restore", "--json", "--keys", keys, "--until", "30", dir, back))[0]
	require.EqualValues(t, 30, got["last_sequence"])
	require.Len(t, lines(t, ok(t, "dump", "--json", "--keys", keys, back)), 30)
	for _, bad := range []string{"0 " + strings.Repeat("ab", 32), "7 abab", "7", "x y"} {
		require.NoError(t, os.WriteFile(keys, []byte(bad), 0o600))
		code, _, errs := headrace("verify", "--keys", keys, dir)
		require.Equal(t, exitUsage, code)
		require.Contains(t, errs, "line 1")
		require.NotContains(t, errs, "abab", "a key is not shown")
	}
}

// Without the key of an archive info, ls and tail show what needs none, and what they do not.
func TestArchive_WithoutItsKey(t *testing.T) {
	dir, root := sample(t)
	before := lines(t, ok(t, "ls", "--json", dir))
	plain := lines(t, ok(t, "tail", "--json", "-n", "60", dir))
	keys := filepath.Join(t.TempDir(), "keys")
	require.NoError(t, os.WriteFile(keys, []byte("7 "+strings.Repeat("ab", 32)+"\n"), 0o600))
	ok(t, "archive", "--keys", keys, "--encrypt", "7", dir)
	last := len(before) - 1 // which is written to
	require.Positive(t, last)

	with := lines(t, ok(t, "ls", "--json", "--keys", keys, dir))
	for i, m := range lines(t, ok(t, "ls", "--json", dir)) {
		for _, what := range []string{"segment", "first", "last", "bytes"} {
			require.Equal(t, before[i][what], m[what], what)
		}
		require.Equal(t, with[i]["size"], m["size"])
		require.Equal(t, i < last, m["unread"] == true)
		require.Equal(t, i < last, m["records"] == nil)
		if i < last {
			require.Equal(t, "archived, encrypted, key id 7", m["state"])
		}
	}
	require.Equal(t, last, strings.Count(ok(t, "ls", dir), "archived, encrypted, key id 7"))

	m := lines(t, ok(t, "info", "--json", dir))[0]
	require.EqualValues(t, 60, m["last_sequence"])
	require.EqualValues(t, last, m["unread_segments"])
	require.Equal(t, root.String(), m["root"], "the links are read, and checked among themselves")
	require.Contains(t, ok(t, "info", dir), fmt.Sprintf("%d segments, encrypted, key id 7: their records are neither counted nor checked", last))
	require.NotContains(t, lines(t, ok(t, "info", "--json", "--keys", keys, dir))[0], "unread_segments")

	// tail: a line for each segment that it cannot show, then the records, nameless where the key hides the names.
	got := lines(t, ok(t, "tail", "--json", "-n", "60", dir))
	for i, m := range got[:last] {
		require.Equal(t, map[string]any{"segment": before[i]["segment"], "first": before[i]["first"], "last": before[i]["last"],
			"unread": "encrypted, key id 7"}, m)
	}
	rest := plain[int(before[last]["first"].(float64))-1:]
	require.Len(t, got[last:], len(rest))
	for i, m := range got[last:] {
		require.Equal(t, rest[i]["sequence"], m["sequence"])
	}
	require.Len(t, lines(t, ok(t, "tail", "--json", "-n", "2", dir)), 2, "which it need not pass")
	require.Contains(t, ok(t, "tail", "-n", "60", dir), "encrypted, key id 7: "+before[0]["segment"].(string))
	require.Len(t, lines(t, ok(t, "tail", "--json", "--from", "1", "--until", "2", dir)), 1)
	code, _, errs := headrace("tail", "--types", "order.placed", dir)
	require.Equal(t, exitFailed, code, "the name may be there")
	require.Contains(t, errs, "no key")

	// Damage is damage, also of what is not read; and a key that is not the one is a fault.
	require.NoError(t, os.WriteFile(keys, []byte("7 "+strings.Repeat("cd", 32)+"\n"), 0o600))
	for _, command := range []string{"info", "ls", "tail -n 60"} {
		args := append(strings.Fields(command), "--keys", keys, dir)
		code, _, errs := headrace(args...)
		require.Equal(t, exitFailed, code, command)
		require.Contains(t, errs, "wrong key", command)
	}
	name := filepath.Join(dir, before[0]["segment"].(string))
	b, err := os.ReadFile(name)
	require.NoError(t, err)
	b[8192+20] ^= 1 // in the head
	require.NoError(t, os.WriteFile(name, b, 0o600))
	for _, command := range []string{"info", "ls", "tail -n 60"} {
		code, _, errs := headrace(append(strings.Fields(command), dir)...)
		require.Equal(t, exitDamaged, code, command)
		require.Contains(t, errs, filepath.Base(name), command)
	}
}

func TestBench(t *testing.T) {
	dir := t.TempDir()
	m := lines(t, ok(t, "bench", "--json", "--records", "1000", dir))[0]
	require.EqualValues(t, 1000, m["records"])
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestCommandLine_Faults(t *testing.T) {
	empty := t.TempDir()
	for _, c := range []struct {
		args []string
		code int
	}{
		{nil, exitUsage},
		{[]string{"fly"}, exitUsage},
		{[]string{"help"}, exitOK},
		{[]string{"info", "-h"}, exitOK},
		{[]string{"info"}, exitUsage},
		{[]string{"info", "--nonsense", "x"}, exitUsage},
		{[]string{"prove", "x", empty}, exitUsage},
		{[]string{"bench", "--durability", "maybe", empty}, exitUsage},
		{[]string{"info", empty}, exitNotFound},
		{[]string{"ls", empty}, exitNotFound},
		{[]string{"dump", empty}, exitNotFound},
		{[]string{"tail", filepath.Join(empty, "none")}, exitNotFound},
		{[]string{"verify", empty}, exitNotFound},
		{[]string{"trace", "--event", "1", empty}, exitNotFound},
		{[]string{"export", empty}, exitNotFound},
		{[]string{"trace", empty}, exitUsage},
		{[]string{"trace", "--event", "1", "--correlation", "x", empty}, exitUsage},
		{[]string{"trace", "--correlation", "x", empty}, exitUsage},
		{[]string{"export", "--format", "xml", empty}, exitUsage},
		{[]string{"export", "--format", "csv", "--proof", empty}, exitUsage},
		{[]string{"export", "--check", "f", empty}, exitUsage},
		{[]string{"export", "--anchor", strings.Repeat("00", 32), empty}, exitUsage},
		{[]string{"backup", empty, filepath.Join(empty, "c")}, exitNotFound},
		{[]string{"backup", empty, empty}, exitUsage},
		{[]string{"tail", "-n", "-1", empty}, exitUsage},
		{[]string{"archive", "--encrypt", "7", empty}, exitUsage},
		{[]string{"restore", empty, filepath.Join(empty, "c")}, exitNotFound},
	} {
		code, out, errs := headrace(c.args...)
		require.Equal(t, c.code, code, "%v: %s", c.args, errs)
		require.Empty(t, out)
		require.NotEmpty(t, errs)
	}
	dir, _ := sample(t)
	for _, args := range []string{"--since yesterday", "--types unheard.of", "--from 3 --since 2024-01-01", "--from -1"} {
		code, _, _ := headrace(append(append([]string{"dump"}, strings.Fields(args)...), dir)...)
		require.Equal(t, exitUsage, code, args)
	}
}

// What is before the damage is shown, by name, and verify reports it too.
func TestDamaged_ShowsWhatIsBefore(t *testing.T) {
	dir, _ := sample(t)
	names, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	require.NoError(t, err)
	all := lines(t, ok(t, "dump", "--json", dir))
	last := all[len(all)-1]
	newest := names[len(names)-1]
	b, err := os.ReadFile(newest)
	require.NoError(t, err)
	b[int64(last["offset"].(float64))+40] ^= 1
	require.NoError(t, os.WriteFile(newest, b, 0o600))

	code, out, errs := headrace("dump", "--json", dir)
	require.Equal(t, exitDamaged, code)
	require.Contains(t, errs, "checksum mismatch")
	before := lines(t, out)
	require.Equal(t, all[:len(all)-1], before)

	// What lies behind the damage, or needs a name that may, is not passed off as all.
	code, _, errs = headrace("dump", "--types", "no.such", dir)
	require.Equal(t, exitDamaged, code, errs)
	code, _, errs = headrace("grep", "--from", fmt.Sprint(last["sequence"].(float64)-1), "nowhere to be found", dir)
	require.Equal(t, exitDamaged, code, errs)

	code, out, _ = headrace("verify", "--json", dir)
	require.Equal(t, exitDamaged, code)
	require.EqualValues(t, last["sequence"].(float64)-1, lines(t, out)[0]["last_sequence"])
	code, out, _ = headrace("verify", dir)
	require.Equal(t, exitDamaged, code)
	require.NotContains(t, out, "verified")
}

func TestProve_WithoutChain(t *testing.T) {
	dir := t.TempDir()
	j, err := journal.Open(dir, journal.Options{})
	require.NoError(t, err)
	_, err = j.Append(journal.Entry{Type: 16})
	require.NoError(t, err)
	require.NoError(t, j.Close())
	code, _, errs := headrace("prove", "1", dir)
	require.Equal(t, exitFailed, code)
	require.Contains(t, errs, "no chain")
}
