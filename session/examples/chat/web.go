package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/gembok-e2ee/gembok/session/examples/chat/relay"
	"github.com/gembok-e2ee/gembok/session/examples/chat/web"
)

func runWeb(ctx context.Context, out io.Writer, args []string) error {
	f := flag.NewFlagSet("chat web", flag.ContinueOnError)
	addr := f.String("addr", "127.0.0.1:0", "where to listen, on this machine")
	lang := f.String("lang", "en", "language of the pages: en or id")
	if f.Parse(args) != nil || f.NArg() > 0 || *lang != "en" && *lang != "id" {
		return errUsage
	}
	return serveWeb(ctx, out, *addr, *lang)
}

// serveWeb builds the page, serves it with a relay, and prints where.
func serveWeb(ctx context.Context, out io.Writer, addr, lang string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	defer l.Close()
	if !web.IsLoopback(l.Addr().String()) {
		return errors.New("-addr wants an address of this machine alone, such as 127.0.0.1:8080: there is no login")
	}
	dir, err := os.MkdirTemp("", "gembok-chat-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	fmt.Fprintln(out, "building the page's program")
	if err := web.Build(ctx, dir); err != nil {
		return err
	}
	plain, compressed, err := web.Sizes(dir)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "chat.wasm has %.2f MB, %.2f MB compressed\n", float64(plain)/1e6, float64(compressed)/1e6)
	fmt.Fprintf(out, "chat at http://%s/?lang=%s; the relay forgets all when it ends. For some, each in a tab:\n", l.Addr(), lang)
	for _, who := range examples {
		fmt.Fprintf(out, "    http://%s:%d/?%s&lang=%s\n", who.host, l.Addr().(*net.TCPAddr).Port, who.query, lang)
	}
	var log web.Log
	return relay.Host(ctx, l, web.Handler(dir, relay.New(log.Sees).Handler(), &log))
}

// examples are people to begin with. Each has a host of its own, for the reason that
// web.IsLoopback has.
var examples = []struct{ host, query string }{
	{"ani.localhost", "as=ani"},
	{"budi.localhost", "as=budi"},
	{"toko.localhost", "as=toko&role=business"},
	{"awan.localhost", "as=toko&role=provider&device=2&provider=PT%20Awan%20Teduh&domain=awanteduh.example"},
}
