package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Events can be lost, so whoever waits looks now and then.
const lookAgain = 5 * time.Second

type client struct {
	ns      string
	nc      *nats.Conn
	js      jetstream.JetStream
	results jetstream.ObjectStore
}

func open(ctx context.Context, url, ns string) (*client, error) {
	nc, err := nats.Connect(url)
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	results, err := js.ObjectStore(ctx, ns+"-results")
	if err != nil {
		return nil, err
	}
	return &client{ns: ns, nc: nc, js: js, results: results}, nil
}

// summary is what is said of a group's result, or of its records; nil while there is none.
func (c *client) summary(ctx context.Context, name string) (map[string]string, error) {
	info, err := c.results.GetInfo(ctx, name)
	if errors.Is(err, jetstream.ErrObjectNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return info.Metadata, nil
}

// follow tells each event's kind and content, until the group is done.
func (c *client) follow(ctx context.Context, group string, tell func(kind string, content any)) error {
	events, err := c.nc.SubscribeSync(fmt.Sprintf("%s.event.%s.*", c.ns, group))
	if err != nil {
		return err
	}
	defer events.Unsubscribe()
	// Subscribed before the first look: nothing falls between the two.
	if err := c.nc.Flush(); err != nil {
		return err
	}
	for {
		found, err := c.summary(ctx, group)
		if err != nil {
			return err
		}
		if found != nil {
			tell("done", found)
			return nil
		}
		for {
			event, err := events.NextMsg(lookAgain)
			if errors.Is(err, nats.ErrTimeout) {
				break
			}
			if err != nil {
				return err
			}
			kind := event.Subject[strings.LastIndexByte(event.Subject, '.')+1:]
			if kind == "done" {
				break
			}
			tell(kind, json.RawMessage(event.Data))
		}
	}
}

// item is one position of the list with its record.
type item struct {
	Value  json.RawMessage `json:"value"`
	Record record          `json:"record"`
}

// record is what is said of an item. Its index is a number, or a text if it was published without one.
type record struct {
	Index      any             `json:"index"`
	OK         bool            `json:"ok"`
	Error      json.RawMessage `json:"error,omitempty"`
	Attempts   uint32          `json:"attempts"`
	StartedMs  uint64          `json:"started_ms"`
	DurationMs float64         `json:"duration_ms"`
	Worker     string          `json:"worker"`
}

// read is the list in completion order, each value with its record; null for the value of a failed item.
func (c *client) read(ctx context.Context, group string) ([]item, error) {
	found, err := c.summary(ctx, group)
	if err != nil {
		return nil, err
	}
	if found == nil {
		return nil, fmt.Errorf("there is no result of %s", group)
	}
	if err := c.awaitRecords(ctx, group, found); err != nil {
		return nil, err
	}
	var values []json.RawMessage
	var records []record
	if err := c.object(ctx, group, &values); err != nil {
		return nil, err
	}
	if err := c.object(ctx, group+".records", &records); err != nil {
		return nil, err
	}
	// Behind the list's records stand those of items out of range.
	if len(records) < len(values) {
		return nil, fmt.Errorf("%d records of %d values", len(records), len(values))
	}
	list := make([]item, len(values))
	for at, value := range values {
		list[at] = item{value, records[at]}
	}
	return list, nil
}

// awaitRecords waits for those of this list: they are there a moment after it, and in their place may
// be those of an earlier group of this name.
func (c *client) awaitRecords(ctx context.Context, group string, list map[string]string) error {
	for range 300 {
		records, err := c.summary(ctx, group+".records")
		if err != nil {
			return err
		}
		if records != nil && records["records"] == list["records"] {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return fmt.Errorf("the records of %s do not come", group)
}

func (c *client) object(ctx context.Context, name string, into any) error {
	data, err := c.results.GetBytes(ctx, name)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, into)
}
