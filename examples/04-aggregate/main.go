// Command 04-aggregate decides commands on a state that is folded from events.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/aggregate"
	"github.com/headrace/headrace/event"
)

type (
	Deposit   struct{ Amount int64 }
	Withdraw  struct{ Amount int64 }
	Deposited struct{ Amount int64 }
	Withdrawn struct{ Amount int64 }
	Account   struct{ Balance int64 }
)

// bank is the application; bank_test.go tests it.
func bank() *headrace.Topology {
	types := event.NewRegistry()
	event.MustRegister[Deposit](types, "deposit", 1, event.TypeOptions{Kind: event.Command})
	event.MustRegister[Withdraw](types, "withdraw", 1, event.TypeOptions{Kind: event.Command})
	event.MustRegister[Deposited](types, "deposited", 1)
	event.MustRegister[Withdrawn](types, "withdrawn", 1)
	accounts := aggregate.Define[Account]("account")
	aggregate.Evolve(accounts, func(a *Account, e Deposited) { a.Balance += e.Amount })
	aggregate.Evolve(accounts, func(a *Account, e Withdrawn) { a.Balance -= e.Amount })
	aggregate.Handle(accounts, func(c *aggregate.Context[Account], cmd Deposit) error {
		return aggregate.Emit(c, Deposited(cmd))
	})
	aggregate.Handle(accounts, func(c *aggregate.Context[Account], cmd Withdraw) error {
		if c.State().Balance < cmd.Amount {
			return c.Reject("insufficient-funds", "balance is %d", c.State().Balance)
		}
		return aggregate.Emit(c, Withdrawn(cmd))
	})
	topology := headrace.NewTopology(types)
	check(accounts.Attach(topology.Logic()))
	return topology
}

func main() {
	dir, err := os.MkdirTemp("", "headrace-")
	check(err)
	defer os.RemoveAll(dir)
	eng, err := headrace.Open(dir, bank(), headrace.Options{})
	check(err)
	web, err := eng.Producer("web")
	check(err)
	ctx, ada := context.Background(), headrace.Meta{Key: "ada"}
	_, err = headrace.Call[Deposited](ctx, web, Deposit{100}, ada)
	check(err)
	var rejected *headrace.RejectedError
	for range 2 {
		reply, err := headrace.Call[Withdrawn](ctx, web, Withdraw{70}, ada)
		if errors.As(err, &rejected) {
			fmt.Println("rejected:", rejected.Code, "-", rejected.Reason)
			continue
		}
		check(err)
		fmt.Println("withdrawn:", reply.Value.Amount)
	}
	ada.StreamVersion = 2 // whoever has looked at version 1 wants to write version 2
	if _, err = headrace.Call[Deposited](ctx, web, Deposit{1}, ada); errors.As(err, &rejected) {
		fmt.Println("rejected:", rejected.Code, "-", rejected.Reason)
	}
	check(eng.Close(ctx))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
