package watermill_test

import (
	"context"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/bridge/watermill"
	"github.com/headrace/headrace/event"
)

// What a consumer does to a message is not in the message when it comes again.
func TestNack_RedeliversWhatWasPublished(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	reg := event.NewRegistry()
	require.NoError(t, watermill.Register(reg))
	e, err := headrace.Open(t.TempDir(), headrace.NewTopology(reg), headrace.Options{})
	require.NoError(t, err)
	pub, err := watermill.NewPublisher(e, watermill.PublisherConfig{})
	require.NoError(t, err)
	m := message.NewMessage("id", []byte("payload"))
	m.Metadata.Set("n", "1")
	require.NoError(t, pub.Publish("topic", m))
	sub := watermill.NewSubscriber(e, watermill.SubscriberConfig{})
	messages, err := sub.Subscribe(ctx, "topic")
	require.NoError(t, err)
	for range 3 {
		m := <-messages
		require.Equal(t, "payload", string(m.Payload))
		require.Equal(t, message.Metadata{"n": "1"}, m.Metadata)
		copy(m.Payload, "damaged")
		m.Metadata.Set("n", "2")
		m.Nack()
	}
	m = <-messages
	require.Equal(t, "payload", string(m.Payload))
	m.Ack()
	require.NoError(t, sub.Close())
	require.NoError(t, e.Close(ctx))
}
