// Command keystore looks into a store, checks it, and moves it to another one.
//
//	go run ./internal/cmd/keystore inspect bolt:FILE
//	go run ./internal/cmd/keystore verify bolt:FILE
//	go run ./internal/cmd/keystore move bolt:FILE bolt:FILE
//
// Without arguments it says more. This one knows boltstore; the same program in
// the nested module internal/engines has the SQL engines beside it:
//
//	go run -C internal/engines ./keystore move bolt:FILE sqlite:FILE
package main

import (
	"context"
	"os"
	"os/signal"

	"github.com/gembok-e2ee/gembok/internal/cmd/keystore/storetool"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	t := storetool.Tool{
		Command: "go run ./internal/cmd/keystore",
		Engines: []string{"bolt"},
		Open:    open,
		Check:   check,
		In:      os.Stdin, Out: os.Stdout, Err: os.Stderr,
	}
	code := t.Run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}
