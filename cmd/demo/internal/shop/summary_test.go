package shop

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func sampleSummary() Summary {
	return Summary{
		Invoices: 25900, Lines: 541909, GrossMilli: 10655622484, RefundsMilli: -896812490, AdjustmentsMilli: -11062060,
		NetMilli: 9747747934, Customers: 4372, Events: 51802, LastSequence: 51802, DurableSequence: 51000, StateHash: "00ff",
		Countries: map[string]int64{
			"United Kingdom": 8187806364, "Netherlands": 284661540, "EIRE": 263276820, "Germany": 221698210,
			"France": 197403900, "Saudi Arabia": 131170, "": -1,
		},
	}
}

func TestSummary_JSON(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, sampleSummary().WriteJSON(&b))
	require.Equal(t, `{"invoices":25900,"lines":541909,"gross_milli":10655622484,"refunds_milli":-896812490,`+
		`"adjustments_milli":-11062060,"net_milli":9747747934,"customers":4372,"countries":{"":-1,"EIRE":263276820,`+
		`"France":197403900,"Germany":221698210,"Netherlands":284661540,"Saudi Arabia":131170,"United Kingdom":8187806364},`+
		`"events":51802,"last_sequence":51802,"durable_sequence":51000,"state_hash":"00ff"}`+"\n", b.String())
	back, err := ParseSummary(b.Bytes())
	require.NoError(t, err)
	require.Equal(t, sampleSummary(), back)
	require.Empty(t, sampleSummary().Diff(back))

	for name, text := range map[string]string{
		"empty": "", "cut": b.String()[:b.Len()-3], "two": b.String() + b.String(), "other member": `{"lines":1,"colour":2}`,
		"text": b.String() + "x", "float": `{"lines":1.5}`, "array": `[]`,
	} {
		_, err := ParseSummary([]byte(text))
		require.Error(t, err, name)
	}

	b.Reset()
	require.NoError(t, Summary{}.WriteJSON(&b))
	require.Contains(t, b.String(), `"countries":{}`)
	b.Reset()
	require.NoError(t, new(State).Summary(Log{}).WriteJSON(&b))
	require.Contains(t, b.String(), `"countries":{}`)
}

func TestSummary_Diff(t *testing.T) {
	a, b := sampleSummary(), sampleSummary()
	b.Events, b.LastSequence, b.DurableSequence = 1, 2, 3
	require.Empty(t, a.Diff(b), "the log is no business figure")
	b.Invoices--
	b.Lines--
	b.GrossMilli--
	b.RefundsMilli--
	b.AdjustmentsMilli--
	b.NetMilli--
	b.Customers--
	b.StateHash = "01ff"
	delete(b.Countries, "EIRE")
	b.Countries["Nowhere"] = 0
	require.Equal(t, []string{
		"invoices: 25900, 25899",
		"lines: 541909, 541908",
		"gross_milli: 10655622484, 10655622483",
		"refunds_milli: -896812490, -896812491",
		"adjustments_milli: -11062060, -11062061",
		"net_milli: 9747747934, 9747747933",
		"customers: 4372, 4371",
		`countries["EIRE"]: 263276820, 0`,
		`countries["Nowhere"]: 0, 0`,
		"state_hash: 00ff, 01ff",
	}, a.Diff(b))
}

func TestSummary_Table(t *testing.T) {
	var b strings.Builder
	require.NoError(t, sampleSummary().WriteTable(&b))
	require.Equal(t, strings.TrimPrefix(`
  invoices              25,900
  lines                541,909
  customers              4,372

  orders            10,655,622.484
  refunds             -896,812.49
  adjustments          -11,062.06
  net                9,747,747.934

  United Kingdom     8,187,806.364
  Netherlands          284,661.54
  EIRE                 263,276.82
  Germany              221,698.21
  France               197,403.90
  2 more countries         131.169

  events                51,802
  last sequence         51,802
  durable sequence      51,000
  state 00ff
`, "\n"), b.String())
	require.NoError(t, Summary{}.WriteTable(&b))
}
