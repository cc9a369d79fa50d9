package main

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/headrace/headrace/cmd/demo/internal/shop"
	"github.com/headrace/headrace/journal"
)

// summaryFile is where a run leaves its figures, for verify to compare a replay with.
const summaryFile = "summary.json"

// countLog returns what the journal in dir holds, by its headers.
func countLog(dir string) (log shop.Log, err error) {
	r, err := journal.OpenReader(dir, 0, journal.ReaderOptions{})
	if err != nil {
		return log, err
	}
	_, err = r.Read(func(rec journal.Record) error {
		log.Last = rec.Sequence
		if rec.Kind == journal.KindEvent {
			log.Events++
		}
		return nil
	})
	durable, derr := r.Durable()
	log.Durable = durable
	return log, errors.Join(err, derr, r.Close())
}

// storeSummary replaces the stored summary of dir.
func storeSummary(dir string, m shop.Summary) error {
	var text bytes.Buffer
	if err := m.WriteJSON(&text); err != nil {
		return err
	}
	return replaceFile(filepath.Join(dir, summaryFile), text.Bytes())
}

// replaceFile replaces a file: after a crash it is the old or the new one, whole.
func replaceFile(path string, data []byte) (err error) {
	f, err := os.OpenFile(path+".tmp", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(path+".tmp"))
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// loadSummary returns the stored summary of dir, and false if there is none.
func loadSummary(dir string) (shop.Summary, bool, error) {
	data, err := os.ReadFile(filepath.Join(dir, summaryFile))
	if errors.Is(err, fs.ErrNotExist) {
		return shop.Summary{}, false, nil
	}
	if err != nil {
		return shop.Summary{}, false, err
	}
	m, err := shop.ParseSummary(data)
	return m, err == nil, err
}
