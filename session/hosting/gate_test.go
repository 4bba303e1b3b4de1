package hosting_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session/hosting"
)

// Nobody said anything: the user is asked once, each side for itself.
func TestGateUnattested(t *testing.T) {
	w := newTown()
	b, k := w.add(t, at(budi, 1), nil), w.add(t, at(toko, 1), nil)
	w.begins(t, b, k)
	e := consentIn(t, b.refuses(t, k))
	require.Equal(t, hosting.State("UNATTESTED"), e.State)
	require.NoError(t, b.gate.Consent(ctx, b.Device, toko, e.Token, hosting.Yes))
	r := b.says(t, k, "halo")
	require.Equal(t, &hosting.Receipt{Label: hosting.Label{State: "UNATTESTED", Unknown: true}}, k.receipt(t, r))
	require.Empty(t, k.notices(t, r))
	require.Equal(t, []hosting.Consent{{Account: toko, At: start, Answer: hosting.Yes}}, b.consents(t))
	// The same answer is none to anybody else, nor again.
	require.ErrorIs(t, b.gate.Consent(ctx, b.Device, "warung", e.Token, hosting.Yes), hosting.ErrLabelStale)

	relaxed := w.addTo(t, keystore.NewMemory(), at("cici", 1), nil, &hosting.Options{AllowUnattested: true})
	w.begins(t, relaxed, k)
	relaxed.says(t, k, "halo")
}

// The manifest of a business goes along with what it says, and what it says of
// itself is shown with each message.
func TestGateMove(t *testing.T) {
	w, b, k := met(t)
	m1 := k.publishes(t, w, follow(t, nil, own(1, hosting.OwnerServer)))
	r := k.says(t, b, "kami pakai server sendiri")
	got := b.receipt(t, r)
	require.Equal(t, hosting.State("CURRENT"), got.Label.State)
	require.Equal(t, []hosting.Controller{hosting.OwnerServer}, got.Claimed.Controllers)
	require.True(t, got.Listed)
	require.Equal(t, m1.Hash(), got.Hash)
	n := b.notices(t, r)
	require.Len(t, n, 1)
	require.Equal(t, [2]hosting.State{"UNATTESTED", "CURRENT"}, [2]hosting.State{n[0].Was, n[0].State})
	require.Equal(t, m1.Hash(), n[0].To.Hash())
	require.Nil(t, n[0].From)

	// Once budi has said that he saw it, it does not go along any more.
	b.says(t, k, "baik")
	m, err := k.encrypts(b, "terima kasih")
	require.NoError(t, err)
	require.Less(t, len(m.Bytes), 600)
	require.Empty(t, b.notices(t, b.reads(t, k, m, "terima kasih")))

	// It moves to a provider: another device, another key.
	host := w.add(t, at(toko, 2), deviceKey(2))
	m2 := follow(t, m1, own(1, hosting.OwnerServer), hosted(2, awan()))
	host.publishes(t, w, m2)
	w.begins(t, host, b)
	host.agrees(t, budi)
	r = host.says(t, b, "kami pindah")
	n = b.notices(t, r)
	require.Len(t, n, 1)
	require.Equal(t, [2]hosting.State{"CURRENT", "PENDING"}, [2]hosting.State{n[0].Was, n[0].State})
	require.Equal(t, "PT Awan", n[0].Diff.Wider.Parties[0].Name)
	require.True(t, b.receipt(t, r).Label.Hosted())
	for _, to := range []*side{k, host} {
		e := consentIn(t, b.refuses(t, to))
		require.Equal(t, [2][32]byte{m1.Hash(), m2.Hash()}, [2][32]byte{e.From, e.To})
	}
	// No: nothing is sent, until a yes. What comes is read all the time.
	require.NoError(t, b.gate.Consent(ctx, b.Device, toko, b.wants(t, toko).Token, hosting.No))
	require.Equal(t, hosting.State("DECLINED"), b.label(t, toko).State)
	k.says(t, b, "tolong")
	w.passes(time.Second)
	b.agrees(t, toko)
	b.says(t, k, "baiklah")
	b.says(t, host, "baiklah")
	require.Len(t, b.consents(t), 3)
	require.True(t, b.label(t, toko).Hosted())
	got2, err := b.gate.Manifest(ctx, b.Device, toko)
	require.NoError(t, err)
	require.Equal(t, m2.Hash(), got2.Hash())
}
