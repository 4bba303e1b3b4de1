package engine

import (
	"errors"
	"os"
	"sync"
	"testing"
)

var shared = sync.OnceValues(Start)

// ForTest returns a server for all tests of this process. Where there is none
// to start, the test is skipped, or fails if GEMBOK_POSTGRES is set.
func ForTest(t testing.TB) *Server {
	t.Helper()
	s, err := shared()
	if errors.Is(err, ErrNoPostgres) && os.Getenv("GEMBOK_POSTGRES") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}
