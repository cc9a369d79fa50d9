package otel_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/observe/otel"
)

type order struct{ Fail bool }
type placed struct{}

func build(inside *[]trace.SpanContext) (*headrace.Topology, *handlers.Projection[int]) {
	types := event.NewRegistry()
	event.MustRegister[order](types, "order", 1)
	event.MustRegister[placed](types, "placed", 1)
	top := headrace.NewTopology(types)
	handlers.Decide(top.Logic(), "orders", func(c *handlers.Context, o order) error {
		*inside = append(*inside, trace.SpanContextFromContext(c))
		if o.Fail {
			return errors.New("out of stock")
		}
		return handlers.Emit(c, placed{})
	})
	top.Logic().OnFailure("orders", handlers.FailurePolicy{Then: handlers.ThenSkip})
	count := handlers.NewProjection("count", new(int))
	handlers.Apply(count, func(n *int, _ *handlers.Context, _ placed) error { *n++; return nil })
	top.Project(count, headrace.LaneOptions{})
	return top, count
}

// run publishes two orders, of which the second fails, and returns the spans by name and place.
func run(t *testing.T, dir string, children bool) (spans map[string]sdk.ReadOnlySpan, caller trace.Span, inside []trace.SpanContext) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	recorder := tracetest.NewSpanRecorder()
	provider := sdk.NewTracerProvider(sdk.WithSpanProcessor(recorder))
	o := headrace.Options{Observer: otel.New(otel.Options{Provider: provider, ChildSpans: children})}
	top, count := build(&inside)
	e, err := headrace.Open(dir, top, o)
	require.NoError(t, err)
	web, err := e.Producer("web")
	require.NoError(t, err)
	ctx, caller = provider.Tracer("test").Start(ctx, "request")
	seq, err := headrace.Publish(ctx, web, order{}, headrace.Meta{})
	require.NoError(t, err)
	_, err = headrace.Publish(context.Background(), web, order{Fail: true}, headrace.Meta{})
	require.NoError(t, err)
	caller.End()
	require.NoError(t, e.Close(ctx))
	require.GreaterOrEqual(t, count.Sequence(), seq)
	spans = map[string]sdk.ReadOnlySpan{}
	for _, s := range recorder.Ended() {
		name := s.Name()
		for spans[name] != nil {
			name += "'"
		}
		spans[name] = s
	}

	// Open again: the replay calls handlers and makes no spans.
	before := len(recorder.Ended())
	top, _ = build(new([]trace.SpanContext))
	e, err = headrace.Open(dir, top, o)
	require.NoError(t, err)
	require.NoError(t, e.Close(ctx))
	require.Len(t, recorder.Ended(), before)
	return spans, caller, inside
}

func TestSpans_LinkToTheirCause(t *testing.T) {
	spans, caller, inside := run(t, t.TempDir(), false)
	require.Len(t, spans, 6) // request, two publishes, two orders, one placed
	publish, handle, count := spans["publish order"], spans["process order"], spans["process placed"]
	require.Equal(t, caller.SpanContext().SpanID(), publish.Parent().SpanID())
	require.Equal(t, trace.SpanKindProducer, publish.SpanKind())

	require.Equal(t, trace.SpanKindConsumer, handle.SpanKind())
	require.False(t, handle.Parent().IsValid())
	require.Equal(t, publish.SpanContext().SpanID(), handle.Links()[0].SpanContext.SpanID())
	require.NotEqual(t, publish.SpanContext().TraceID(), handle.SpanContext().TraceID())
	require.Equal(t, handle.SpanContext().SpanID(), inside[0].SpanID(), "the handler's context has its span")
	require.Equal(t, handle.SpanContext().SpanID(), count.Links()[0].SpanContext.SpanID(), "what it emits is made in its span")

	failed := spans["process order'"]
	require.Equal(t, codes.Error, failed.Status().Code)
	require.Equal(t, "out of stock", failed.Status().Description)
	attributes := map[string]string{}
	for _, a := range handle.Attributes() {
		attributes[string(a.Key)] = a.Value.Emit()
	}
	require.Equal(t, "orders", attributes["headrace.handler"])
	require.Equal(t, "order", attributes["messaging.destination.name"])
	require.NotEmpty(t, attributes["headrace.sequence"])
}

func TestSpans_ChildSpans(t *testing.T) {
	spans, caller, _ := run(t, t.TempDir(), true)
	for _, name := range []string{"publish order", "process order", "process placed"} {
		require.Equal(t, caller.SpanContext().TraceID(), spans[name].SpanContext().TraceID(), name)
	}
	require.Equal(t, spans["publish order"].SpanContext().SpanID(), spans["process order"].Parent().SpanID())
	require.Empty(t, spans["process order"].Links())
}

// Without an SDK there are no spans, and events bear no trace.
func TestNoSDK_NoTrace(t *testing.T) {
	o := otel.New(otel.Options{})
	got, end := o.Publishing(t.Context(), headrace.Publishing{Type: "order"})
	require.True(t, got.IsZero())
	end(1, nil)
}
