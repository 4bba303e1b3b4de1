package storetest

import (
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/gembok-e2ee/gembok/keystore"
)

// A model is what a store must be: a map and a counter.
type model struct {
	records map[keystore.Key]keystore.Record
	newest  uint64
}

// commit is the contract, in its plainest form.
func (m *model) commit(changes []keystore.Change) (version uint64, conflicts []keystore.Key, invalid bool) {
	seen := map[keystore.Key]bool{}
	for _, c := range changes {
		if c.Key.Scope == "" || c.Key.Kind == "" || c.Op == 0 || seen[c.Key] {
			return 0, nil, true
		}
		seen[c.Key] = true
		if m.records[c.Key].Version != c.Expect {
			conflicts = append(conflicts, c.Key)
		}
	}
	if conflicts != nil {
		return 0, conflicts, false
	}
	for _, c := range changes {
		if c.Op == keystore.Check {
			continue
		}
		version = m.newest + 1
		delete(m.records, c.Key)
		if c.Op == keystore.Put {
			m.records[c.Key] = keystore.Record{Key: c.Key, Value: slices.Clone(c.Value), Version: version}
		}
	}
	m.newest = max(m.newest, version)
	return version, conflicts, false
}

func drawKey(t *rapid.T) keystore.Key {
	scope := rapid.SampledFrom([]string{"a", "a", "a", "b", "b", ""})
	kind := rapid.SampledFrom([]string{"x", "x", "x", "y", "y", "y", "y", ""})
	other := rapid.SampledFrom([]string{"", "1", "2"})
	return keystore.Key{
		Scope: scope.Draw(t, "scope"), Kind: kind.Draw(t, "kind"),
		Owner: other.Draw(t, "owner"), Name: other.Draw(t, "name"),
	}
}

func (m *model) drawChange(t *rapid.T) keystore.Change {
	ops := []keystore.Op{keystore.Put, keystore.Put, keystore.Put, keystore.Delete, keystore.Check, 0}
	c := keystore.Change{
		Op:    rapid.SampledFrom(ops).Draw(t, "op"),
		Key:   drawKey(t),
		Value: rapid.SliceOfN(rapid.Byte(), 0, 4).Draw(t, "value"),
	}
	c.Expect = m.records[c.Key].Version
	if rapid.IntRange(0, 9).Draw(t, "wrong") == 0 {
		c.Expect = rapid.Uint64Range(0, m.newest+1).Draw(t, "expect")
	}
	return c
}

func equalRecord(t *rapid.T, want, got keystore.Record) {
	require.Equal(t, want.Key, got.Key)
	require.Equal(t, want.Version, got.Version)
	require.Equal(t, string(want.Value), string(got.Value))
}

func (m *model) checkCommit(t *rapid.T, s keystore.Store) {
	var changes []keystore.Change
	for range rapid.IntRange(0, 4).Draw(t, "changes") {
		changes = append(changes, m.drawChange(t))
	}
	want, conflicts, invalid := m.commit(changes)
	got, err := s.Commit(ctx, changes...)
	for _, c := range changes {
		clear(c.Value) // what was given is ours again
	}
	require.Equal(t, want, got)
	switch {
	case invalid:
		require.ErrorIs(t, err, keystore.ErrInvalid)
	case conflicts != nil:
		conflict, ok := errors.AsType[*keystore.ConflictError](err)
		require.True(t, ok)
		require.Equal(t, conflicts, conflict.Keys)
	default:
		require.NoError(t, err)
	}
}

func (m *model) checkLoad(t *rapid.T, s keystore.Store) {
	var keys []keystore.Key
	for range rapid.IntRange(0, 6).Draw(t, "keys") {
		k := drawKey(t)
		k.Scope, k.Kind = max(k.Scope, "a"), max(k.Kind, "x")
		keys = append(keys, k)
	}
	got, err := s.Load(ctx, keys...)
	require.NoError(t, err)
	require.Len(t, got, len(keys))
	for i, k := range keys {
		want := m.records[k]
		want.Key = k
		equalRecord(t, want, got[i])
	}
}

func (m *model) checkList(t *rapid.T, s keystore.Store) {
	ask := drawKey(t)
	want := maps.Clone(m.records)
	maps.DeleteFunc(want, func(k keystore.Key, _ keystore.Record) bool {
		return ask.Scope != "" && ask.Scope != k.Scope || ask.Kind != "" && ask.Kind != k.Kind || ask.Owner != "" && ask.Owner != k.Owner
	})
	got := All(t, s, ask.Scope, ask.Kind, ask.Owner)
	require.Len(t, got, len(want))
	for k, r := range got {
		equalRecord(t, want[k], r)
	}
}

// checkModel does random work on a store and its model.
func checkModel(t *testing.T, open Opener) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &model{records: map[keystore.Key]keystore.Record{}}
		s := open(t)
		defer s.Close()
		rt.Repeat(map[string]func(*rapid.T){
			"commit": func(t *rapid.T) { m.checkCommit(t, s) },
			"load":   func(t *rapid.T) { m.checkLoad(t, s) },
			"list":   func(t *rapid.T) { m.checkList(t, s) },
			"":       func(t *rapid.T) { require.Equal(t, m.newest, Generation(t, s)) },
		})
	})
}
