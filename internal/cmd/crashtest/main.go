//go:build !wasm

// Command crashtest kills a process with a Device again and again, and says
// whether anything was lost.
//
//	go run ./internal/cmd/crashtest [-kills N] [-seed S]
//
// The store is a file of package boltstore. It prints a line of progress now and
// then, and one at the end. It exits with 1 if there is a fault, and prints what
// it is and the seed to look for it again: the same seed has the same done, and
// the same kills at calls of the store, while the others come when they come.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/gembok-e2ee/gembok/internal/testutil/crash"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/keystore/boltstore"
)

func main() {
	crash.Child(open)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "crashtest:", err)
		os.Exit(1)
	}
}

func open(place string) (keystore.Store, error) { return boltstore.Open(place, nil) }

func run(ctx context.Context, w io.Writer, args []string) error {
	flags := flag.NewFlagSet("crashtest", flag.ContinueOnError)
	kills := flags.Int("kills", 1000, "how often to kill")
	seed := flags.Uint64("seed", 0, "of what is done at random")
	if err := flags.Parse(args); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "crashtest")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	n := 0
	fresh := func() (string, error) {
		n++
		return filepath.Join(dir, fmt.Sprint("store-", n)), nil
	}
	report, err := crash.Run(ctx, &crash.Options{Open: open, Fresh: fresh, Kills: *kills, Seed: *seed, Progress: w})
	fmt.Fprintln(w, report)
	if err == nil {
		fmt.Fprintln(w, "nothing was lost")
	}
	return err
}
