// Package otel traces a headrace engine with OpenTelemetry: a span for each event that is published, and one for each
// call of a handler. It needs the API only; what becomes of the spans is the application's choice of SDK.
//
//	eng, err := headrace.Open(dir, topology, headrace.Options{Observer: otel.New(otel.Options{})})
//
// # Spans
//
// "publish TYPE", of kind producer, lies in the span of the caller's context. Its context travels in the event, in the
// log too, for as long as the log is kept.
//
// "process TYPE", of kind consumer, is one call of a handler, a projection's or an effect's included. It is
// the root of a trace of its own and has a link to the span in which its event was made: as OpenTelemetry's
// conventions for messaging have it, since an event may be handled by many, and long after. With
// Options.ChildSpans it lies in that span instead. What a handler emits is made in the handler's span, so the
// links lead from effect to cause through all of a conversation. The handler's context carries its span.
//
// A replay makes no spans, at Open or in headrace.Replay, and neither do the engine's own events.
//
// Attributes: messaging.system ("headrace"), messaging.operation.type, messaging.destination.name (the type),
// messaging.message.id, messaging.message.conversation_id (the correlation id), headrace.sequence,
// headrace.producer, headrace.handler, headrace.lane, headrace.attempt. Keys and payloads are not among them: they
// may be about people.
package otel

import (
	"context"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
)

// Options configure New. The zero value is the default.
type Options struct {
	// Provider is where the tracer comes from. Default OpenTelemetry's global one.
	Provider trace.TracerProvider

	// ChildSpans puts the span of a handler into that in which its event was made. Default a trace of its own,
	// with a link.
	ChildSpans bool
}

// Observer makes the spans. It may serve several engines, and is safe for concurrent use.
type Observer struct {
	tracer   trace.Tracer
	children bool
}

var _ headrace.Observer = (*Observer)(nil)

// Scope is the name of the instrumentation scope.
const Scope = "github.com/headrace/headrace/observe/otel"

// New returns an Observer for headrace.Options.Observer.
func New(o Options) *Observer {
	if o.Provider == nil {
		o.Provider = otel.GetTracerProvider()
	}
	return &Observer{tracer: o.Provider.Tracer(Scope), children: o.ChildSpans}
}

var (
	system  = attribute.String("messaging.system", "headrace")
	send    = attribute.String("messaging.operation.type", "send")
	process = attribute.String("messaging.operation.type", "process")
)

// Publishing implements headrace.Observer.
func (o *Observer) Publishing(ctx context.Context, p headrace.Publishing) (event.Trace, func(int64, error)) {
	options := []trace.SpanStartOption{
		trace.WithSpanKind(trace.SpanKindProducer),
		trace.WithAttributes(system, send, attribute.String("messaging.destination.name", p.Type), attribute.String("headrace.producer", p.Producer)),
	}
	if c := spanContext(p.Trace); c.IsValid() { // the publisher's own, which the event keeps
		options = append(options, trace.WithLinks(trace.Link{SpanContext: c}))
	}
	_, span := o.tracer.Start(ctx, "publish "+p.Type, options...)
	return traceOf(span.SpanContext()), func(seq int64, err error) {
		if err == nil {
			span.SetAttributes(attribute.Int64("headrace.sequence", seq))
		}
		end(span, err)
	}
}

// Handle implements handlers.Observer.
func (o *Observer) Handle(ctx context.Context, h handlers.Handling) (context.Context, event.Trace, func(error)) {
	attributes := []attribute.KeyValue{
		system, process, attribute.String("messaging.destination.name", h.Type),
		attribute.String("messaging.message.id", h.Event.ID().String()),
		attribute.String("headrace.handler", h.Handler), attribute.String("headrace.lane", h.Lane),
		attribute.Int64("headrace.sequence", h.Sequence), attribute.Int("headrace.attempt", h.Attempt),
	}
	if id := h.Event.CorrelationID(); !id.IsZero() {
		attributes = append(attributes, attribute.String("messaging.message.conversation_id", id.String()))
	}
	options := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(attributes...)}
	created := spanContext(h.Event.Trace())
	switch {
	case !created.IsValid():
	case o.children:
		ctx = trace.ContextWithRemoteSpanContext(ctx, created)
	default:
		options = append(options, trace.WithNewRoot(), trace.WithLinks(trace.Link{SpanContext: created}))
	}
	ctx, span := o.tracer.Start(ctx, "process "+h.Type, options...)
	return ctx, traceOf(span.SpanContext()), func(err error) { end(span, err) }
}

func end(span trace.Span, err error) {
	if err != nil {
		span.RecordError(err)
		span.SetStatus(codes.Error, err.Error())
	}
	span.End()
}

func traceOf(c trace.SpanContext) event.Trace {
	if !c.IsValid() {
		return event.Trace{}
	}
	return event.Trace{TraceID: c.TraceID(), SpanID: c.SpanID(), Flags: byte(c.TraceFlags())}
}

func spanContext(t event.Trace) trace.SpanContext {
	return trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: t.TraceID, SpanID: t.SpanID, TraceFlags: trace.TraceFlags(t.Flags), Remote: true,
	})
}
