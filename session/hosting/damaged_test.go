package hosting_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/hosting"
)

// A record that cannot be read stops what is sent, and nothing that comes.
func TestGateDamaged(t *testing.T) {
	for name, c := range map[string]struct {
		value  string
		want   error
		forget bool
	}{
		"body":  {"\x01damaged", session.ErrCorrupt, true},
		"empty": {"", session.ErrCorrupt, true},
		"newer": {"\x02newer", keystore.ErrNewerFormat, false},
	} {
		w, b, k := met(t)
		k.publishes(t, w, follow(t, nil, own(1, hosting.OwnerServer)))
		k.says(t, b, "halo")
		overwrite(t, b, toko, c.value)
		require.ErrorIs(t, b.refuses(t, k), c.want, name)
		_, err := b.send(toko)
		require.ErrorIs(t, err, c.want, name)
		require.ErrorIs(t, b.Refresh(ctx, toko), c.want, name)
		r := k.says(t, b, "masih di sana?")
		require.Equal(t, &hosting.Receipt{Label: hosting.Label{Unknown: true}}, b.receipt(t, r), name)
		require.Empty(t, b.notices(t, r), name)
		_, err = b.gate.Label(ctx, b.Device, toko)
		require.ErrorIs(t, err, c.want, name)
		require.ErrorIs(t, b.gate.Consent(ctx, b.Device, toko, [32]byte{}, hosting.Yes), c.want, name)
		require.Equal(t, c.value, stored(t, b, toko), name)
		if err := b.Forget(ctx, toko); !c.forget {
			require.ErrorIs(t, err, c.want, name)
			continue
		}
		require.Equal(t, hosting.State("UNATTESTED"), b.label(t, toko).State, name)
		require.Empty(t, b.consents(t), name)

		// That of the own account: nothing leaves that would say less than before, until
		// the manifest is there again.
		overwrite(t, k, toko, c.value)
		require.ErrorIs(t, k.refuses(t, b), c.want, name)
		k.publishes(t, w, follow(t, nil, own(1, hosting.OwnerServer)))
		w.begins(t, k, b)
		require.NotZero(t, b.receipt(t, k.says(t, b, "halo")).Epoch, name)
	}
}

func hostingOf(s *side, user string) keystore.Key {
	return keystore.Key{Scope: s.Address().String(), Kind: "hosting", Owner: user}
}

// stored is the record of a user, and overwrite sets it.
func stored(t testing.TB, s *side, user string) string {
	t.Helper()
	recs, err := s.store.Load(ctx, hostingOf(s, user))
	require.NoError(t, err)
	return string(recs[0].Value)
}

func overwrite(t testing.TB, s *side, user, value string) {
	t.Helper()
	recs, err := s.store.Load(ctx, hostingOf(s, user))
	require.NoError(t, err)
	_, err = s.store.Commit(ctx, keystore.Change{Op: keystore.Put, Key: hostingOf(s, user), Expect: recs[0].Version, Value: []byte(value)})
	require.NoError(t, err)
}
