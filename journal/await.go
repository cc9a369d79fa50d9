package journal

import "context"

// How a caller waits: until something is written, or durable.

// Sync returns once everything that was committed before the call is durable. Calls that
// overlap share syncs. Errors: ErrPoisoned, ErrClosed.
func (j *Journal) Sync() error {
	j.promise.Store(true)
	ticket := j.wanted.Add(1)
	j.pokeSyncer()
	return j.await(context.Background(), &j.syncs, ticket)
}

// RequestSync asks for a sync of what is committed now and does not wait.
func (j *Journal) RequestSync() {
	j.wanted.Add(1)
	j.pokeSyncer()
}

// WaitWritten returns nil once seq is committed. Errors: ctx's; the sticky error.
func (j *Journal) WaitWritten(ctx context.Context, seq int64) error {
	return j.await(ctx, &j.written, seq)
}

// WaitDurable returns nil once seq is durable. It starts no sync of its own, except in mode
// None, where it asks for one, shared by all who wait, as soon as seq is written. In modes None and Batch
// a caller whose ctx cannot end may do the sync itself, for all, which saves two switches between
// goroutines. Errors: ctx's; the sticky error.
func (j *Journal) WaitDurable(ctx context.Context, seq int64) error {
	if j.Durable() >= seq {
		return nil
	}
	mode := j.o.Durability.mode
	if mode == modeNone {
		if err := j.WaitWritten(ctx, seq); err != nil {
			return err
		}
		j.wanted.Add(1)
	}
	if mode == modeNone || mode == modeBatch {
		if ctx.Done() != nil || j.Written() < seq || !j.lead() {
			j.pokeSyncer()
		}
	}
	return j.await(ctx, &j.durable, seq)
}

func (j *Journal) await(ctx context.Context, c *cursor, target int64) error {
	if c.value.Load() >= target {
		return nil
	}
	w := waiters.Get().(*waiter)
	defer waiters.Put(w)
	return c.wait(ctx, target, w, j.Err)
}
