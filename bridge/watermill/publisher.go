package watermill

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/headrace/headrace"
)

// ErrClosed reports a call on a publisher or subscriber that was closed.
var ErrClosed = errors.New("watermill: closed")

// ErrTopic reports an empty topic.
var ErrTopic = errors.New("watermill: a topic has at least one character")

// Wait is what Publish waits for.
type Wait int

const (
	WaitWritten   Wait = iota // the messages survive the death of the process
	WaitDurable               // they survive a power cut
	WaitPublished             // nothing more: they are in the ring
)

// PublisherConfig configures a Publisher; the zero value is the default.
type PublisherConfig struct {
	Producer string // name in the events; default "watermill"
	Wait     Wait   // default WaitWritten
}

// Publisher is a message.Publisher. It may be used from several goroutines.
type Publisher struct {
	engine   *headrace.Engine
	producer *headrace.Producer
	wait     Wait

	mu     sync.RWMutex // held for reading while publishing
	closed bool
}

var _ message.Publisher = (*Publisher)(nil)

// NewPublisher returns a publisher into eng, whose registry has Message. Errors: headrace.ErrProducerName.
func NewPublisher(eng *headrace.Engine, c PublisherConfig) (*Publisher, error) {
	if c.Producer == "" {
		c.Producer = "watermill"
	}
	if c.Wait < WaitWritten || c.Wait > WaitPublished {
		return nil, fmt.Errorf("watermill: PublisherConfig.Wait = %d: want WaitWritten, WaitDurable or WaitPublished", c.Wait)
	}
	p, err := eng.Producer(c.Producer)
	if err != nil {
		return nil, err
	}
	return &Publisher{engine: eng, producer: p, wait: c.Wait}, nil
}

// Publish publishes the messages in their order and waits as configured. After an error those before the one that
// failed may be in the log. Each message's context bounds how long it waits for room. Errors: ErrClosed,
// ErrTopic, and those of headrace.Publish and of the wait.
func (p *Publisher) Publish(topic string, messages ...*message.Message) error {
	if topic == "" {
		return ErrTopic
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.closed {
		return ErrClosed
	}
	var last int64
	ctx := context.Background()
	for i, m := range messages {
		if m == nil {
			return fmt.Errorf("watermill: message %d of %d is nil", i, len(messages))
		}
		ctx = m.Context()
		e := Message{Topic: topic, UUID: m.UUID, Metadata: m.Metadata, Payload: m.Payload}
		seq, err := headrace.Publish(ctx, p.producer, e, headrace.Meta{Key: topic})
		if err != nil {
			return fmt.Errorf("watermill: message %s: %w", m.UUID, err)
		}
		last = seq
	}
	switch {
	case last == 0 || p.wait == WaitPublished:
		return nil
	case p.wait == WaitDurable:
		return p.engine.WaitDurable(ctx, last)
	}
	return p.engine.WaitWritten(ctx, last)
}

// Close refuses further messages, once those under way are published. The engine stays open.
func (p *Publisher) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	return nil
}
