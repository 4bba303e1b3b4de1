package interop

import (
	"errors"
	"flag"
	"os"
	"testing"
)

var official string

// The flag exists in test binaries only, so that programs which import this
// package have flags of their own.
func init() {
	if testing.Testing() {
		flag.StringVar(&official, "official", "", "absolute path of a directory whose node_modules holds the official library to test against")
	}
}

// Start starts the official library for a test and closes it at the test's end.
// Where it is missing, the test is skipped, or fails if GEMBOK_INTEROP is 1.
func Start(t testing.TB) *Peer {
	t.Helper()
	p, err := Open(official)
	switch {
	case errors.Is(err, ErrMissing) && os.Getenv("GEMBOK_INTEROP") != "1":
		t.Skip(err)
	case err != nil:
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}
