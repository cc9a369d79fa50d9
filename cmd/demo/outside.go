package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/headrace/headrace/cmd/demo/internal/fulfil"
)

// outsideName is the command by which the demo starts itself as a party outside: a process with a ledger of its own.
const outsideName = "outside"

const (
	gatewayParty = "gateway"
	mailParty    = "mail"

	outsideDir = "outside" // below the journal's directory: a file for each party
	lateBy     = 150 * time.Millisecond
)

// ledgerEntry is one line of a party's ledger. A key stands there once, however often it is asked for.
type ledgerEntry struct {
	Op          string `json:"op"` // charge, refund or mail
	Key         string `json:"key"`
	Order       string `json:"order"`
	AmountMilli int64  `json:"amount_milli,omitempty"`
	reply
}

// party answers calls, each key in the same way for ever. What it says is in its ledger, synced, before it says it.
type party struct {
	seed uint64

	mu    sync.Mutex
	file  *os.File
	known map[string]ledgerEntry
	asked map[string]int // by key, in this process
}

// readLedger reads a ledger; whole is the length of its complete lines.
func readLedger(path string) (all []ledgerEntry, whole int64, err error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	for line := range strings.Lines(string(data)) {
		if !strings.HasSuffix(line, "\n") {
			break // a kill has torn it: nobody was told of it
		}
		var e ledgerEntry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			return nil, 0, fmt.Errorf("%s, byte %d: %w", path, whole, err)
		}
		all = append(all, e)
		whole += int64(len(line))
	}
	return all, whole, nil
}

func openParty(path string, seed uint64) (*party, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	all, whole, err := readLedger(path)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	p := &party{seed: seed, file: f, known: map[string]ledgerEntry{}, asked: map[string]int{}}
	for _, e := range all {
		p.known[e.Key] = e
	}
	err = f.Truncate(whole)
	if err == nil {
		_, err = f.Seek(whole, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return p, nil
}

// chance draws a number below n that depends on the seed and name.
func (p *party) chance(name string, n uint32) uint32 {
	return fulfil.Chance(strconv.FormatUint(p.seed, 10)+"/"+name, n)
}

// record makes the answer to a key, and keeps it.
func (p *party) record(op, key string, q call) (e ledgerEntry, times int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked[key]++
	times = p.asked[key]
	if e, ok := p.known[key]; ok {
		if e.Op != op || e.Order != q.Order || e.AmountMilli != q.AmountMilli {
			return e, times, fmt.Errorf("key %s was used for something else", key)
		}
		return e, times, nil
	}
	if op != mailParty && times == 1 && p.chance("busy/"+q.Order+op, 20) == 0 {
		return e, times, errBusy
	}
	e = ledgerEntry{Op: op, Key: key, Order: q.Order, AmountMilli: q.AmountMilli}
	if op == "charge" && p.chance("decline/"+q.Order, 12) == 0 {
		e.Declined = "card declined"
	} else {
		e.Receipt = fmt.Sprintf("%s-%06d", op, p.chance("receipt/"+key, 1_000_000))
	}
	line, err := json.Marshal(e)
	if err == nil {
		_, err = p.file.Write(append(line, '\n'))
	}
	if err == nil {
		err = p.file.Sync()
	}
	if err != nil {
		return e, times, err
	}
	p.known[key] = e
	return e, times, nil
}

var errBusy = errors.New("busy, ask again")

// serve answers one kind of calls. Of those it answers for the first time it loses some replies and is late with some,
// by its seed: the party has done what it was asked for, and the shop cannot know.
func (p *party) serve(op string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var q call
		key := r.Header.Get(keyHeader)
		if err := json.NewDecoder(io.LimitReader(r.Body, 4<<10)).Decode(&q); err != nil || key == "" {
			http.Error(w, "want a call and a key", http.StatusBadRequest)
			return
		}
		e, times, err := p.record(op, key, q)
		switch {
		case errors.Is(err, errBusy):
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		case err != nil:
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		if times == 1 && op != mailParty {
			switch p.chance("reply/"+q.Order+op, 24) {
			case 0: // lost
				panic(http.ErrAbortHandler)
			case 1: // late
				select {
				case <-time.After(lateBy):
				case <-r.Context().Done():
					return
				}
			}
		}
		_ = json.NewEncoder(w).Encode(e.reply)
	}
}

// outsideCommand is a party: it says on the first line of its output where it listens, and ends when its input does.
func outsideCommand(ctx context.Context, args []string, s streams) error {
	f := newFlags(outsideName)
	name := f.String("party", "", "")
	seed := f.Uint64("seed", defaultSeed, "")
	if err := f.parse(args); err != nil {
		return err
	}
	p, err := openParty(ledgerPath(f.dir, *name), *seed)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	switch *name {
	case gatewayParty:
		mux.Handle("POST "+chargePath, p.serve("charge"))
		mux.Handle("POST /refund", p.serve("refund"))
	case mailParty:
		mux.Handle("POST /mail", p.serve(mailParty))
	default:
		return wrong("--party %q: want %s or %s", *name, gatewayParty, mailParty)
	}
	deaf()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(s.out, "http://%s\n", l.Addr()); err != nil {
		return err
	}
	server := &http.Server{Handler: mux}
	go func() {
		_, _ = io.Copy(io.Discard, s.in)
		_ = server.Close()
	}()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return p.file.Close()
}

func ledgerPath(dir, party string) string { return filepath.Join(dir, outsideDir, party+".ledger") }

// outsideParties are the processes of the parties outside.
type outsideParties struct {
	gateway, mail string // addresses
	stops         []func() error
}

// startParties starts the parties of the shop in dir.
func startParties(dir string, seed uint64) (o *outsideParties, err error) {
	o = new(outsideParties)
	defer func() {
		if err != nil {
			err = errors.Join(err, o.stop())
		}
	}()
	gateway, err := o.start(dir, gatewayParty, seed)
	if err != nil {
		return o, err
	}
	mail, err := o.start(dir, mailParty, seed)
	if err != nil {
		return o, err
	}
	if o.gateway, err = gateway(); err == nil {
		o.mail, err = mail()
	}
	return o, err
}

// start starts a party; address waits until it says where it is.
func (o *outsideParties) start(dir, party string, seed uint64) (address func() (string, error), err error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(exe, outsideName, "--dir", dir, "--party", party, "--seed", strconv.FormatUint(seed, 10))
	said := &tail{}
	cmd.Stderr = said
	hold, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	o.stops = append(o.stops, func() error {
		_ = hold.Close()
		if err := cmd.Wait(); err != nil {
			return fmt.Errorf("the %s: %w\n%s", party, err, said)
		}
		return nil
	})
	return func() (string, error) {
		line, err := bufio.NewReader(out).ReadString('\n')
		if err != nil {
			return "", fmt.Errorf("the %s did not say where it is: %w", party, err)
		}
		return strings.TrimSpace(line), nil
	}, nil
}

// stop lets them end.
func (o *outsideParties) stop() error {
	var errs []error
	for _, stop := range o.stops {
		errs = append(errs, stop())
	}
	o.stops = nil
	return errors.Join(errs...)
}
