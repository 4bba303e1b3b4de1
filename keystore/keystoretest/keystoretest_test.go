package keystoretest_test

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/keystore/keystoretest"
)

// A recorder is a test that fails without anyone hearing of it.
type recorder struct {
	testing.TB
	mu       sync.Mutex
	failed   bool
	skipped  bool
	messages []string
}

func (r *recorder) Helper() {}

func (r *recorder) say(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.messages = append(r.messages, text)
}

func (r *recorder) Logf(format string, args ...any) { r.say(fmt.Sprintf(format, args...)) }

func (r *recorder) Errorf(format string, args ...any) {
	r.say(fmt.Sprintf(format, args...))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = true
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Fatal(args ...any) { r.Fatalf("%s", fmt.Sprint(args...)) }

func (r *recorder) FailNow() { r.Fatalf("failed") }

func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

func (r *recorder) Skipf(format string, args ...any) {
	r.skipped = true
	r.say(fmt.Sprintf(format, args...))
	runtime.Goexit()
}

// try tries a rule, and returns why the store did not pass. One that waits for
// itself is left behind.
func try(t *testing.T, rule string, open func(testing.TB) keystoretest.Harness, patience time.Duration) (r *recorder, stuck bool) {
	r = &recorder{TB: t}
	done := make(chan bool)
	go func() {
		defer close(done)
		keystoretest.Try(r, rule, open)
	}()
	select {
	case <-done:
		return r, false
	case <-time.After(patience):
		return r, true
	}
}

func TestFlawless(t *testing.T) { keystoretest.Run(t, harness("")) }

func TestForOneProcess(t *testing.T) {
	for _, rule := range []string{"another", "another at once", "model"} {
		r, stuck := try(t, rule, harness("only one may open it"), time.Minute)
		require.False(t, r.failed || stuck, "%s: %q", rule, r.messages)
	}
}

// What a Harness cannot do is skipped by name.
func TestWithoutAbilities(t *testing.T) {
	open := func(testing.TB) keystoretest.Harness { return keystoretest.Harness{Store: keystore.NewMemory()} }
	for rule, missing := range map[string]string{
		"reopen": "Reopen", "crash": "Crash", "another": "Another", "another at once": "Another",
		"faults": "Fault", "faults of reads": "Fault", "crash in a commit": "Fault",
	} {
		r, _ := try(t, rule, open, time.Minute)
		require.True(t, r.skipped, rule)
		require.Equal(t, []string{"the Harness has no " + missing}, r.messages)
	}
	r, _ := try(t, "empty store", func(testing.TB) keystoretest.Harness { return keystoretest.Harness{} }, time.Minute)
	require.Equal(t, []string{"the Harness has no Store"}, r.messages)
}

// waits are the flaws by which a store waits for itself.
var waits = map[string]bool{"lists under its lock": true, "leaves its lock to a panic": true}

// meets are the rules by which goroutines meet.
var meets = map[string]bool{
	"no lost update": true, "one wins": true, "snapshots": true, "linearizable": true, "another at once": true,
	"list while others commit": true, "context ends in a commit": true, "close while busy": true, "read your writes": true,
}

// For every rule there is a store that breaks it, in one way or in several, and
// is found out.
func TestFlaws(t *testing.T) {
	found := map[string]bool{}
	for _, c := range flaws {
		t.Run(c.flaw, func(t *testing.T) {
			for _, rule := range c.rules {
				findOut(t, rule, c.flaw)
				found[rule] = true
			}
		})
	}
	for _, rule := range keystoretest.Rules() {
		require.True(t, found[rule], "no flaw for rule %q", rule)
	}
}

// findOut requires that a rule finds a flaw: at once, but for flaws that only
// show if goroutines meet, which they do sooner or later.
func findOut(t *testing.T, rule, flaw string) {
	if waits[flaw] {
		_, stuck := try(t, rule, harness(flaw), 200*time.Millisecond)
		require.True(t, stuck, rule)
		return
	}
	tries := 1
	if meets[rule] {
		tries = 20
	}
	for range tries {
		r, stuck := try(t, rule, harness(flaw), time.Minute)
		require.False(t, stuck, "%s: %q", rule, r.messages)
		if r.Failed() {
			return
		}
	}
	require.Fail(t, "not found out", rule)
}
