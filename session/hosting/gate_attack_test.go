package hosting_test

import (
	"math"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/hosting"
)

// forges is what a device says that can say what it likes: under no gate.
func (s *side) forges(t testing.TB, to *side, c *wire.Content) *session.Received {
	t.Helper()
	plain := *s.opts
	plain.Gate, plain.Content = nil, false
	d, err := session.Open(ctx, s.store, s.Address(), &plain)
	require.NoError(t, err)
	padded := wire.AppendPadded(nil, wire.AppendContent(nil, c))
	m, err := d.Encrypt(ctx, to.Address(), padded)
	require.NoError(t, err)
	r, err := to.Decrypt(ctx, s.Address(), m, nil)
	require.NoError(t, err)
	require.NoError(t, to.Acknowledge(ctx, r))
	return r
}

func said(from *side, to string, epoch uint64, hash []byte) *wire.Content {
	return &wire.Content{Body: []byte("x"), Hosting: &wire.HostingContext{
		Sender: from.Address().User, SenderDevice: from.Address().Device, Recipient: to, Epoch: epoch, Hash: hash,
	}}
}

// A device that the manifest does not list, one that a server made up or that was
// taken off, stops what is sent to the account, with an epoch that never comes. What
// is received is read, and Forget ends it: the user begins anew.
func TestAttackUnlistedDeviceClaims(t *testing.T) {
	w, b, k := met(t)
	m1 := k.publishes(t, w, follow(t, nil, own(1, hosting.OwnerServer)))
	k.says(t, b, "halo")
	fake := w.add(t, at(toko, 9), pair(77))
	w.begins(t, fake, b)
	r := fake.forges(t, b, said(fake, budi, math.MaxUint64, make([]byte, 32)))
	require.False(t, b.receipt(t, r).Listed)
	require.ErrorIs(t, b.refuses(t, k), hosting.ErrLabelStale)
	k.publishes(t, w, follow(t, m1, own(1, hosting.OwnerServer)))
	k.says(t, b, "yang baru")
	require.ErrorIs(t, b.refuses(t, k), hosting.ErrLabelStale)
	require.NoError(t, b.Forget(ctx, toko))
	w.begins(t, b, k)
	b.agrees(t, toko)
	b.says(t, k, "halo lagi")
	k.says(t, b, "halo")
	require.Equal(t, hosting.State("CURRENT"), b.label(t, toko).State)
	b.says(t, k, "baik")
}

// Whatever a message says of hosting, it is delivered.
func TestAttackContexts(t *testing.T) {
	_, b, k := met(t)
	long := make([]byte, 9<<10)
	for _, c := range []*wire.Content{
		said(k, "cici", 1, make([]byte, 32)), said(b, budi, 1, make([]byte, 32)), said(k, budi, 1, make([]byte, 31)), said(k, budi, 1, nil), said(k, budi, 0, make([]byte, 32)),
		{Body: []byte("x"), Manifest: []byte("no")}, {Body: []byte("x"), Manifest: long},
	} {
		before := b.label(t, toko)
		r := k.forges(t, b, c)
		require.Equal(t, before, b.label(t, toko))
		b.notices(t, r)
		b.receipt(t, r)
	}
}

// What somebody else's copy for own devices holds is nobody's manifest.
func TestAttackSyncOfStranger(t *testing.T) {
	_, b, k := met(t)
	m := follow(t, nil, own(1, hosting.OwnerServer))
	inner := wire.AppendContent(nil, &wire.Content{Body: []byte("x"), Manifest: m.Bytes(), Hosting: said(k, "", 7, make([]byte, 32)).Hosting})
	plain := *k.opts
	plain.Gate, plain.Content = nil, false
	d, err := session.Open(ctx, k.store, k.Address(), &plain)
	require.NoError(t, err)
	msg, err := d.Encrypt(ctx, b.Address(), wire.AppendPadded(nil, wire.AppendContent(nil, &wire.Content{Sync: &wire.Sync{Recipient: budi, Content: inner}})))
	require.NoError(t, err)
	r, err := b.Decrypt(ctx, k.Address(), msg, nil)
	require.ErrorIs(t, err, session.ErrMalformed)
	require.Nil(t, r)
	require.Equal(t, hosting.State("UNATTESTED"), b.label(t, toko).State)
}

// Records that cannot be read, of the peer or of the own account, in any way.
func TestAttackDamagedRecords(t *testing.T) {
	for _, user := range []string{toko, budi} {
		for name, value := range map[string][]byte{"newer": {9, 1, 2}, "empty": {}, "garbage": {1, 0xFF}} {
			w, b, k := met(t)
			k.publishes(t, w, follow(t, nil, own(1, hosting.OwnerServer)))
			k.says(t, b, "halo")
			rec, err := b.store.Load(ctx, keystore.Key{Scope: scopeOf(b), Kind: "hosting", Owner: user})
			require.NoError(t, err)
			_, err = b.store.Commit(ctx, keystore.Change{Op: keystore.Put, Key: rec[0].Key, Value: value, Expect: rec[0].Version})
			require.NoError(t, err)
			if user == toko {
				require.Error(t, b.refuses(t, k), name)
			}
			r := k.says(t, b, "masih?")
			b.receipt(t, r)
		}
	}
}

// Consents, sends and what arrives, all at once: nothing leaves once a message that
// says who is hosted was read, before a yes, nor once a no was said.
func TestConsentRace(t *testing.T) {
	w, b, k := met(t)
	m1 := k.publishes(t, w, follow(t, nil, own(1, hosting.OwnerServer)))
	k.says(t, b, "halo")
	b.says(t, k, "ya")
	host := w.add(t, at(toko, 2), deviceKey(2))
	m2 := follow(t, m1, own(1, hosting.OwnerServer), hosted(2, awan()))
	host.publishes(t, w, m2)
	w.begins(t, host, b)
	host.agrees(t, budi)
	m, err := host.encrypts(b, "kami pindah")
	require.NoError(t, err)
	answer := func(from *hosting.Manifest, a hosting.Answer) error {
		return b.gate.Consent(ctx, b.Device, toko, hosting.Token(toko, from.Hash(), m2.Hash()), a)
	}
	for i, step := range []func() error{
		func() error { _, err := b.Decrypt(ctx, host.Address(), m, nil); return err },
		func() error { return answer(m1, hosting.Yes) },
		func() error { return answer(m2, hosting.No) },
	} {
		var all sync.WaitGroup
		var done atomic.Bool
		for range 3 {
			all.Go(func() {
				for n := 0; n < 5; {
					after := done.Load()
					_, err := b.encrypts(k, "x")
					if after {
						n++
						assert.Equal(t, i == 1, err == nil, err)
					}
				}
			})
		}
		assert.NoError(t, step())
		done.Store(true)
		all.Wait()
	}
}

// A peer that shows nothing but what cannot be believed is told of a few times,
// and what is kept of it does not grow.
func TestAttackFlood(t *testing.T) {
	_, b, k := met(t)
	forged := changed(follow(t, nil, own(1, hosting.OwnerServer)), func(m *hosting.Manifest) { m.Epoch, m.Previous = 2, [32]byte{1} })
	n := 0
	for i := range 60 {
		c := &wire.Content{Body: []byte("x")}
		switch i % 3 {
		case 0:
			c.Manifest = []byte("no")
		case 1:
			c.Manifest = forged
		case 2:
			c = said(k, budi, uint64(i), make([]byte, 31))
		}
		n += len(k.forges(t, b, c).Events)
	}
	require.Less(t, n, 61)
	require.Empty(t, b.told(t))
	size := 0
	for _, r := range testutil.Records(t, b.store) {
		if r.Key.Kind == "hosting" {
			size += len(r.Value)
		}
	}
	require.Less(t, size, 200)
}

// Who takes the own account's name, without its key, says nothing of its manifest.
func TestAttackOwnDeviceMadeUp(t *testing.T) {
	w, b, _ := met(t)
	fake := w.add(t, at("mallory", 9), pair(77))
	w.begins(t, fake, b)
	fake.agrees(t, budi)
	m := after(nil, hosting.Endpoint{Device: 9, Identity: pair(77).Public(), Controller: hosting.Person, Storage: hosting.StorageNone, NotAfter: start.Add(300 * day)})
	m.Account = budi
	require.NoError(t, m.Endpoints[0].Accept(budi, pair(77).Public(), pair(77)))
	_, err := m.Sign(pair(77))
	require.NoError(t, err)
	c, h := said(fake, "", 1, nil), m.Hash()
	c.Hosting.Sender, c.Hosting.Hash, c.Manifest = budi, h[:], m.Bytes()
	plain := *fake.opts
	plain.Gate, plain.Content = nil, false
	d, err := session.Open(ctx, fake.store, fake.Address(), &plain)
	require.NoError(t, err)
	msg, err := d.Encrypt(ctx, b.Address(), wire.AppendPadded(nil, wire.AppendContent(nil, c)))
	require.NoError(t, err)
	r, err := b.Decrypt(ctx, at(budi, 9), msg, nil)
	if err == nil {
		require.NoError(t, b.Acknowledge(ctx, r))
	}
	got, err := b.gate.Manifest(ctx, b.Device, budi)
	require.NoError(t, err)
	require.Nil(t, got)
}

// An identity key that is to be a hosted device's is not given to it.
func TestAttackSendToOwnHosted(t *testing.T) {
	w := newTown()
	k := w.add(t, at(toko, 1), accountKey)
	e := hosted(2, awan())
	e.Identity = accountKey.Public()
	m := after(nil, e)
	require.NoError(t, m.Endpoints[0].Accept(toko, accountKey.Public(), accountKey))
	require.NoError(t, m.Endpoints[0].Operate(toko, accountKey.Public(), awanKey))
	_, err := m.Sign(accountKey)
	require.NoError(t, err)
	k.publishes(t, w, m)
	recs, err := k.store.Load(ctx, keystore.Key{Scope: scopeOf(k), Kind: "hosting", Owner: toko})
	require.NoError(t, err)
	recs[0].Value = recs[0].Value[1:]
	require.ErrorIs(t, k.gate.Send(start, recs, at(toko, 2), accountKey.Public()), hosting.ErrControllerChangedForKey)
}

func scopeOf(s *side) string { return s.Address().String() }

// What an app does with a manifest that it was given, such as to make the next one
// of it, is nothing to the gate.
func TestManifestIsACopy(t *testing.T) {
	w, b, k := met(t)
	m1 := k.publishes(t, w, follow(t, nil, hosted(1, awan())))
	k.says(t, b, "halo")
	b.agrees(t, toko)
	fork := signed(t, after(nil, hosted(1, awan()), own(2, hosting.OwnerServer)), accountKey)
	for range 2 {
		for _, s := range []*side{b, k} {
			m, err := s.gate.Manifest(ctx, s.Device, toko)
			require.NoError(t, err)
			require.Equal(t, m1.Hash(), m.Hash())
			m.Endpoints[0].Controller, m.Endpoints[0].Provider.Name, m.Endpoints[0].Signature[0] = hosting.Person, "X", 0
		}
		require.Equal(t, "PT Awan", b.label(t, toko).Parties[0].Name)
		b.says(t, k, "ya")
	}
	w.manifests[toko] = fork.Bytes()
	require.ErrorIs(t, b.Refresh(ctx, toko), hosting.ErrLabelStale)
	for range 2 {
		e, err := b.gate.Evidence(ctx, b.Device, toko)
		require.NoError(t, err)
		first, second := e.Manifests()
		require.ElementsMatch(t, [][32]byte{m1.Hash(), fork.Hash()}, [][32]byte{first.Hash(), second.Hash()})
		first.Endpoints[0].Provider.Name, second.Endpoints[0].Provider.Name = "X", "Y"
	}
	require.Len(t, b.label(t, toko).Parties, 1)
}

// What is out of date does not go along.
func TestExpiredStays(t *testing.T) {
	w, b, k := met(t)
	m := after(nil, own(1, hosting.OwnerServer))
	m.NotAfter = start.Add(day)
	k.publishes(t, w, signed(t, m, accountKey))
	w.passes(2 * day)
	r := k.says(t, b, "halo")
	require.Equal(t, uint64(1), b.receipt(t, r).Epoch)
	for _, n := range b.notices(t, r) {
		require.NotErrorIs(t, n.Err, hosting.ErrManifestExpired)
	}
}
