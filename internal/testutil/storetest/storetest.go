// Package storetest is what the tests of stores share: a table of what any
// [keystore.Store] does, and short ways to say it.
package storetest

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/keystore"
)

var ctx = context.Background()

// An Opener makes an empty store. The table closes it.
type Opener func(t testing.TB) keystore.Store

// Run runs the table, each entry on a store of its own.
func Run(t *testing.T, open Opener) {
	for name, run := range map[string]func(*testing.T, keystore.Store){
		"empty store":              emptyStore,
		"load in the order asked":  loadInTheOrderAsked,
		"values are copied":        valuesAreCopied,
		"versions never return":    versionsNeverReturn,
		"checks alone":             checksAlone,
		"delete of absent":         deleteOfAbsent,
		"conflicts are named":      conflictsAreNamed,
		"invalid calls":            invalidCalls,
		"keys are exact":           keysAreExact,
		"closed":                   closed,
		"context ends":             contextEnds,
		"list selects":             listSelects,
		"commit inside list":       commitInsideList,
		"list is reusable, stops":  listIsReusableAndStops,
		"list ends when cancelled": listEndsWhenCancelled,
		"list ends when closed":    listEndsWhenClosed,
		"concurrent use":           concurrentUse,
		"one wins":                 oneWins,
		"close while in use":       closeWhileInUse,
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			defer func() { require.NoError(t, s.Close()) }()
			run(t, s)
		})
	}
	t.Run("model", func(t *testing.T) { checkModel(t, open) })
}

// Key names a record of scope "scope".
func Key(kind, owner, name string) keystore.Key {
	return keystore.Key{Scope: "scope", Kind: kind, Owner: owner, Name: name}
}

// Put is a change that writes.
func Put(k keystore.Key, expect uint64, value string) keystore.Change {
	return keystore.Change{Op: keystore.Put, Key: k, Expect: expect, Value: []byte(value)}
}

// Delete is a change that removes.
func Delete(k keystore.Key, expect uint64) keystore.Change {
	return keystore.Change{Op: keystore.Delete, Key: k, Expect: expect}
}

// Check is a change that only expects.
func Check(k keystore.Key, expect uint64) keystore.Change {
	return keystore.Change{Op: keystore.Check, Key: k, Expect: expect}
}

// Commit commits, and must succeed.
func Commit(t require.TestingT, s keystore.Store, changes ...keystore.Change) uint64 {
	v, err := s.Commit(ctx, changes...)
	require.NoError(t, err)
	return v
}

// Load loads one record, and must succeed.
func Load(t require.TestingT, s keystore.Store, k keystore.Key) keystore.Record {
	r, err := s.Load(ctx, k)
	require.NoError(t, err)
	require.Len(t, r, 1)
	require.Equal(t, k, r[0].Key)
	return r[0]
}

// Generation returns the generation, and must succeed.
func Generation(t require.TestingT, s keystore.Store) uint64 {
	g, err := s.Generation(ctx)
	require.NoError(t, err)
	return g
}

// All lists the store into a map, and requires each record once.
func All(t require.TestingT, s keystore.Store, scope, kind, owner string) map[keystore.Key]keystore.Record {
	got := map[keystore.Key]keystore.Record{}
	for r, err := range s.List(ctx, scope, kind, owner) {
		require.NoError(t, err)
		_, twice := got[r.Key]
		require.False(t, twice)
		got[r.Key] = r
	}
	return got
}
