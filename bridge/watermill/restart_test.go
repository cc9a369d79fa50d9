package watermill_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/bridge/watermill"
	"github.com/headrace/headrace/event"
)

// A group goes on behind what it has acknowledged when the engine is opened anew, and what was delivered and not
// acknowledged comes again, as it was published.
func TestSubscriber_GoesOnAfterARestart(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	for run, want := range []string{"0", "1"} {
		reg := event.NewRegistry()
		require.NoError(t, watermill.Register(reg))
		e, err := headrace.Open(dir, headrace.NewTopology(reg), headrace.Options{})
		require.NoError(t, err)
		pub, err := watermill.NewPublisher(e, watermill.PublisherConfig{Wait: watermill.WaitDurable})
		require.NoError(t, err)
		if run == 0 {
			for i := range 2 {
				m := message.NewMessage(fmt.Sprint("id-", i), []byte(fmt.Sprint(i)))
				m.Metadata.Set("n", fmt.Sprint(i))
				require.NoError(t, pub.Publish("topic", m))
				require.NoError(t, pub.Publish("other", message.NewMessage("x", nil)))
			}
		}
		sub := watermill.NewSubscriber(e, watermill.SubscriberConfig{Group: "group"})
		messages, err := sub.Subscribe(ctx, "topic")
		require.NoError(t, err)
		m := <-messages
		require.Equal(t, want, string(m.Payload))
		require.Equal(t, "id-"+want, m.UUID)
		require.Equal(t, message.Metadata{"n": want}, m.Metadata)
		require.True(t, m.Ack())
		if run == 0 {
			<-messages // and never acknowledged
		}
		require.NoError(t, sub.Close())
		_, open := <-messages
		require.False(t, open)
		_, err = sub.Subscribe(ctx, "topic")
		require.ErrorIs(t, err, watermill.ErrClosed)
		require.NoError(t, pub.Close())
		require.ErrorIs(t, pub.Publish("topic", message.NewMessage("late", nil)), watermill.ErrClosed)
		require.NoError(t, e.Close(ctx))
	}
}

func TestTopicIsNotEmpty(t *testing.T) {
	e := engine(t)
	pub, err := watermill.NewPublisher(e, watermill.PublisherConfig{})
	require.NoError(t, err)
	require.ErrorIs(t, pub.Publish(""), watermill.ErrTopic)
	_, err = watermill.NewSubscriber(e, watermill.SubscriberConfig{}).Subscribe(context.Background(), "")
	require.ErrorIs(t, err, watermill.ErrTopic)
	_, err = watermill.NewPublisher(e, watermill.PublisherConfig{Wait: 9})
	require.Error(t, err)
}

func Example() {
	ctx := context.Background()
	dir := mustTempDir()
	defer removeAll(dir)
	reg := event.NewRegistry()
	must(watermill.Register(reg))
	eng, err := headrace.Open(dir, headrace.NewTopology(reg), headrace.Options{})
	must(err)
	pub, err := watermill.NewPublisher(eng, watermill.PublisherConfig{})
	must(err)
	sub := watermill.NewSubscriber(eng, watermill.SubscriberConfig{Group: "mails"})
	messages, err := sub.Subscribe(ctx, "orders")
	must(err)

	must(pub.Publish("orders", message.NewMessage("17", []byte("three bolts"))))
	m := <-messages
	fmt.Println(m.UUID, string(m.Payload))
	m.Ack()

	must(pub.Close())
	must(sub.Close())
	must(eng.Close(ctx))
	// Output: 17 three bolts
}
