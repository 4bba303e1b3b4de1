package keystore_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/keystore"
)

var ctx = context.Background()

func key(kind, owner, name string) keystore.Key {
	return keystore.Key{Scope: "scope", Kind: kind, Owner: owner, Name: name}
}

func put(k keystore.Key, expect uint64, value string) keystore.Change {
	return keystore.Change{Op: keystore.Put, Key: k, Expect: expect, Value: []byte(value)}
}

func del(k keystore.Key, expect uint64) keystore.Change {
	return keystore.Change{Op: keystore.Delete, Key: k, Expect: expect}
}

func check(k keystore.Key, expect uint64) keystore.Change {
	return keystore.Change{Op: keystore.Check, Key: k, Expect: expect}
}

func mustCommit(t require.TestingT, s keystore.Store, changes ...keystore.Change) uint64 {
	v, err := s.Commit(ctx, changes...)
	require.NoError(t, err)
	return v
}

func load(t require.TestingT, s keystore.Store, k keystore.Key) keystore.Record {
	r, err := s.Load(ctx, k)
	require.NoError(t, err)
	require.Len(t, r, 1)
	require.Equal(t, k, r[0].Key)
	return r[0]
}

func generation(t require.TestingT, s keystore.Store) uint64 {
	g, err := s.Generation(ctx)
	require.NoError(t, err)
	return g
}

// all lists the store into a map, and requires each record once.
func all(t require.TestingT, s keystore.Store, scope, kind, owner string) map[keystore.Key]keystore.Record {
	got := map[keystore.Key]keystore.Record{}
	for r, err := range s.List(ctx, scope, kind, owner) {
		require.NoError(t, err)
		require.NotContains(t, got, r.Key)
		got[r.Key] = r
	}
	return got
}

func TestEmptyStore(t *testing.T) {
	for name, s := range map[string]keystore.Store{"new": keystore.NewMemory(), "zero": new(keystore.Memory)} {
		require.Zero(t, generation(t, s), name)
		require.Empty(t, all(t, s, "", "", ""), name)
		require.Equal(t, keystore.Record{Key: key("k", "", "")}, load(t, s, key("k", "", "")), name)
		none, err := s.Load(ctx)
		require.NoError(t, err)
		require.Empty(t, none, name)
		require.Zero(t, mustCommit(t, s), name)
		require.Equal(t, uint64(1), mustCommit(t, s, put(key("k", "", ""), 0, "v")), name)
	}
}

func TestLoadInTheOrderAsked(t *testing.T) {
	s := keystore.NewMemory()
	a, b, c := key("k", "o", "a"), key("k", "o", "b"), key("k", "p", "a")
	v1 := mustCommit(t, s, put(a, 0, "A"), put(c, 0, "C"))
	v2 := mustCommit(t, s, put(b, 0, ""))
	require.Greater(t, v2, v1)

	got, err := s.Load(ctx, c, b, key("other", "o", "a"), a, c)
	require.NoError(t, err)
	require.Len(t, got, 5)
	for i, want := range []keystore.Record{
		{Key: c, Value: []byte("C"), Version: v1},
		{Key: b, Version: v2},
		{Key: key("other", "o", "a")},
		{Key: a, Value: []byte("A"), Version: v1},
		{Key: c, Value: []byte("C"), Version: v1},
	} {
		require.Equal(t, want.Key, got[i].Key)
		require.Equal(t, want.Version, got[i].Version)
		require.Equal(t, string(want.Value), string(got[i].Value))
	}
	got[0].Value[0] = 'x' // the two of one key are two copies
	require.Equal(t, "C", string(got[4].Value))
}

func TestValuesAreCopied(t *testing.T) {
	s := keystore.NewMemory()
	k := key("k", "o", "n")
	in := []byte("value")
	v, err := s.Commit(ctx, keystore.Change{Op: keystore.Put, Key: k, Value: in})
	require.NoError(t, err)
	in[0] = 'X'
	first := load(t, s, k)
	require.Equal(t, "value", string(first.Value))
	first.Value[0] = 'Y'
	for r, err := range s.List(ctx, "", "", "") {
		require.NoError(t, err)
		require.Equal(t, "value", string(r.Value))
		r.Value[0] = 'Z'
	}
	held := load(t, s, k)
	require.Equal(t, "value", string(held.Value))

	mustCommit(t, s, put(k, v, "other")) // clears its own copy, not ours
	require.Equal(t, "value", string(held.Value))
	require.NoError(t, s.Close())
	require.Equal(t, "value", string(held.Value))
}

func TestVersionsNeverReturn(t *testing.T) {
	s := keystore.NewMemory()
	k := key("k", "o", "n")
	v1 := mustCommit(t, s, put(k, 0, "1"))
	v2 := mustCommit(t, s, del(k, v1))
	require.Greater(t, v2, v1)
	require.Equal(t, v2, generation(t, s))
	require.Zero(t, load(t, s, k).Version)
	v3 := mustCommit(t, s, put(k, 0, "3"))
	require.Greater(t, v3, v2)
	_, err := s.Commit(ctx, put(k, v1, "late"))
	require.Error(t, err)
	require.Equal(t, v3, load(t, s, k).Version)
}

func TestChecksAlone(t *testing.T) {
	s := keystore.NewMemory()
	a, b := key("k", "o", "a"), key("k", "o", "b")
	v := mustCommit(t, s, put(a, 0, "1"))
	require.Zero(t, mustCommit(t, s, check(a, v), check(b, 0)))
	require.Equal(t, v, generation(t, s))
	require.Equal(t, v, load(t, s, a).Version)
	requireConflict(t, s, []keystore.Key{b}, check(a, v), check(b, v))
}

func TestDeleteOfAbsent(t *testing.T) {
	s := keystore.NewMemory()
	k := key("k", "o", "n")
	mustCommit(t, s, del(k, 0))
	v := mustCommit(t, s, put(k, 0, "1"))
	requireConflict(t, s, []keystore.Key{k}, del(k, 0))
	require.Equal(t, v, load(t, s, k).Version)
}

// requireConflict commits in vain: all failed keys are named, in order, and
// the store is as before.
func requireConflict(t *testing.T, s keystore.Store, want []keystore.Key, changes ...keystore.Change) {
	t.Helper()
	before, gen := all(t, s, "", "", ""), generation(t, s)
	v, err := s.Commit(ctx, changes...)
	require.Zero(t, v)
	conflict, ok := errors.AsType[*keystore.ConflictError](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, want, conflict.Keys)
	require.NotContains(t, err.Error(), "alice@example")
	require.Equal(t, before, all(t, s, "", "", ""))
	require.Equal(t, gen, generation(t, s))
}

func TestConflict(t *testing.T) {
	s := keystore.NewMemory()
	a, b, c, d := key("k", "alice@example", "a"), key("k", "o", "b"), key("k", "o", "c"), key("k", "o", "d")
	v := mustCommit(t, s, put(a, 0, "A"), put(b, 0, "B"), put(c, 0, "C"))
	v2 := mustCommit(t, s, put(b, v, "B2"))

	requireConflict(t, s, []keystore.Key{a, b}, put(a, 0, "x"), put(c, v, "y"), del(b, v), put(d, 0, "z"))
	requireConflict(t, s, []keystore.Key{d, a}, put(d, v, "x"), check(a, v2), del(b, v2), del(c, v))
	requireConflict(t, s, []keystore.Key{c}, put(a, v, "x"), check(c, v2))

	v3 := mustCommit(t, s, put(a, v, "A3"), check(c, v), del(b, v2), put(d, 0, "D"))
	got, err := s.Load(ctx, a, b, c, d)
	require.NoError(t, err)
	for i, want := range []uint64{v3, 0, v, v3} {
		require.Equal(t, want, got[i].Version, i)
	}
}

func TestInvalidCalls(t *testing.T) {
	s := keystore.NewMemory()
	k := key("k", "o", "n")
	v := mustCommit(t, s, put(k, 0, "1"))
	noScope, noKind := keystore.Key{Kind: "k", Owner: "o", Name: "n"}, keystore.Key{Scope: "s", Owner: "o", Name: "n"}
	long := []keystore.Change{put(k, v, "x")}
	for i := range 40 {
		long = append(long, put(key("k", "o", strconv.Itoa(i)), 0, "x"))
	}
	for name, changes := range map[string][]keystore.Change{
		"no scope":           {put(noScope, 0, "x")},
		"no kind":            {put(k, v, "x"), put(noKind, 0, "x")},
		"no scope, check":    {put(k, v, "x"), check(noScope, 0)},
		"zero key":           {put(k, v, "x"), {Op: keystore.Put}},
		"zero op":            {{Key: k, Expect: v}},
		"unknown op":         {{Op: keystore.Check + 1, Key: k, Expect: v}},
		"twice":              {put(k, v, "x"), put(k, v, "x")},
		"put and delete":     {put(k, v, "x"), del(k, v)},
		"put and check":      {check(k, v), put(k, v, "x")},
		"twice, and a loser": {put(k, v+1, "x"), del(k, v+1)},
		"twice among many":   append(long, put(key("k", "o", "39"), 0, "x")),
	} {
		before := all(t, s, "", "", "")
		_, err := s.Commit(ctx, changes...)
		require.ErrorIs(t, err, keystore.ErrInvalid, name)
		require.Equal(t, before, all(t, s, "", "", ""), name)
		require.Equal(t, v, generation(t, s), name)
	}
	mustCommit(t, s, long...)
	for _, bad := range []keystore.Key{noScope, noKind, {}} {
		got, err := s.Load(ctx, k, bad)
		require.ErrorIs(t, err, keystore.ErrInvalid)
		require.Nil(t, got)
	}
}

// Parts of a key are any bytes, and where one ends and the next begins counts.
func TestKeysAreExact(t *testing.T) {
	s := keystore.NewMemory()
	keys := []keystore.Key{
		{"s", "k", "", ""}, {"s", "k", "a", ""}, {"s", "k", "", "a"}, {"s", "k", "a/b", "c"}, {"s", "k", "a", "b/c"},
		{"s", "k", "a\x00", "b"}, {"s", "k", "a", "\x00b"}, {"s", "k", "A", ""}, {"s", "k", "\xff\xfe", "\x00"},
		{"s", "ka", "", ""}, {"sk", "a", "", ""}, {"s", "k", "á", ""}, {"s", "k", "a\u0301", ""}, {"s", "k", "a ", ""},
	}
	for i, k := range keys {
		mustCommit(t, s, put(k, 0, strconv.Itoa(i)))
	}
	for i, k := range keys {
		require.Equal(t, strconv.Itoa(i), string(load(t, s, k).Value))
	}
	require.Len(t, all(t, s, "", "", ""), len(keys))
}

func TestClosed(t *testing.T) {
	s := keystore.NewMemory()
	k := key("k", "o", "n")
	mustCommit(t, s, put(k, 0, "1"))
	require.NoError(t, s.Close())
	require.NoError(t, s.Close())

	_, err := s.Load(ctx, k)
	require.ErrorIs(t, err, keystore.ErrClosed)
	_, err = s.Commit(ctx, put(k, 1, "2"))
	require.ErrorIs(t, err, keystore.ErrClosed)
	_, err = s.Generation(ctx)
	require.ErrorIs(t, err, keystore.ErrClosed)
	requireListError(t, s.List(ctx, "", "", ""), keystore.ErrClosed)
}

func TestContextEnds(t *testing.T) {
	s := keystore.NewMemory()
	k := key("k", "o", "n")
	v := mustCommit(t, s, put(k, 0, "1"))
	ended, cancel := context.WithCancel(ctx)
	cancel()

	_, err := s.Load(ended, k)
	require.ErrorIs(t, err, context.Canceled)
	_, err = s.Commit(ended, put(k, v, "2"))
	require.ErrorIs(t, err, context.Canceled)
	_, err = s.Generation(ended)
	require.ErrorIs(t, err, context.Canceled)
	requireListError(t, s.List(ended, "", "", ""), context.Canceled)
	require.Equal(t, "1", string(load(t, s, k).Value))
	require.Equal(t, v, generation(t, s))
}

func TestErrorsAreTold(t *testing.T) {
	sentinels := []error{keystore.ErrInvalid, keystore.ErrClosed, keystore.ErrCommitUnknown, keystore.ErrLocked,
		keystore.ErrFull, keystore.ErrReadOnly, keystore.ErrCorrupt, keystore.ErrNewerFormat}
	texts := map[string]bool{}
	for i, e := range sentinels {
		texts[e.Error()] = true
		for j, other := range sentinels {
			require.Equal(t, i == j, errors.Is(fmt.Errorf("place: %w", e), other))
		}
	}
	require.Len(t, texts, len(sentinels))
	require.Equal(t, "keystore: conflict: records changed by someone else: 0", new(keystore.ConflictError).Error())
}
