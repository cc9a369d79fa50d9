package main

import (
	"context"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"
)

// gochannelTopic is the one topic that everything goes through.
const gochannelTopic = "orders"

// gochannelEngine is Watermill's pub/sub in memory in the only mode that keeps messages in order: Publish
// returns when the subscriber has acknowledged. It has no log. Its buffer makes no difference then, since
// there is one message on its way at a time.
func gochannelEngine(w Work, m *meter) (res Result, err error) {
	ps := gochannel.NewGoChannel(gochannel.Config{BlockPublishUntilSubscriberAck: true}, watermill.NopLogger{})
	messages, err := ps.Subscribe(context.Background(), gochannelTopic)
	if err != nil {
		return Result{}, err
	}
	model, handled := newLedger(), make(chan error, 1)
	go func() { handled <- gochannelHandle(messages, model, m) }()

	var o order
	publish := func(i int) error {
		newOrder(&o, i)
		body, err := o.AppendMsgpack(make([]byte, 0, orderBytes)) // the message keeps it
		if err != nil {
			return err
		}
		return ps.Publish(gochannelTopic, message.NewMessage(watermill.NewUUID(), body))
	}
	start := time.Now()
	err = m.publishAll(w.Events, publish)
	elapsed := time.Since(start) // all are handled: each was acknowledged
	if cerr := ps.Close(); err == nil {
		err = cerr
	}
	if herr := <-handled; err == nil {
		err = herr
	}
	return Result{Elapsed: elapsed, Sum: model.sum}, err
}

// gochannelHandle decodes and handles until the subscription ends. A message that cannot be decoded is
// acknowledged too, so that the producer does not hang.
func gochannelHandle(messages <-chan *message.Message, model *ledger, m *meter) (failed error) {
	var o order
	for msg := range messages {
		if err := o.DecodeMsgpackBytes(msg.Payload); err != nil && failed == nil {
			failed = err
		}
		model.apply(&o)
		if m != nil {
			m.handled(int(o.Number), int(o.Number))
		}
		msg.Ack()
	}
	return failed
}
