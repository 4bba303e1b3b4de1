// Command fleettest has three people with three devices each write to each other
// through a server that lies, and says whether anything was wrong: package fleet
// says what must be true.
//
//	go run ./internal/cmd/fleettest [-groups | -labels] [-steps N] [-seed S] [-v]
//
// With -groups it is 3 to 50 people who talk in a group that they join and leave, as
// package crowd has it; the size follows from the seed, and every 2,000 steps others
// begin.
//
// With -labels it is customers who write to a business that moves from host to host,
// as package market has it, and every 300 steps others do.
//
// It prints a line of progress now and then, and one at the end, with -v also how
// often each thing happened. It exits with 1 if there is a fault, and prints what
// it is and the seed to look for it again: the same seed has the same done. Every
// 5,000 steps the server becomes honest, everybody agrees, and three others begin,
// with the next seed.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/testutil/crowd"
	"github.com/gembok-e2ee/gembok/internal/testutil/fleet"
	"github.com/gembok-e2ee/gembok/internal/testutil/market"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "fleettest:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, w io.Writer, args []string) error {
	flags := flag.NewFlagSet("fleettest", flag.ContinueOnError)
	steps := flags.Int("steps", 200000, "how many steps to do")
	seed := flags.Uint64("seed", 0, "of what is done at random")
	groups := flags.Bool("groups", false, "have people talk in a group")
	labels := flags.Bool("labels", false, "have customers write to a business that moves from host to host")
	verbose := flags.Bool("v", false, "say how often each thing happened")
	if err := flags.Parse(args); err != nil {
		return err
	}
	walk := fleet.Walk()
	switch {
	case *labels:
		walk = market.Walk()
	case *groups:
		walk = crowd.Walk()
	}
	report, err := walk.Run(ctx, &testutil.WalkOptions{Steps: *steps, Seed: *seed, Progress: w})
	fmt.Fprintln(w, report)
	if *verbose {
		fmt.Fprint(w, report.Details())
	}
	if err == nil {
		fmt.Fprintln(w, "nothing was wrong")
	}
	return err
}
