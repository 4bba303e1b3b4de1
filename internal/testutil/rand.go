package testutil

import (
	"bytes"
	"crypto/rand"
	"io"
	"slices"
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

// Coins returns the sizes of the draws that f makes from crypto/rand. Whenever
// it is run, f must do the same, and return all that comes of it.
//
// It fails the test if two draws are alike, if f comes to something else with
// the same draws, or to the same when any one of them is another.
func Coins(t testing.TB, f func() []byte) (sizes []int) {
	t.Helper()
	draws, out := drawn(f)
	if !bytes.Equal(out, scripted(t, draws, f)) {
		t.Fatalf("testutil: equal coins, and another outcome")
	}
	for i, d := range draws {
		sizes = append(sizes, len(d))
		if slices.ContainsFunc(draws[:i], func(e []byte) bool { return bytes.Equal(d, e) }) {
			t.Fatalf("testutil: draw %d was there before", i)
		}
		other := slices.Clone(draws)
		other[i] = bytes.Clone(d)
		other[i][len(d)/2] ^= 1
		if bytes.Equal(out, scripted(t, other, f)) {
			t.Fatalf("testutil: draw %d of %d bytes changes nothing", i, len(d))
		}
	}
	return sizes
}

func scripted(t testing.TB, draws [][]byte, f func() []byte) []byte {
	t.Helper()
	defer ScriptRand(t, draws...)()
	return f()
}

// drawn runs f, and returns what it drew from crypto/rand.
func drawn(f func() []byte) (draws [][]byte, out []byte) {
	w := &watch{real: rand.Reader}
	defer func() { rand.Reader = w.real }()
	rand.Reader = w
	out = f()
	return w.draws, out
}

// A watch is an [io.Reader] that notes what another one gives out.
type watch struct {
	real  io.Reader
	draws [][]byte
}

func (w *watch) Read(p []byte) (int, error) {
	n, err := w.real.Read(p)
	w.draws = append(w.draws, bytes.Clone(p[:n]))
	return n, err
}
