package headrace_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
)

// keyed is one event of a key: the N-th, from 1.
type keyed struct {
	Key string
	N   int
}

func openKeyed(t testing.TB, dir string) *headrace.Engine {
	r := event.NewRegistry()
	event.MustRegister[keyed](r, "keyed", 1)
	event.MustRegister[note](r, "note", 1)
	return open(t, dir, app{topology: headrace.NewTopology(r)}, small())
}

// publishKeyed publishes events of some keys, from several producers, each of which has keys of its own.
func publishKeyed(t testing.TB, e *headrace.Engine, producers, keys, each int) {
	var wg sync.WaitGroup
	for k := range producers {
		p := producer(t, e, fmt.Sprint("p", k))
		wg.Go(func() {
			for n := 1; n <= each; n++ {
				for i := range keys {
					v := keyed{fmt.Sprint(k, "/", i), n}
					if _, err := headrace.Publish(context.Background(), p, v, headrace.Meta{Key: v.Key}); err != nil {
						t.Error(err)
					}
				}
				if _, err := headrace.Publish(context.Background(), p, note{"no key"}, headrace.Meta{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// ledgerOf checks what members do: each key by one member at a time, in order.
type orderly struct {
	mu     sync.Mutex
	busy   map[string]bool
	last   map[string]int
	count  map[string]int // of each event
	notes  int
	total  int
	faults []string
	reset  bool // events may come again, from anywhere back on: the group has begun anew
}

func newOrderly() *orderly {
	return &orderly{busy: map[string]bool{}, last: map[string]int{}, count: map[string]int{}}
}

// handle is what a member does. fails says whether it fails in the end.
func (o *orderly) handle(d handlers.Delivery, fails bool) error {
	v, ok, err := handlers.Decode[keyed](d)
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.total++
	if !ok {
		o.notes++
		return nil
	}
	if o.busy[v.Key] {
		o.faults = append(o.faults, fmt.Sprint("two members at once have key ", v.Key))
	}
	o.busy[v.Key] = true
	o.mu.Unlock()
	runtime.Gosched()
	o.mu.Lock()
	o.busy[v.Key] = false
	if fails {
		return errBroken
	}
	if v.N != o.last[v.Key]+1 && !(o.reset && v.N <= o.last[v.Key]) {
		o.faults = append(o.faults, fmt.Sprintf("%+v after %d", v, o.last[v.Key]))
	}
	o.last[v.Key] = max(v.N, o.last[v.Key])
	o.count[fmt.Sprint(v)]++
	return nil
}

// Members come and go, by their context and by failing, while events flow: every event is handled once, and those of a
// key one after the other.
func TestFollowShared_MembersComeAndGo_KeysInOrder_EachOnce(t *testing.T) {
	for round := range 2 {
		seed := rand.Uint64()
		rng := rand.New(rand.NewPCG(seed, uint64(round)))
		e := openKeyed(t, t.TempDir())
		const producers, keys, each = 3, 7, 40
		o := newOrderly()
		options := headrace.FollowOptions{Name: "mail", CheckpointEvery: 1 + rng.IntN(200)}
		ctx, stop := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		stays := make(chan error, 1)
		go func() { // one that stays, so that the group does not end
			stays <- e.FollowShared(limit(t), options, 2, func(_ context.Context, d handlers.Delivery) error { return o.handle(d, false) })
		}()
		await(t, func() bool { return len(e.Health().Followers) == 1 }) // or the group of the others would end without it
		for range 3 {
			own := rand.New(rand.NewPCG(rng.Uint64(), 1))
			wg.Go(func() {
				for ctx.Err() == nil {
					after := own.IntN(40)
					mine, leave := context.WithCancel(ctx)
					n, fails := 0, own.IntN(2) == 0
					var mu sync.Mutex
					err := e.FollowShared(mine, options, 1+own.IntN(3), func(_ context.Context, d handlers.Delivery) error {
						mu.Lock()
						n++
						last := n > after
						mu.Unlock()
						if last && !fails {
							leave() // this one is handled all the same
						}
						return o.handle(d, last && fails)
					})
					leave()
					if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, errBroken) {
						t.Error(err)
					}
				}
			})
		}
		publishKeyed(t, e, producers, keys, each)
		stop()
		wg.Wait()
		closeEngine(t, e)
		require.NoError(t, <-stays)
		require.Empty(t, o.faults, "seed %d", seed)
		require.Len(t, o.count, producers*keys*each, "seed %d", seed)
		for what, n := range o.count {
			require.Equal(t, 1, n, "%v, seed %d", what, seed)
		}
		require.GreaterOrEqual(t, o.notes, producers*each)
		log := e.Health()
		require.Empty(t, log.Followers)
	}
}

// A group that ends goes on from the lowest event that is not done; nothing is left out.
func TestFollowShared_GroupsEndAndBegin_NothingIsLeftOut(t *testing.T) {
	dir := t.TempDir()
	o := newOrderly()
	o.reset = true
	const producers, keys, each = 2, 5, 16
	for round := 0; len(o.count) < 3*producers*keys*each; round++ {
		require.Less(t, round, 1000)
		e := openKeyed(t, dir)
		if round < 3 {
			for k := range producers { // numbers go on
				p := producer(t, e, fmt.Sprint("p", k))
				for n := range each {
					for i := range keys {
						v := keyed{fmt.Sprint(k, "/", i), round*each + n + 1}
						_, err := headrace.Publish(limit(t), p, v, headrace.Meta{Key: v.Key})
						require.NoError(t, err)
					}
				}
			}
		}
		for range 3 {
			n := 0
			var mu sync.Mutex
			err := e.FollowShared(limit(t), headrace.FollowOptions{Name: "mail", CheckpointEvery: 17, Provisional: true, Until: e.Written()}, 3, func(_ context.Context, d handlers.Delivery) error {
				mu.Lock()
				n++
				stop := n > 60
				mu.Unlock()
				return o.handle(d, stop)
			})
			if err != nil {
				require.ErrorIs(t, err, errBroken)
			}
		}
		closeEngine(t, e)
	}
	require.Empty(t, o.faults)
	require.GreaterOrEqual(t, o.total, len(o.count))
}

func TestFollowShared_Misuse(t *testing.T) {
	e := openKeyed(t, t.TempDir())
	err := e.FollowShared(limit(t), headrace.FollowOptions{From: -1, After: handlers.Checkpoint{Sequence: 1}, Filter: handlers.Filter{Types: []string{"."}}}, 0, nil)
	for _, want := range []string{"0 members", "Name", "After", "function is nil", "From", "empty token"} {
		require.ErrorContains(t, err, want)
	}
	begun, end := make(chan struct{}), make(chan struct{})
	var once sync.Once
	done := make(chan error, 1)
	go func() {
		done <- e.FollowShared(limit(t), headrace.FollowOptions{Name: "mail"}, 1, func(ctx context.Context, d handlers.Delivery) error {
			once.Do(func() {
				close(begun)
				<-end
				if err := e.Close(ctx); !errors.Is(err, headrace.ErrWouldDeadlock) {
					t.Error(err)
				}
			})
			return nil
		})
	}()
	publish(t, producer(t, e, "p"), note{"x"})
	<-begun
	require.ErrorIs(t, e.FollowShared(limit(t), headrace.FollowOptions{Name: "mail", From: 3}, 1, nothing), headrace.ErrGroup)
	require.ErrorIs(t, e.Follow(limit(t), headrace.FollowOptions{Name: "mail"}, nothing), headrace.ErrFollowing)
	require.Equal(t, "mail", e.Health().Followers[0].Name)
	close(end)

	// A panic on one of several goroutines is an error, and the event goes to the others.
	boom := make(chan error, 1)
	go func() {
		boom <- e.FollowShared(limit(t), headrace.FollowOptions{Name: "mail"}, 4, func(context.Context, handlers.Delivery) error { panic("boom") })
	}()
	var p *handlers.PanicError
	for failed := false; !failed; {
		publish(t, producer(t, e, "p"), note{"x"})
		select {
		case err := <-boom:
			require.ErrorAs(t, err, &p)
			failed = true
		default:
		}
	}
	gone := make(chan error, 1)
	go func() {
		gone <- e.FollowShared(limit(t), headrace.FollowOptions{Name: "other"}, 2, func(context.Context, handlers.Delivery) error { runtime.Goexit(); return nil })
	}()
	require.Error(t, <-gone)
	closeEngine(t, e)
	require.NoError(t, <-done)
	require.ErrorIs(t, e.FollowShared(limit(t), headrace.FollowOptions{Name: "mail"}, 1, nothing), headrace.ErrClosed)

	m, err := headrace.OpenMemory(newApp(t).topology, headrace.Options{})
	require.NoError(t, err)
	require.ErrorIs(t, m.FollowShared(limit(t), headrace.FollowOptions{Name: "mail"}, 1, nothing), headrace.ErrNoLog)
	closeEngine(t, m)
}

// A plain follower's name is taken, and a halted engine says why.
func TestFollowShared_EndsWithTheEngine(t *testing.T) {
	a := newAppWith(t, func(*handlers.Context, deposit) error { return errBroken })
	e := open(t, t.TempDir(), a, small())
	follows := make(chan error, 1)
	ctx, stop := context.WithCancel(context.Background())
	go func() { follows <- e.Follow(ctx, headrace.FollowOptions{Name: "mail"}, nothing) }()
	for len(e.Health().Followers) == 0 {
		runtime.Gosched()
	}
	require.ErrorIs(t, e.FollowShared(limit(t), headrace.FollowOptions{Name: "mail"}, 1, nothing), headrace.ErrFollowing)
	stop()
	require.ErrorIs(t, <-follows, context.Canceled)
	done := make(chan error, 1)
	go func() { done <- e.FollowShared(limit(t), headrace.FollowOptions{Name: "mail"}, 3, nothing) }()
	publish(t, producer(t, e, "web"), deposit{})
	err := <-done
	require.ErrorIs(t, err, headrace.ErrHalted)
	require.ErrorIs(t, err, errBroken)
	require.ErrorIs(t, e.Close(limit(t)), errBroken)
}

// Members work at the same time: the first event of each waits until three are at work.
func TestFollowShared_MembersWorkAtOnce(t *testing.T) {
	e := openKeyed(t, t.TempDir())
	publishKeyed(t, e, 2, 40, 1)
	var mu sync.Mutex
	at, all := 0, make(chan struct{})
	o := headrace.FollowOptions{Name: "mail", Until: e.Stats().Ring.Cursor}
	err := e.FollowShared(limit(t), o, 3, func(ctx context.Context, d handlers.Delivery) error {
		mu.Lock()
		if at++; at == 3 {
			close(all)
		}
		mu.Unlock()
		select {
		case <-all:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	require.NoError(t, err)
	closeEngine(t, e)
}

// A group that ends has saved how far it was, however few events that were.
func TestFollowShared_EndsWhereItWas(t *testing.T) {
	e := openKeyed(t, t.TempDir())
	publishKeyed(t, e, 1, 3, 5)
	o := headrace.FollowOptions{Name: "mail", Until: e.Stats().Ring.Cursor}
	var mu sync.Mutex
	n := 0
	for range 2 {
		require.NoError(t, e.FollowShared(limit(t), o, 2, func(context.Context, handlers.Delivery) error {
			mu.Lock()
			n++
			mu.Unlock()
			return nil
		}))
	}
	require.Equal(t, 20, n, "the second group has nothing left to do")
	closeEngine(t, e)
}

// A key stays with its member while that has something of it, whoever comes; Health shows what each has.
func TestFollowShared_KeyStaysWhileOnItsWay(t *testing.T) {
	const newcomers = 500 // one of which would get the key, if it went to whom its hash says
	e := openKeyed(t, t.TempDir())
	p := producer(t, e, "p")
	o := headrace.FollowOptions{Name: "mail"}
	inside, passed, release := make(chan struct{}), make(chan struct{}), make(chan struct{})
	var free atomic.Bool
	second := make(chan bool, 1)
	handle := func(_ context.Context, d handlers.Delivery) error {
		v, ok, err := handlers.Decode[keyed](d)
		switch {
		case err != nil:
			return err
		case !ok:
			close(passed)
		case v.N == 1:
			close(inside)
			<-release
			free.Store(true)
		default:
			second <- free.Load()
		}
		return nil
	}
	done := make(chan error, 2)
	send := func(v any, key string) int64 {
		seq, err := p.Publish(limit(t), v, headrace.Meta{Key: key})
		require.NoError(t, err)
		return seq
	}
	go func() { done <- e.FollowShared(limit(t), o, 1, handle) }()
	first := send(keyed{"k", 1}, "k")
	<-inside
	members := func() []headrace.MemberPosition { return e.Health().Followers[0].Members }
	require.Equal(t, []headrace.MemberPosition{{Member: 1, Sequence: first, Keys: 1}}, members())
	go func() { done <- e.FollowShared(limit(t), o, newcomers, handle) }()
	await(t, func() bool { return len(members()) == 1+newcomers })
	send(keyed{"k", 2}, "k")
	send(note{"whoever has least to do"}, "")
	select { // what comes before has been handed out
	case <-passed:
	case <-second:
		require.Fail(t, "a newcomer has the key while its member is at it")
	case <-time.After(hang):
		require.Fail(t, "nobody has got the event without a key")
	}
	all := members()
	require.Equal(t, headrace.MemberPosition{Member: 1, Sequence: first, Waiting: 1, Keys: 1}, all[0], "two members have one key")
	for i, m := range all[1:] {
		require.EqualValues(t, i+2, m.Member)
		require.Zero(t, m.Keys)
		require.Zero(t, m.Waiting)
	}
	text, err := json.Marshal(e.Health().Followers[0].Members[0])
	require.NoError(t, err)
	require.JSONEq(t, fmt.Sprintf(`{"member":1,"sequence":%d,"waiting":1,"keys":1}`, first), string(text))
	close(release)
	require.True(t, <-second, "two members have one key at once")
	await(t, func() bool { return members()[0] == headrace.MemberPosition{Member: 1} })
	closeEngine(t, e)
	require.NoError(t, <-done)
	require.NoError(t, <-done)
}

// A panic of a function that is called on the caller's goroutine, which recovers, leaves nothing that Close would wait for.
func TestFollow_PanicThatTheCallerRecovers_ClosesAndFollowsAgain(t *testing.T) {
	for name, follow := range map[string]func(context.Context, *headrace.Engine, func() error) error{
		"Follow": func(ctx context.Context, e *headrace.Engine, fn func() error) error {
			return e.Follow(ctx, headrace.FollowOptions{Name: "f"}, func(context.Context, handlers.Delivery) error { return fn() })
		},
		"FollowBatch": func(ctx context.Context, e *headrace.Engine, fn func() error) error {
			return e.FollowBatch(ctx, headrace.FollowOptions{Name: "f"}, 10, func(context.Context, []handlers.Delivery) error { return fn() })
		},
		"FollowShared": func(ctx context.Context, e *headrace.Engine, fn func() error) error {
			return e.FollowShared(ctx, headrace.FollowOptions{Name: "f"}, 1, func(context.Context, handlers.Delivery) error { return fn() })
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := openKeyed(t, t.TempDir())
			publishKeyed(t, e, 1, 1, 3)
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
			defer cancel()
			require.PanicsWithValue(t, "boom", func() { _ = follow(ctx, e, func() error { panic("boom") }) })
			require.ErrorIs(t, follow(ctx, e, func() error { return errors.ErrUnsupported }), errors.ErrUnsupported)
			require.NoError(t, e.Close(ctx))
		})
	}
}

// What the filter of a group keeps out moves its checkpoint and its position too, while nothing is on its way and behind
// what is; it is saved in time, and a group that goes on begins behind it. Members with another filter are no members.
func TestFollowShared_FilterPassesOver_CheckpointMoves(t *testing.T) {
	dir := t.TempDir()
	e := openKeyed(t, dir)
	p := producer(t, e, "web")
	pass := func(n int) (last int64) {
		for range n {
			last = publish(t, p, note{"x"})
		}
		return last
	}
	want := func() int64 { return publish(t, p, keyed{Key: "k", N: 1}) }
	o := headrace.FollowOptions{Name: "mail", CheckpointEvery: 1, Filter: handlers.Filter{Types: []string{"keyed"}}}
	path := filepath.Join(dir, "checkpoints", "mail")
	follow := func(wanted ...int64) {
		var seen []int64
		require.NoError(t, e.WaitWritten(limit(t), o.Until))
		require.NoError(t, e.FollowShared(limit(t), o, 1, func(_ context.Context, d handlers.Delivery) error {
			seen = append(seen, d.Sequence)
			other := o
			other.Filter = handlers.Filter{}
			require.ErrorIs(t, e.FollowShared(over(), other, 1, nothing), headrace.ErrGroup)
			h := e.Health().Followers
			require.Len(t, h, 1)
			require.Equal(t, d.Sequence-1, h[0].Sequence)
			at, err := handlers.LoadCheckpoint(path)
			require.NoError(t, err)
			require.Equal(t, d.Sequence-1, at.Sequence)
			if ahead := len(wanted) - len(seen); ahead > 0 { // and so it has passed over what lies between
				await(t, func() bool { return e.Health().Followers[0].Members[0].Waiting == ahead })
			}
			return nil
		}))
		at, err := handlers.LoadCheckpoint(path)
		require.NoError(t, err)
		require.Equal(t, o.Until, at.Sequence)
		require.Equal(t, wanted, seen)
	}
	pass(3)
	first := want()
	pass(3)
	second := want()
	o.Until = pass(3)
	follow(first, second)
	o.Until = want()
	follow(o.Until)
	o.CheckpointEvery = 1000
	o.Until = pass(3)
	follow()
	closeEngine(t, e)
}

func nothing(context.Context, handlers.Delivery) error { return nil }
