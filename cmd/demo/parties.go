package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/headrace/headrace/cmd/demo/internal/fulfil"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/internal/failpoint"
)

// parties are the shop's side of the parties outside: the effects that call them.
type parties struct{ effects []*handlers.Effect }

// call is what a party is asked, and reply what it says.
type call struct {
	Order       string `json:"order"`
	AmountMilli int64  `json:"amount_milli,omitempty"`
}

type reply struct {
	Receipt  string `json:"receipt,omitempty"`
	Declined string `json:"declined,omitempty"` // why
}

const (
	keyHeader  = "Idempotency-Key"
	chargePath = "/charge"
)

// errCannotCharge is a bug of the shop's: it cannot charge some orders until it is fixed.
var errCannotCharge = errors.New("the amount cannot be written as the gateway wants it")

func newParties(o shopOptions) parties {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32}}
	options := handlers.EffectOptions{
		Workers: 16, MaxWaiting: 2000,
		Failure: handlers.FailurePolicy{
			Retries: 1000, Backoff: handlers.Backoff{First: 5 * time.Millisecond, Max: 200 * time.Millisecond},
			Timeout: 100 * time.Millisecond, Then: handlers.ThenDeadLetter,
		},
		Circuit: handlers.Circuit{Failures: 50, OpenFor: 100 * time.Millisecond},
	}
	charge := handlers.NewEffect(chargeID, func(c *handlers.EffectContext, e fulfil.ChargeCard) error {
		if !o.fixed && o.poison > 0 && fulfil.Chance("poison/"+e.Order, o.poison) == 0 {
			return handlers.Permanent(errCannotCharge)
		}
		r, err := ask(c, client, o.gateway+chargePath, c.IdempotencyKey(), call{e.Order, e.AmountMilli})
		switch {
		case err != nil:
			return err
		case r.Declined != "":
			return handlers.Report(c, fulfil.PaymentDeclined{Order: e.Order, Reason: r.Declined})
		}
		return handlers.Report(c, fulfil.PaymentTaken{Order: e.Order, AmountMilli: e.AmountMilli, Receipt: r.Receipt})
	}, options)
	refund := handlers.NewEffect(refundID, func(c *handlers.EffectContext, e fulfil.RefundCard) error {
		r, err := ask(c, client, o.gateway+"/refund", c.IdempotencyKey(), call{e.Order, e.AmountMilli})
		if err != nil {
			return err
		}
		return handlers.Report(c, fulfil.PaymentRefunded{Order: e.Order, AmountMilli: e.AmountMilli, Receipt: r.Receipt, Reason: e.Reason})
	}, options)
	mail := handlers.NewEffect(mailID, func(c *handlers.EffectContext, e fulfil.SendMail) error {
		if _, err := ask(c, client, o.mail+"/mail", c.IdempotencyKey(), call{Order: e.Order}); err != nil {
			return err
		}
		return handlers.Report(c, fulfil.NotificationSent(e))
	}, options)
	return parties{[]*handlers.Effect{charge, refund, mail}}
}

// ask calls a party.
func ask(ctx context.Context, client *http.Client, url, key string, q call) (r reply, err error) {
	body, err := json.Marshal(q)
	if err != nil {
		return r, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return r, err
	}
	req.Header.Set(keyHeader, key)
	resp, err := client.Do(req)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	if strings.HasSuffix(url, chargePath) {
		failpoint.Hit(failpoint.ReplyLost)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	if err != nil {
		return r, err
	}
	if resp.StatusCode != http.StatusOK {
		return r, fmt.Errorf("%s: %s: %s", url, resp.Status, bytes.TrimSpace(text))
	}
	return r, json.Unmarshal(text, &r)
}
