package watermill

import (
	"context"
	"sync"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/headrace/headrace"
)

// SubscriberConfig configures a Subscriber; the zero value is the default.
type SubscriberConfig struct {
	Group           string // consumer group; default "default"
	CheckpointEvery int    // events, of any topic and type; default 1000
	// OnError is told when a subscription ends because of an error, such as that of an engine that has
	// halted; its channels are closed then. Default none.
	OnError func(error)
}

// Subscriber is a message.Subscriber, a member of a consumer group. It may be used from several goroutines.
type Subscriber struct {
	engine *headrace.Engine
	config SubscriberConfig

	mu      sync.Mutex
	closed  bool
	closing chan struct{}
	members sync.WaitGroup
}

var _ message.Subscriber = (*Subscriber)(nil)

// NewSubscriber returns a subscriber to the messages of eng.
func NewSubscriber(eng *headrace.Engine, c SubscriberConfig) *Subscriber {
	if c.Group == "" {
		c.Group = "default"
	}
	return &Subscriber{engine: eng, config: c, closing: make(chan struct{})}
}

// Subscribe returns a channel of the topic's messages, one at a time: the next comes after Ack. It is closed
// when ctx ends, the subscriber closes, or the engine closes or halts. Errors: ErrClosed, ErrTopic.
func (s *Subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	if topic == "" {
		return nil, ErrTopic
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	s.members.Add(1)
	out := make(chan *message.Message)
	ctx, cancel := context.WithCancel(ctx)
	stop := s.closing
	f := join(s.engine, topic, s.config)
	go func() {
		defer s.members.Done()
		defer close(out)
		defer f.leave()
		defer cancel()
		go func() { // the subscriber's end is the context's
			select {
			case <-stop:
				cancel()
			case <-ctx.Done():
			}
		}()
		f.serve(ctx, out)
	}()
	return out, nil
}

// Close ends all subscriptions. A message that was delivered and not acknowledged is delivered again, to another
// member or the next one. When it returns the channels are closed, and where no member of a group is left its
// checkpoint is saved. The engine stays open.
func (s *Subscriber) Close() error {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.closing)
	}
	s.mu.Unlock()
	s.members.Wait()
	return nil
}
