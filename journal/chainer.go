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
	"time"
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

	// The goroutine's.
	h     *hasher // of the segment after whole, if begun
	whole Link    // the newest link that is no tail
	tails []Link  // tail links after it
	every time.Duration
	asked atomic.Int64 // somebody waits for a link that covers it

	mu      sync.Mutex
	changed sync.Cond
	last    Link   // the newest link
	covered uint64 // the segment of whole
	err     error
	end     int64 // of the file
	stopped bool
}

// tailsPerPace is after how many tail links of a segment the pause between two is doubled, so that a
// segment that takes a year to fill does not fill the chain.
const tailsPerPace = 64

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
	c := &chainer{j: j, wake: make(chan struct{}, 1), signer: j.o.Signer, f: f, end: end, every: j.o.ChainEvery}
	c.changed.L = &c.mu
	if len(links) > 0 {
		c.last, c.whole = links[len(links)-1], lastWhole(links)
		c.covered = c.whole.Segment
		if c.last.Tail {
			c.tails = append(c.tails, tailsOf(links, c.last.Segment)...)
		}
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
	c.poke()
}

func (c *chainer) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *chainer) run() {
	pause := time.NewTimer(time.Hour)
	pause.Stop()
	defer pause.Stop()
	if c.every > 0 {
		pause.Reset(c.every)
	}
	for {
		tail := false
		select {
		case <-c.j.stop:
			return
		case <-c.wake:
		case <-pause.C:
			tail = true
			pause.Reset(c.every << min(len(c.tails)/tailsPerPace, 20))
		}
		err := c.extend()
		if err == nil && (tail || c.asked.Load() > c.last.Last) {
			err = c.extendTail()
		}
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
		if seg.id <= c.whole.Segment || seg.id > c.below.Load() {
			continue
		}
		if err := c.begin(seg); err != nil {
			return err
		}
		if err := c.h.run(hashing{marks: c.tails, stop: c.stopping}); err != nil {
			return c.giveUp(err)
		}
		l := c.h.link()
		if err := c.giveUp(nil); err != nil {
			return err
		}
		if err := c.append(l); err != nil {
			return err
		}
	}
	return nil
}

// extendTail appends a tail link that covers what is durable of the segment that is written to, if
// that is more than the last link does.
func (c *chainer) extendTail() error {
	segs, _, _, err := listSegments(c.j.st, c.j.dir)
	if err != nil {
		return err
	}
	for _, seg := range segs {
		if seg.id <= c.whole.Segment {
			continue
		}
		if err := c.begin(seg); err != nil {
			return err
		}
		h := c.h
		if durable := c.j.Durable(); durable > h.last {
			if err := h.run(hashing{last: durable, marks: c.tails, stop: c.stopping}); err != nil {
				return c.giveUp(err)
			}
		}
		if h.sealed || h.tree.n == 0 || len(c.tails) > 0 && h.tree.n <= c.tails[len(c.tails)-1].Records {
			return nil // sealed meanwhile: extend is next
		}
		return c.append(h.link())
	}
	return nil
}

// begin makes c.h the hasher of seg, which follows the last whole link.
func (c *chainer) begin(seg *found) error {
	if c.h != nil && c.h.hdr.id == seg.id {
		return nil
	}
	if err := c.giveUp(nil); err != nil {
		return err
	}
	if c.whole.Segment != 0 && seg.first != c.whole.Last+1 || len(c.tails) > 0 && c.tails[0].Segment != seg.id {
		return &CorruptionError{seg.name, 0, seg.first, fmt.Errorf("%w: the chain ends at sequence %d", ErrChain, c.last.Last)}
	}
	h, err := openHasher(c.j.st, filepath.Join(c.j.dir, seg.name), c.j.o.Archives)
	if err == nil {
		c.h = h
	}
	return err
}

// giveUp ends the hasher and returns err, joined with what that gave.
func (c *chainer) giveUp(err error) error {
	err = errors.Join(err, c.h.close())
	c.h = nil
	return err
}

// append signs the link and writes it, durably.
func (c *chainer) append(l Link) error {
	l.Previous = c.whole.Root
	l.Root = l.root()
	if err := sign(&l, c.signer); err != nil {
		return err
	}
	if c.end >= maxLinks*linkBytes {
		return fmt.Errorf("%w: it is full: %d links", ErrChain, maxLinks)
	}
	b := make([]byte, linkBytes)
	l.encode(b)
	if err := c.j.withRoom(func() error { _, err := c.f.WriteAt(b, c.end); return err }); err != nil {
		return err
	}
	if err := c.f.sync(); err != nil {
		return err
	}
	if l.Tail {
		c.tails = append(c.tails, l)
	} else {
		c.whole, c.tails = l, c.tails[:0]
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last, c.covered = l, c.whole.Segment
	c.end += linkBytes
	c.changed.Broadcast()
	return nil
}

// sign signs the link, if there is a signer, and checks what it gave.
func sign(l *Link, signer crypto.Signer) error {
	if signer == nil {
		return nil
	}
	sig, err := signer.Sign(rand.Reader, l.message(), crypto.Hash(0))
	if err != nil {
		return errorf("sign the chain: %w", err)
	}
	key, _ := signer.Public().(ed25519.PublicKey)
	l.PublicKey, l.Signature = key, sig
	return l.check(key)
}

// ChainNow returns a link that covers everything that was durable at the call: a tail link if that
// lies in the segment that is written to. Its root is what to keep outside, as an anchor. Only with
// Options.Chain; errors as of WaitChained, and ErrNotChained if nothing is durable yet.
func (j *Journal) ChainNow(ctx context.Context) (Link, error) {
	c := j.chain
	if c == nil {
		return Link{}, fmt.Errorf("%w: Options.Chain is off", ErrNotChained)
	}
	durable := j.Durable()
	if durable < j.FirstSequence() {
		return Link{}, fmt.Errorf("%w: nothing is durable yet", ErrNotChained)
	}
	for {
		asked := c.asked.Load()
		if asked >= durable || c.asked.CompareAndSwap(asked, durable) {
			break
		}
	}
	c.poke()
	return j.WaitChained(ctx, durable)
}

// WaitChained returns the newest link once the chain covers sequence seq: once its segment is sealed
// and durable, or with the next tail link; see Options.ChainEvery. Only with Options.Chain. Errors: ctx's; ErrClosed;
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
	return errors.Join(c.h.close(), c.f.close())
}
