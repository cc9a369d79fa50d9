package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/headrace/headrace/audit"
	"github.com/headrace/headrace/event"
)

// exportCommand writes events as JSON lines or CSV, or checks what it has written with a proof.
func exportCommand(in *invocation) func() error {
	var q audit.Query
	var o audit.ExportOptions
	f := in.flags
	f.Int64Var(&q.From, "from", 0, "first `sequence`; 0: the oldest")
	f.Int64Var(&q.Until, "until", 0, "last `sequence`; 0: the newest")
	since := f.String("since", "", "first `time`: RFC 3339, a date or unix nanoseconds")
	to := f.String("until-time", "", "last `time`")
	types := f.String("types", "", "only events of these types, by `names` with commas between")
	f.StringVar(&q.Key, "about", "", "only events with this `key`")
	f.StringVar(&q.Producer, "by", "", "only events of this `producer` or handler")
	correlation := f.String("correlation", "", "only events of the conversation with this `id`")
	format := f.String("format", "json", "`json` lines or csv")
	f.BoolVar(&o.Hashes, "hashes", false, "also the hash of each record")
	f.BoolVar(&o.Proof, "proof", false, "with the proof that every event is in the log; JSON lines only")
	anchor := f.String("anchor", "", "prove against this `root`; default: the newest")
	check := f.String("check", "", "check the export in `FILE`: give the root with --anchor, and - for DIR")
	key := f.String("key", "", "with --check: Ed25519 public key, 64 hex `digits`, that must have signed the root")
	durable := f.Bool("durable", false, "only what is durable")
	keys := keysFlag(in)
	return func() (err error) {
		v, err := verifyOptions(*key, *anchor)
		if err != nil {
			return err
		}
		if *check != "" {
			if *anchor == "" {
				return fmt.Errorf("%w: --check needs --anchor, the root that you trust", errUsage)
			}
			return in.checkExport(*check, audit.VerifyOptions{Anchor: v.Anchor, PublicKey: v.PublicKey})
		}
		switch *format {
		case "json":
		case "csv":
			o.Format = audit.CSV
		default:
			return fmt.Errorf("%w: --format %q: want json or csv", errUsage, *format)
		}
		switch {
		case o.Proof && o.Format == audit.CSV:
			return fmt.Errorf("%w: --proof goes with JSON lines only", errUsage)
		case !o.Proof && *anchor != "":
			return fmt.Errorf("%w: --anchor goes with --proof or --check", errUsage)
		}
		o.Anchor = v.Anchor
		if *since != "" {
			if q.Since, err = moment(*since); err != nil {
				return err
			}
		}
		if *to != "" {
			if q.To, err = moment(*to); err != nil {
				return err
			}
		}
		if *correlation != "" {
			if q.Correlation, err = event.ParseID(*correlation); err != nil {
				return fmt.Errorf("%w: --correlation: %w", errUsage, err)
			}
		}
		if *types != "" {
			q.Types = strings.Split(*types, ",")
		}
		access, err := keys()
		if err != nil {
			return err
		}
		log, err := audit.Open(in.args[0], audit.Options{Durable: *durable, Archives: access})
		if err != nil {
			return err
		}
		done, err := log.Export(in.ctx, in.s.out, q, o)
		if err == nil && done.First == 0 {
			return errNoMatch
		}
		return err
	}
}

// checkExport checks an export with its proof, and says what it proves.
func (in *invocation) checkExport(file string, o audit.VerifyOptions) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	v, err := audit.VerifyExport(f, o)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if in.json {
		return in.show(v)
	}
	out := fmt.Sprintf("proven: %d events, sequences %d to %d, under root %v\n", v.Events, v.First, v.Last, v.Root)
	if v.Lost > 0 {
		out += fmt.Sprintf("lost records among them: %d\n", v.Lost)
	}
	if v.Missing > 0 {
		out += fmt.Sprintf("between them %d sequences are not shown\n", v.Missing)
	} else {
		out += "no sequence between them is missing\n"
	}
	if len(v.ClaimedTypes) > 0 {
		out += "names of types that only the export says: " + strings.Join(v.ClaimedTypes, ", ") + "\n"
	}
	_, err = fmt.Fprint(in.s.out, out)
	return err
}
