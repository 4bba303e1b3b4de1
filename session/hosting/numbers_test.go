package hosting_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/session/fingerprint"
	"github.com/gembok-e2ee/gembok/session/hosting"
)

// numbers are what s shows to be compared with another side, over what its gate
// holds of both accounts.
func (s *side) numbers(t *testing.T, other *side) *fingerprint.Fingerprint {
	t.Helper()
	party := func(of *side) fingerprint.Party {
		m, err := s.gate.Manifest(ctx, s.Device, of.Address().User)
		require.NoError(t, err)
		p := fingerprint.Party{ID: fingerprint.StableID(of.Address().User), Key: of.Identity()}
		if m != nil {
			p.Manifest = m.Hash()
		}
		return p
	}
	f, err := fingerprint.New(party(s), party(other), &fingerprint.Options{Version: 128})
	require.NoError(t, err)
	return f
}

// compares requires what both sides find when they compare.
func (s *side) compares(t *testing.T, other *side, here, there fingerprint.Result) {
	t.Helper()
	a, b := s.numbers(t, other), other.numbers(t, s)
	got, err := a.Compare(b.Bytes())
	require.NoError(t, err)
	require.Equal(t, here, got)
	got, err = b.Compare(a.Bytes())
	require.NoError(t, err)
	require.Equal(t, there, got)
	require.Equal(t, here == fingerprint.Match, a.String() == b.String())
}

// A business that states one thing to most, and another one to budi, or a server
// that keeps from him what it stated, is found out by whoever compares numbers.
func TestLBL_10_NumbersOfGates(t *testing.T) {
	w, b, k := met(t)
	b.compares(t, k, fingerprint.Match, fingerprint.Match) // nobody states anything
	hostedOne := follow(t, nil, own(1, hosting.OwnerServer), hosted(2, awan()))
	k.publishes(t, w, hostedOne)
	b.compares(t, k, fingerprint.TheirsDiffer, fingerprint.OursDiffer) // it has not arrived

	w.manifests[toko] = follow(t, nil, own(1, hosting.OwnerServer)).Bytes()
	require.NoError(t, b.Refresh(ctx, toko))
	require.Equal(t, hosting.State("CURRENT"), b.label(t, toko).State)
	require.False(t, b.label(t, toko).Hosted())
	b.compares(t, k, fingerprint.TheirsDiffer, fingerprint.OursDiffer)

	// To cici it shows what the business says of itself.
	c := w.add(t, at("cici", 1), nil)
	w.begins(t, c, k)
	w.manifests[toko] = hostedOne.Bytes()
	require.NoError(t, c.Refresh(ctx, toko))
	c.compares(t, k, fingerprint.Match, fingerprint.Match)
}
