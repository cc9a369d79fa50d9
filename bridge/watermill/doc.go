// Package watermill is Watermill's message.Publisher and message.Subscriber over a headrace engine: messages are
// events in its log, in order, and each consumer group has a checkpoint in the engine's directory.
//
//	reg := event.NewRegistry()
//	watermill.Register(reg)
//	eng, err := headrace.Open(dir, headrace.NewTopology(reg), headrace.Options{})
//	pub, err := watermill.NewPublisher(eng, watermill.PublisherConfig{})
//	sub := watermill.NewSubscriber(eng, watermill.SubscriberConfig{Group: "mails"})
//
// # What holds
//
//   - A topic is the event's key and a field of it. UUID, metadata and payload are carried through as they are; the
//     message's context is not. Events of other types in the same log are not seen.
//   - Within a topic and a group, messages are delivered in the order of the log, one at a time: the next when
//     the one before is acknowledged. One that is not (Nack, or whose subscriber closes) is delivered again, to
//     any member of the group.
//   - Subscriptions of the same group and topic share the messages, within this process. Each group gets all.
//     A group that is new begins at the start of the log.
//   - Delivery is at least once: the checkpoint is saved every CheckpointEvery events and when the last member leaves,
//     and what came after it is delivered again after a crash.
//   - Subscribers see what is durable, so a power cut never takes back what was delivered; in durability mode None,
//     what is written.
//
// Closing publishers and subscribers leaves the engine open: close them first, then the engine.
package watermill
