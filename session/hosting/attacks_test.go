package hosting_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/session/hosting"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

func TestAttackStripOnFirstContact(t *testing.T) {
	r := rules()
	r.See(toko, nil, start)
	inState(t, r, start, "UNATTESTED") // which is not "not hosted", and asks
	asked(t, r, start)
	require.Contains(t, lines(r, "en"), "It is not known who holds the key at the other end.")
}

func TestLBL_02_StripLater(t *testing.T) {
	r := rules()
	r.See(toko, follow(t, nil, hosted(1, awan())), start)
	agree(t, r, start)
	unchanged(t, r, func() { require.ErrorIs(t, r.See(toko, nil, start).Err, hosting.ErrLabelStripped) })
	require.True(t, hostedLabel(r))
	late := start.Add(100 * day) // and by waiting it does not become less
	require.ErrorIs(t, r.See(toko, nil, late).Err, hosting.ErrLabelStripped)
	l := r.Label(late)
	require.True(t, l.Hosted() && l.Unknown)
}

func TestLBL_03_Replay(t *testing.T) {
	m1 := follow(t, nil, own(1, hosting.OwnerServer))
	m2 := follow(t, m1, own(1, hosting.OwnerServer), hosted(2, awan()))
	r := rules()
	r.See(toko, m1, start)
	r.See(toko, m2, start)
	unchanged(t, r, func() { require.ErrorIs(t, r.See(toko, m1, start).Err, hosting.ErrLabelStale) })
	agree(t, r, start)
	unchanged(t, r, func() { require.ErrorIs(t, r.See(toko, m1, start).Err, hosting.ErrLabelStale) })
	unchanged(t, r, func() { require.NoError(t, r.See(toko, m2, start).Err) })
	require.True(t, hostedLabel(r))
	// Of the same epoch, with other content.
	other := follow(t, m1, own(1, hosting.OwnerServer))
	require.ErrorIs(t, r.See(toko, other, start).Err, hosting.ErrLabelStale)
	inState(t, r, start, "CONFLICT")
}

// A server can leave no endpoint out, and add none.
func TestAttackLeaveOutOrAdd(t *testing.T) {
	m := follow(t, nil, own(1, hosting.OwnerServer), hosted(2, awan()))
	for _, change := range []func(*hosting.Manifest){
		func(n *hosting.Manifest) { n.Endpoints = n.Endpoints[:1] },
		func(n *hosting.Manifest) { n.Endpoints = n.Endpoints[1:] },
		func(n *hosting.Manifest) { n.Endpoints = append(n.Endpoints, hosted3(t)) },
	} {
		require.ErrorIs(t, verifyBytes(changed(m, change), start), keys.ErrSignature)
	}
}

func hosted3(t *testing.T) hosting.Endpoint {
	m := follow(t, nil, hosted(3, awan()))
	return m.Endpoints[0]
}

// A key does not move: nothing more is sent to one that is said to.
func TestAttackSameKeyNewController(t *testing.T) {
	m1 := follow(t, nil, own(1, hosting.OwnerServer))
	for name, e := range map[string]hosting.Endpoint{"hosted": hosted(1, awan()), "own": own(1, hosting.OwnerDevice)} {
		r := rules()
		r.See(toko, m1, start)
		require.ErrorIs(t, r.See(toko, follow(t, m1, e), start).Err, hosting.ErrControllerChangedForKey, name)
		require.Error(t, r.May(toko, 1, deviceKey(1).Public(), start), name)
	}
	h := follow(t, nil, hosted(1, awan()))
	r := rules()
	r.See(toko, h, start)
	agree(t, r, start)
	require.ErrorIs(t, r.See(toko, follow(t, h, hosted(1, bumi())), start).Err, hosting.ErrControllerChangedForKey)
	require.True(t, hostedLabel(r))
	require.ErrorIs(t, r.See(toko, follow(t, h, own(1, hosting.OwnerServer)), start).Err, hosting.ErrLabelStale)
}

// A business that tells two customers two things leaves both as evidence.
func TestLBL_10_Equivocation(t *testing.T) {
	a := follow(t, nil, own(1, hosting.OwnerServer))
	b := follow(t, nil, own(1, hosting.OwnerServer), hosted(2, awan()))
	r := rules()
	r.See(toko, a, start)
	// What the business itself says in a message tells that the server lied.
	require.ErrorIs(t, r.Claims(1, b.Hash(), start).Err, hosting.ErrLabelMismatch)
	n := r.See(toko, b, start)
	require.NotNil(t, n.Evidence)
	got, err := hosting.ParseEvidence(n.Evidence.Bytes())
	require.NoError(t, err)
	first, second := got.Manifests()
	require.ElementsMatch(t, [][32]byte{a.Hash(), b.Hash()}, [][32]byte{first.Hash(), second.Hash()})
	require.True(t, hostedLabel(r))
}

func TestAttackForgedByOtherAccount(t *testing.T) {
	m := after(nil, own(1, hosting.OwnerServer))
	m.Account = "warung"
	other := signed(t, m, pair(99))
	r := rules()
	unchanged(t, r, func() { require.ErrorIs(t, r.See(toko, other, start).Err, hosting.ErrLabelMismatch) })
	renamed, err := hosting.Parse(changed(other, func(n *hosting.Manifest) { n.Account = toko }))
	require.NoError(t, err)
	unchanged(t, r, func() { require.ErrorIs(t, r.See(toko, renamed, start).Err, keys.ErrSignature) })
}

// The name of a provider is nothing without its key, and another key is not its.
func TestAttackProviderImpersonation(t *testing.T) {
	m := after(nil, hosted(1, awan()))
	accept(t, m, accountKey)
	m.Endpoints[0].ProviderSignature = bumiKey.Sign("gembok/hosting/1/provider", hosting.Statement(&m.Endpoints[0], toko, accountKey.Public()))
	_, err := m.Sign(accountKey)
	require.ErrorIs(t, err, keys.ErrSignature)

	fake := &hosting.Provider{Name: "PT Awan", Domain: "awan.example", Key: bumiKey.Public()}
	r := rules()
	r.See(toko, follow(t, nil, hosted(1, fake)), start)
	p := r.Label(start).Parties[0]
	require.False(t, p.Known)
	require.Contains(t, lines(r, "en"), "It is not verified that PT Awan (awan.example) is who it says.")
	require.Contains(t, lines(r, "id"), "Tidak terbukti bahwa PT Awan (awan.example) memang pihak itu.")
	r = rules()
	r.See(toko, follow(t, nil, hosted(1, awan())), start)
	require.True(t, r.Label(start).Parties[0].Known)
	// A look-alike: the first letter is Cyrillic.
	like := &hosting.Provider{Name: "\u0420T Awan", Domain: "awan.example", Key: bumiKey.Public()}
	r = rules()
	r.See(toko, follow(t, nil, hosted(1, like)), start)
	require.True(t, r.Label(start).Parties[0].Mixed)
}

func lines(r *hosting.Rules, lang string) []string {
	l := r.Label(start)
	return l.Lines(lang)
}

// A yes is for one change of one account.
func TestAttackConsentReplayed(t *testing.T) {
	m1 := follow(t, nil, hosted(1, awan()))
	r := rules()
	r.See(toko, m1, start)
	e := asked(t, r, start)
	unchanged(t, r, func() {
		require.ErrorIs(t, r.Decide(toko, hosting.Token("warung", e.From, e.To), true, start), hosting.ErrLabelStale)
		require.ErrorIs(t, r.Decide(toko, hosting.Token(toko, e.To, e.From), true, start), hosting.ErrLabelStale)
	})
	wide := hosted(1, awan())
	wide.Readers.AI = true
	r.See(toko, follow(t, m1, wide), start) // the manifest moved on
	unchanged(t, r, func() { require.ErrorIs(t, r.Decide(toko, e.Token, true, start), hosting.ErrLabelStale) })
	agree(t, r, start)
	unchanged(t, r, func() { require.ErrorIs(t, r.Decide(toko, e.Token, true, start), hosting.ErrLabelStale) })
}

// A store that was rolled back learns it from peers, and a lying one disables
// nothing.
func TestAttackRollback(t *testing.T) {
	m1 := follow(t, nil, own(1, hosting.OwnerServer))
	m2 := follow(t, m1, own(1, hosting.OwnerServer))
	require.Equal(t, hosting.SeenSame, hosting.OwnSeen(m1, 1, m1.Hash()))
	require.Equal(t, hosting.SeenSame, hosting.OwnSeen(m1, 0, [32]byte{}))
	require.Equal(t, hosting.SeenSame, hosting.OwnSeen(nil, 0, [32]byte{}))
	require.Equal(t, hosting.SeenBehind, hosting.OwnSeen(m2, 1, m1.Hash()))
	require.Equal(t, hosting.SeenOther, hosting.OwnSeen(m1, 1, m2.Hash()))
	require.Equal(t, hosting.SeenAhead, hosting.OwnSeen(m1, 2, m2.Hash()))
	require.Equal(t, hosting.SeenAhead, hosting.OwnSeen(nil, 1, m1.Hash()))

	key := accountKey.Public()
	require.NoError(t, hosting.OwnShown(toko, key, m1, m2))
	require.NoError(t, hosting.OwnShown(toko, key, nil, m1))
	require.ErrorIs(t, hosting.OwnShown(toko, key, m2, m1), hosting.ErrLabelStale)
	require.ErrorIs(t, hosting.OwnShown("warung", key, m1, m2), hosting.ErrLabelMismatch)
	require.ErrorIs(t, hosting.OwnShown(toko, key, m1, signed(t, after(m1, own(1, hosting.OwnerServer)), pair(99))), hosting.ErrLabelMismatch)
	forged, err := hosting.Parse(changed(m1, func(n *hosting.Manifest) { n.Epoch = 7 }))
	require.NoError(t, err)
	require.ErrorIs(t, hosting.OwnShown(toko, key, m1, forged), keys.ErrSignature)
}

// What was in flight while the manifest changed is no alarm.
func TestAttackMessageInFlight(t *testing.T) {
	m1 := follow(t, nil, own(1, hosting.OwnerServer))
	m2 := follow(t, m1, own(1, hosting.OwnerServer))
	r := rules()
	r.See(toko, m1, start)
	r.See(toko, m2, start)
	unchanged(t, r, func() {
		require.NoError(t, r.Claims(1, m1.Hash(), start).Err)
		require.NoError(t, r.Claims(0, [32]byte{}, start).Err)
		require.NoError(t, r.Claims(2, m2.Hash(), start).Err)
	})
}

func TestLBL_11_DeviceJoinsLater(t *testing.T) {
	m1 := follow(t, nil, own(1, hosting.OwnerServer))
	r := rules()
	r.See(toko, m1, start)
	require.ErrorIs(t, r.May(toko, 2, deviceKey(2).Public(), start), hosting.ErrLabelMismatch)
	r.See(toko, follow(t, m1, own(1, hosting.OwnerServer), hosted(2, awan())), start)
	for d := range uint32(2) {
		require.ErrorAs(t, r.May(toko, 1+d, deviceKey(1+d).Public(), start), new(*hosting.ConsentRequiredError))
	}
	agree(t, r, start)
	require.NoError(t, r.May(toko, 2, deviceKey(2).Public(), start))
}

func TestAttackHostedMemberJoinsGroup(t *testing.T) {
	own1, host := rules(), rules()
	own1.See(toko, follow(t, nil, own(1, hosting.Person)), start)
	host.See(toko, follow(t, nil, hosted(1, awan())), start)
	group := own1.Label(start).Union(own1.Label(start))
	require.False(t, group.Hosted())
	require.Equal(t, hosting.State("CURRENT"), group.State)
	group = group.Union(host.Label(start))
	require.Equal(t, hosting.State("PENDING"), group.State)
	require.Equal(t, hosting.HostedByProvider, group.Class())
	require.Equal(t, "awan.example", group.Parties[0].Domain)
	require.Equal(t, []hosting.Controller{hosting.Person, hosting.HostedByProvider}, group.Controllers)
	require.True(t, group.Union(rules().Label(start)).Unknown)
}

func asConsent(err error, e **hosting.ConsentRequiredError) bool { return errors.As(err, e) }
