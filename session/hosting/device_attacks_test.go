package hosting_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/hosting"
	"github.com/gembok-e2ee/gembok/x3dh"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// The attacks here are on devices with a Gate, by whoever has the Directory or
// carries messages.

// refreshes is Refresh of an account after the Directory got to show this of it.
func (s *side) refreshes(w *town, user string, shown []byte) error {
	w.manifests[user] = shown
	return s.Refresh(ctx, user)
}

// send is Send of a text to users, for its error.
func (s *side) send(users ...string) (*session.Sending, error) {
	return s.Send(ctx, users, &session.Content{Body: []byte("halo")}, nil)
}

// sent requires that a Send to toko goes through, to all devices.
func (s *side) sent(t testing.TB) {
	t.Helper()
	out, err := s.send(toko)
	require.NoError(t, err)
	for _, r := range out.Results {
		require.NoError(t, r.Err)
	}
}

func TestDeviceStripOnFirstContact(t *testing.T) {
	w := newTown()
	b, k := w.add(t, at(budi, 1), nil), w.add(t, at(toko, 1), deviceKey(1))
	m := follow(t, nil, hosted(1, awan()))
	require.NoError(t, k.gate.Publish(ctx, k.Device, m.Bytes()))
	_, err := b.send(toko) // the server shows nothing
	require.Equal(t, hosting.State("UNATTESTED"), consentIn(t, err).State)
	require.True(t, b.label(t, toko).Unknown)
	require.Equal(t, 1, w.asked[toko])
	require.NoError(t, b.gate.Consent(ctx, b.Device, toko, consentIn(t, err).Token, hosting.Yes))
	b.sent(t)
	// The business itself says it, and a yes to the unknown is none to a host.
	w.begins(t, k, b)
	k.agrees(t, budi)
	r := k.says(t, b, "halo")
	require.Equal(t, hosting.State("PENDING"), b.notices(t, r)[0].State)
	require.True(t, b.receipt(t, r).Label.Hosted())
	_, err = b.send(toko)
	require.Equal(t, m.Hash(), consentIn(t, err).To)
}

// believing is a town in which budi has agreed that toko is hosted on device 1.
func believing(t testing.TB) (w *town, b, k *side, m *hosting.Manifest) {
	t.Helper()
	w, b, k = met(t)
	m = k.publishes(t, w, follow(t, nil, hosted(1, awan())))
	require.NoError(t, b.Refresh(ctx, toko))
	b.agrees(t, toko)
	b.told(t)
	return w, b, k, m
}

func TestLBL_02_StripLaterAtDevice(t *testing.T) {
	w, b, k, m := believing(t)
	before := *b.label(t, toko)
	require.ErrorIs(t, b.refreshes(w, toko, nil), hosting.ErrLabelStripped)
	require.Equal(t, before, *b.label(t, toko))
	n := b.told(t)
	require.Len(t, n, 1)
	require.ErrorIs(t, n[0].Err, hosting.ErrLabelStripped)
	require.Equal(t, hosting.State("CURRENT"), n[0].State)
	require.ErrorIs(t, b.Refresh(ctx, toko), hosting.ErrLabelStripped)
	require.Empty(t, b.told(t)) // said once
	w.begins(t, b, k)           // a bundle without one is none of its own
	b.says(t, k, "halo")
	k.says(t, b, "halo")
	require.Equal(t, before, *b.label(t, toko))
	// When its time is over it does not become less, however often it is asked for.
	w.passes(31 * day)
	_, err := b.send(toko)
	require.ErrorIs(t, err, hosting.ErrLabelStripped)
	e := consentIn(t, err)
	require.ErrorIs(t, err, hosting.ErrManifestExpired)
	require.Equal(t, [2][32]byte{m.Hash(), m.Hash()}, [2][32]byte{e.From, e.To})
	require.True(t, b.label(t, toko).Hosted() && b.label(t, toko).Unknown)
	_, err = b.send(toko)
	require.NotErrorIs(t, err, hosting.ErrLabelStripped) // within the minute it was not asked
	w.passes(time.Minute)
	_, err = b.send(toko)
	require.ErrorIs(t, err, hosting.ErrLabelStripped)
}

// What a server, or anybody but the account, may show: the error, and that nothing
// else comes of it.
func TestDeviceShown(t *testing.T) {
	w, b, k, m1 := believing(t)
	m2 := k.publishes(t, w, follow(t, m1, hosted(1, awan()), own(2, hosting.OwnerServer)))
	require.NoError(t, b.Refresh(ctx, toko))
	require.Equal(t, hosting.State("CURRENT"), b.label(t, toko).State) // in addition a key of the owner's, which is no widening
	m3 := follow(t, m2, hosted(1, awan()))
	other := after(nil, hosted(1, awan()))
	other.Account = "warung"
	warung := signed(t, other, accountKey)
	elsewhere := follow(t, nil, hosted(3, awan()))
	as := func(m *hosting.Manifest, change func(*hosting.Manifest)) []byte { return changed(m, change) }
	for name, c := range map[string]struct {
		shown []byte
		want  error
	}{
		"LBL-01 account": {as(m3, func(m *hosting.Manifest) { m.Signature = awanKey.Sign("gembok/hosting/1/account", hosting.Signed(m)) }), keys.ErrSignature},
		"LBL-01 device key": {as(m3, func(m *hosting.Manifest) {
			m.Signature = deviceKey(1).Sign("gembok/hosting/1/account", hosting.Signed(m))
		}), keys.ErrSignature},
		"LBL-01 role":            {as(m3, func(m *hosting.Manifest) { m.Signature = m.Endpoints[0].ProviderSignature }), keys.ErrSignature},
		"LBL-01 operator":        {as(m3, func(m *hosting.Manifest) { m.Endpoints[0].ProviderSignature = m.Endpoints[0].Signature }), keys.ErrSignature},
		"LBL-03 older":           {m1.Bytes(), hosting.ErrLabelStale},
		"LBL-04 account":         {warung.Bytes(), hosting.ErrLabelMismatch},
		"LBL-04 renamed":         {as(warung, func(m *hosting.Manifest) { m.Account = toko }), keys.ErrSignature},
		"LBL-04 device":          {as(m3, func(m *hosting.Manifest) { m.Endpoints[0] = elsewhere.Endpoints[0] }), keys.ErrSignature},
		"LBL-04 statement":       {as(m3, func(m *hosting.Manifest) { m.Endpoints[0].Signature = elsewhere.Endpoints[0].Signature }), keys.ErrSignature},
		"left out":               {as(m2, func(m *hosting.Manifest) { m.Endpoints = m.Endpoints[:1] }), keys.ErrSignature},
		"added":                  {as(m3, func(m *hosting.Manifest) { m.Endpoints = append(m.Endpoints, elsewhere.Endpoints[0]) }), keys.ErrSignature},
		"not hosted":             {as(m3, ownedNow), keys.ErrSignature},
		"LBL-08 malformed":       {m3.Bytes()[:100], session.ErrMalformed},
		"LBL-08 more":            {hosting.Wrapped(m3, append(hosting.Signed(m3), 15<<3, 1)), session.ErrMalformed},
		"LBL-08 oversize":        {make([]byte, 1<<20), session.ErrTooLarge},
		"LBL-09 name":            {bidi(t, m2), hosting.ErrLabelText},
		"too early":              {early(t, m2), hosting.ErrManifestExpired},
		"LBL-02 nothing":         {nil, hosting.ErrLabelStripped},
		"LBL-02 an empty answer": {[]byte{}, hosting.ErrLabelStripped},
	} {
		before := *b.label(t, toko)
		require.ErrorIs(t, b.refreshes(w, toko, c.shown), c.want, name)
		require.Equal(t, before, *b.label(t, toko), name)
		for _, n := range b.told(t) {
			require.ErrorIs(t, n.Err, c.want, name)
			require.Equal(t, n.Was, n.State, name)
			require.Nil(t, n.To, name)
		}
		b.says(t, k, "masih sama")
		w.passes(time.Hour)
	}
	require.NoError(t, b.refreshes(w, toko, m3.Bytes()))
	require.Equal(t, hosting.State("CURRENT"), b.label(t, toko).State)
	b.says(t, k, "kurang satu")
}

// ownedNow makes the first endpoint one of the owner's.
func ownedNow(m *hosting.Manifest) {
	e := &m.Endpoints[0]
	e.Controller, e.Provider, e.ProviderSignature = hosting.OwnerServer, nil, nil
}

// bidi is a manifest after m with a name that turns the direction of writing, early
// one that is to hold later.
func bidi(t testing.TB, m *hosting.Manifest) []byte {
	p := awan()
	p.Name = "PT \u202eAwan"
	n := after(m, hosted(1, p))
	accept(t, n, accountKey)
	n.Key = accountKey.Public()
	n.Signature = accountKey.Sign("gembok/hosting/1/account", hosting.Signed(n))
	return n.Bytes()
}

func early(t testing.TB, m *hosting.Manifest) []byte {
	n := after(m, hosted(1, awan()))
	n.NotBefore, n.NotAfter = start.Add(20*day), start.Add(40*day)
	return signed(t, n, accountKey).Bytes()
}

// A key does not move to somebody else: nothing is sent to one that is said to.
func TestDeviceSameKeyNewController(t *testing.T) {
	w, b, k := met(t)
	m1 := k.publishes(t, w, follow(t, nil, own(1, hosting.OwnerServer)))
	require.NoError(t, b.Refresh(ctx, toko))
	b.sent(t)
	b.told(t)
	require.ErrorIs(t, b.refreshes(w, toko, follow(t, m1, hosted(1, awan())).Bytes()), hosting.ErrControllerChangedForKey)
	require.Equal(t, hosting.State("CONFLICT"), b.label(t, toko).State)
	require.ErrorIs(t, b.refuses(t, k), hosting.ErrLabelMismatch)
	n := b.told(t)
	require.Len(t, n, 1)
	require.ErrorIs(t, n[0].Err, hosting.ErrControllerChangedForKey)
	require.ErrorIs(t, k.gate.Publish(ctx, k.Device, follow(t, m1, hosted(1, awan())).Bytes()), hosting.ErrControllerChangedForKey)
}

// An identity key that changed is not the one that the manifest lists, whatever the
// user accepts.
func TestLBL_04_IdentityChanged(t *testing.T) {
	w, b, _, m1 := believing(t)
	again := w.add(t, at(toko, 1), deviceKey(7))
	require.NoError(t, b.AcceptIdentity(ctx, at(toko, 1), again.Identity()))
	w.begins(t, b, again)
	require.ErrorIs(t, b.refuses(t, again), hosting.ErrLabelMismatch)
	_, err := b.send(toko)
	require.ErrorIs(t, err, hosting.ErrLabelMismatch)
	e := hosted(1, awan())
	e.Identity = again.Identity()
	require.NoError(t, b.refreshes(w, toko, follow(t, m1, e).Bytes()))
	b.says(t, again, "halo")
}

func TestLBL_05_ClockAtDevice(t *testing.T) {
	w, b, k, m := believing(t)
	end := m.NotAfter.Add(skew)
	w.now = end
	b.says(t, k, "masih")
	w.now = end.Add(time.Second)
	w.broken = errors.New("not now")
	e := consentIn(t, b.refuses(t, k))
	require.Equal(t, hosting.State("EXPIRED"), e.State)
	l := b.label(t, toko)
	require.True(t, l.Unknown && l.Hosted())
	require.Contains(t, l.Lines("en"), "The statement of who holds the key is out of date. It is not known who holds it now.")
	_, err := b.send(toko)
	require.ErrorAs(t, err, new(*session.DirectoryError)) // that is why nothing newer is known
	w.now = end                                           // a clock that is set back
	b.says(t, k, "masih")
	w.now = end.Add(time.Second)
	require.NoError(t, b.gate.Consent(ctx, b.Device, toko, e.Token, hosting.Yes))
	b.says(t, k, "biar")
	b.sent(t)
	w.passes(30 * day)
	b.says(t, k, "biar")
	w.passes(time.Second)
	consentIn(t, b.refuses(t, k))
	// The next one is good from 5 minutes before its time.
	next := after(m, hosted(1, awan()))
	next.NotBefore = w.now.Add(skew + time.Second).Truncate(time.Second)
	next.NotAfter = next.NotBefore.Add(30 * day)
	w.broken, w.manifests[toko] = nil, signed(t, next, accountKey).Bytes()
	_, err = b.send(toko)
	require.ErrorIs(t, err, hosting.ErrManifestExpired)
	w.now = next.NotBefore.Add(-skew)
	require.NoError(t, b.Refresh(ctx, toko))
	require.Equal(t, hosting.State("CURRENT"), b.label(t, toko).State)
	b.sent(t)
	// A clock that goes back before it is as one that went beyond it.
	w.now = next.NotBefore.Add(-skew - time.Second)
	require.Equal(t, hosting.State("EXPIRED"), consentIn(t, b.refuses(t, k)).State)
}

// A flag beside the signed bytes says nothing: not in a bundle, not in a content,
// and where the signed bytes are there may be none.
func TestLBL_06_OuterFlag(t *testing.T) {
	for name, e := range map[string]hosting.Endpoint{"hosted": hosted(1, awan()), "own": own(1, hosting.OwnerServer)} {
		for flag := range uint8(3) { // "this is not hosted", "this is"
			w, b, k := met(t)
			m := follow(t, nil, e)
			outer := []byte{14 << 3, flag}
			inner := hosting.Wrapped(m, append(hosting.Signed(m), outer...))
			require.ErrorIs(t, b.refreshes(w, toko, inner), session.ErrMalformed, name)
			require.Equal(t, hosting.State("UNATTESTED"), b.label(t, toko).State)

			w.bundled[toko] = append(m.Bytes(), outer...)
			bundle, err := w.Bundle(ctx, k.Address())
			require.NoError(t, err)
			flagged, err := x3dh.ParseBundle(append(bundle.Bytes(), outer...))
			require.NoError(t, err)
			require.NoError(t, b.Begin(ctx, k.Address(), flagged))
			l := b.label(t, toko)
			require.NoError(t, b.refreshes(w, toko, append([]byte{2 << 3, flag}, m.Bytes()...)))
			require.Equal(t, l, b.label(t, toko))
			require.Equal(t, name == "hosted", l.Hosted())
			require.Equal(t, name == "own", l.State == "CURRENT")
			require.Equal(t, name == "own", b.sends(k, "halo") == nil)

			r := k.saysRaw(t, b, append((&session.Content{Body: []byte("halo")}).Bytes(), outer...))
			got := b.receipt(t, r)
			require.Equal(t, l, &got.Label)
			require.Empty(t, b.notices(t, r))
		}
	}
}

// A context of somebody else, or for somebody else, is not this message's.
func TestLBL_06_OtherContext(t *testing.T) {
	w, b, k, m := believing(t)
	m2 := follow(t, m, hosted(1, awan()))
	for name, c := range foreignContexts(m2) {
		before := *b.label(t, toko)
		k.opts.Gate = nil // whoever has the key may say what he likes
		k.reopen(t)
		r := k.saysRaw(t, b, c)
		require.Equal(t, before, *b.label(t, toko), name)
		got := b.receipt(t, r)
		require.Zero(t, got.Epoch, name)
		require.True(t, got.Listed, name)
		n := b.notices(t, r)
		require.Len(t, n, 1, name)
		require.ErrorIs(t, n[0].Err, hosting.ErrLabelMismatch, name)
		w.passes(time.Hour)
		b.sent(t)
	}
}

// Two are told two things: both find out, and have it in writing.
func TestLBL_10_EquivocationAtDevices(t *testing.T) {
	w, b, k := met(t)
	shown := follow(t, nil, own(1, hosting.OwnerServer))
	said := k.publishes(t, w, follow(t, nil, own(1, hosting.OwnerServer), hosted(2, awan())))
	require.NoError(t, b.refreshes(w, toko, shown.Bytes()))
	b.sent(t)
	// What budi saw is in his messages: toko learns that another one is about.
	n := k.notices(t, b.says(t, k, "halo"))
	require.Len(t, n, 1)
	require.True(t, n[0].Own)
	require.ErrorIs(t, n[0].Err, hosting.ErrLabelMismatch)
	require.NoError(t, k.sends(b, "halo")) // which stops nothing here: the peer may lie
	// What toko says is in its own.
	r := k.says(t, b, "halo")
	n = b.notices(t, r)
	require.Equal(t, hosting.State("CONFLICT"), n[len(n)-1].State)
	require.ErrorIs(t, b.refuses(t, k), hosting.ErrLabelMismatch)
	_, err := b.send(toko)
	require.ErrorIs(t, err, hosting.ErrLabelMismatch)
	// The manifest went along, and so there is evidence.
	e, err := b.gate.Evidence(ctx, b.Device, toko)
	require.NoError(t, err)
	require.NotNil(t, e)
	require.Equal(t, e.Bytes(), n[0].Evidence.Bytes())
	again, err := hosting.ParseEvidence(e.Bytes())
	require.NoError(t, err)
	first, second := again.Manifests()
	require.ElementsMatch(t, [][32]byte{shown.Hash(), said.Hash()}, [][32]byte{first.Hash(), second.Hash()})
	require.True(t, b.label(t, toko).Hosted())
	none, err := k.gate.Evidence(ctx, k.Device, budi)
	require.NoError(t, err)
	require.Nil(t, none)
	// It ends by a higher epoch and consent.
	m2 := k.publishes(t, w, follow(t, said, own(1, hosting.OwnerServer)))
	require.NoError(t, b.Refresh(ctx, toko))
	require.Equal(t, m2.Hash(), consentIn(t, b.refuses(t, k)).To)
	b.agrees(t, toko)
	b.says(t, k, "baik")
}

func TestLBL_11_UnlistedDevice(t *testing.T) {
	w, b, k, m1 := believing(t)
	late := w.add(t, at(toko, 2), deviceKey(2))
	w.begins(t, late, b)
	late.agrees(t, budi)
	r := late.says(t, b, "baru")
	require.False(t, b.receipt(t, r).Listed)
	n := b.notices(t, r)
	require.Len(t, n, 1)
	require.ErrorIs(t, n[0].Err, hosting.ErrLabelMismatch)
	r = late.says(t, b, "baru")
	require.False(t, b.receipt(t, r).Listed)
	require.Empty(t, b.notices(t, r)) // said once
	require.ErrorIs(t, b.refuses(t, late), hosting.ErrLabelMismatch)
	require.NoError(t, b.Refresh(ctx, toko))
	_, err := b.send(toko) // to all of its devices, or nobody
	require.ErrorIs(t, err, hosting.ErrLabelMismatch)
	b.says(t, k, "halo")
	k.publishes(t, w, follow(t, m1, hosted(1, awan()), hosted(2, awan())))
	require.NoError(t, b.Refresh(ctx, toko))
	b.sent(t)
	require.True(t, b.receipt(t, late.says(t, b, "baru")).Listed)
}

// A yes is for one change of one account, and no other, nor for what came since.
func TestDeviceConsentReplayed(t *testing.T) {
	w, b, k, m1 := believing(t)
	wide := hosted(1, awan())
	wide.Readers.AI = true
	m2 := k.publishes(t, w, follow(t, m1, wide))
	require.NoError(t, b.Refresh(ctx, toko))
	e := consentIn(t, b.refuses(t, k))
	wider := wide
	wider.Uses.Training = true
	k.publishes(t, w, follow(t, m2, wider))
	require.NoError(t, b.Refresh(ctx, toko))
	unchangedStore(t, b, func() {
		require.ErrorIs(t, b.gate.Consent(ctx, b.Device, toko, e.Token, hosting.Yes), hosting.ErrLabelStale)
		require.ErrorIs(t, b.gate.Consent(ctx, b.Device, budi, e.Token, hosting.Yes), hosting.ErrLabelStale)
		require.ErrorIs(t, b.gate.Consent(ctx, b.Device, "warung", b.wants(t, toko).Token, hosting.Yes), hosting.ErrLabelStale)
		require.ErrorIs(t, b.gate.Consent(ctx, b.Device, toko, b.wants(t, toko).Token, 0), session.ErrMalformed)
		require.ErrorIs(t, k.gate.Consent(ctx, b.Device, toko, b.wants(t, toko).Token, hosting.Yes), hosting.ErrLabelMismatch)
	})
	yes := b.wants(t, toko)
	require.NoError(t, b.gate.Consent(ctx, b.Device, toko, yes.Token, hosting.ByPolicy))
	b.sent(t)
	unchangedStore(t, b, func() {
		require.ErrorIs(t, b.gate.Consent(ctx, b.Device, toko, yes.Token, hosting.Yes), hosting.ErrLabelStale)
	})
	ledger := b.consents(t)
	require.Contains(t, ledger, hosting.Consent{Account: toko, From: m1.Hash(), To: yes.To, At: start, Answer: hosting.ByPolicy})
	require.Len(t, ledger, 3)
}

// There is no weaker way to a hosted peer: a bundle is good or it is not.
func TestDeviceNoWeakerSuite(t *testing.T) {
	w, b, k, _ := believing(t)
	for name, weaken := range map[string]func(*x3dh.Bundle){
		"no KEM prekey":  func(x *x3dh.Bundle) { x.KEMPreKey = x3dh.KEMPreKey{} },
		"KEM signature":  func(x *x3dh.Bundle) { x.KEMPreKey.Signature[0] ^= 1 },
		"signed prekey":  func(x *x3dh.Bundle) { x.SignedPreKey.Signature[0] ^= 1 },
		"other identity": func(x *x3dh.Bundle) { x.IdentityKey = awanKey.Public() },
	} {
		bundle, err := w.Bundle(ctx, k.Address())
		require.NoError(t, err)
		weaken(bundle)
		unchangedStore(t, b, func() { require.Error(t, b.Begin(ctx, k.Address(), bundle), name) })
	}
	b.sent(t)
}

// unchangedStore requires that something changes nothing.
func unchangedStore(t testing.TB, s *side, do func()) {
	t.Helper()
	before := testutil.StoreDigest(t, s.store)
	do()
	require.Equal(t, before, testutil.StoreDigest(t, s.store))
}
