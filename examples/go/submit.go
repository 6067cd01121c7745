package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

// Items published and not yet acknowledged.
const inFlight = 256

// submit publishes the items, and after the last acknowledgement the seal: it says how many there are.
func (c *client) submit(ctx context.Context, group, function string, arguments []json.RawMessage) error {
	run := nuid.Next()
	subject := fmt.Sprintf("%s.item.default.%s.%s", c.ns, group, function)
	free, stored := make(chan struct{}, inFlight), make(chan error)
	for index, argument := range arguments {
		go func() {
			free <- struct{}{}
			defer func() { <-free }()
			stored <- c.store(ctx, subject, argument, map[string]string{
				"Jetiter-Index":       strconv.Itoa(index),
				jetstream.MsgIDHeader: fmt.Sprintf("%s.%d", run, index),
			})
		}()
	}
	var failed error
	for range arguments {
		failed = errors.Join(failed, <-stored)
	}
	if failed != nil {
		return failed
	}
	total := []byte(strconv.Itoa(len(arguments)))
	return c.store(ctx, fmt.Sprintf("%s.seal.%s", c.ns, group), total, map[string]string{
		"Jetiter-Function":    function,
		jetstream.MsgIDHeader: run + ".seal",
	})
}

// store publishes until the server says that it is stored. Its message id makes a second try harmless.
func (c *client) store(ctx context.Context, subject string, payload []byte, headers map[string]string) error {
	message := &nats.Msg{Subject: subject, Data: payload, Header: nats.Header{}}
	for name, value := range headers {
		message.Header.Set(name, value)
	}
	for {
		_, err := c.js.PublishMsg(ctx, message)
		if !errors.Is(err, nats.ErrTimeout) && !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
	}
}
