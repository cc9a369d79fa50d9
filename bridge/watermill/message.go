package watermill

import (
	"github.com/headrace/headrace/event"
)

// MessageType is the name of the events that carry messages.
const MessageType = "watermill.message"

// Message is the event that carries a Watermill message. Handlers and projections of the engine may ask for it like
// for any other type.
type Message struct {
	Topic    string            `msgpack:"topic"`
	UUID     string            `msgpack:"uuid"`
	Metadata map[string]string `msgpack:"metadata"`
	Payload  []byte            `msgpack:"payload"`
}

// Register makes Message known to a registry, before the engine opens. Its errors are those of event.Register.
func Register(r *event.Registry) error {
	_, err := event.Register[Message](r, MessageType, 1)
	return err
}
