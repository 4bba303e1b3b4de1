package hosting_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/hosting"
)

// A business gives up its devices, and another one goes to a host: of what budi knew
// of its devices nothing is left. After the yes his message goes through all the same.
func TestSendAfterMove(t *testing.T) {
	w, b, k := met(t)
	m1 := k.publishes(t, w, follow(t, nil, own(1, hosting.OwnerServer)))
	k.says(t, b, "halo")
	content := &session.Content{Body: []byte("apa kabar?")}
	s, err := b.Send(ctx, []string{toko}, content, nil)
	require.NoError(t, err)
	require.Len(t, s.Results, 1)

	delete(w.sides, at(toko, 1))
	host := w.add(t, at(toko, 3), deviceKey(3))
	m2 := follow(t, m1, hosted(3, awan()))
	w.manifests[toko] = m2.Bytes()
	w.passes(29 * day) // when the manifest is asked for again
	_, err = b.Send(ctx, []string{toko}, content, nil)
	require.Equal(t, m2.Hash(), consentIn(t, err).To)
	require.NoError(t, b.gate.Consent(ctx, b.Device, toko, consentIn(t, err).Token, hosting.Yes))
	s, err = b.Send(ctx, []string{toko}, content, nil)
	require.NoError(t, err)
	require.Len(t, s.Results, 1)
	host.reads(t, b, s.Results[0].Message, "apa kabar?")

	// Where the list has nothing new, the message stays, and nothing changes.
	next := follow(t, m2, own(2, hosting.OwnerServer))
	w.manifests[toko] = next.Bytes()
	require.NoError(t, b.Refresh(ctx, toko))
	count := testutil.StoreDigest(t, b.store)
	s, err = b.Send(ctx, []string{toko}, content, nil)
	require.ErrorIs(t, err, hosting.ErrLabelMismatch)
	require.ErrorIs(t, err, session.ErrNoDevice)
	require.Nil(t, s)
	require.Equal(t, count, testutil.StoreDigest(t, b.store))
}
