package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"

	"github.com/headrace/headrace/journal"
)

// maxProofBytes bounds a file with a proof: the largest body in base64, and room to spare.
const maxProofBytes = 2 << 30

// proveCommand writes a proof, or checks one against a root that the caller has.
func proveCommand(in *invocation) func() error {
	anchor := in.flags.String("anchor", "", "prove against this `root`; default: the newest")
	check := in.flags.String("check", "", "check the proof in `FILE` of SEQUENCE: give the root with --anchor, and - for DIR")
	key := in.flags.String("key", "", "with --check: Ed25519 public key, 64 hex `digits`, that must have signed the root")
	keys := keysFlag(in)
	return func() error {
		seq, err := strconv.ParseInt(in.args[0], 10, 64)
		if err != nil || seq < 1 {
			return fmt.Errorf("%w: %q is no sequence", errUsage, in.args[0])
		}
		o, err := verifyOptions(*key, *anchor)
		if err != nil {
			return err
		}
		if *check == "" {
			access, err := keys()
			if err != nil {
				return err
			}
			p, err := journal.Prove(in.args[1], seq, journal.ProveOptions{Anchor: o.Anchor, Archives: access})
			if err != nil {
				return err
			}
			return in.show(p)
		}
		if *anchor == "" {
			return fmt.Errorf("%w: --check needs --anchor, the root that you trust", errUsage)
		}
		return in.checkProof(*check, seq, o)
	}
}

func (in *invocation) checkProof(file string, seq int64, o journal.VerifyOptions) error {
	st, err := os.Stat(file)
	if err == nil && st.Size() > maxProofBytes {
		err = fmt.Errorf("%s: %d bytes are no proof", file, st.Size())
	}
	if err != nil {
		return err
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var p journal.Proof
	if err := json.Unmarshal(b, &p); err != nil {
		return fmt.Errorf("%w: %s: %v", journal.ErrProof, file, err)
	}
	rec, err := journal.VerifyProof(p, o.Anchor, o.PublicKey)
	if err == nil && rec.Sequence != seq {
		err = fmt.Errorf("%w: it is of sequence %d", journal.ErrProof, rec.Sequence)
	}
	if err != nil {
		return err
	}
	return in.print(&shower{names: map[uint16]string{}}, rec)
}
