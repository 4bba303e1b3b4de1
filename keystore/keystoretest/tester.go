package keystoretest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"testing"

	"github.com/gembok-e2ee/gembok/keystore"
)

var ctx = context.Background()

// A tester is a rule at work. Its methods end the test where something is not
// as it must be, so they belong to the goroutine of the test.
type tester struct {
	testing.TB
	open func(testing.TB) Harness
	h    Harness
	s    keystore.Store   // the one that is asked: h's, or one that its functions made
	rest []keystore.Store // others that are open
}

// use makes h the harness.
func (t *tester) use(h Harness) {
	t.Helper()
	if h.Store == nil {
		t.Fatal("the Harness has no Store")
	}
	t.h, t.s = h, h.Store
}

// close closes all that is open.
func (t *tester) close() {
	t.Helper()
	for _, s := range append(t.rest, t.s) {
		t.ok("Close", s.Close())
	}
	t.rest = nil
}

// renew closes the store and goes on with an empty one.
func (t *tester) renew() {
	t.Helper()
	t.close()
	t.use(t.open(t.TB))
}

// adopt goes on with a store that h's functions made.
func (t *tester) adopt(what string, open func() (keystore.Store, error)) {
	t.Helper()
	s, err := open()
	t.ok(what, err)
	if s == nil {
		t.Fatalf("%s: no store", what)
	}
	t.s = s
}

// reopen closes the store and opens it again.
func (t *tester) reopen() {
	t.Helper()
	t.close()
	t.adopt("Reopen", t.h.Reopen)
}

// some returns a count of how often to do something.
func some(all, short int) int {
	if testing.Short() {
		return short
	}
	return all
}

func (t *tester) ok(what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// is requires an error.
func (t *tester) is(what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("%s: error %q, want %q", what, text(err), want)
	}
}

func text(err error) string {
	if err == nil {
		return "nil"
	}
	return err.Error()
}

func (t *tester) require(holds bool, format string, args ...any) {
	t.Helper()
	if !holds {
		t.Fatalf(format, args...)
	}
}

func equal[V comparable](t *tester, what string, got, want V) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: %v, want %v", what, short(got), short(want))
	}
}

// short is v as a message shows it.
func short(v any) any {
	switch v := v.(type) {
	case string:
		return fmt.Sprintf("%.60q", v)
	case keystore.Key:
		return fmt.Sprintf("(%.20q, %.20q, %.20q, %.20q)", v.Scope, v.Kind, v.Owner, v.Name)
	case []keystore.Key:
		var all []any
		for _, k := range v[:min(len(v), 10)] {
			all = append(all, short(k))
		}
		return fmt.Sprint(len(v), " keys: ", all)
	case stored:
		return fmt.Sprintf("version %d of %.60q", v.version, v.value)
	}
	return v
}

// key names a record of scope "scope".
func key(kind, owner, name string) keystore.Key {
	return keystore.Key{Scope: "scope", Kind: kind, Owner: owner, Name: name}
}

func put(k keystore.Key, expect uint64, value string) keystore.Change {
	return keystore.Change{Op: keystore.Put, Key: k, Expect: expect, Value: []byte(value)}
}

func remove(k keystore.Key, expect uint64) keystore.Change {
	return keystore.Change{Op: keystore.Delete, Key: k, Expect: expect}
}

func check(k keystore.Key, expect uint64) keystore.Change {
	return keystore.Change{Op: keystore.Check, Key: k, Expect: expect}
}

// commit commits, and must succeed.
func (t *tester) commit(changes ...keystore.Change) uint64 {
	t.Helper()
	v, err := t.s.Commit(ctx, changes...)
	t.ok("Commit", err)
	return v
}

// load loads records, and must succeed.
func (t *tester) load(keys ...keystore.Key) []keystore.Record {
	t.Helper()
	records, err := t.s.Load(ctx, keys...)
	t.ok("Load", err)
	equal(t, "records loaded", len(records), len(keys))
	for i, r := range records {
		equal(t, "key of a record", r.Key, keys[i])
		t.require(r.Version != 0 || len(r.Value) == 0, "a record that is not there has a value")
	}
	return records
}

// holds requires what is under a key: a version, 0 for nothing, and a value.
func (t *tester) holds(k keystore.Key, version uint64, value string) {
	t.Helper()
	r := t.load(k)[0]
	equal(t, "version", r.Version, version)
	equal(t, "value", string(r.Value), value)
}

func (t *tester) generation() uint64 {
	t.Helper()
	g, err := t.s.Generation(ctx)
	t.ok("Generation", err)
	return g
}

// A stored is what is under a key.
type stored struct {
	version uint64
	value   string
}

// all lists into a map, and requires each record once.
func (t *tester) all(scope, kind, owner string) map[keystore.Key]stored {
	t.Helper()
	return t.collect(t.s.List(ctx, scope, kind, owner))
}

func (t *tester) collect(list iter.Seq2[keystore.Record, error]) map[keystore.Key]stored {
	t.Helper()
	got := map[keystore.Key]stored{}
	for r, err := range list {
		t.ok("List", err)
		t.require(r.Version != 0, "List yields a record without a version")
		t.require(got[r.Key].version == 0, "List yields a record twice")
		got[r.Key] = stored{r.Version, string(r.Value)}
	}
	return got
}

// hasAll requires that the store has these records and no others.
func (t *tester) hasAll(want map[keystore.Key]stored) {
	t.Helper()
	for k, got := range t.all("", "", "") {
		t.same("listed", k, got, want[k])
	}
	records := t.load(slices.Collect(maps.Keys(want))...)
	for _, r := range records {
		t.same("loaded", r.Key, stored{r.Version, string(r.Value)}, want[r.Key])
	}
	equal(t, "records listed", len(t.all("", "", "")), len(want))
}

// same requires that a record came as it is.
func (t *tester) same(came string, k keystore.Key, got, want stored) {
	if got != want {
		t.Helper()
		t.Fatalf("the record of %v was %s as %v, want %v", short(k), came, short(got), short(want))
	}
}

// A state is all that a store tells.
type state struct {
	generation uint64
	records    map[keystore.Key]stored
}

func (t *tester) state() state {
	t.Helper()
	return state{t.generation(), t.all("", "", "")}
}

// unchanged requires that a call that failed has changed nothing.
func (t *tester) unchanged(what string, before state) {
	t.Helper()
	after := t.state()
	t.require(maps.Equal(before.records, after.records), "%s failed, and changed records", what)
	equal(t, what+" failed: generation", after.generation, before.generation)
}

// conflict commits in vain: all failed keys are named, in order, and nothing
// is changed.
func (t *tester) conflict(want []keystore.Key, changes ...keystore.Change) {
	t.Helper()
	before := t.state()
	v, err := t.s.Commit(ctx, changes...)
	t.names(err, want)
	equal(t, "version of a Commit that failed", v, 0)
	t.unchanged("Commit", before)
}

// names requires a ConflictError for these keys.
func (t *tester) names(err error, want []keystore.Key) {
	t.Helper()
	t.require(lost(err), "Commit with a failed expectation: %q, want a *ConflictError", text(err))
	conflict, _ := errors.AsType[*keystore.ConflictError](err)
	t.require(slices.Equal(conflict.Keys, want), "ConflictError names %v, want %v", short(conflict.Keys), short(want))
}

// lost tells whether an error is a conflict, and nothing else.
func lost(err error) bool {
	_, ok := errors.AsType[*keystore.ConflictError](err)
	return ok && !errors.Is(err, keystore.ErrCommitUnknown)
}
