package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/headrace/headrace/journal"
)

// lsCommand lists the segments; of those whose key it was not given, what they say of themselves.
func lsCommand(in *invocation) func() error {
	keys := keysFlag(in)
	return func() error {
		access, err := keys()
		if err != nil {
			return err
		}
		rep, err := in.verify(in.args[0], journal.VerifyOptions{Archives: access, SkipUnreadable: true})
		if err != nil && len(rep.Segments) == 0 {
			return err
		}
		w := tabwriter.NewWriter(in.s.out, 0, 0, 2, ' ', 0)
		if !in.json {
			fmt.Fprintln(w, "SEGMENT\tFIRST\tLAST\tRECORDS\tLOST\tBYTES\tSIZE\tSTATE")
		}
		for _, s := range rep.Segments {
			state := "open"
			switch {
			case s.Unread:
				state = "archived, " + packed(s)
			case s.Archived && s.KeyID != 0:
				state = "archived, encrypted"
			case s.Archived:
				state = "archived"
			case s.Repaired:
				state = "repaired"
			case s.AtTear:
				state = "sealed at a tear"
			case s.Sealed:
				state = "sealed"
			}
			if in.json {
				m := map[string]any{"segment": s.Name, "first": s.First, "last": s.Last,
					"records": s.Records, "lost": s.Lost, "bytes": s.Bytes, "size": s.Size, "state": state}
				if s.Unread {
					m["records"], m["lost"], m["unread"] = nil, nil, true
				}
				if err := in.show(m); err != nil {
					return err
				}
				continue
			}
			if s.Unread {
				fmt.Fprintf(w, "%s\t%d\t%d\t-\t-\t%d\t%d\t%s\n", s.Name, s.First, s.Last, s.Bytes, s.Size, state)
				continue
			}
			fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%s\n", s.Name, s.First, s.Last, s.Records, s.Lost, s.Bytes, s.Size, state)
		}
		if e := w.Flush(); e != nil {
			return e
		}
		return err
	}
}
