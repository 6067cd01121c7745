// A jetiter client in Go: nats.go and docs/protocol.md, nothing else.
//
//	client submit GROUP FUNCTION ARGUMENT...   arguments are JSON
//	client follow GROUP                        how far it is, until it is done
//	client stream GROUP                        each outcome as soon as it is there
//	client read GROUP                          the list with its records
//
// NATS_URL and JETITER_NAMESPACE say where. Everything is printed as one JSON value a line.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/nats-io/nats.go"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(2)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) < 2 {
		return fmt.Errorf("use submit, follow, stream or read, then the group")
	}
	url := cmp.Or(os.Getenv("NATS_URL"), nats.DefaultURL)
	client, err := open(ctx, url, cmp.Or(os.Getenv("JETITER_NAMESPACE"), "jetiter"))
	if err != nil {
		return err
	}
	defer client.nc.Close()
	command, group := args[0], args[1]
	switch command {
	case "submit":
		if len(args) < 3 {
			return fmt.Errorf("submit GROUP FUNCTION ARGUMENT...")
		}
		var arguments []json.RawMessage
		for _, argument := range args[3:] {
			arguments = append(arguments, json.RawMessage(argument))
		}
		return client.submit(ctx, group, args[2], arguments)
	case "follow":
		return client.follow(ctx, group, func(kind string, content any) {
			show(map[string]any{"event": kind, "content": content})
		})
	case "stream":
		return client.stream(ctx, group, func(o outcome) { show(o) })
	case "read":
		list, err := client.read(ctx, group)
		for _, item := range list {
			show(item)
		}
		return err
	}
	return fmt.Errorf("%s is no command: use submit, follow, stream or read", command)
}

func show(what any) {
	line, err := json.Marshal(what)
	if err != nil {
		line = []byte(err.Error())
	}
	fmt.Println(string(line))
}
