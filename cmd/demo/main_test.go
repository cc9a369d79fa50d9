package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace/cmd/demo/internal/shop"
)

// asDemo makes the test binary the demo, for tests that need a process to kill.
const asDemo = "HEADRACE_TEST_AS_DEMO"

func TestMain(m *testing.M) {
	if os.Getenv(asDemo) != "" {
		main()
	}
	if err := os.Setenv(asDemo, "1"); err != nil { // for the children
		panic(err)
	}
	os.Exit(m.Run())
}

// demo runs a command line in this process.
func demo(t testing.TB, args ...string) (code int, out, errOut string) {
	t.Helper()
	return demoWith(t.Context(), args...)
}

func demoWith(ctx context.Context, args ...string) (code int, out, errOut string) {
	var o, e bytes.Buffer
	code = execute(ctx, args, streams{in: strings.NewReader(""), out: &o, err: &e})
	return code, o.String(), e.String()
}

// good runs a command line that must succeed, and returns standard output.
func good(t testing.TB, args ...string) string {
	t.Helper()
	code, out, errOut := demo(t, args...)
	if at := slices.Index(args, "--dir"); code != exitOK && at > 0 && args[0] != "verify" {
		_, _, found := demo(t, "verify", "--dir", args[at+1])
		errOut += "and the log it leaves: " + found
	}
	require.Equal(t, exitOK, code, "demo %s\n%s", strings.Join(args, " "), errOut)
	return out
}

// bad runs a command line that must fail with code, and returns the reason.
func bad(t testing.TB, code int, args ...string) string {
	t.Helper()
	got, out, errOut := demo(t, args...)
	require.Equal(t, code, got, "demo %s\n%s%s", strings.Join(args, " "), out, errOut)
	return errOut
}

// object returns the figures on the last line of out, which must be one JSON object.
func object(t testing.TB, out string) shop.Summary {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	require.True(t, strings.HasSuffix(out, "\n"))
	m, err := shop.ParseSummary([]byte(lines[len(lines)-1]))
	require.NoError(t, err, out)
	return m
}

// spawn starts the demo as a process, whose standard error is read line by line.
func spawn(t testing.TB, args ...string) (cmd *exec.Cmd, out *bytes.Buffer, said *bufio.Scanner) {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd = exec.Command(exe, args...)
	out = new(bytes.Buffer)
	cmd.Stdout = out
	errOut, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd, out, bufio.NewScanner(errOut)
}

// until reads on to a line with text in it.
func until(t testing.TB, said *bufio.Scanner, text string) {
	t.Helper()
	var all []string
	for said.Scan() {
		if all = append(all, said.Text()); strings.Contains(said.Text(), text) {
			return
		}
	}
	require.Fail(t, "the process has not said it", "%q\n%s", text, strings.Join(all, "\n"))
}

func drain(said *bufio.Scanner) {
	for said.Scan() {
	}
}

// retail returns the path of the real input, or skips.
func retail(t testing.TB) string {
	t.Helper()
	path := filepath.Join("..", "..", "..", "shared", "data", "online_retail.csv.gz")
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		t.Skip("the retail file is not there: expected ../shared/data/online_retail.csv.gz beside the repository")
	}
	return path
}

const csvHeader = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"

// csvFile writes rows as a retail file.
func csvFile(t testing.TB, rows ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "orders.csv")
	require.NoError(t, os.WriteFile(path, []byte(csvHeader+strings.Join(rows, "\n")+"\n"), 0o600))
	return path
}

func TestCommandLine_Wrong(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	for _, c := range []struct{ args, says string }{
		{"fly", `unknown command "fly"`},
		{"--dir x", `unknown command "--dir"`},
		{"run", "--dir is missing"},
		{"replay", "--dir is missing"},
		{"verify --json", "--dir is missing"},
		{"torture --cycles 3", "--dir is missing"},
		{"run --dir " + dir + " more", `unexpected argument "more"`},
		{"run --dir " + dir + " --fast", "-fast"},
		{"run --dir " + dir + " --orders 0", "--orders 0"},
		{"run --dir " + dir + " --orders -4", "--orders -4"},
		{"run --dir " + dir + " --orders ten", "ten"},
		{"run --dir " + dir + " --orders 1000000000000000000", "--orders"},
		{"run --dir " + dir + " --seed -1", "-1"},
		{"run --dir " + dir + " --rate 0", "--rate 0"},
		{"run --dir " + dir + " --rate -5", "--rate -5"},
		{"run --dir " + dir + " --rate NaN", "--rate NaN"},
		{"run --dir " + dir + " --rate Inf", "--rate +Inf"},
		{"run --dir " + dir + " --durability most", "want none, interval, group or batch"},
		{"run --dir " + dir + " --input f --seed 2", "--seed"},
		{"run --dir " + dir + " --input=", "--input needs a file"},
		{"run --dir", "flag needs an argument"},
		{"replay --dir " + dir + " --until 0", "--until 0"},
		{"replay --dir " + dir + " --until -1", "--until -1"},
		{"replay --dir " + dir + " --orders 4", "-orders"},
		{"verify --dir " + dir + " --until 4", "-until"},
		{"torture --dir " + dir + " --cycles 0", "--cycles 0"},
		{"torture --dir " + dir + " --durability never", "want none, interval, group or batch"},
	} {
		t.Run(c.args, func(t *testing.T) {
			code, out, errOut := demo(t, strings.Fields(c.args)...)
			require.Equal(t, exitUsage, code, errOut)
			require.Contains(t, errOut, c.says)
			require.Empty(t, out)
		})
	}
	require.NoDirExists(t, dir, "a wrong command line does nothing")
}

func TestCommandLine_Help(t *testing.T) {
	for _, args := range []string{"help", "-h", "--help", "run -h", "verify --help"} {
		require.Equal(t, usage, good(t, strings.Fields(args)...))
	}
}

func TestNothingThere(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "none")
	require.Contains(t, bad(t, exitFailed, "replay", "--dir", dir), "no journal")
	require.Contains(t, bad(t, exitFailed, "verify", "--dir", dir), "no journal")
	require.Contains(t, bad(t, exitFailed, "run", "--dir", dir, "--input", "no-such-file.csv"), "no-such-file.csv")
	require.NoDirExists(t, dir)
	file := csvFile(t)
	require.Contains(t, bad(t, exitFailed, "run", "--dir", file), file)
}

func TestVerify_JSONOfAFailure(t *testing.T) {
	code, out, _ := demo(t, "verify", "--json", "--dir", filepath.Join(t.TempDir(), "none"))
	require.Equal(t, exitFailed, code)
	var v verdict
	require.NoError(t, json.Unmarshal([]byte(out), &v))
	require.False(t, v.OK)
	require.Contains(t, v.Problem, "no journal")
}

func TestPacer_EndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p := newPacer(1e-6) // the second one is due in eleven days
	require.True(t, p.wait(ctx, 0))
	time.AfterFunc(time.Millisecond, cancel)
	require.False(t, p.wait(ctx, 1))
	require.False(t, newPacer(0).wait(ctx, 0))
	require.True(t, newPacer(1e9).wait(t.Context(), 1000), "late: it catches up")
}
