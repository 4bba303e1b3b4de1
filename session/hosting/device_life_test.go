package hosting_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/group"
	"github.com/gembok-e2ee/gembok/session/hosting"
	"github.com/gembok-e2ee/gembok/session/sealed"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

const club = "club"

// joins makes a person's device with a manifest that everybody is shown.
func (w *town) joins(t testing.TB, user string, seed byte) *side {
	t.Helper()
	s := w.add(t, at(user, 1), pair(seed))
	s.publishes(t, w, personal(t, user, seed))
	return s
}

// personal is the first manifest of a person, whose only key is the account's.
func personal(t testing.TB, user string, seed byte) *hosting.Manifest {
	t.Helper()
	key := pair(seed)
	m := after(nil, own(1, hosting.Person))
	m.Account, m.Kind, m.Endpoints[0].Identity = user, hosting.KindPerson, key.Public()
	require.NoError(t, m.Endpoints[0].Accept(user, key.Public(), key))
	_, err := m.Sign(key)
	require.NoError(t, err)
	return m
}

// tells does all that it takes to have a club hear a text, and returns what was
// received, by user.
func (s *side) tells(t testing.TB, w *town, groups map[string]*group.Groups, text string) map[string]*session.Received {
	t.Helper()
	out := map[string]*session.Received{}
	key, err := groups[s.Address().User].Distribute(ctx, club, nil)
	require.NoError(t, err)
	for _, sending := range []*session.Sending{key, nil} {
		if sending == nil {
			if sending, err = groups[s.Address().User].Send(ctx, club, &session.Content{Body: []byte(text)}, nil); err != nil {
				require.NoError(t, err)
			}
		}
		for _, r := range sending.Results {
			require.NoError(t, r.Err)
			got, err := groups[r.To.User].Decrypt(ctx, s.Address(), r.Message, nil)
			require.NoError(t, err)
			out[r.To.User] = got
		}
		require.NoError(t, groups[s.Address().User].Accept(ctx, sending))
	}
	return out
}

// A hosted member joins: nobody gets anything, no key is made or given, and the same
// call goes through after consent.
func TestDeviceHostedMemberJoinsGroup(t *testing.T) {
	w := newTown()
	b, c, k := w.joins(t, budi, 50), w.joins(t, "cici", 51), w.add(t, at(toko, 1), deviceKey(1))
	d := w.joins(t, "dodi", 52)
	k.publishes(t, w, follow(t, nil, hosted(1, awan())))
	groups := map[string]*group.Groups{}
	for _, s := range []*side{b, c, d, k} {
		groups[s.Address().User] = group.New(s.Device, nil)
	}
	require.NoError(t, groups[budi].Set(ctx, club, []string{"cici", "dodi"}, nil))
	b.tells(t, w, groups, "halo")
	require.False(t, b.label(t, "cici", "dodi").Hosted())

	require.NoError(t, groups[budi].Set(ctx, club, []string{"cici", toko}, nil)) // another key is due: dodi left
	_, err := groups[budi].Distribute(ctx, club, nil)
	consentIn(t, err)
	l := b.label(t, "cici", toko, budi)
	require.Equal(t, hosting.State("PENDING"), l.State)
	require.True(t, l.Hosted())
	require.Equal(t, []hosting.Controller{hosting.Person, hosting.HostedByProvider}, l.Controllers)
	_, err = groups[budi].Distribute(ctx, club, nil) // the Directory had nothing new
	consentIn(t, err)
	unchangedStore(t, b, func() {
		_, err := groups[budi].Distribute(ctx, club, nil)
		consentIn(t, err)
		_, err = groups[budi].Send(ctx, club, &session.Content{Body: []byte("halo")}, nil)
		consentIn(t, err)
		_, err = b.send("cici", toko, "dodi")
		consentIn(t, err)
	})
	_, err = b.send("cici") // who is in no way concerned
	require.NoError(t, err)
	_, err = groups[budi].Distribute(ctx, club, nil)
	e := consentIn(t, err)
	require.NoError(t, b.gate.Consent(ctx, b.Device, e.Account, e.Token, hosting.Yes))
	got := b.tells(t, w, groups, "halo semua")
	require.Equal(t, "halo semua", string(got[toko].Content.Body))
	require.Equal(t, hosting.State("CURRENT"), b.label(t, "cici", toko).State)

	// What is told to a group says whose manifest it is, and not what was seen of others.
	in, err := wire.ParseContent(got["cici"].Plaintext)
	require.NoError(t, err)
	require.Equal(t, &wire.HostingContext{Sender: budi, SenderDevice: 1, Epoch: 1, Hash: in.Hosting.Hash}, in.Hosting)
	require.Nil(t, in.Manifest)
}

// With each message comes the label of who sent it: from a session, to a group,
// sealed, and of a copy; and there is one of each member of a group.
func TestLBL_12_LabelEverywhere(t *testing.T) {
	w := newTown()
	b, c := w.joins(t, budi, 50), w.joins(t, "cici", 51)
	phone := w.add(t, at(budi, 2), pair(50))
	groups := map[string]*group.Groups{budi: group.New(b.Device, nil), "cici": group.New(c.Device, nil)}
	require.NoError(t, groups[budi].Set(ctx, club, []string{"cici"}, nil))
	phone.hide(w)
	got := b.tells(t, w, groups, "halo")["cici"]
	person := func(r *hosting.Receipt) {
		t.Helper()
		require.Equal(t, []hosting.Controller{hosting.Person}, r.Claimed.Controllers)
		require.True(t, r.Listed)
		require.Equal(t, uint64(1), r.Epoch)
	}
	require.NoError(t, c.Refresh(ctx, budi))
	again := b.tells(t, w, groups, "halo lagi")["cici"]
	person(c.receipt(t, again))
	require.Equal(t, hosting.State("CURRENT"), c.receipt(t, again).Label.State)
	require.True(t, c.receipt(t, got).Label.Unknown) // what was said before it was shown
	for _, user := range []string{budi, "cici"} {
		require.Equal(t, hosting.State("CURRENT"), b.label(t, user).State)
	}
	// Delivered again, it is as it was.
	for r, err := range c.Unacknowledged(ctx) {
		require.NoError(t, err)
		c.receipt(t, r)
	}

	root, signing := keys.GenerateSigningKey(), keys.GenerateSigningKey()
	server := sealed.IssueServerCertificate(root, 1, signing.Public())
	cert, err := sealed.IssueSenderCertificate(server, signing, sealed.Claims{User: budi, Device: 1, Identity: b.Identity(), Expires: w.now.Add(day)})
	require.NoError(t, err)
	sender, err := sealed.NewSender(b.IdentityKeyPair(), cert, nil)
	require.NoError(t, err)
	m, err := b.encrypts(c, "diam-diam")
	require.NoError(t, err)
	envelope, err := sender.Seal(c.Identity(), m, sealed.HintDefault, nil)
	require.NoError(t, err)
	open, err := sealed.NewReceiver(c.Device, nil, &sealed.Trust{Roots: []keys.VerifyKey{root.Public()}}, nil).Open(ctx, envelope.Bytes, w.now, nil)
	require.NoError(t, err)
	person(c.receipt(t, open.Received))

	_, err = c.gate.Receipt(new(session.Received))
	require.ErrorIs(t, err, session.ErrMalformed)
	_, err = c.gate.Receipt(&session.Received{Note: []byte{1}})
	require.ErrorIs(t, err, session.ErrMalformed)
	_, err = c.gate.Notice(&session.Event{Kind: session.SessionRenewed})
	require.ErrorIs(t, err, session.ErrMalformed)
	_, err = c.gate.Notice(&session.Event{Kind: session.LabelNotice, Note: []byte{1}})
	require.ErrorIs(t, err, session.ErrMalformed)

	// A copy tells the other device of the account who has the keys of it.
	phone.show(w)
	require.NoError(t, b.Refresh(ctx, budi))
	sent, err := b.send("cici")
	require.NoError(t, err)
	for _, r := range sent.Results {
		if r.To == phone.Address() {
			require.NoError(t, r.Err)
			copied, err := phone.Decrypt(ctx, b.Address(), r.Message, nil)
			require.NoError(t, err)
			person(phone.receipt(t, copied))
			in, err := wire.ParseContent(copied.Plaintext)
			require.NoError(t, err)
			in, err = wire.ParseContent(in.Sync.Content)
			require.NoError(t, err)
			require.Empty(t, in.Hosting.Recipient)
			require.Zero(t, in.Hosting.SeenEpoch)
			require.Nil(t, in.Hosting.SeenHash)
			mine, err := phone.gate.Manifest(ctx, phone.Device, budi)
			require.NoError(t, err)
			require.Equal(t, uint64(1), mine.Epoch)
			return
		}
	}
	t.Fatal("no copy")
}

// hide takes a device out of the Directory, and show puts it back.
func (s *side) hide(w *town) { delete(w.sides, s.Address()) }
func (s *side) show(w *town) { w.sides[s.Address()] = s }

// What was on its way while a manifest changed, or was shown, is no alarm.
func TestDeviceMessageInFlight(t *testing.T) {
	w, b, k := met(t)
	m1 := k.publishes(t, w, follow(t, nil, own(1, hosting.OwnerServer)))
	k.says(t, b, "halo")
	slow, err := k.encrypts(b, "lambat") // takes m1 along, which budi has not said that he has
	require.NoError(t, err)
	m2 := k.publishes(t, w, follow(t, m1, own(2, hosting.OwnerServer)))
	require.NoError(t, b.Refresh(ctx, toko))
	b.told(t)
	require.ErrorIs(t, b.refuses(t, k), hosting.ErrLabelMismatch) // it moved
	r := b.reads(t, k, slow, "lambat")
	require.Empty(t, b.notices(t, r))
	got := b.receipt(t, r)
	require.Equal(t, m1.Hash(), got.Hash)
	require.Equal(t, hosting.State("CURRENT"), got.Label.State)
	require.Nil(t, got.Claimed) // m1 is not held any more
	require.False(t, got.Listed)
	newest, err := b.gate.Manifest(ctx, b.Device, toko)
	require.NoError(t, err)
	require.Equal(t, m2.Hash(), newest.Hash())
}

// What a message says comes before the manifest: it is waited for, and is asked for.
func TestDeviceClaimFirst(t *testing.T) {
	w, b, k := met(t)
	m1 := k.publishes(t, w, follow(t, nil, own(1, hosting.OwnerServer)))
	w.passes(8 * day) // it does not go along any more
	delete(w.manifests, toko)
	r := k.says(t, b, "halo")
	n := b.notices(t, r)
	require.Len(t, n, 1)
	require.ErrorIs(t, n[0].Err, hosting.ErrLabelStale)
	require.Equal(t, hosting.State("PENDING"), n[0].State)
	require.Nil(t, b.receipt(t, r).Claimed)
	require.ErrorIs(t, b.refuses(t, k), hosting.ErrLabelStale)
	_, err := b.send(toko)
	require.ErrorIs(t, err, hosting.ErrLabelStale)
	require.ErrorIs(t, err, hosting.ErrLabelStripped)
	require.Equal(t, 1, w.asked[toko])
	w.manifests[toko] = m1.Bytes()
	_, err = b.send(toko)
	require.ErrorIs(t, err, hosting.ErrLabelStale)
	require.Equal(t, 1, w.asked[toko]) // not again within the minute
	w.passes(time.Minute)
	b.sent(t) // it is learned on the way
	require.Equal(t, hosting.State("CURRENT"), b.label(t, toko).State)
	b.told(t)
	for range 3 { // while it is good, nobody is asked
		w.passes(time.Hour)
		b.sent(t)
	}
	require.Equal(t, 2, w.asked[toko])
	w.now = m1.NotAfter.Add(-2 * day)
	k.says(t, b, "masih")
	b.sent(t) // the next one is due
	b.sent(t)
	require.Equal(t, 3, w.asked[toko])
	w.passes(time.Hour)
	b.sent(t)
	require.Equal(t, 4, w.asked[toko])
	require.Empty(t, b.told(t))
}

// A store that was put back learns from peers what it forgot, and takes it only with
// the account's signature. A peer that lies disables nothing.
func TestDeviceRolledBack(t *testing.T) {
	w, b, k := met(t)
	m1 := k.publishes(t, w, follow(t, nil, own(1, hosting.OwnerServer)))
	k.says(t, b, "halo")
	b.says(t, k, "halo")
	old := stored(t, k, toko)
	m2 := k.publishes(t, w, follow(t, m1, own(1, hosting.OwnerServer), hosted(2, awan())))
	k.says(t, b, "kami berubah")
	b.agrees(t, toko)
	overwrite(t, k, toko, old) // as a backup would
	n := k.notices(t, b.says(t, k, "baik"))
	require.Len(t, n, 1)
	require.True(t, n[0].Own)
	require.ErrorIs(t, n[0].Err, hosting.ErrLabelStale)
	require.Equal(t, budi, n[0].Account)
	k.says(t, b, "halo") // it is sent all the same, and is as one that was in flight
	require.Equal(t, hosting.State("CURRENT"), b.label(t, toko).State)

	forged := changed(m2, func(m *hosting.Manifest) { m.Epoch = 9 })
	require.ErrorIs(t, k.refreshes(w, toko, forged), keys.ErrSignature)
	strange := signed(t, after(m2, own(1, hosting.OwnerServer)), pair(99))
	require.ErrorIs(t, k.refreshes(w, toko, strange.Bytes()), hosting.ErrLabelMismatch)
	k.told(t)
	require.NoError(t, k.refreshes(w, toko, m2.Bytes()))
	n = k.told(t)
	require.Len(t, n, 1)
	require.True(t, n[0].Own)
	require.NoError(t, n[0].Err)
	require.Equal(t, m2.Hash(), n[0].To.Hash())
	require.Empty(t, k.notices(t, b.says(t, k, "sudah?")))
	require.ErrorIs(t, k.refreshes(w, toko, m1.Bytes()), hosting.ErrLabelStale)
	require.Empty(t, k.told(t)) // it takes time to get around

	// Two of one epoch: somebody else has the account's key.
	fork := follow(t, m1, own(1, hosting.OwnerServer), hosted(2, bumi()))
	require.ErrorIs(t, k.refreshes(w, toko, fork.Bytes()), hosting.ErrLabelMismatch)
	require.NotNil(t, k.told(t)[0].Evidence)

	// A liar, who has never seen anything.
	hash := m1.Hash()
	lie := wire.AppendContent(nil, &wire.Content{Hosting: &wire.HostingContext{Sender: budi, SenderDevice: 1, Recipient: toko, SeenEpoch: math.MaxUint64, SeenHash: hash[:]}})
	b.opts.Gate = nil
	b.reopen(t)
	w.passes(time.Hour)
	n = k.notices(t, b.saysRaw(t, k, lie))
	require.Len(t, n, 1)
	require.ErrorIs(t, n[0].Err, hosting.ErrLabelStale)
	require.Empty(t, k.notices(t, b.saysRaw(t, k, lie))) // said once an hour
	w.passes(time.Hour)
	require.Len(t, k.notices(t, b.saysRaw(t, k, lie)), 1)
	k.says(t, b, "tetap jalan")
	mine, err := k.gate.Manifest(ctx, k.Device, toko)
	require.NoError(t, err)
	require.Equal(t, m2.Hash(), mine.Hash())
}

// Publish takes what peers would believe.
func TestDevicePublish(t *testing.T) {
	_, b, k := met(t)
	m1 := follow(t, nil, own(1, hosting.OwnerServer))
	require.NoError(t, k.gate.Publish(ctx, k.Device, m1.Bytes()))
	m2 := follow(t, m1, own(1, hosting.OwnerServer))
	other := follow(t, nil, own(2, hosting.OwnerServer))
	broken := follow(t, other, own(1, hosting.OwnerServer))
	foreign := own(1, hosting.OwnerServer)
	foreign.Identity = deviceKey(7).Public()
	unchangedStore(t, k, func() {
		for name, c := range map[string]struct {
			m    []byte
			want error
		}{
			"the same":     {m1.Bytes(), nil},
			"another one":  {other.Bytes(), hosting.ErrLabelStale},
			"no next":      {broken.Bytes(), hosting.ErrLabelMismatch},
			"account":      {personal(t, budi, 50).Bytes(), hosting.ErrLabelMismatch},
			"account key":  {signed(t, after(m1, own(1, hosting.OwnerServer)), pair(99)).Bytes(), hosting.ErrLabelMismatch},
			"this device":  {follow(t, m1, foreign).Bytes(), hosting.ErrLabelMismatch},
			"signature":    {changed(m2, func(m *hosting.Manifest) { m.Epoch++ }), keys.ErrSignature},
			"malformed":    {[]byte{1}, session.ErrMalformed},
			"before time":  {early(t, m1), hosting.ErrManifestExpired},
			"other holder": {follow(t, m1, hosted(1, awan())).Bytes(), hosting.ErrControllerChangedForKey},
		} {
			err := k.gate.Publish(ctx, k.Device, c.m)
			if c.want == nil {
				require.NoError(t, err, name)
				continue
			}
			require.ErrorIs(t, err, c.want, name)
		}
		require.ErrorIs(t, k.gate.Publish(ctx, b.Device, m2.Bytes()), hosting.ErrLabelMismatch)
	})
	require.NoError(t, k.gate.Publish(ctx, k.Device, m2.Bytes()))
}

// Forget leaves of an account nothing, and of the own one its manifest. Under
// another name it is nobody's.
func TestDeviceForget(t *testing.T) {
	w, b, _, _ := believing(t)
	b.publishes(t, w, personal(t, budi, 50))
	require.NoError(t, b.Rename(ctx, toko, "toko-baru"))
	require.Equal(t, hosting.State("UNATTESTED"), b.label(t, "toko-baru").State)
	require.True(t, b.label(t, toko).Hosted())
	require.NoError(t, b.Forget(ctx, toko))
	require.NoError(t, b.Forget(ctx, budi))
	for _, r := range testutil.Records(t, b.store) {
		require.False(t, r.Key.Owner == toko && (r.Key.Kind == "hosting" || r.Key.Kind == "consent"), r.Key)
	}
	m, err := b.gate.Manifest(ctx, b.Device, budi)
	require.NoError(t, err)
	require.NotNil(t, m)
}

// What the app takes for its own says nothing of hosting.
func TestGateRaw(t *testing.T) {
	w := newTown()
	m := follow(t, nil, hosted(1, awan()))
	b, k := w.add(t, at(budi, 1), nil), w.add(t, at(toko, 1), nil)
	b.opts.Content = false
	b.reopen(t)
	k.opts.Gate = nil
	k.reopen(t)
	w.begins(t, k, b)
	hash := m.Hash()
	for _, c := range []wire.Content{{Manifest: m.Bytes()}, {Hosting: &wire.HostingContext{Sender: toko, SenderDevice: 1, Recipient: budi, Epoch: 7, Hash: hash[:]}}} {
		r := k.saysRaw(t, b, wire.AppendContent(nil, &c))
		require.Equal(t, hosting.State("UNATTESTED"), b.receipt(t, r).Label.State)
		require.Empty(t, b.notices(t, r))
	}
}

// The timer that a change of hosting brings comes in its event.
func TestDeviceTimerOfChange(t *testing.T) {
	w, b, k := met(t)
	k.publishes(t, w, follow(t, nil, own(1, hosting.OwnerServer)))
	r := k.saysRaw(t, b, (&session.Content{Body: []byte("seminggu"), Timer: 7 * day, TimerVersion: 2}).Bytes())
	n := b.notices(t, r)
	require.Len(t, n, 1)
	require.Equal(t, &session.Timer{Duration: 7 * day, Version: 2, Sender: toko}, n[0].Timer)
}
