package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// interruptible returns a context that ends at the first SIGINT or SIGTERM. From then on signals do
// what they do by default, so that a second one ends the process. Call stop when it is over.
func interruptible(parent context.Context) (ctx context.Context, stop func()) {
	ctx, release := signal.NotifyContext(parent, os.Interrupt, syscall.SIGTERM)
	cancel := context.AfterFunc(ctx, release)
	return ctx, func() {
		cancel()
		release()
	}
}

// deaf makes a child leave ^C to its parent, which gets it too.
func deaf() { signal.Ignore(os.Interrupt) }
