package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/headrace/headrace/cmd/demo/internal/fulfil"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/journal"
)

// upgradeFile says where the log ended when the second version of the shop first opened it. Whoever starts that
// version writes it before: the log's own word for it is what is to be proved.
const upgradeFile = "upgraded"

// noteUpgrade writes upgradeFile, unless it is there.
func noteUpgrade(dir string) error {
	path := filepath.Join(dir, upgradeFile)
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	report, err := journal.Verify(dir, journal.VerifyOptions{})
	if err != nil && !errors.Is(err, journal.ErrNotFound) {
		return err
	}
	return replaceFile(path, append(strconv.AppendInt(nil, report.Last, 10), '\n'))
}

// loadUpgrade reads upgradeFile; 0 if there is none.
func loadUpgrade(dir string) (int64, error) {
	data, err := os.ReadFile(filepath.Join(dir, upgradeFile))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	seq, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", upgradeFile, err)
	}
	return seq, nil
}

// checkVersion holds the opening of an order, and what only the second version does, to errVersions.
func (in *inspector) checkVersion(c *handlers.Context, l *course, e fulfil.Event) error {
	if _, review := e.(fulfil.ReviewAsked); review {
		if l.completed && l.ended <= in.proof.upgraded {
			return broken(errVersions, c, l.order, "a review is asked for, and it was completed at event %d, before the version that asks began at %d", l.ended, in.proof.upgraded)
		}
		completed := l.ended
		if !l.completed {
			completed = 0
		}
		return once(c, errVersions, l, &l.reviewed, completed, "asked for a review", "completed")
	}
	o, ok := e.(fulfil.OrderOpened)
	if !ok {
		return nil
	}
	old := c.Event().Version() == 1
	if old {
		in.found.Old++
	}
	placed := in.placed[o.Order]
	if placed == nil {
		return broken(errVersions, c, o.Order, "it is opened again, or was not placed")
	}
	delete(in.placed, o.Order)
	want := fulfil.Open(placed).Lift()
	if o.AmountMilli != placed.AmountMilli() || o.Customer != want.Customer || o.Day != want.Day || !slices.Equal(o.Items, want.Items) {
		return broken(errVersions, c, o.Order, "written in version %d it is %+v, placed was %+v", c.Event().Version(), o, want)
	}
	l.opened, l.amount = c.Sequence(), o.AmountMilli
	in.found.Orders++
	return nil
}
