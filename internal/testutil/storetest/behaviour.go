package storetest

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/keystore"
)

func emptyStore(t *testing.T, s keystore.Store) {
	require.Zero(t, Generation(t, s))
	require.Empty(t, All(t, s, "", "", ""))
	require.Equal(t, keystore.Record{Key: Key("k", "", "")}, Load(t, s, Key("k", "", "")))
	none, err := s.Load(ctx)
	require.NoError(t, err)
	require.Empty(t, none)
	require.Zero(t, Commit(t, s))
	require.NotZero(t, Commit(t, s, Put(Key("k", "", ""), 0, "v")))
}

func loadInTheOrderAsked(t *testing.T, s keystore.Store) {
	a, b, c := Key("k", "o", "a"), Key("k", "o", "b"), Key("k", "p", "a")
	v1 := Commit(t, s, Put(a, 0, "A"), Put(c, 0, "C"))
	v2 := Commit(t, s, Put(b, 0, ""))
	require.Greater(t, v2, v1)

	got, err := s.Load(ctx, c, b, Key("other", "o", "a"), a, c)
	require.NoError(t, err)
	require.Len(t, got, 5)
	for i, want := range []keystore.Record{
		{Key: c, Value: []byte("C"), Version: v1},
		{Key: b, Version: v2},
		{Key: Key("other", "o", "a")},
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

func valuesAreCopied(t *testing.T, s keystore.Store) {
	k := Key("k", "o", "n")
	in := []byte("value")
	v, err := s.Commit(ctx, keystore.Change{Op: keystore.Put, Key: k, Value: in})
	require.NoError(t, err)
	in[0] = 'X'
	first := Load(t, s, k)
	require.Equal(t, "value", string(first.Value))
	first.Value[0] = 'Y'
	for r, err := range s.List(ctx, "", "", "") {
		require.NoError(t, err)
		require.Equal(t, "value", string(r.Value))
		r.Value[0] = 'Z'
	}
	held := Load(t, s, k)
	require.Equal(t, "value", string(held.Value))

	Commit(t, s, Put(k, v, "other")) // clears its own copy, not ours
	require.Equal(t, "value", string(held.Value))
	require.NoError(t, s.Close())
	require.Equal(t, "value", string(held.Value))
}

func versionsNeverReturn(t *testing.T, s keystore.Store) {
	k := Key("k", "o", "n")
	v1 := Commit(t, s, Put(k, 0, "1"))
	v2 := Commit(t, s, Delete(k, v1))
	require.Greater(t, v2, v1)
	require.Equal(t, v2, Generation(t, s))
	require.Zero(t, Load(t, s, k).Version)
	v3 := Commit(t, s, Put(k, 0, "3"))
	require.Greater(t, v3, v2)
	_, err := s.Commit(ctx, Put(k, v1, "late"))
	require.Error(t, err)
	require.Equal(t, v3, Load(t, s, k).Version)
}

func checksAlone(t *testing.T, s keystore.Store) {
	a, b := Key("k", "o", "a"), Key("k", "o", "b")
	v := Commit(t, s, Put(a, 0, "1"))
	require.Zero(t, Commit(t, s, Check(a, v), Check(b, 0)))
	require.Equal(t, v, Generation(t, s))
	require.Equal(t, v, Load(t, s, a).Version)
	requireConflict(t, s, []keystore.Key{b}, Check(a, v), Check(b, v))
}

func deleteOfAbsent(t *testing.T, s keystore.Store) {
	k := Key("k", "o", "n")
	Commit(t, s, Delete(k, 0))
	v := Commit(t, s, Put(k, 0, "1"))
	requireConflict(t, s, []keystore.Key{k}, Delete(k, 0))
	require.Equal(t, v, Load(t, s, k).Version)
}

// requireConflict commits in vain: all failed keys are named, in order, and
// the store is as before.
func requireConflict(t *testing.T, s keystore.Store, want []keystore.Key, changes ...keystore.Change) {
	t.Helper()
	before, gen := All(t, s, "", "", ""), Generation(t, s)
	v, err := s.Commit(ctx, changes...)
	require.Zero(t, v)
	conflict, ok := errors.AsType[*keystore.ConflictError](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, want, conflict.Keys)
	require.NotContains(t, err.Error(), "alice@example")
	require.Equal(t, before, All(t, s, "", "", ""))
	require.Equal(t, gen, Generation(t, s))
}

func conflictsAreNamed(t *testing.T, s keystore.Store) {
	a, b, c, d := Key("k", "alice@example", "a"), Key("k", "o", "b"), Key("k", "o", "c"), Key("k", "o", "d")
	v := Commit(t, s, Put(a, 0, "A"), Put(b, 0, "B"), Put(c, 0, "C"))
	v2 := Commit(t, s, Put(b, v, "B2"))

	requireConflict(t, s, []keystore.Key{a, b}, Put(a, 0, "x"), Put(c, v, "y"), Delete(b, v), Put(d, 0, "z"))
	requireConflict(t, s, []keystore.Key{d, a}, Put(d, v, "x"), Check(a, v2), Delete(b, v2), Delete(c, v))
	requireConflict(t, s, []keystore.Key{c}, Put(a, v, "x"), Check(c, v2))

	v3 := Commit(t, s, Put(a, v, "A3"), Check(c, v), Delete(b, v2), Put(d, 0, "D"))
	got, err := s.Load(ctx, a, b, c, d)
	require.NoError(t, err)
	for i, want := range []uint64{v3, 0, v, v3} {
		require.Equal(t, want, got[i].Version, i)
	}
}

func invalidCalls(t *testing.T, s keystore.Store) {
	k := Key("k", "o", "n")
	v := Commit(t, s, Put(k, 0, "1"))
	noScope, noKind := keystore.Key{Kind: "k", Owner: "o", Name: "n"}, keystore.Key{Scope: "s", Owner: "o", Name: "n"}
	long := []keystore.Change{Put(k, v, "x")}
	for i := range 40 {
		long = append(long, Put(Key("k", "o", strconv.Itoa(i)), 0, "x"))
	}
	for name, changes := range map[string][]keystore.Change{
		"no scope":           {Put(noScope, 0, "x")},
		"no kind":            {Put(k, v, "x"), Put(noKind, 0, "x")},
		"no scope, check":    {Put(k, v, "x"), Check(noScope, 0)},
		"zero key":           {Put(k, v, "x"), {Op: keystore.Put}},
		"zero op":            {{Key: k, Expect: v}},
		"unknown op":         {{Op: keystore.Check + 1, Key: k, Expect: v}},
		"twice":              {Put(k, v, "x"), Put(k, v, "x")},
		"put and delete":     {Put(k, v, "x"), Delete(k, v)},
		"put and check":      {Check(k, v), Put(k, v, "x")},
		"twice, and a loser": {Put(k, v+1, "x"), Delete(k, v+1)},
		"twice among many":   append(long, Put(Key("k", "o", "39"), 0, "x")),
	} {
		before := All(t, s, "", "", "")
		_, err := s.Commit(ctx, changes...)
		require.ErrorIs(t, err, keystore.ErrInvalid, name)
		require.Equal(t, before, All(t, s, "", "", ""), name)
		require.Equal(t, v, Generation(t, s), name)
	}
	Commit(t, s, long...)
	for _, bad := range []keystore.Key{noScope, noKind, {}} {
		got, err := s.Load(ctx, k, bad)
		require.ErrorIs(t, err, keystore.ErrInvalid)
		require.Nil(t, got)
	}
}

// Parts of a key are any bytes of any length, and where one ends and the next
// begins counts.
func keysAreExact(t *testing.T, s keystore.Store) {
	keys := []keystore.Key{}
	for _, p := range [][4]string{
		{"s", "k", "", ""}, {"s", "k", "a", ""}, {"s", "k", "", "a"}, {"s", "k", "a/b", "c"}, {"s", "k", "a", "b/c"},
		{"s", "k", "a\x00", "b"}, {"s", "k", "a", "\x00b"}, {"s", "k", "A", ""}, {"s", "k", "\xff\xfe", "\x00"},
		{"s", "ka", "", ""}, {"sk", "a", "", ""}, {"s", "k", "á", ""}, {"s", "k", "a\u0301", ""}, {"s", "k", "a ", ""},
		{"s", "k", "%", "_"}, {"s", "k", "'", "\"; --"}, {"\x00", "\x00", "\x00", "\x00"}, {"\xff", "\xff", "\xff", "\xff"},
		{"s", "k", long(254), ""}, {"s", "k", long(255), ""}, {"s", "k", long(256), ""}, {"s", "k", long(257), ""},
		{"s", "k", long(40000), ""}, {"s", "k", long(40000), long(255)}, {"s", "k", long(40001), ""},
		{long(300), long(300), long(300), long(300)}, {long(300), long(300), "", long(300)},
	} {
		keys = append(keys, keystore.Key{Scope: p[0], Kind: p[1], Owner: p[2], Name: p[3]})
	}
	for i, k := range keys {
		Commit(t, s, Put(k, 0, strconv.Itoa(i)))
	}
	for i, k := range keys {
		require.Equal(t, strconv.Itoa(i), string(Load(t, s, k).Value))
		require.Contains(t, All(t, s, k.Scope, k.Kind, k.Owner), k)
	}
	require.Len(t, All(t, s, "", "", ""), len(keys))
	require.Len(t, All(t, s, "s", "k", long(40000)), 2)
	for i, k := range keys {
		Commit(t, s, Delete(k, Load(t, s, k).Version))
		require.Len(t, All(t, s, "", "", ""), len(keys)-i-1)
	}
}

func long(n int) string { return strings.Repeat("x", n) }

func closed(t *testing.T, s keystore.Store) {
	k := Key("k", "o", "n")
	Commit(t, s, Put(k, 0, "1"))
	require.NoError(t, s.Close())
	require.NoError(t, s.Close())

	_, err := s.Load(ctx, k)
	require.ErrorIs(t, err, keystore.ErrClosed)
	_, err = s.Commit(ctx, Put(k, 1, "2"))
	require.ErrorIs(t, err, keystore.ErrClosed)
	_, err = s.Generation(ctx)
	require.ErrorIs(t, err, keystore.ErrClosed)
	requireListError(t, s.List(ctx, "", "", ""), keystore.ErrClosed)
}

func contextEnds(t *testing.T, s keystore.Store) {
	k := Key("k", "o", "n")
	v := Commit(t, s, Put(k, 0, "1"))
	ended, cancel := context.WithCancel(ctx)
	cancel()

	_, err := s.Load(ended, k)
	require.ErrorIs(t, err, context.Canceled)
	_, err = s.Commit(ended, Put(k, v, "2"))
	require.ErrorIs(t, err, context.Canceled)
	_, err = s.Generation(ended)
	require.ErrorIs(t, err, context.Canceled)
	requireListError(t, s.List(ended, "", "", ""), context.Canceled)
	require.Equal(t, "1", string(Load(t, s, k).Value))
	require.Equal(t, v, Generation(t, s))
}
