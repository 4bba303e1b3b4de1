package engines_test

import (
	"database/sql"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/keystore/sqlstore"
)

// A transaction that began before the key changed reads on, and loses the race
// when it writes; one that has read nothing goes on under the new key.
func TestWithTxEncrypted(t *testing.T) {
	tenants(t, func(a *tenant) {
		unlock := keystore.Unlock{Key: &[32]byte{1}}
		s, err := keystore.OpenEncrypted(ctx, a.s, unlock, &keystore.EncryptedOptions{Blind: true})
		require.NoError(a, err)
		v := testutil.Commit(a, s, testutil.Put(key("a"), 0, "old"))
		other, err := keystore.OpenEncrypted(ctx, a.s, unlock, nil)
		require.NoError(a, err)
		level := sql.LevelDefault
		if a.dialect == sqlstore.PostgreSQL {
			level = sql.LevelRepeatableRead
		}
		tx := a.begin(level)
		c, _ := sqlstore.WithTx(ctx, tx)
		_, err = s.Load(c, key("b"))
		require.NoError(a, err)
		require.NoError(a, other.Rekey(ctx))
		require.Equal(a, "old", string(testutil.Load(a, s, key("a")).Value))
		recs, err := s.Load(c, key("a"))
		require.NoError(a, err)
		require.Equal(a, "old", string(recs[0].Value))
		require.Equal(a, v, recs[0].Version)
		require.Equal(a, "old", string(testutil.Load(a, s, key("a")).Value))
		_, err = s.Commit(c, testutil.Put(key("b"), 0, "new"), testutil.Put(key("a"), v, "new"))
		var conflict *keystore.ConflictError
		require.ErrorAs(a, err, &conflict)
		require.Equal(a, []keystore.Key{key("b"), key("a")}, conflict.Keys)
		require.NotEqual(a, error(conflict), err, "what the driver said is beside it")
		require.NoError(a, tx.Rollback())

		require.NoError(a, other.Rekey(ctx))
		tx = a.begin(sql.LevelDefault)
		c, _ = sqlstore.WithTx(ctx, tx)
		_, err = s.Commit(c, testutil.Put(key("b"), 0, "new"))
		require.NoError(a, err)
		require.NoError(a, tx.Commit())
		again, err := keystore.OpenEncrypted(ctx, a.s, unlock, nil)
		require.NoError(a, err)
		require.Equal(a, "new", string(testutil.Load(a, again, key("b")).Value))
		require.Equal(a, "old", string(testutil.Load(a, s, key("a")).Value))
	})
}
