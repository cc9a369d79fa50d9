package main

import (
	"fmt"

	"github.com/headrace/headrace/audit"
	"github.com/headrace/headrace/event"
)

// traceCommand prints the causal tree of a conversation.
func traceCommand(in *invocation) func() error {
	var o audit.TraceOptions
	f := in.flags
	correlation := f.String("correlation", "", "the conversation's `id`: that of the event that began it")
	of := f.Int64("event", 0, "the conversation of the event with this `sequence`")
	f.Int64Var(&o.From, "from", 0, "look from this `sequence` on; 0: the oldest")
	f.Int64Var(&o.Until, "until", 0, "look to this `sequence`; 0: the newest")
	f.IntVar(&o.MaxEvents, "max-events", 0, "keep so many `events` at most; 0: 10000")
	f.IntVar(&o.MaxDepth, "max-depth", 0, "show so many `levels` at most; 0: 100")
	f.IntVar(&o.MaxDataBytes, "max-data", 0, "show the data of an event up to so many `bytes` of JSON; 0: 4096, -1: none")
	durable := f.Bool("durable", false, "only what is durable")
	keys := keysFlag(in)
	return func() error {
		if (*correlation == "") == (*of == 0) {
			return fmt.Errorf("%w: --correlation or --event, one of them", errUsage)
		}
		access, err := keys()
		if err != nil {
			return err
		}
		var id event.ID
		if *correlation != "" {
			if id, err = event.ParseID(*correlation); err != nil {
				return fmt.Errorf("%w: --correlation: %w", errUsage, err)
			}
		}
		log, err := audit.Open(in.args[0], audit.Options{Durable: *durable, Archives: access})
		if err != nil {
			return err
		}
		if *of != 0 {
			if id, err = log.Correlation(in.ctx, *of); err != nil {
				return err
			}
		}
		tree, err := log.Trace(in.ctx, id, o)
		if err != nil {
			return err
		}
		if in.json {
			err = in.show(tree)
		} else {
			_, err = in.s.out.Write(tree.AppendText(nil))
		}
		if err == nil && tree.Events == 0 {
			return errNoMatch
		}
		return err
	}
}
