package headrace

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"sync"

	"github.com/headrace/headrace/handlers"
)

// ErrGroup reports a member that does not fit the group which it wants to join: its options are not those of the others.
var ErrGroup = errors.New("headrace: other options than those of the group's members")

const (
	sharedEvents  = 1024     // handed out beyond the lowest that is not done
	sharedBytes   = 64 << 20 // of their bodies
	sharedMembers = 4096     // of one call
)

// FollowShared is Follow for several who share the work: all calls with one FollowOptions.Name are a group, which has one
// checkpoint, and each event goes to one member of it. A call brings in members of them, at least 1, each of which
// calls fn on a goroutine of its own. Events with the same key go to one member at a time, one after the other, in
// the order of the log; those without a key go to whoever has least to do. Which member has a key is decided by its
// hash, over the members that there are.
//
// Members may come and go at any time. Who comes takes over keys of which nothing is on its way; the keys of who goes,
// when its ctx ends or fn returns an error, go to others, with all that was on its way to it. An event on which fn has
// failed counts as not handled: another member gets it, and so one that nobody can handle ends one call after the other, until
// the group is empty. The next member takes the group up where the checkpoint is: behind the highest event up to
// which everything is done. So an event may be handled twice, if the group ends or the process dies while a lower one is not
// done, but none is left out. At most 1,024 events, of 64 MiB, are on their way at a time.
//
// It returns as Follow does; for fn's error the other members of the same call end too. A panic of fn is returned as a
// *handlers.PanicError, unless there is one member, which runs on the caller's goroutine. All members give the same options, which may have
// neither After nor Passed, else ErrGroup. A Follow of the same name, and a group of the name of one, is ErrFollowing.
func (e *Engine) FollowShared(ctx context.Context, o FollowOptions, members int, fn func(context.Context, handlers.Delivery) error) error {
	o, err := o.withDefaults()
	var faults []error
	if members < 1 || members > sharedMembers {
		faults = append(faults, fmt.Errorf("headrace: FollowShared by %d members: want [1, %d]", members, sharedMembers))
	}
	if o.Name == "" {
		faults = append(faults, errors.New("headrace: FollowOptions.Name is what makes a group of the members: FollowShared needs it"))
	}
	if o.After != (handlers.Checkpoint{}) || o.Passed != nil {
		faults = append(faults, errors.New("headrace: FollowShared has a checkpoint of its own: FollowOptions.After and Passed are not for it"))
	}
	if fn == nil {
		faults = append(faults, errNilFollower)
	}
	if err := errors.Join(append(faults, err)...); err != nil {
		return err
	}
	if handlers.InLane(ctx) || handlers.OnLane(e.lanes) {
		return ErrWouldDeadlock
	}
	if e.inMemory() {
		return fmt.Errorf("%w: nothing to follow", ErrNoLog)
	}
	for {
		g, err := e.group(o)
		if err != nil {
			return err
		}
		err = g.follow(ctx, members, fn)
		if !errors.Is(err, errGroupEnds) {
			return err
		}
		select {
		case <-g.ended: // and then there is another
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// follow is serve for a caller whom group has counted, and counts no more, also after a panic.
func (g *group) follow(ctx context.Context, members int, fn func(context.Context, handlers.Delivery) error) error {
	defer g.engine.follows.Done()
	return g.serve(ctx, members, fn)
}

// errGroupEnds tells a newcomer that the group takes in nobody any more.
var errGroupEnds = errors.New("headrace: the group ends")

// group returns the group of this name, which runs, and counts the caller as a follower.
func (e *Engine) group(o FollowOptions) (*group, error) {
	match, err := handlers.NewMatch(o.Filter, e.types)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	g := e.groups[o.Name]
	switch {
	case e.closing.Load():
		return nil, ErrClosed
	case g != nil && !reflect.DeepEqual(g.options, o):
		return nil, fmt.Errorf("%w: %q", ErrGroup, o.Name)
	case g == nil && e.following[o.Name]:
		return nil, fmt.Errorf("%w: %q", ErrFollowing, o.Name)
	case g == nil:
		g = newGroup(e, o, match)
		e.groups[o.Name], e.following[o.Name], e.reading[g.reader] = g, true, true
		e.follows.Add(1) // the first member starts it
	}
	e.follows.Add(1)
	return g, nil
}

// group shares out what one reader reads.
type group struct {
	engine  *Engine
	options FollowOptions
	reader  *follower
	ctx     context.Context
	cancel  context.CancelCauseFunc
	ended   chan struct{} // closed when it has saved its checkpoint, and another one may begin
	room    chan struct{} // capacity 1: the window has changed, or nobody is left

	mu      sync.Mutex
	members []*member
	next    uint64               // id of the next member
	window  []*share             // handed out, by sequence; the first is not done
	keys    map[uint64]*assigned // those of which something is in the window
	bytes   int                  // of bodies in the window
	low     handlers.Checkpoint  // everything up to here is done
	unsaved int
	saving  bool // somebody writes the checkpoint
	started bool
	ending  bool  // nobody is left, or nobody may come
	over    bool  // nothing more comes; members return err
	err     error // why
	saveErr error // of the last checkpoint
	free    []*share
}

// share is one event that is handed out.
type share struct {
	d       handlers.Delivery
	at      handlers.Checkpoint
	through handlers.Checkpoint // what is passed over behind it ends here
	records int                 // up to there
	key     uint64
	keyed   bool
	done    bool
}

// assigned is whose a key is while something of it is on its way.
type assigned struct {
	owner *member
	count int
}

// member is one goroutine that calls the application.
type member struct {
	id    uint64
	queue []*share
	at    int64         // what it handles, 0 = nothing
	wake  chan struct{} // capacity 1
}

// positions says what each member has to do.
func (g *group) positions() []MemberPosition {
	g.mu.Lock()
	defer g.mu.Unlock()
	keys := make(map[*member]int, len(g.members))
	for _, a := range g.keys {
		keys[a.owner]++
	}
	all := make([]MemberPosition, len(g.members))
	for i, m := range g.members {
		all[i] = MemberPosition{Member: int64(m.id), Sequence: m.at, Waiting: len(m.queue), Keys: keys[m]}
	}
	return all
}

func newGroup(e *Engine, o FollowOptions, match *handlers.Match) *group {
	g := &group{engine: e, options: o, ended: make(chan struct{}), room: make(chan struct{}, 1), keys: map[uint64]*assigned{}}
	g.reader = &follower{engine: e, options: o, match: match, taker: g, path: filepath.Join(e.dir, checkpointFolder, o.Name)}
	g.reader.shown.Store(max(o.From, 1) - 1)
	g.ctx, g.cancel = context.WithCancelCause(context.Background())
	return g
}

// run reads the log until the end, or until nobody is left.
func (g *group) run() {
	e := g.engine
	stop := context.AfterFunc(e.followCtx, func() { g.cancel(ErrClosed) })
	defer stop()
	err := g.reader.run(g.ctx)
	if errors.Is(err, context.Canceled) && context.Cause(g.ctx) != nil {
		err = context.Cause(g.ctx)
	}
	g.mu.Lock()
	g.ending, g.over, g.err = true, true, err
	for _, m := range g.members {
		nudge(m.wake)
	}
	for len(g.members) > 0 || g.saving {
		g.mu.Unlock()
		<-g.room
		g.mu.Lock()
	}
	g.saveErr = g.save()
	g.mu.Unlock()
	e.mu.Lock()
	delete(e.groups, g.options.Name)
	delete(e.following, g.options.Name)
	delete(e.reading, g.reader)
	e.mu.Unlock()
	close(g.ended)
	e.follows.Done()
}

func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
