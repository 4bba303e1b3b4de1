package interop

import (
	"errors"
	"flag"
	"os"
	"sync"
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
	p := started(t)
	t.Cleanup(func() { p.Close() })
	return p
}

var shared struct {
	sync.Mutex
	peer *Peer
}

// Share is Start of one Peer for all tests that do not mind the parties of
// others. Unshare closes it.
func Share(t testing.TB) *Peer {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.peer == nil {
		shared.peer = started(t)
	}
	return shared.peer
}

// Unshare ends what Share started, for TestMain to call.
func Unshare() {
	shared.Lock()
	defer shared.Unlock()
	if shared.peer != nil {
		shared.peer.Close()
		shared.peer = nil
	}
}

func started(t testing.TB) *Peer {
	t.Helper()
	p, err := Open(official)
	switch {
	case errors.Is(err, ErrMissing) && os.Getenv("GEMBOK_INTEROP") != "1":
		t.Skip(err)
	case err != nil:
		t.Fatal(err)
	}
	return p
}
