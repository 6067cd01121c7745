package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// outcome is what one item came to. Its index is a number, or a text if it was published without one.
type outcome struct {
	Index any             `json:"index"`
	Value json.RawMessage `json:"value"`
	Error json.RawMessage `json:"error"`
}

// stream tells the outcome of each item as soon as it is there, each once.
//
// The keys of the cache tell them while the group lives. When it is done its keys are removed, also
// those that have not come here yet: these are read from the list. So none is missed and none comes
// twice, whenever one begins to look.
func (c *client) stream(ctx context.Context, group string, tell func(outcome)) error {
	seen := map[string]bool{}
	once := func(o outcome) {
		if key := fmt.Sprint(o.Index); !seen[key] {
			seen[key] = true
			tell(o)
		}
	}
	if err := c.live(ctx, group, once); err != nil {
		return err
	}
	list, err := c.read(ctx, group)
	for _, item := range list {
		once(outcome{item.Record.Index, item.Value, item.Record.Error})
	}
	return err
}

// live tells the outcomes that the cache holds, until the group is done.
func (c *client) live(ctx context.Context, group string, tell func(outcome)) error {
	done := make(chan *nats.Msg, 1)
	events, err := c.nc.ChanSubscribe(fmt.Sprintf("%s.event.%s.done", c.ns, group), done)
	if err != nil {
		return err
	}
	defer events.Unsubscribe()
	// Not the bucket's Watch: it hides the headers, which tell a value from an error.
	cache, err := c.js.OrderedConsumer(ctx, fmt.Sprintf("KV_%s-cache", c.ns), jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{fmt.Sprintf("$KV.%s-cache.item.%s.>", c.ns, group)},
	})
	if err != nil {
		return err
	}
	entries := make(chan jetstream.Msg)
	ended := make(chan struct{})
	consuming, err := cache.Consume(func(entry jetstream.Msg) {
		select {
		case entries <- entry:
		case <-ended:
		}
	})
	if err != nil {
		return err
	}
	defer consuming.Stop()
	defer close(ended)
	for {
		if found, err := c.summary(ctx, group); err != nil || found != nil {
			return err
		}
		again := time.After(lookAgain)
	entry:
		for {
			select {
			case message := <-entries:
				if err := each(message, tell); err != nil {
					return err
				}
			case <-done:
				break entry
			case <-again:
				break entry
			}
		}
	}
}

// each tells the outcomes in one entry of the cache: one, or those of several neighbours.
func each(entry jetstream.Msg, tell func(outcome)) error {
	key := entry.Subject()[strings.LastIndexByte(entry.Subject(), '.')+1:]
	first, _, several := strings.Cut(key, "-")
	index, err := strconv.ParseFloat(first, 64) // as a number in a record is read
	if err != nil {
		tell(one(key, entry)) // published without an index: known by a text
		return nil
	}
	if !several {
		tell(one(index, entry))
		return nil
	}
	var body struct {
		Values []json.RawMessage    `json:"values"`
		Errors [][2]json.RawMessage `json:"errors"`
	}
	if err := json.Unmarshal(entry.Data(), &body); err != nil {
		return fmt.Errorf("%s: %w", entry.Subject(), err)
	}
	errors := map[string]json.RawMessage{}
	for _, pair := range body.Errors {
		errors[string(pair[0])] = pair[1]
	}
	for at, value := range body.Values {
		tell(outcome{index + float64(at), value, errors[strconv.Itoa(at)]})
	}
	return nil
}

func one(index any, entry jetstream.Msg) outcome {
	if entry.Headers().Get("Jetiter-Status") == "error" {
		return outcome{index, nil, entry.Data()}
	}
	return outcome{index, entry.Data(), nil}
}
