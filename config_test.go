package headrace_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/journal"
	"github.com/headrace/headrace/ring"
)

// The same application on each engine: what it publishes, the answers it gets and the state are the same.
func TestOpenConfig_SameApplicationOnEach(t *testing.T) {
	for name, url := range map[string]string{
		"memory":  "memory:?slots=64&slot-bytes=256&wait=park",
		"journal": "journal://" + t.TempDir() + "?slots=64&durability=none&segment-bytes=64KiB",
	} {
		t.Run(name, func(t *testing.T) {
			c, err := headrace.ParseConfig(url)
			require.NoError(t, err)
			a := newApp(t)
			bus, err := headrace.OpenConfig(c, a.topology, headrace.Options{})
			require.NoError(t, err)
			ctx := limit(t)
			web, err := bus.Publisher("web")
			require.NoError(t, err)

			var last int64
			for i := range int64(300) { // several times round the ring
				last, err = web.Publish(ctx, deposit{Account: i % 3, Amount: i}, headrace.Meta{Key: "k"})
				require.NoError(t, err)
			}
			first, err := web.PublishBatch(ctx, []headrace.Message{
				{Value: deposit{Account: 9, Amount: 1}}, {Value: &deposit{Account: 9, Amount: 2}}})
			require.NoError(t, err)
			require.Greater(t, first, last)
			large := make([]byte, 10_000) // more than a slot
			_, err = web.Publish(ctx, note{Text: string(large)}, headrace.Meta{})
			require.NoError(t, err)

			e := bus.(*headrace.Engine)
			reply, err := headrace.Call[deposited](ctx, producer(t, e, "web"), deposit{Account: 7, Amount: 5}, headrace.Meta{})
			require.NoError(t, err)
			require.EqualValues(t, 5, reply.Value.Amount)
			require.Greater(t, reply.Sequence, reply.Command)
			require.NoError(t, e.WaitWritten(ctx, reply.Sequence))
			require.NoError(t, e.WaitDurable(ctx, reply.Sequence))
			require.GreaterOrEqual(t, e.Written(), reply.Sequence)
			require.NoError(t, a.bank.WaitFor(ctx, reply.Sequence))

			require.NoError(t, bus.Close(ctx))
			got, _ := a.state()
			require.Equal(t, map[int64]int64{0: 14850, 1: 14950, 2: 15050, 7: 5, 9: 3}, got.Balance)
			require.Equal(t, 303, got.Answers)
			_, err = web.Publish(ctx, deposit{}, headrace.Meta{})
			require.ErrorIs(t, err, headrace.ErrClosed)
			_, err = web.TryPublish(deposit{}, headrace.Meta{})
			require.ErrorIs(t, err, headrace.ErrClosed)
		})
	}
}

func TestOpenMemory_RefusesWhatNeedsTheLog(t *testing.T) {
	ctx := limit(t)
	a := newApp(t)
	a.topology.Logic().OnFailure("teller", handlers.FailurePolicy{})
	_, err := headrace.OpenMemory(a.topology, headrace.Options{})
	require.ErrorIs(t, err, headrace.ErrNoLog)
	require.ErrorContains(t, err, `OnFailure("teller")`)

	_, err = headrace.OpenMemory(newApp(t).topology, headrace.Options{Journal: journal.Options{Chain: true}})
	require.ErrorIs(t, err, headrace.ErrNoLog)
	_, err = headrace.OpenMemory(nil, headrace.Options{Slots: 3})
	require.ErrorIs(t, err, headrace.ErrTopology)
	require.ErrorContains(t, err, "Slots")

	a = newApp(t)
	e, err := headrace.OpenMemory(a.topology, headrace.Options{})
	require.NoError(t, err)
	require.ErrorIs(t, e.Follow(ctx, headrace.FollowOptions{}, nil), headrace.ErrNoLog)
	m := headrace.Meta{ID: event.IDFromName("call")}
	p := producer(t, e, "web")
	reply, err := headrace.Call[deposited](ctx, p, deposit{Account: 1, Amount: 1}, m)
	require.NoError(t, err)
	require.EqualValues(t, 1, reply.Command, "sequences start at 1")
	_, err = headrace.Call[deposited](ctx, p, deposit{Account: 1, Amount: 1}, m)
	require.ErrorIs(t, err, headrace.ErrNoLog)
	seq, err := headrace.Publish(ctx, p, deposit{Account: 1, Amount: 1}, m)
	require.NoError(t, err)
	require.Equal(t, reply.Command, seq, "a repeat")
	closeEngine(t, e)
	got, _ := a.state()
	require.EqualValues(t, 1, got.Balance[1])
}

// A handler that fails halts an engine in memory too, and everybody learns of it.
func TestOpenMemory_HandlerFails(t *testing.T) {
	a := newAppWith(t, func(*handlers.Context, deposit) error { return errRefusing })
	e, err := headrace.OpenMemory(a.topology, headrace.Options{})
	require.NoError(t, err)
	seq := publish(t, producer(t, e, "web"), deposit{})
	require.ErrorIs(t, a.bank.WaitFor(limit(t), seq+1), errRefusing)
	<-e.Halted()
	require.ErrorIs(t, e.Close(limit(t)), errRefusing)
}

func TestConfig_Errors(t *testing.T) {
	for url, want := range map[string]string{
		"shop":                                     "no scheme",
		"":                                         "no scheme",
		"kafka://broker:9092/orders":               `unknown scheme "kafka"; known are`,
		"memory://?slots=63":                       "Options.Slots = 63",
		"memory://?slots=0":                        "want more than 0",
		"memory://?slots=64&slots=128":             `option "slots" comes 2 times`,
		"memory://?durability=none":                `memory has no option "durability"`,
		"memory:///var/lib/shop":                   "memory has no path",
		"journal:":                                 "needs a directory",
		"journal://var/lib/shop":                   "three slashes",
		"journal:///x?durability=always":           "want none, batch",
		"journal:///x?durability=batch:5ms":        "more than the mode takes",
		"journal:///x?durability=group:5":          "missing unit",
		"journal:///x?segment-bytes=1TB":           "want a number of bytes",
		"journal:///x?segment-bytes=9999999999GiB": "out of range",
		"journal:///x?wait=busy&slot=1":            `no option "slot"; it has accept-lost`,
		"journal:///x?wait=busy":                   "want adaptive",
		"journal:///x#part":                        "fragment",
		"memory://user:secret@host\x7f":            "not a URL",
	} {
		c, err := headrace.ParseConfig(url)
		if err == nil {
			_, err = headrace.OpenConfig(c, newApp(t).topology, headrace.Options{})
		}
		require.ErrorContains(t, err, want, url)
		require.NotContains(t, err.Error(), "secret")
	}
}

func TestConfig_StringParsesBack(t *testing.T) {
	for _, s := range []string{"memory:", "memory:?slots=64", "journal:///var/lib/shop?durability=group%3A5ms&slots=64", "journal:data/shop"} {
		c, err := headrace.ParseConfig(s)
		require.NoError(t, err)
		require.Equal(t, s, c.String())
	}
	c, err := headrace.ParseConfig("broker://me:secret@host:1/x")
	require.NoError(t, err)
	require.Equal(t, "broker://me:xxxxx@host:1/x", c.String())
}

func TestConfigFromEnv(t *testing.T) {
	c, err := headrace.ConfigFromEnv("HEADRACE_TEST_BUS", "memory:")
	require.NoError(t, err)
	require.Equal(t, "memory", c.Scheme)
	t.Setenv("HEADRACE_TEST_BUS", "journal:data?slots=64")
	c, err = headrace.ConfigFromEnv("HEADRACE_TEST_BUS", "memory:")
	require.NoError(t, err)
	require.Equal(t, headrace.Config{Scheme: "journal", Path: "data", Options: map[string]string{"slots": "64"}}, c)
	t.Setenv("HEADRACE_TEST_BUS", "data")
	_, err = headrace.ConfigFromEnv("HEADRACE_TEST_BUS", "memory:")
	require.ErrorIs(t, err, headrace.ErrConfig)
	require.ErrorContains(t, err, "HEADRACE_TEST_BUS")
}

// forwarderBus is a bus of another kind.
type forwarderBus struct{ config headrace.Config }

func (f forwarderBus) Publisher(string) (headrace.Publisher, error) { return nil, nil }
func (f forwarderBus) Close(context.Context) error                  { return nil }

func TestRegisterDriver(t *testing.T) {
	if !slices.Contains(headrace.Drivers(), "test-broker") { // for good, so once where the test runs again
		headrace.RegisterDriver("test-broker", func(c headrace.Config, _ *headrace.Topology, _ headrace.Options) (headrace.Bus, error) {
			return forwarderBus{c}, nil
		})
	}
	require.Contains(t, headrace.Drivers(), "test-broker")
	c, err := headrace.ParseConfig("test-broker://host:1/orders?acks=all")
	require.NoError(t, err)
	bus, err := headrace.OpenConfig(c, newApp(t).topology, headrace.Options{})
	require.NoError(t, err)
	require.Equal(t, c, bus.(forwarderBus).config)
	require.Panics(t, func() {
		headrace.RegisterDriver("memory", func(headrace.Config, *headrace.Topology, headrace.Options) (headrace.Bus, error) { return nil, nil })
	})
	require.Panics(t, func() { headrace.RegisterDriver("other", nil) })
	require.Panics(t, func() {
		headrace.RegisterDriver("Other", func(headrace.Config, *headrace.Topology, headrace.Options) (headrace.Bus, error) { return nil, nil })
	})
}

// Every option of a configuration sets its field, wins over what the program says, and touches nothing else.
func TestConfig_EachOptionSetsItsField(t *testing.T) {
	program := headrace.Options{
		Slots: 1, SlotBytes: 1, DedupWindow: 1, FeedbackBytes: 1, OverflowBytes: 1, CascadeDepth: 1,
		Journal: journal.Options{MaxBodyBytes: 1, SegmentBytes: 1, RecycleSegments: 1, ChainEvery: 1, Durability: journal.Interval(1)},
	}
	for option, set := range map[string]func(o *headrace.Options){
		"slots=64":                   func(o *headrace.Options) { o.Slots = 64 },
		"slot-bytes=1KiB":            func(o *headrace.Options) { o.SlotBytes = 1024 },
		"dedup-window=7":             func(o *headrace.Options) { o.DedupWindow = 7 },
		"feedback-bytes=1MiB":        func(o *headrace.Options) { o.FeedbackBytes = 1 << 20 },
		"overflow-bytes=2MiB":        func(o *headrace.Options) { o.OverflowBytes = 2 << 20 },
		"cascade-depth=9":            func(o *headrace.Options) { o.CascadeDepth = 9 },
		"max-body-bytes=4096":        func(o *headrace.Options) { o.Journal.MaxBodyBytes = 4096 },
		"wait=adaptive":              func(o *headrace.Options) { o.Wait = ring.WaitAdaptive() },
		"wait=park":                  func(o *headrace.Options) { o.Wait = ring.WaitPark() },
		"wait=yield":                 func(o *headrace.Options) { o.Wait = ring.WaitYield() },
		"wait=sleep":                 func(o *headrace.Options) { o.Wait = ring.WaitSleep() },
		"wait=spin":                  func(o *headrace.Options) { o.Wait = ring.WaitSpin() },
		"segment-bytes=1GiB":         func(o *headrace.Options) { o.Journal.SegmentBytes = 1 << 30 },
		"recycle-segments=3":         func(o *headrace.Options) { o.Journal.RecycleSegments = 3 },
		"verify-all=true":            func(o *headrace.Options) { o.Journal.VerifyAll = true },
		"chain=true":                 func(o *headrace.Options) { o.Journal.Chain = true },
		"chain-every=3s":             func(o *headrace.Options) { o.Journal.ChainEvery = 3 * time.Second },
		"any-file-system=1":          func(o *headrace.Options) { o.Journal.AnyFileSystem = true },
		"accept-lost=true":           func(o *headrace.Options) { o.AcceptLost = true },
		"durability=none":            func(o *headrace.Options) { o.Journal.Durability = journal.None() },
		"durability=batch":           func(o *headrace.Options) { o.Journal.Durability = journal.Batch() },
		"durability=interval":        func(o *headrace.Options) { o.Journal.Durability = journal.Interval(time.Second) },
		"durability=interval:3ms":    func(o *headrace.Options) { o.Journal.Durability = journal.Interval(3 * time.Millisecond) },
		"durability=group":           func(o *headrace.Options) { o.Journal.Durability = journal.Group(5*time.Millisecond, 1<<20) },
		"durability=group:7ms":       func(o *headrace.Options) { o.Journal.Durability = journal.Group(7*time.Millisecond, 1<<20) },
		"durability=group:7ms:64KiB": func(o *headrace.Options) { o.Journal.Durability = journal.Group(7*time.Millisecond, 64<<10) },
	} {
		c, err := headrace.ParseConfig("journal:data?" + option)
		require.NoError(t, err, option)
		got, err := headrace.OptionsOf(c, program)
		require.NoError(t, err, option)
		want := program
		set(&want)
		require.Equal(t, want, got, option)
	}
}
