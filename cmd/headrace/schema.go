package main

import (
	"errors"

	"github.com/headrace/headrace/audit"
)

// errOneForm is two forms asked for at once.
var errOneForm = errors.New("--json-schema or --history, not both")

// schemaCommand prints what an engine's log says of its types.
func schemaCommand(in *invocation) func() error {
	asSchema := in.flags.Bool("json-schema", false, "as JSON Schema, for other languages")
	history := in.flags.Bool("history", false, "every description, one a line, in the order of the log")
	keys := keysFlag(in)
	return func() error {
		if *asSchema && *history {
			return errors.Join(errUsage, errOneForm)
		}
		access, err := keys()
		if err != nil {
			return err
		}
		log, err := audit.Open(in.args[0], audit.Options{Archives: access})
		if err != nil {
			return err
		}
		now, all, err := log.Schema()
		if err != nil {
			return err
		}
		var text []byte
		switch {
		case *history:
			for _, d := range all {
				if err := in.show(d); err != nil {
					return err
				}
			}
		case *asSchema:
			text, err = now.JSONSchema()
		default:
			text, err = now.AppendJSON(nil)
		}
		if err == nil && len(all) == 0 {
			return errNoMatch
		}
		if err == nil {
			_, err = in.s.out.Write(text)
		}
		return err
	}
}
