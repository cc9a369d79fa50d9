// Package cloudevents turns events into CloudEvents 1.0 and back: structured JSON, batches of it, and
// the binary mode of HTTP and of brokers that have headers.
//
//	m, err := cloudevents.New(types, d.Type, d.Sequence, d.Event, cloudevents.Options{Source: "/shop"})
//	text, err := m.AppendJSON(nil)        // structured
//	err = m.SetHTTP(request.Header)       // binary: attributes in headers, m.Data is the body
//
//	m, err = cloudevents.ParseJSON(text)
//	header, name, payload, err := m.Event(types)
//
// # Attributes
//
//	id               eventId
//	source           Options.Source, and behind a slash the producer
//	type             the type's name
//	subject          the key
//	time             when it happened
//	datacontenttype  application/json, or application/msgpack with Options.Msgpack
//	partitionkey     the key (CloudEvents' partitioning extension)
//	sequence         the sequence in the log, in decimal (its sequence extension)
//	traceparent      the trace context (its distributed tracing extension)
//	eventversion     the version of the type, in decimal
//	eventkind        notification, command or document
//	streamversion    the event's number in the stream of its key, in decimal
//	inboxsource      where outside the event came from (Header.Source)
//	inboxoffset      its place there, in decimal
//	correlationid, causationid, producer, idempotent
//
// What an event does not have is left out. Origin and Header.Extensions stay at home: they mean something
// in the log that wrote them only. Header.Source is not the attribute source: that says who tells of the event, must be a
// URI reference, and belongs to the id.
//
// A CloudEvent of another system may have any text as its id. One that is no UUID becomes the id that
// event.IDFromName gives for source and id together, which is what makes a CloudEvent unique; and
// every CloudEvent read is marked idempotent, so that publishing it again is recognised as a repeat.
package cloudevents
