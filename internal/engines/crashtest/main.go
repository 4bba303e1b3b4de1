// Command crashtest kills a process with a Device again and again, over a store
// in a database, and says whether anything was lost.
//
//	go run -C internal/engines ./crashtest [-store sqlite|postgres] [-kills N] [-seed S] [-server]
//
// With -server, which is for PostgreSQL, every second time it is not the process
// that ends but the server or one of its own processes, at once, and the Device
// has to tell truthfully what became of its Commit. Output and exit code are
// those of the command of this name in internal/cmd.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"github.com/gembok-e2ee/gembok/internal/engines/engine"
	"github.com/gembok-e2ee/gembok/internal/testutil/crash"
	"github.com/gembok-e2ee/gembok/keystore"
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

// open opens the store at a place: an engine, a colon, and the engine's own.
func open(place string) (keystore.Store, error) {
	name, at, _ := strings.Cut(place, ":")
	return engine.Open(context.Background(), name, at)
}

func run(ctx context.Context, w io.Writer, args []string) error {
	flags := flag.NewFlagSet("crashtest", flag.ContinueOnError)
	store := flags.String("store", "sqlite", "the `engine`: sqlite or postgres")
	kills := flags.Int("kills", 1000, "how often to kill")
	seed := flags.Uint64("seed", 0, "of what is done at random")
	server := flags.Bool("server", false, "kill the server, too")
	if err := flags.Parse(args); err != nil {
		return err
	}
	o := &crash.Options{Open: open, Kills: *kills, Seed: *seed, Progress: w}
	switch {
	case *store == "sqlite" && !*server:
		dir, err := os.MkdirTemp("", "crashtest")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		inFiles(o, dir)
	case *store == "postgres":
		s, err := engine.Start()
		if err != nil {
			return err
		}
		defer s.Close()
		db, err := onServer(o, s, *server)
		if err != nil {
			return err
		}
		defer db.Close()
	default:
		return fmt.Errorf("no such store, or no server of its own: %s", *store)
	}
	report, err := crash.Run(ctx, o)
	fmt.Fprintln(w, report)
	if err == nil {
		fmt.Fprintln(w, "nothing was lost")
	}
	return err
}

// inFiles is for SQLite.
func inFiles(o *crash.Options, dir string) {
	n := 0
	o.Fresh = func() (string, error) {
		n++
		return "sqlite:" + filepath.Join(dir, fmt.Sprint("store-", n)), nil
	}
}
