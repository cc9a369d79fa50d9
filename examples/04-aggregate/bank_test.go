package main

import (
	"testing"

	"github.com/headrace/headrace/headracetest"
)

// What has happened, what is asked for, what must come of it; then: from the log alone, and with a crash anywhere.
func TestBank(t *testing.T) {
	ada := func(v any) any { return headracetest.Key("ada", v) }
	headracetest.New(t, bank, headracetest.Options{}).
		Given(ada(Deposited{100})).
		When(ada(Withdraw{70})).EveryCrash().Then(Withdrawn{70}).
		When(ada(Withdraw{70})).ThenRejected("insufficient-funds").
		When(ada(Deposit{50}), ada(Withdraw{70})).Then(Deposited{50}, Withdrawn{70}).
		ReplayEqualsLive()
}
