package session_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

func TestKA_13_A22_ReplayWithOneTimePreKey(t *testing.T) {
	p := met(t)
	first := p.alice.send(t, p.bob, "hello")
	ids := outerOf(t, first)
	r := p.bob.reads(t, p.alice, first, "hello")
	require.False(t, p.bob.hasPreKey(t, "prekey", ids.PreKeyID))
	require.False(t, p.bob.hasPreKey(t, "kem", ids.KEMPreKeyID))
	p.unharmed(t, func() { sameResult(t, p.bob.reads(t, p.alice, first, "hello"), r) })
	require.NoError(t, p.bob.Acknowledge(ctx, r))
	p.unharmed(t, func() { refused(t, p.bob.decrypt(p.alice, first), session.ErrDuplicate) })
	p.goesOn(t)
	p.unharmed(t, func() { refused(t, p.bob.decrypt(p.alice, first), session.ErrDuplicate) })

	require.NoError(t, p.bob.Archive(ctx, p.alice.Address()))
	p.unharmedStores(t, func() { refused(t, p.bob.decrypt(p.alice, first), session.ErrDuplicate) })
	p.bob.forget(t, aliceAddress.User) // the mark of the message stays for 7 days
	for _, later := range []time.Duration{0, 7 * 24 * time.Hour} {
		p.now = p.now.Add(later)
		p.unharmedStores(t, func() { refused(t, p.bob.decrypt(p.alice, first), session.ErrDuplicate) })
	}
	p.now = p.now.Add(24 * time.Hour)
	p.unharmedStores(t, func() {
		e := refusedAs[*session.PreKeyNotFoundError](t, p.bob.decrypt(p.alice, first))
		require.Equal(t, &session.PreKeyNotFoundError{Kind: "KEM", ID: ids.KEMPreKeyID}, e)
	})
}

// The one-time prekey alone is gone.
func TestKA_13_OneTimePreKeyIsGone(t *testing.T) {
	p := strangers(t)
	publication, err := p.bob.Publish(ctx)
	require.NoError(t, err)
	publication.KEMPreKeys = nil
	require.NoError(t, p.alice.Begin(ctx, p.bob.Address(), publication.Take()))
	first := p.alice.send(t, p.bob, "hello")
	p.bob.remove(t, "prekey", "-")
	p.unharmedStores(t, func() {
		e := refusedAs[*session.PreKeyNotFoundError](t, p.bob.decrypt(p.alice, first))
		require.Equal(t, &session.PreKeyNotFoundError{Kind: "one-time", ID: outerOf(t, first).PreKeyID}, e)
	})
	p.bob.remove(t, "signed", "-")
	p.unharmedStores(t, func() {
		e := refusedAs[*session.PreKeyNotFoundError](t, p.bob.decrypt(p.alice, first))
		require.Equal(t, &session.PreKeyNotFoundError{Kind: "signed", ID: outerOf(t, first).SignedPreKeyID}, e)
	})
}

func TestKA_14_ReplayWithLastResort(t *testing.T) {
	p := strangers(t)
	p.alice.beginLastResort(t, p.bob)
	first := p.alice.send(t, p.bob, "hello")
	ids := outerOf(t, first)
	require.False(t, ids.HasPreKeyID)
	// A message of no session at all, from a device that is not bound to an
	// address: what a second sender would give.
	unbound := p.bound(t, nil)
	p.bob.saves(t, p.alice, first, "hello")
	require.True(t, p.bob.hasPreKey(t, "lastresort", ids.KEMPreKeyID))
	require.Len(t, p.bob.list(t, "basekey", ""), 1)
	second := session.Address{User: "22222222-2222-3333-4444-555555555555", Device: 1}

	reused := &session.BaseKeyReusedError{SignedPreKeyID: ids.SignedPreKeyID, KEMPreKeyID: ids.KEMPreKeyID}
	refuseAll := func(from session.Address) {
		t.Helper()
		for _, m := range []*session.Message{first, unbound} {
			_, err := p.bob.Decrypt(ctx, from, m, nil)
			require.Equal(t, reused, refusedAs[*session.BaseKeyReusedError](t, err))
			high := edit(t, m, func(m *wire.PreKeySignalMessage) { m.BaseKey = testutil.TopBit(m.BaseKey) })
			_, err = p.bob.Decrypt(ctx, from, high, nil)
			refused(t, err, keys.ErrKey)
			for _, u := range tweaked(t, [32]byte(ids.BaseKey[1:])) {
				bad := edit(t, m, func(m *wire.PreKeySignalMessage) { m.BaseKey = public(t, u).Bytes() })
				_, err = p.bob.Decrypt(ctx, from, bad, nil)
				refused(t, err, keys.ErrKey)
			}
		}
	}
	p.unharmed(t, func() { refuseAll(second) })
	p.unharmed(t, func() { refused(t, p.bob.decrypt(p.alice, first), session.ErrDuplicate) })
	p.bob.forget(t, aliceAddress.User)
	p.unharmedStores(t, func() { refuseAll(second) })
	p.unharmedStores(t, func() { refused(t, p.bob.decrypt(p.alice, first), session.ErrDuplicate) })
	p.now = p.now.Add(8 * 24 * time.Hour) // the mark of the message is gone
	p.unharmedStores(t, func() { refuseAll(second); refuseAll(p.alice.Address()) })
	require.Empty(t, p.bob.list(t, "session", ""))

	// Another base key with the same prekeys is no replay.
	p.alice.beginLastResort(t, p.bob)
	p.goesOn(t)
	require.Len(t, p.bob.list(t, "basekey", ""), 2)
}

// ids are those that a message names.
type ids struct{ signed, oneTime, kem uint32 }

// plant puts prekeys of bob's with the ids into his store, as an import of
// another library's would, and returns a bundle of them.
func (p *pair) plant(t testing.TB, id ids, lastResort bool) *wire.Bundle {
	t.Helper()
	signed, one, kem := keys.GeneratePrivateKey(), keys.GeneratePrivateKey(), keys.GenerateKEMPrivateKey()
	bob := p.bob
	b := &wire.Bundle{RegistrationID: 1, DeviceID: 1, IdentityKey: bob.Identity().Bytes(), HasPreKey: true,
		SignedPreKey: wire.SignedPreKey{ID: id.signed, Key: signed.PublicKey().Bytes(), Signature: bob.identity.SignPreKey(signed.PublicKey())},
		PreKey:       wire.PreKey{ID: id.oneTime, Key: one.PublicKey().Bytes()},
		KEMPreKey:    wire.SignedPreKey{ID: id.kem, Key: kem.Public().Bytes(), Signature: bob.identity.SignKEMPreKey(kem.Public())}}
	kind := "kem"
	if lastResort {
		kind = "lastresort"
	}
	bob.plantKey(t, "signed", id.signed, wire.AppendSignedPreKeyRecord(nil, &wire.SignedPreKeyRecord{
		ID: id.signed, Public: b.SignedPreKey.Key, Private: signed.Bytes(), Signature: b.SignedPreKey.Signature, Created: 1}))
	bob.plantKey(t, "prekey", id.oneTime, wire.AppendPreKeyRecord(nil, &wire.PreKeyRecord{ID: id.oneTime, Public: b.PreKey.Key, Private: one.Bytes()}))
	bob.plantKey(t, kind, id.kem, wire.AppendSignedPreKeyRecord(nil, &wire.SignedPreKeyRecord{
		ID: id.kem, Public: b.KEMPreKey.Key, Private: kem.Bytes(), Signature: b.KEMPreKey.Signature, Created: 1}))
	return b
}

func (s *side) plantKey(t testing.TB, kind string, id uint32, record []byte) {
	t.Helper()
	s.put(t, s.idKey(kind, id), wire.AppendStoredPreKey(nil, &wire.StoredPreKey{Record: record, Created: 1, Published: 1}))
}

// TestKA_16_A15_AnyID is also A15: 0 is an id like any other.
func TestKA_16_A15_AnyID(t *testing.T) {
	for _, id := range []ids{{0, 0, 0}, {0xFFFFFF, 0xFFFFFF, 0xFFFFFF}, {0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF}, {0, 0xFFFFFFFF, 0xFFFFFF}} {
		for _, lastResort := range []bool{false, true} {
			p := strangers(t)
			p.beginWith(t, p.plant(t, id, lastResort))
			first := p.alice.send(t, p.bob, "hello")
			got := outerOf(t, first)
			require.True(t, got.HasPreKeyID)
			require.Equal(t, id, ids{got.SignedPreKeyID, got.PreKeyID, got.KEMPreKeyID})
			p.bob.reads(t, p.alice, first, "hello")
			require.True(t, p.bob.hasPreKey(t, "signed", id.signed))
			require.False(t, p.bob.hasPreKey(t, "prekey", id.oneTime))
			require.Equal(t, lastResort, p.bob.hasPreKey(t, "lastresort", id.kem))
			require.False(t, p.bob.hasPreKey(t, "kem", id.kem))
			p.goesOn(t)
		}
	}
}

func (p *pair) beginWith(t testing.TB, b *wire.Bundle) {
	t.Helper()
	require.NoError(t, p.alice.Begin(ctx, p.bob.Address(), parseBundle(t, b)))
}

// No message names the one-time prekey 0 of a bundle that has none.
func TestKA_16_NoIDIsNotZero(t *testing.T) {
	p := strangers(t)
	b := p.plant(t, ids{}, true)
	b.HasPreKey, b.PreKey = false, wire.PreKey{}
	p.beginWith(t, b)
	first := p.alice.send(t, p.bob, "hello")
	require.False(t, outerOf(t, first).HasPreKeyID)
	p.unharmedStores(t, func() { // who adds the id computes other keys
		bad := edit(t, first, func(m *wire.PreKeySignalMessage) { m.HasPreKeyID = true })
		refused(t, p.bob.decrypt(p.alice, bad), session.ErrAuth)
	})
	p.bob.reads(t, p.alice, first, "hello")
	require.True(t, p.bob.hasPreKey(t, "prekey", 0))
}

func (s *side) idKey(kind string, id uint32) keystore.Key { return s.key(kind, "-", decimal(id)) }

// Ids go round at 2^24 and pass over those in use; nothing is overwritten.
func TestKA_16_IDsGoRound(t *testing.T) {
	p := strangers(t)
	p.plant(t, ids{0, 0, 0xFFFFFF}, true)
	p.plant(t, ids{1, 0xFFFFFF, 0}, false)
	p.plant(t, ids{0xFFFFFFFF, 0xFFFFFFFF, 2}, false)
	p.bob.put(t, p.bob.key("nextid", "-", ""), wire.AppendNextIDs(nil, &wire.NextIDs{PreKey: 0xFFFFFE, SignedPreKey: 0, KEMPreKey: 0xFFFFFE}))
	before := map[keystore.Key]keystore.Record{}
	for _, kind := range []string{"prekey", "signed", "kem", "lastresort"} {
		for _, r := range p.bob.list(t, kind, "-") {
			before[r.Key] = r
		}
	}
	seen := map[string]bool{}
	for i := range 4 {
		b := bundleOf(t, p.bob)
		want := []ids{{0xFFFFFFFF, 0xFFFFFE, 0xFFFFFE}, {0xFFFFFFFF, 1, 1}, {0xFFFFFFFF, 2, 3}, {0xFFFFFFFF, 3, 4}}[i]
		require.Equal(t, want, ids{b.SignedPreKey.ID, b.PreKey.ID, b.KEMPreKey.ID})
		require.False(t, seen[string(b.PreKey.Key.Bytes())])
		seen[string(b.PreKey.Key.Bytes())] = true
	}
	for k, r := range before {
		require.Equal(t, r, p.bob.load(t, k), "overwritten")
	}
	publication, err := p.bob.Publish(ctx)
	require.NoError(t, err)
	require.NoError(t, publication.Verify())
	for k, r := range before {
		require.Equal(t, r, p.bob.load(t, k), "overwritten")
	}
	// An id that was given out and used up does not return.
	require.NoError(t, p.alice.Begin(ctx, p.bob.Address(), bundleOf(t, p.bob)))
	first := p.alice.send(t, p.bob, "hello")
	p.bob.reads(t, p.alice, first, "hello")
	require.NotEqual(t, outerOf(t, first).PreKeyID, bundleOf(t, p.bob).PreKey.ID)
}

// TestKA_17_A17_A20_FailureUsesNothing is also A17, A6 and A20: a first message that
// fails leaves prekeys, identity and sessions as they were.
func TestKA_17_A17_A20_FailureUsesNothing(t *testing.T) {
	for _, lastResort := range []bool{false, true} {
		p := strangers(t)
		if lastResort {
			p.alice.beginLastResort(t, p.bob)
		} else {
			p.alice.begin(t, p.bob)
		}
		p.firstFails(t, func() { require.Empty(t, p.bob.list(t, "session", "")) })
		require.Empty(t, p.bob.list(t, "archive", ""))
	}
}

// TestKA_17_A18 has an archived session beside it.
func TestKA_17_A18_FailureBesideAnArchivedSession(t *testing.T) {
	p := friends(t)
	require.NoError(t, p.bob.Archive(ctx, p.alice.Address()))
	record := p.bob.record(t, p.alice)
	p.alice.begin(t, p.bob)
	p.firstFails(t, func() { require.Equal(t, record, p.bob.record(t, p.alice)) })
	require.Len(t, p.bob.index(t, p.alice.Address()).Archived, 1)
}

func (p *pair) firstFails(t *testing.T, still func()) {
	t.Helper()
	first := p.alice.send(t, p.bob, "hello")
	foreign := keys.GeneratePrivateKey().PublicKey()
	last := len(first.Bytes) - 1
	macEnd := strings.Index(string(first.Bytes), string(outerOf(t, first).MessageBytes)) + len(outerOf(t, first).MessageBytes) - 1
	bad := map[string]*session.Message{
		"MAC + 1":          {Type: first.Type, Bytes: append([]byte(nil), first.Bytes...)},
		"KEM ciphertext":   flip(first, last, 1),
		"foreign base key": edit(t, first, func(m *wire.PreKeySignalMessage) { m.BaseKey = foreign.Bytes() }),
		"foreign identity": edit(t, first, func(m *wire.PreKeySignalMessage) { m.IdentityKey = foreign.Bytes() }),
		"foreign ratchet":  withRatchetKey(t, first, foreign),
		"counter":          editInner(t, first, func(m *wire.SignalMessage) { m.Counter++ }),
		"body":             editInner(t, first, func(m *wire.SignalMessage) { m.Ciphertext = append([]byte{m.Ciphertext[0] ^ 1}, m.Ciphertext[1:]...) }),
		"no addresses":     editInner(t, first, func(m *wire.SignalMessage) { m.Addresses = nil }),
		"no SPQR":          editInner(t, first, func(m *wire.SignalMessage) { m.PQRatchet = nil }),
	}
	bad["MAC + 1"].Bytes[macEnd]++
	for name, m := range bad {
		before := p.digest(t)
		err := p.bob.decrypt(p.alice, m)
		require.ErrorIs(t, err, session.ErrAuth, name)
		requireQuiet(t, err)
		require.Equal(t, before, p.digest(t), name)
		still()
	}
	p.bob.saves(t, p.alice, first, "hello")
	p.unharmed(t, func() { refused(t, p.bob.decrypt(p.alice, first), session.ErrDuplicate) })
	p.goesOn(t)
}
