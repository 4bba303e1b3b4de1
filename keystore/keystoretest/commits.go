package keystoretest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/gembok-e2ee/gembok/keystore"
)

func conflictsAreNamed(t *tester) {
	a, b, c, d := key("k", "o", "a"), key("k", "o", "b"), key("k", "o", "c"), key("k", "o", "d")
	v := t.commit(put(a, 0, "A"), put(b, 0, "B"), put(c, 0, "C"))
	v2 := t.commit(put(b, v, "B2"))
	t.conflict([]keystore.Key{a}, put(a, 0, "x"))
	t.conflict([]keystore.Key{d}, put(d, v, "x"))
	t.conflict([]keystore.Key{b}, put(b, v, "x"))
	t.conflict([]keystore.Key{b}, put(b, v2+1, "x"))
	t.conflict([]keystore.Key{a, b}, put(a, 0, "x"), put(c, v, "y"), remove(b, v), put(d, 0, "z"))
	t.conflict([]keystore.Key{d, a}, put(d, v, "x"), check(a, v2), remove(b, v2), remove(c, v))
	t.conflict([]keystore.Key{c}, put(a, v, "x"), check(c, v2))
	t.conflict([]keystore.Key{c}, check(c, v2), put(a, v, "x"))
	t.conflict([]keystore.Key{b, d}, remove(a, v), remove(b, 0), check(c, v), check(d, v))

	v3 := t.commit(put(a, v, "A3"), check(c, v), remove(b, v2), put(d, 0, "D"))
	for i, want := range []uint64{v3, 0, v, v3} {
		equal(t, "version", t.load(a, b, c, d)[i].Version, want)
	}
	t.conflict([]keystore.Key{b}, put(b, v2, "what was deleted is expected"))
	// The same owner and name in another scope, and of another kind.
	elsewhere := keystore.Key{Scope: "elsewhere", Kind: "k", Owner: "o", Name: "a"}
	t.conflict([]keystore.Key{elsewhere}, put(a, v3, "x"), put(elsewhere, v3, "x"))
	t.conflict([]keystore.Key{key("l", "o", "a")}, check(key("l", "o", "a"), v3), put(a, v3, "x"))
}

// Those of a thousand changes that failed are named, and no others.
func conflictsOfMany(t *tester) {
	var changes []keystore.Change
	for i := range 1000 {
		changes = append(changes, put(key("k", "o", fmt.Sprint(i)), 0, "v"))
	}
	v := t.commit(changes...)
	for i := range changes {
		changes[i].Expect = v
	}
	v2 := t.commit(changes[7], changes[499], changes[998])
	t.conflict([]keystore.Key{changes[7].Key, changes[499].Key, changes[998].Key}, changes...)
	for _, i := range []int{7, 499, 998} {
		changes[i].Expect = v2
	}
	t.commit(changes...)
}

func invalidCalls(t *tester) {
	k := key("k", "o", "n")
	v := t.commit(put(k, 0, "1"))
	noScope, noKind := keystore.Key{Kind: "k", Owner: "o", Name: "n"}, keystore.Key{Scope: "s", Owner: "o", Name: "n"}
	many := []keystore.Change{put(k, v, "x")}
	for i := range 40 {
		many = append(many, put(key("k", "o", fmt.Sprint(i)), 0, "x"))
	}
	before := t.state()
	for what, changes := range map[string][]keystore.Change{
		"no scope":                 {put(noScope, 0, "x")},
		"no kind":                  {put(k, v, "x"), put(noKind, 0, "x")},
		"no scope, check":          {put(k, v, "x"), check(noScope, 0)},
		"no kind, delete":          {put(k, v, "x"), remove(noKind, 0)},
		"zero key":                 {put(k, v, "x"), {Op: keystore.Put}},
		"zero op":                  {{Key: k, Expect: v}},
		"unknown op":               {{Op: keystore.Check + 1, Key: k, Expect: v}},
		"a key twice":              {put(k, v, "x"), put(k, v, "x")},
		"put and delete of a key":  {put(k, v, "x"), remove(k, v)},
		"check and put of a key":   {check(k, v), put(k, v, "x")},
		"two checks of a key":      {check(k, v), check(k, v)},
		"a key twice, and a loser": {put(k, v+1, "x"), remove(k, v+1)},
		"a key twice among many":   append(many, put(key("k", "o", "39"), 0, "x")),
	} {
		got, err := t.s.Commit(ctx, changes...)
		t.is("Commit: "+what, err, keystore.ErrInvalid)
		equal(t, "version of a Commit that failed", got, 0)
		t.unchanged("Commit: "+what, before)
	}
	t.commit(many...)
	for _, bad := range []keystore.Key{noScope, noKind, {}} {
		_, err := t.s.Load(ctx, k, bad)
		t.is("Load of a key that is not valid", err, keystore.ErrInvalid)
	}
}

// Keys hold addresses, values private keys: neither is in an error's text.
func errorsTellNothing(t *tester) {
	k := keystore.Key{Scope: "+4915112345678", Kind: "Kind-Of-Record", Owner: "alice@example", Name: "device-Name-7"}
	noKind := k
	noKind.Kind = ""
	const secret = "Secr3t-Value"
	t.commit(put(k, 0, secret))
	silent := func(err error) {
		t.Helper()
		t.require(err != nil, "no error")
		for _, part := range []string{k.Scope, k.Kind, k.Owner, k.Name, secret} {
			t.require(!strings.Contains(err.Error(), part), "the text of an error holds a part of a Key or a Value: %q", err)
		}
	}
	for _, changes := range [][]keystore.Change{
		{put(k, 9, secret)}, {put(k, 0, secret), put(k, 0, secret)}, {put(noKind, 0, secret)},
		{{Op: 9, Key: k, Value: []byte(secret)}}, {check(k, 77)}, {remove(k, 77)},
	} {
		_, err := t.s.Commit(ctx, changes...)
		silent(err)
	}
	_, err := t.s.Load(ctx, noKind)
	silent(err)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, err = t.s.Load(ended, k)
	silent(err)
	_, err = t.s.Commit(ended, put(k, 0, secret))
	silent(err)
	t.ok("Close", t.s.Close())
	_, err = t.s.Commit(ctx, put(k, 0, secret))
	silent(err)
	for _, err := range t.s.List(ctx, k.Scope, k.Kind, k.Owner) {
		silent(err)
	}
}

func contextEnds(t *tester) {
	k := key("k", "o", "n")
	v := t.commit(put(k, 0, "1"))
	before := t.state()
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	late, stop := context.WithTimeout(ctx, -1)
	defer stop()
	for _, c := range []context.Context{cancelled, late} {
		_, err := t.s.Load(c, k)
		t.is("Load", err, c.Err())
		got, err := t.s.Commit(c, put(k, v, "2"))
		t.is("Commit", err, c.Err())
		equal(t, "version of a Commit that failed", got, 0)
		_, err = t.s.Commit(c, check(k, v))
		t.is("Commit of a Check", err, c.Err())
		_, err = t.s.Generation(c)
		t.is("Generation", err, c.Err())
		t.listFails(t.s.List(c, "", "", ""), c.Err())
		t.unchanged("a call whose context had ended", before)
	}
}

// A context that ends in the midst of a Commit takes it back in whole, or not
// at all, and what was returned says which, for good.
func contextEndsInCommit(t *tester) {
	start := time.Now()
	t.commit(pair("-", 0)...)
	usual := time.Since(start)
	taken := map[string]bool{}
	for i := range some(200, 50) {
		name := fmt.Sprint(i)
		c, cancel := context.WithCancel(ctx)
		before := t.generation()
		timer := time.AfterFunc(rand.N(2*usual+1), cancel)
		v, err := t.s.Commit(c, pair(name, 0)...)
		timer.Stop()
		cancel()
		switch a := t.pairVersion(name); {
		case err == nil:
			equal(t, "version of a Commit whose context ended too late", a, v)
		case errors.Is(err, keystore.ErrCommitUnknown):
		case errors.Is(err, context.Canceled):
			equal(t, "version of what was taken back", a, 0)
			equal(t, "generation after a Commit was taken back", t.generation(), before)
			taken[name] = true
		default:
			t.Fatalf("Commit whose context ended: %v", err)
		}
	}
	for name := range taken { // nor was it made later
		equal(t, "version, some time after the Commit was taken back", t.pairVersion(name), 0)
	}
}

// pair is a Commit of records that are always changed together.
func pair(name string, expect uint64) (changes []keystore.Change) {
	for _, kind := range []string{"a", "b", "c", "d"} {
		changes = append(changes, put(key(kind, "pair", name), expect, strings.Repeat(name, 100)))
	}
	return changes
}

// pairVersion requires that all records of a pair have one version, or none,
// and returns it.
func (t *tester) pairVersion(name string) uint64 {
	t.Helper()
	var keys []keystore.Key
	for _, c := range pair(name, 0) {
		keys = append(keys, c.Key)
	}
	records := t.load(keys...)
	for _, r := range records {
		equal(t, "version of one of several that were committed together", r.Version, records[0].Version)
	}
	return records[0].Version
}

func closed(t *tester) {
	k := key("k", "o", "n")
	v := t.commit(put(k, 0, "1"))
	list := t.s.List(ctx, "", "", "")
	for range 3 {
		t.ok("Close", t.s.Close())
		_, err := t.s.Load(ctx, k)
		t.is("Load after Close", err, keystore.ErrClosed)
		_, err = t.s.Load(ctx)
		t.is("Load of nothing after Close", err, keystore.ErrClosed)
		_, err = t.s.Commit(ctx, put(k, v, "2"))
		t.is("Commit after Close", err, keystore.ErrClosed)
		_, err = t.s.Commit(ctx)
		t.is("Commit of nothing after Close", err, keystore.ErrClosed)
		_, err = t.s.Generation(ctx)
		t.is("Generation after Close", err, keystore.ErrClosed)
		t.listFails(list, keystore.ErrClosed)
		t.listFails(t.s.List(ctx, "scope", "k", "o"), keystore.ErrClosed)
	}
}
