package watermill

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"sync"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/handlers"
)

// feed is the follower that reads a topic for a group. It offers one message at a time to whichever member is
// free, and goes on when that one has acknowledged it. It lives as long as it has members.
type feed struct {
	key     feedKey
	topic   string
	work    chan offer
	cancel  context.CancelFunc
	done    chan struct{} // closed when the follower has ended
	members int           // guarded by feeds.mu; 0 = it is ending
}

type feedKey struct {
	engine *headrace.Engine
	name   string
}

// offer is a message on its way to a member. The member sends whether it was acknowledged, once.
type offer struct {
	event Message
	acked chan bool
}

// feeds are those of this process, so that the subscribers of a group find each other.
var feeds = struct {
	mu    sync.Mutex
	byKey map[feedKey]*feed
}{byKey: map[feedKey]*feed{}}

// checkpointName turns a group and a topic, which may be any text, into the name of a follower.
func checkpointName(group, topic string) string {
	g, t := sha256.Sum256([]byte(group)), sha256.Sum256([]byte(topic))
	return "watermill." + hex.EncodeToString(g[:16]) + "." + hex.EncodeToString(t[:16])
}

// join returns the feed of the group and topic, with one member more.
func join(e *headrace.Engine, topic string, c SubscriberConfig) *feed {
	key := feedKey{e, checkpointName(c.Group, topic)}
	for {
		feeds.mu.Lock()
		f := feeds.byKey[key]
		if f == nil {
			f = start(key, topic, c)
			feeds.byKey[key] = f
		} else if f.members == 0 { // ending: its checkpoint is where the next one begins
			feeds.mu.Unlock()
			<-f.done
			continue
		}
		f.members++
		feeds.mu.Unlock()
		return f
	}
}

func start(key feedKey, topic string, c SubscriberConfig) *feed {
	ctx, cancel := context.WithCancel(context.Background())
	f := &feed{key: key, topic: topic, work: make(chan offer), cancel: cancel, done: make(chan struct{})}
	go func() {
		err := key.engine.Follow(ctx, headrace.FollowOptions{Name: key.name, CheckpointEvery: c.CheckpointEvery}, f.deliver)
		cancel()
		feeds.mu.Lock()
		delete(feeds.byKey, key)
		feeds.mu.Unlock()
		close(f.done)
		if err != nil && c.OnError != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, headrace.ErrClosed) {
			c.OnError(err)
		}
	}()
	return f
}

// leave takes a member away; the last one waits until the follower has saved its checkpoint.
func (f *feed) leave() {
	feeds.mu.Lock()
	f.members--
	last := f.members == 0
	feeds.mu.Unlock()
	if last {
		f.cancel()
		<-f.done
	}
}

// deliver offers a message to the members until one acknowledges it. An engine that closes waits for that, as
// long as its Close allows.
func (f *feed) deliver(ctx context.Context, d handlers.Delivery) error {
	if string(d.Event.KeyBytes()) != f.topic {
		return nil
	}
	m, ok, err := handlers.Decode[Message](d)
	if err != nil || !ok {
		return err
	}
	o := offer{event: m, acked: make(chan bool, 1)}
	for {
		select {
		case f.work <- o:
			if <-o.acked {
				return nil
			}
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// serve is a member: it takes offers and hands them on to out, until ctx or the feed ends.
func (f *feed) serve(ctx context.Context, out chan<- *message.Message) {
	for ctx.Err() == nil {
		select {
		case o := <-f.work:
			o.acked <- hand(ctx, o.event, out)
		case <-ctx.Done():
		case <-f.done:
			return
		}
	}
}

// hand delivers one message, and tells whether it was acknowledged.
func hand(ctx context.Context, e Message, out chan<- *message.Message) bool {
	m := message.NewMessage(e.UUID, bytes.Clone(e.Payload)) // it may come again, and then as it was
	maps.Copy(m.Metadata, e.Metadata)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // what the message is worked on with ends with its acknowledgement
	m.SetContext(ctx)
	select {
	case out <- m:
	case <-ctx.Done():
		return false
	}
	select {
	case <-m.Acked():
		return true
	case <-m.Nacked():
		return false
	case <-ctx.Done():
	}
	select {
	case <-m.Acked(): // at the same moment
		return true
	default:
		return false
	}
}
