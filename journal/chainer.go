package journal

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
)

// chainer hashes sealed, durable segments in a goroutine of its own and appends their links to
// the chain. The writer knows nothing of it; what it has not done at Close, or at a crash, the
// next one does.
type chainer struct {
	j      *Journal
	wake   chan struct{}
	below  atomic.Uint64 // segments with ids up to it are sealed and durable
	signer crypto.Signer
	f      file

	mu      sync.Mutex
	changed sync.Cond
	last    Link // the newest link
	err     error
	end     int64 // of the file
	stopped bool
}

// openChain reads the chain and starts the goroutine; nothing without Options.Chain.
func (j *Journal) openChain() error {
	if !j.o.Chain {
		return nil
	}
	links, end, err := readChain(j.st, j.dir, j.uuid)
	if err != nil {
		return err
	}
	path := filepath.Join(j.dir, chainName)
	f, err := j.st.open(path, true)
	if errors.Is(err, os.ErrNotExist) {
		if f, err = j.st.create(path, 0); err == nil {
			err = errors.Join(f.sync(), j.st.syncDir(j.dir))
		}
	}
	if err != nil {
		return err
	}
	c := &chainer{j: j, wake: make(chan struct{}, 1), signer: j.o.Signer, f: f, end: end}
	c.changed.L = &c.mu
	if len(links) > 0 {
		c.last = links[len(links)-1]
	}
	j.chain = c
	return nil
}

// sealedUpTo tells the chainer that segments with ids up to id are sealed and durable.
func (c *chainer) sealedUpTo(id uint64) {
	if c == nil {
		return
	}
	c.below.Store(id)
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *chainer) run() {
	for {
		select {
		case <-c.j.stop:
			return
		case <-c.wake:
		}
		err := c.extend()
		c.mu.Lock()
		if c.err = err; errors.Is(err, ErrClosed) {
			c.err = nil
		}
		c.changed.Broadcast()
		c.mu.Unlock()
		if err != nil && !errors.Is(err, ErrClosed) {
			c.j.o.Logger.Error("journal: the chain does not go on", "dir", c.j.dir, "err", err)
		}
	}
}

func (c *chainer) stopping() bool {
	select {
	case <-c.j.stop:
		return true
	default:
		return false
	}
}

// extend appends links until every sealed segment has one.
func (c *chainer) extend() error {
	segs, _, _, err := listSegments(c.j.st, c.j.dir)
	if err != nil {
		return err
	}
	for _, seg := range segs {
		if seg.id <= c.last.Segment || seg.id > c.below.Load() {
			continue
		}
		if c.last.Segment != 0 && seg.first != c.last.Last+1 {
			return &CorruptionError{seg.name, 0, seg.first, fmt.Errorf("%w: the chain ends at sequence %d", ErrChain, c.last.Last)}
		}
		l, err := hashSegment(c.j.st, c.j.dir, seg, nil, c.stopping)
		if err != nil {
			return err
		}
		l.Previous = c.last.Root
		l.Root = l.root()
		if err := sign(&l, c.signer); err != nil {
			return err
		}
		b := make([]byte, linkBytes)
		l.encode(b)
		if _, err := c.f.WriteAt(b, c.end); err != nil {
			return err
		}
		if err := c.f.sync(); err != nil {
			return err
		}
		c.mu.Lock()
		c.last = l
		c.end += linkBytes
		c.changed.Broadcast()
		c.mu.Unlock()
	}
	return nil
}

// sign signs the link, if there is a signer, and checks what it gave.
func sign(l *Link, signer crypto.Signer) error {
	if signer == nil {
		return nil
	}
	sig, err := signer.Sign(rand.Reader, l.message(), crypto.Hash(0))
	if err != nil {
		return fmt.Errorf("journal: sign the chain: %w", err)
	}
	key, _ := signer.Public().(ed25519.PublicKey)
	l.PublicKey, l.Signature = key, sig
	return l.check(key)
}

// WaitChained returns the newest link once the chain covers sequence seq, which must lie in a
// sealed and durable segment for that to come. Only with Options.Chain. Errors: ctx's; ErrClosed;
// ErrNotChained without a chain; what keeps the chain from going on, such as a signer that fails.
func (j *Journal) WaitChained(ctx context.Context, seq int64) (Link, error) {
	c := j.chain
	if c == nil {
		return Link{}, fmt.Errorf("%w: Options.Chain is off", ErrNotChained)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	defer context.AfterFunc(ctx, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.changed.Broadcast()
	})()
	for c.last.Segment == 0 || c.last.Last < seq {
		if c.err != nil {
			return c.last, c.err
		}
		if c.stopped {
			return c.last, ErrClosed
		}
		if err := ctx.Err(); err != nil {
			return c.last, err
		}
		c.changed.Wait()
	}
	return c.last, nil
}

// close wakes who waits, after the goroutine has ended.
func (c *chainer) close() error {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	c.stopped = true
	c.changed.Broadcast()
	c.mu.Unlock()
	return c.f.close()
}
