package main

import (
	"testing"
	"time"

	"github.com/headrace/headrace/headracetest"
)

// Time passes when the test says so, and a crash takes no timer.
func TestDunning(t *testing.T) {
	app := headracetest.New(t, dunning, headracetest.Options{})
	app.When(headracetest.Key("1", Placed{}), headracetest.Key("2", Placed{})).ThenNothing()
	app.When(headracetest.Key("1", Paid{})).ThenNothing()
	app.WhenAdvanced(59 * time.Minute).ThenNothing()
	app.Crash()
	app.WhenAdvanced(time.Minute).Then(headracetest.Key("2", Reminder{}))
	app.ReplayEqualsLive()
}
