package main

import (
	"compress/gzip"
	"context"
	"encoding/csv"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace/cmd/demo/internal/shop"
	"github.com/headrace/headrace/journal"
)

// milli is a price of the retail file in thousandths, found without the code under test.
func milli(t testing.TB, s string) int64 {
	whole, part, _ := strings.Cut(s, ".")
	for len(part) < 3 {
		part += "0"
	}
	n, err := strconv.ParseInt(whole+part, 10, 64)
	require.NoError(t, err)
	return n
}

// count adds up a retail file in the plainest way.
func count(t testing.TB, path string) (m shop.Summary) {
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	rows := csv.NewReader(z)
	_, err = rows.Read()
	require.NoError(t, err)
	invoices, customers := map[string]bool{}, map[string]bool{}
	m.Countries = map[string]int64{}
	for {
		rec, err := rows.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		quantity, err := strconv.ParseInt(rec[3], 10, 64)
		require.NoError(t, err)
		amount := quantity * milli(t, rec[5])
		switch rec[0][0] {
		case 'C':
			m.RefundsMilli += amount
		case 'A':
			m.AdjustmentsMilli += amount
		default:
			m.GrossMilli += amount
		}
		m.NetMilli += amount
		m.Countries[rec[7]] += amount
		m.Lines++
		invoices[rec[0]] = true
		if rec[6] != "" {
			customers[rec[6]] = true
		}
	}
	m.Invoices, m.Customers = int64(len(invoices)), int64(len(customers))
	return m
}

func TestRun_RetailFile(t *testing.T) {
	input := retail(t)
	if testing.Short() || raceEnabled {
		t.Skip("imports all of the retail file several times")
	}
	dir := filepath.Join(t.TempDir(), "d")
	out := good(t, "run", "--dir", dir, "--input", input, "--json")
	require.Equal(t, 1, strings.Count(out, "\n"), "one line")
	m := object(t, out)
	require.EqualValues(t, 541_909, m.Lines)
	require.EqualValues(t, 25_900, m.Invoices)
	want := count(t, input)
	want.StateHash = m.StateHash
	require.Empty(t, want.Diff(m))
	require.Equal(t, m.LastSequence, m.DurableSequence)
	require.EqualValues(t, 2*25_901+10, m.Events, "a command and an answer for each run of rows, and what the log says about itself")

	require.Equal(t, out, good(t, "replay", "--dir", dir, "--json"))
	require.Contains(t, good(t, "verify", "--dir", dir), "agrees with the stored summary")
	require.Equal(t, out, good(t, "run", "--dir", dir, "--input", input, "--json"), "nothing to do")
	require.Contains(t, good(t, "replay", "--dir", dir), "541,909")
	require.Contains(t, bad(t, exitFailed, "run", "--dir", dir), "another source")
}

// Killed at random moments and run again until done, a run ends with the same object.
func TestRun_KillNine_SameObject(t *testing.T) {
	source := map[string][]string{"made up": {"--orders", "20000"}}
	if path := filepath.Join("..", "..", "..", "shared", "data", "online_retail.csv.gz"); os.Getenv("HEADRACE_LONG") != "" && !raceEnabled {
		if _, err := os.Stat(path); err == nil {
			source["retail file"] = []string{"--input", path}
		}
	}
	for name, flags := range source {
		t.Run(name, func(t *testing.T) {
			seed := rand.Uint64()
			rng := rand.New(rand.NewPCG(seed, 0))
			want := good(t, append([]string{"run", "--json", "--dir", filepath.Join(t.TempDir(), "w")}, flags...)...)
			dir := filepath.Join(t.TempDir(), "d")
			run := append([]string{"run", "--json", "--dir", dir}, flags...)
			kills := 0
			for try := 0; kills < 5 && try < 50; try++ {
				cmd, _, said := spawn(t, append(run, "--rate", "15000")...)
				timer := time.AfterFunc(time.Duration(rng.Int64N(int64(400*time.Millisecond))), func() { _ = cmd.Process.Kill() })
				drain(said)
				if cmd.Wait() != nil {
					kills++
				}
				timer.Stop()
				code, _, errOut := demo(t, "verify", "--dir", dir)
				require.True(t, code == exitOK || strings.Contains(errOut, "no journal"), "seed %d, kill %d: %s", seed, kills, errOut)
			}
			require.Equal(t, 5, kills, "seed %d", seed)
			require.Equal(t, want, good(t, run...), "seed %d", seed)
			require.Equal(t, want, good(t, "replay", "--json", "--dir", dir), "seed %d", seed)
			good(t, "verify", "--dir", dir)
		})
	}
}

func TestRun_GoesOn(t *testing.T) {
	for _, m := range []string{"none", "interval", "group", "batch"} {
		t.Run(m, func(t *testing.T) {
			t.Parallel() // it waits for the disk
			dir, whole := filepath.Join(t.TempDir(), "d"), filepath.Join(t.TempDir(), "w")
			run := func(dir string, orders int) shop.Summary {
				return object(t, good(t, "run", "--json", "--durability", m, "--seed", "7", "--dir", dir, "--orders", strconv.Itoa(orders)))
			}
			require.EqualValues(t, 500, run(dir, 500).Invoices)
			require.EqualValues(t, 500, run(dir, 100).Invoices, "more are there already")
			require.Equal(t, run(whole, 1500), run(dir, 1500))
		})
	}
}

func TestRun_RefusesAnotherSource(t *testing.T) {
	rows := []string{
		"1,1,x,6,2010-12-01 08:26:00,2.55,17850,France",
		"2,1,x,6,2010-12-01 08:26:00,2.55,17850,France",
		"3,1,x,6,2010-12-01 08:26:00,2.55,17850,France",
	}
	dir := filepath.Join(t.TempDir(), "d")
	run := func(input string) []string { return []string{"run", "--json", "--dir", dir, "--input", input} }
	before := object(t, good(t, run(csvFile(t, rows...))...))
	require.EqualValues(t, 3, before.Invoices)

	changed := append([]string{}, rows...)
	changed[1] = strings.Replace(changed[1], "2.55", "2.54", 1)
	require.Contains(t, bad(t, exitFailed, run(csvFile(t, changed...))...), "the input was changed", "same first row, another second")
	require.Contains(t, bad(t, exitFailed, run(csvFile(t, rows[1:]...))...), "another source")
	require.Contains(t, bad(t, exitFailed, run(csvFile(t, rows[:2]...))...), "ends after row 2")
	require.Contains(t, bad(t, exitFailed, "run", "--dir", dir), "another source")
	require.Equal(t, before, object(t, good(t, "replay", "--json", "--dir", dir)), "a refusal changes nothing")

	grown := append(append([]string{}, rows...), "4,1,x,6,2010-12-01 08:26:00,2.55,17850,France")
	require.EqualValues(t, 4, object(t, good(t, run(csvFile(t, grown...))...)).Invoices)

	other := filepath.Join(t.TempDir(), "o")
	good(t, "run", "--dir", other, "--orders", "10")
	require.Contains(t, bad(t, exitFailed, "run", "--dir", other, "--orders", "20", "--seed", "2"), `"seed:1"`)
}

func TestRun_BadRow_NamesIt(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	good1 := "1,1,x,6,2010-12-01 08:26:00,2.55,17850,France"
	input := csvFile(t, good1, "2,1,x,six,2010-12-01 08:26:00,2.55,17850,France")
	require.Contains(t, bad(t, exitFailed, "run", "--dir", dir, "--input", input), `row 2 (line 3), column Quantity: "six"`)
	require.EqualValues(t, 1, object(t, good(t, "replay", "--json", "--dir", dir)).Invoices, "what is before it is in the log")
	input = csvFile(t, good1, "2,1,x,7,2010-12-01 08:26:00,2.55,17850,France")
	require.EqualValues(t, 2, object(t, good(t, "run", "--json", "--dir", dir, "--input", input)).Invoices, "mended, it goes on")
}

func TestRun_Interrupt_Drains(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "d")
			good(t, "run", "--dir", dir, "--orders", "100")
			cmd, out, said := spawn(t, "run", "--json", "--dir", dir, "--orders", "10000000", "--rate", "2000")
			until(t, said, "going on at row 101")
			require.NoError(t, cmd.Process.Signal(sig))
			until(t, said, "Interrupted")
			drain(said)
			require.NoError(t, cmd.Wait())
			m := object(t, out.String())
			require.Equal(t, m, object(t, good(t, "replay", "--json", "--dir", dir)))
			require.Contains(t, good(t, "verify", "--dir", dir), "agrees with the stored summary")
			require.Equal(t, m.Events, 2*m.Invoices+10, "every order taken was answered")
		})
	}
}

func TestRun_InterruptedBeforeItBegins(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	code, out, errOut := demoWith(ctx, "run", "--json", "--dir", filepath.Join(t.TempDir(), "d"))
	require.Equal(t, exitOK, code, errOut)
	require.Zero(t, object(t, out).Invoices)
}

// Beside a run, others may read and not write.
func TestRun_OthersBesideIt(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	good(t, "run", "--dir", dir, "--orders", "100")
	cmd, _, said := spawn(t, "run", "--dir", dir, "--orders", "10000000", "--rate", "2000")
	until(t, said, "going on at row 101")
	require.Contains(t, bad(t, exitFailed, "run", "--dir", dir), "locked")
	require.GreaterOrEqual(t, object(t, good(t, "replay", "--json", "--dir", dir)).Invoices, int64(100))
	require.Contains(t, good(t, "verify", "--dir", dir), "A run is writing")
	require.NoError(t, cmd.Process.Signal(syscall.SIGINT))
	drain(said)
	require.NoError(t, cmd.Wait())
}

// A kill at the very start leaves a journal without any event.
func TestEmptyJournal(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	j, err := journal.Open(dir, journal.Options{})
	require.NoError(t, err)
	require.NoError(t, j.Close())
	require.Zero(t, object(t, good(t, "replay", "--json", "--dir", dir)).Events)
	require.Contains(t, good(t, "verify", "--dir", dir), "no stored summary")
	require.EqualValues(t, 10, object(t, good(t, "run", "--json", "--dir", dir, "--orders", "10")).Invoices)
}

func TestReplay_Until(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	m := object(t, good(t, "run", "--json", "--dir", dir, "--orders", "200"))
	at := func(seq int64) shop.Summary {
		return object(t, good(t, "replay", "--json", "--dir", dir, "--until", strconv.FormatInt(seq, 10)))
	}
	require.Equal(t, m, at(m.LastSequence))
	require.Equal(t, m, at(m.LastSequence+1000))
	for until := range int64(10) {
		require.Zero(t, at(until+1).Invoices, "types and validator are becoming known, and no order is")
	}
	before := at(m.LastSequence - 1)
	require.EqualValues(t, 199, before.Invoices, "the last event is an answer")
	require.NotEqual(t, m.StateHash, before.StateHash)
}
