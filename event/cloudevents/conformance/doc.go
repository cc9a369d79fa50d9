// Package conformance checks package cloudevents against the CloudEvents project's own Go SDK: what
// one writes the other reads with the same meaning, in the structured mode, in batches and in the
// binary mode of HTTP. It is a module of its own, so that nobody else depends on the SDK.
package conformance
