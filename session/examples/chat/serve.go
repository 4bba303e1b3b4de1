package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"

	"github.com/gembok-e2ee/gembok/session/examples/chat/relay"
)

// serve runs the relay alone, and prints what it sees.
func serve(ctx context.Context, out io.Writer, addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "relay at http://%s; it forgets all when it ends\n", l.Addr())
	lines := log.New(out, "", log.Ltime)
	return relay.Host(ctx, l, relay.New(func(what string) { lines.Print(what) }).Handler())
}
