package engines_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
)

// damage flips a bit in what the database has of the keys of a kind.
func (a *app) damage(kind string) {
	a.t.Helper()
	rows, err := a.db.Query("SELECT id, key FROM gembok_records")
	require.NoError(a.t, err)
	bad := map[string][]byte{}
	for rows.Next() {
		var id, key []byte
		require.NoError(a.t, rows.Scan(&id, &key))
		if bytes.Contains(key, append([]byte{byte(len(kind))}, kind...)) {
			key[len(key)-1] ^= 1
			bad[string(id)] = key
		}
	}
	require.NoError(a.t, errors.Join(rows.Err(), rows.Close()))
	require.NotEmpty(a.t, bad)
	literal := "x'%x'"
	if _, err := a.db.Exec("SELECT '\\x00'::bytea"); err == nil {
		literal = `'\x%x'::bytea`
	}
	for id, key := range bad {
		_, err := a.db.Exec(fmt.Sprintf("UPDATE gembok_records SET key = "+literal+" WHERE id = "+literal, key, id))
		require.NoError(a.t, err)
	}
}

// What List calls damaged, Load does, too: a session that AfterRestore passes
// over, because nothing is done with a damaged one, is not used after it.
func TestSTO_07_DamagedKeys(t *testing.T) {
	apps(t, func(a *app) {
		m, err := a.bob.Encrypt(ctx, alice, []byte("text"))
		require.NoError(t, err)
		a.damage("session")
		require.ErrorIs(t, session.CheckGeneration(ctx, a.store, 1<<40), keystore.ErrRolledBack)
		require.NoError(t, a.alice.AfterRestore(ctx))
		_, err = a.alice.Encrypt(ctx, peers[0], []byte("text"))
		require.ErrorIs(t, err, keystore.ErrCorrupt)
		_, err = a.alice.Decrypt(ctx, peers[0], m, nil)
		require.ErrorIs(t, err, keystore.ErrCorrupt)

		// Written again it is whole.
		k := keystore.Key{Scope: alice.String(), Kind: "session", Owner: peers[0].User, Name: fmt.Sprint(peers[0].Device)}
		recs, err := a.store.Load(ctx, k)
		require.ErrorIs(t, err, keystore.ErrCorrupt)
		testutil.Commit(t, a.store, testutil.Put(k, recs[0].Version, "x"))
		require.Equal(t, "x", string(testutil.Load(t, a.store, k).Value))
		require.Len(t, testutil.All(t, a.store, k.Scope, k.Kind, ""), 1)
	})
}

// A device of which not even the address is known any more is not there. It
// keeps no other from being marked.
func TestSTO_04_DamagedKeys(t *testing.T) {
	apps(t, func(a *app) {
		a.damage("self")
		_, err := session.Open(ctx, a.store, alice, nil)
		require.ErrorIs(t, err, keystore.ErrCorrupt)
		other, err := session.Create(ctx, a.store, session.Account{Address: peers[1]}, nil)
		require.NoError(t, err)
		require.ErrorIs(t, session.CheckGeneration(ctx, a.store, 1<<40), keystore.ErrRolledBack)
		_, err = other.Bundle(ctx)
		require.ErrorIs(t, err, keystore.ErrRolledBack)
	})
}
