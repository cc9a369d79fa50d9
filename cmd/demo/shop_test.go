package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/cmd/demo/internal/fulfil"
	"github.com/headrace/headrace/cmd/demo/internal/shop"
	"github.com/headrace/headrace/event"
)

// shopObject is what run --shop --json prints.
type shopObject struct {
	shop.Summary
	Shop        fulfil.Figures `json:"shop"`
	DeadLetters int            `json:"dead_letters"`
}

func parseShop(t testing.TB, out string) (o shopObject) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	require.NoError(t, json.Unmarshal([]byte(lines[len(lines)-1]), &o), out)
	return o
}

// Whoever directs the orders, the same orders and the same gateway lead to the same business; and stopping in the middle
// changes nothing.
func TestShop_ChoreographyAndOrchestration_SameState(t *testing.T) {
	var hashes []string
	for _, m := range []sagaMode{choreography, orchestration} {
		dir := filepath.Join(t.TempDir(), "d")
		good(t, "run", "--shop", "--saga", string(m), "--dir", dir, "--orders", "40", "--durability", "none")
		o := parseShop(t, good(t, "run", "--shop", "--saga", string(m), "--dir", dir, "--orders", "100", "--durability", "none", "--json"))
		require.Contains(t, good(t, "verify", "--dir", dir), "The ten invariants")
		require.Zero(t, o.Shop.Open)
		require.NotZero(t, o.Shop.Completed)
		require.NotZero(t, o.Shop.Cancelled)
		require.NotZero(t, o.Shop.RefundedMilli)
		require.NotZero(t, o.Shop.Alerts)
		require.NotZero(t, o.Shop.Days)
		hashes = append(hashes, o.Shop.StateHash)
		other := orchestration
		if m == other {
			other = choreography
		}
		require.Contains(t, bad(t, exitFailed, "run", "--shop", "--saga", string(other), "--dir", dir), "works by "+string(m))
		require.Contains(t, bad(t, exitFailed, "run", "--dir", dir), "--shop")
		require.Contains(t, bad(t, exitFailed, "run", "--shop", "--saga", string(m), "--seed", "7", "--dir", dir), "seed 1")
	}
	require.Equal(t, hashes[0], hashes[1])
}

// A run that takes snapshots leaves some, of which the newest serves: what begins with it comes to what the whole log does,
// and so does the next run.
func TestRun_Snapshots_TheNextOpenBeginsWithOne(t *testing.T) {
	for name, fulfils := range map[string][]string{"shop": {"--shop"}, "orders": nil} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "d")
			run := func(orders string, more ...string) shopObject {
				return parseShop(t, good(t, slices.Concat([]string{"run", "--dir", dir, "--orders", orders, "--durability", "none", "--json"}, fulfils, more)...))
			}
			first := run("60", "--snapshots", "70")
			all, damaged, err := headrace.Snapshots(dir)
			require.NoError(t, err)
			require.Empty(t, damaged)
			require.NotEmpty(t, all)
			require.LessOrEqual(t, all[0].Sequence, first.LastSequence)

			a, err := openShop(dir)
			require.NoError(t, err)
			r, err := headrace.Replay(dir, a.topology, headrace.ReplayOptions{})
			require.NoError(t, err)
			require.Equal(t, all[0].Sequence, r.Snapshot)
			require.Empty(t, r.PassedOver)
			require.Equal(t, first.StateHash, a.summary(shop.Log{}).StateHash)
			if fulfils != nil {
				require.Equal(t, first.Shop.StateHash, a.shop.figures().StateHash)
			}

			a, err = openShop(dir)
			require.NoError(t, err)
			eng, err := headrace.Open(dir, a.topology, engineOptions(modeNone, runSegmentBytes))
			require.NoError(t, err)
			opened := eng.Stats().Snapshots
			require.NoError(t, eng.Close(t.Context()))
			require.Equal(t, all[0].Sequence, opened.OpenedAt, "Open began with it")

			end := run("120", "--snapshots", "70")
			fresh := filepath.Join(t.TempDir(), "d")
			whole := parseShop(t, good(t, slices.Concat([]string{"run", "--dir", fresh, "--orders", "120", "--durability", "none", "--json"}, fulfils)...))
			require.Equal(t, whole.StateHash, end.StateHash)
			require.Equal(t, whole.Shop.StateHash, end.Shop.StateHash)
			none, _, err := headrace.Snapshots(fresh)
			require.NoError(t, err)
			require.Empty(t, none)
			good(t, "verify", "--dir", dir)
		})
	}
	require.Contains(t, bad(t, exitUsage, "run", "--dir", t.TempDir(), "--snapshots", "0"), "--snapshots 0")
	require.Contains(t, bad(t, exitUsage, "run", "--dir", t.TempDir(), "--snapshots", "-1"), "--snapshots -1")
}

// A bug holds up some orders, and no others; fixed, they go on.
func TestShop_Poison_RedriveCompletes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	o := parseShop(t, good(t, "run", "--shop", "--dir", dir, "--orders", "60", "--poison", "8", "--durability", "none", "--json"))
	require.NotZero(t, o.DeadLetters)
	require.EqualValues(t, o.DeadLetters, o.Shop.Open)
	require.NotZero(t, o.Shop.Completed)
	good(t, "verify", "--dir", dir)
	var letters []deadLetter
	require.NoError(t, json.Unmarshal([]byte(good(t, "deadletters", "--dir", dir, "--json")), &letters))
	require.Len(t, letters, o.DeadLetters)
	listed := good(t, "deadletters", "--dir", dir)
	require.Contains(t, listed, letters[0].Key)
	require.Contains(t, listed, "1 attempt,")
	for _, command := range []string{"run", "torture"} { // one that does not fulfil its orders has no place here
		require.Contains(t, bad(t, exitFailed, command, "--dir", dir), "fulfils its orders", command)
	}
	require.Contains(t, bad(t, exitFailed, "redrive", "--dir", dir, "--sequence", "1"), "no such dead letter")
	one := parseShop(t, good(t, "redrive", "--dir", dir, "--handler", chargeID, "--sequence", fmt.Sprint(letters[0].Sequence), "--json"))
	require.Equal(t, o.DeadLetters-1, one.DeadLetters)
	all := parseShop(t, good(t, "redrive", "--dir", dir, "--json"))
	require.Zero(t, all.DeadLetters)
	require.Zero(t, all.Shop.Open)
	require.Contains(t, good(t, "deadletters", "--dir", dir), "no dead letters")
	good(t, "verify", "--dir", dir)
	require.Contains(t, good(t, "trace", "--dir", dir, "--order", letters[0].Key), "headrace.event-failed")
	require.Contains(t, good(t, "trace", "--dir", dir, "--order", letters[0].Key), "shop.order-")
}

func TestShop_AsOf_SequenceAndTime(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	before := time.Now()
	end := parseShop(t, good(t, "run", "--shop", "--dir", dir, "--orders", "30", "--durability", "none", "--json"))
	last := fmt.Sprint(end.LastSequence)
	require.Equal(t, end.Shop, parseShop(t, good(t, "asof", "--dir", dir, "--sequence", last, "--json")).Shop)
	_, _, said := demo(t, "asof", "--dir", dir, "--sequence", fmt.Sprint(end.LastSequence+1))
	require.Contains(t, said, "The log ends at")
	now := time.Now().Format(time.RFC3339Nano)
	require.Equal(t, end.Shop, parseShop(t, good(t, "asof", "--dir", dir, "--time", now, "--json")).Shop)
	early := parseShop(t, good(t, "asof", "--dir", dir, "--sequence", "40", "--json"))
	require.EqualValues(t, 40, early.LastSequence)
	require.Zero(t, early.Shop.Completed)
	require.Contains(t, good(t, "asof", "--dir", dir, "--sequence", last), end.Shop.StateHash)
	require.Contains(t, bad(t, exitFailed, "asof", "--dir", dir, "--time", before.Add(-time.Hour).Format(time.RFC3339Nano)), "begins later")
	require.Contains(t, good(t, "trace", "--dir", dir, "--correlation", shop.CommandID("600001", 1).String(), "--json"), `"shop.place-order"`)
	for _, args := range [][]string{
		{"asof", "--dir", dir}, {"asof", "--dir", dir, "--sequence", "0"}, {"asof", "--dir", dir, "--time", "noon"},
		{"asof", "--dir", dir, "--time", now, "--sequence", "1"},
		{"trace", "--dir", dir}, {"trace", "--dir", dir, "--order", "600001"}, {"trace", "--dir", dir, "--correlation", "x"},
		{"redrive", "--dir", dir, "--sequence", "0"}, {"run", "--dir", dir, "--saga", "choreography"}, {"run", "--dir", dir, "--shop", "--saga", "chaos"},
		{"outside", "--dir", dir, "--party", "bank"},
	} {
		bad(t, exitUsage, args...)
	}
	require.Contains(t, bad(t, exitFailed, "trace", "--dir", dir, "--order", "1@1"), "nothing found")
}

// A log that is not what it should be is found, and the message says where.
func TestShop_LedgerThatDiffers_IsNamed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	good(t, "run", "--shop", "--dir", dir, "--orders", "20", "--durability", "none")
	path := ledgerPath(dir, gatewayParty)
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	lines := strings.SplitAfter(string(whole), "\n")
	// Of cards that were declined no money is missed, and which order came to the gateway first is not the test's to say.
	charge := slices.IndexFunc(lines, func(line string) bool { return !strings.Contains(line, `"declined"`) })
	without := strings.Join(slices.Delete(slices.Clone(lines), charge, charge+1), "")
	for name, c := range map[string]struct{ text, says string }{
		"a charge without cause": {string(whole) + `{"op":"charge","key":"k","order":"x@1","amount_milli":7}` + "\n", "order x@1"},
		"a charge is gone":       {without, "charged in the ledger: false"},
		"a key twice":            {string(whole) + lines[0], "two entries"},
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, os.WriteFile(path, []byte(c.text), 0o600))
			reason := bad(t, exitFailed, "verify", "--dir", dir)
			require.Contains(t, reason, errMoney.Error())
			require.Contains(t, reason, c.says)
		})
	}
}

// An event that somebody was told about, and that the log does not have, is the first of the ten.
func TestShop_AcknowledgedEventGone_IsNamed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	good(t, "run", "--shop", "--dir", dir, "--orders", "20", "--durability", "none")
	all := records(t, dir)
	last := all[len(all)-1]
	v, err := event.Parse(last.Body)
	require.NoError(t, err)
	path := filepath.Join(dir, acksFile)
	there := ack{last.Sequence, v.ID(), 1, true}
	require.NoError(t, os.WriteFile(path, ack{1, v.ID(), 1, true}.appendLine(nil), 0o600))
	require.Contains(t, bad(t, exitFailed, "verify", "--dir", dir), errSequences.Error(), "another event stands there")
	there.seq++
	require.NoError(t, os.WriteFile(path, there.appendLine(nil), 0o600))
	reason := bad(t, exitFailed, "verify", "--dir", dir)
	require.Contains(t, reason, errSequences.Error())
	require.Contains(t, reason, fmt.Sprintf("event %d", there.seq))
}
