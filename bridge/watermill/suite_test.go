package watermill_test

import (
	"context"
	"os"
	"testing"

	wm "github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"
	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/bridge/watermill"
	"github.com/headrace/headrace/event"
)

func engine(t *testing.T) *headrace.Engine {
	t.Helper()
	reg := event.NewRegistry()
	require.NoError(t, watermill.Register(reg))
	e, err := headrace.Open(t.TempDir(), headrace.NewTopology(reg), headrace.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close(context.Background())) })
	return e
}

// Watermill's own suite, on one engine for all of its tests; in its long form with HEADRACE_LONG=1.
func TestPubSub(t *testing.T) {
	e := engine(t)
	constructor := func(t *testing.T, group string) (message.Publisher, message.Subscriber) {
		p, err := watermill.NewPublisher(e, watermill.PublisherConfig{})
		require.NoError(t, err)
		return p, watermill.NewSubscriber(e, watermill.SubscriberConfig{Group: group})
	}
	features := tests.Features{
		ConsumerGroups: true, GuaranteedOrder: true, Persistent: true,
		ForceShort: os.Getenv("HEADRACE_LONG") == "",
	}
	each := func(t *testing.T) (message.Publisher, message.Subscriber) { return constructor(t, "suite") }
	tests.TestPubSub(t, features, each, constructor)

	old := features
	old.NewSubscriberReceivesOldMessages = true // of a group of its own
	t.Run("old", func(t *testing.T) {
		tests.TestNewSubscriberReceivesOldMessages(t, tests.TestContext{TestID: tests.NewTestID(), Features: old},
			func(t *testing.T) (message.Publisher, message.Subscriber) { return constructor(t, wm.NewUUID()) })
	})
	if !features.ForceShort {
		t.Run("stress", func(t *testing.T) { tests.TestPubSubStressTest(t, features, each, constructor) })
	}
}
