package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"net"

	"github.com/gembok-e2ee/gembok/session/examples/chat/relay"
)

func runServe(ctx context.Context, out io.Writer, args []string) error {
	f := flag.NewFlagSet("chat serve", flag.ContinueOnError)
	addr := f.String("addr", "127.0.0.1:8080", "where to listen")
	if f.Parse(args) != nil || f.NArg() > 0 {
		return errUsage
	}
	return serve(ctx, out, *addr)
}

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
