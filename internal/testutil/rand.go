package testutil

import (
	"crypto/rand"
	"io"
	"testing"
)

// ScriptRand makes crypto/rand serve draws, one to a Read, in their order, so
// that a test decides every coin. It fails the test if a Read asks for another
// length than the next draw has, or for more draws than there are; and, when
// the real source is put back, if draws are left.
//
// The real source is back after restore, or else at the end of the test. Such
// a test must not be parallel; a t.Setenv in here sees to that. The Reads are
// made by the goroutine of the test.
func ScriptRand(t testing.TB, draws ...[]byte) (restore func()) {
	t.Helper()
	t.Setenv("GEMBOK_SCRIPTED_RAND", "1") // panics in a parallel test
	s := &script{t: t, draws: draws, real: rand.Reader}
	rand.Reader = s
	t.Cleanup(s.restore)
	return s.restore
}

// A script is an [io.Reader] that serves what it was told.
type script struct {
	t     testing.TB
	draws [][]byte
	read  int
	real  io.Reader // nil: put back
}

func (s *script) Read(p []byte) (int, error) {
	s.t.Helper()
	if s.read == len(s.draws) {
		s.fail("testutil: draw %d of %d bytes is not in the script", s.read, len(p))
	}
	if want := len(s.draws[s.read]); len(p) != want {
		s.fail("testutil: draw %d is of %d bytes, the script has %d", s.read, len(p), want)
	}
	s.read++
	return copy(p, s.draws[s.read-1]), nil
}

// fail ends the test. The real source is put back first: an error from Read
// would end the process.
func (s *script) fail(format string, args ...any) {
	s.t.Helper()
	rand.Reader, s.real = s.real, nil
	s.t.Fatalf(format, args...)
}

func (s *script) restore() {
	s.t.Helper()
	if s.real == nil {
		return
	}
	rand.Reader, s.real = s.real, nil
	if left := len(s.draws) - s.read; left != 0 {
		s.t.Errorf("testutil: %d of %d scripted draws were not read", left, len(s.draws))
	}
}
