package journal

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
)

// Apply carries the plan out under the writer's lock, and verifies the result. progress, if not nil, is
// called before each step. A repair that was cut short by a crash is planned and applied again: what it
// had finished stays.
//
// Errors: ErrLocked while a writer has the journal; ErrRepair if the journal is not what it was when
// the plan was made; *NoSpaceError: a repair needs room for two copies of the largest segment
// that it rewrites; those of the operating system.
func (p *RepairPlan) Apply(progress func(done, total int)) (err error) {
	defer func() { err = named(err) }()
	lock, err := p.st.lock(p.Dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	now, err := makePlan(p.st, p.Dir, p.o)
	if err != nil {
		return err
	}
	if !p.same(now) {
		return fmt.Errorf("%w: %s has changed since the plan was made: plan again", ErrRepair, p.Dir)
	}
	for i := range now.Steps {
		if progress != nil {
			progress(i, len(now.Steps))
		}
		if err := now.step(&now.Steps[i]); err != nil {
			if isNoSpace(err) {
				err = &NoSpaceError{Dir: p.Dir, Bytes: now.Steps[i].bytes(), Err: err}
			}
			return errorf("repair %s: %w", now.Steps[i].File, err)
		}
	}
	if len(now.Steps) == 0 {
		return nil
	}
	if _, err = verify(unlocked{p.st}, p.Dir, VerifyOptions{Archives: p.o.Archives}); err != nil {
		err = errorf("%w: after the repair: %w", ErrRepair, err)
	}
	return err
}

func (s *RepairStep) bytes() int64 {
	if s.v == nil {
		return 0
	}
	return s.v.hdr.size
}

// step carries one step out: the new file is made whole beside the old one, the old one is copied
// aside, and then the new one takes the name.
func (p *RepairPlan) step(s *RepairStep) error {
	tmp := filepath.Join(p.Dir, s.File+spareSuffix)
	if err := removeIfThere(p.st, tmp); err != nil {
		return err
	}
	if s.Action == RepairChain {
		if err := p.writeChain(tmp, s.Offset); err != nil {
			return err
		}
	} else if err := p.write(tmp, s); err != nil {
		return err
	}
	if s.Aside {
		if err := p.copyAside(s.File); err != nil {
			return err
		}
	}
	if err := p.st.rename(tmp, filepath.Join(p.Dir, s.File)); err != nil {
		return err
	}
	return p.st.syncDir(p.Dir)
}

// copyAside copies the whole file aside.
func (p *RepairPlan) copyAside(name string) error {
	dir, err := p.s.asideDir()
	if err != nil {
		return err
	}
	f, err := p.st.open(filepath.Join(p.Dir, name), false)
	if err != nil {
		return err
	}
	defer f.close()
	n, err := f.size()
	if err != nil {
		return err
	}
	content := io.NewSectionReader(f, 0, n)
	to, have, err := p.s.asideNameFor(dir, name, content)
	if err != nil || have {
		return err
	}
	return p.s.copyAside(dir, to, content, n)
}

// writeChain copies the first n bytes of the chain to tmp.
func (p *RepairPlan) writeChain(tmp string, n int64) error {
	src, err := p.st.open(filepath.Join(p.Dir, chainName), false)
	if err != nil {
		return err
	}
	defer src.close()
	f, err := p.st.create(tmp, 0)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.NewOffsetWriter(f, 0), io.NewSectionReader(src, 0, n))
	if err == nil {
		err = f.sync()
	}
	return errors.Join(err, f.close())
}
