package main

import (
	"crypto/ed25519"
	"encoding/hex"
	"fmt"

	"github.com/headrace/headrace/journal"
)

// verifyCommand checks everything.
func verifyCommand(in *invocation) func() error {
	key := in.flags.String("key", "", "Ed25519 public key, 64 hex `digits`, that must have signed the chain")
	anchor := in.flags.String("anchor", "", "`root` from elsewhere that the chain must contain")
	rate := in.flags.Int64("rate", 0, "at most so many `bytes` a second, beside a writer; 0: no limit")
	keys := keysFlag(in)
	return func() error {
		o, err := verifyOptions(*key, *anchor)
		if err != nil {
			return err
		}
		if o.Archives, err = keys(); err != nil {
			return err
		}
		o.BytesPerSecond = *rate
		rep, err := in.verify(in.args[0], o)
		if err != nil && len(rep.Segments) == 0 {
			return err
		}
		if e := in.showReport(rep); e != nil { // what verifies, up to the damage
			return e
		}
		if err != nil {
			return err
		}
		if rep.DurableLost > 0 {
			return fmt.Errorf("%w: %d of them; a writer that opens the journal gives their numbers out again, headrace repair --dry-run DIR keeps them taken", errCut, rep.DurableLost)
		}
		if in.json {
			return nil
		}
		_, err = fmt.Fprintln(in.s.out, "verified")
		return err
	}
}

// verify is journal.Verify with a bar.
func (in *invocation) verify(dir string, o journal.VerifyOptions) (journal.Report, error) {
	p := in.progress("verify")
	defer p.end()
	o.Progress = func(done, total int) { p.at(int64(done), int64(total)) }
	return journal.VerifyContext(in.ctx, dir, o)
}

func verifyOptions(key, anchor string) (o journal.VerifyOptions, err error) {
	if key != "" {
		b, err := hex.DecodeString(key)
		if err != nil || len(b) != ed25519.PublicKeySize {
			return o, fmt.Errorf("%w: --key: want %d hex digits", errUsage, 2*ed25519.PublicKeySize)
		}
		o.PublicKey = b
	}
	if anchor != "" {
		if err := o.Anchor.UnmarshalText([]byte(anchor)); err != nil {
			return o, fmt.Errorf("%w: --anchor: %v", errUsage, err)
		}
	}
	return o, nil
}
