package session_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/gembok-e2ee/gembok/internal/kdf"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/ratchet"
	"github.com/gembok-e2ee/gembok/ratchet/spqr"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

func TestKA_06_SignedPreKeySignature(t *testing.T) {
	p := friends(t)
	good := bundleOf(t, p.bob)
	raw := good.SignedPreKey.Key.Bytes()[1:]
	other := keys.GenerateIdentityKeyPair()
	bad := [][]byte{nil, {}, good.SignedPreKey.Signature[:63], append(good.SignedPreKey.Signature[:64:64], 0),
		other.SignPreKey(good.SignedPreKey.Key), signRaw(t, p.bob.identity, raw)}
	for i := range 512 {
		sig := append([]byte(nil), good.SignedPreKey.Signature...)
		sig[i/8] ^= 1 << (i % 8)
		bad = append(bad, sig)
	}
	p.unharmed(t, func() {
		for _, sig := range bad {
			b := *good
			b.SignedPreKey.Signature = sig
			refused(t, p.alice.Begin(ctx, p.bob.Address(), &b), x3dh.ErrSignature)
		}
	})
	require.NoError(t, p.alice.Begin(ctx, p.bob.Address(), good))
	p.goesOn(t)
}

// signRaw signs bytes without any prefix.
func signRaw(t *testing.T, id *keys.IdentityKeyPair, raw []byte) []byte {
	t.Helper()
	k, err := keys.NewSigningKey(id.PrivateBytes())
	require.NoError(t, err)
	return k.Sign(raw)
}

func TestKA_07_KEMPreKeySignature(t *testing.T) {
	p := friends(t)
	good := bundleOf(t, p.bob)
	swapped := *good
	swapped.SignedPreKey.Signature, swapped.KEMPreKey.Signature = good.KEMPreKey.Signature, good.SignedPreKey.Signature
	ec, kem, none := *good, *good, *good
	ec.SignedPreKey.Signature = good.KEMPreKey.Signature
	kem.KEMPreKey.Signature = good.SignedPreKey.Signature
	none.KEMPreKey = x3dh.KEMPreKey{}
	p.unharmed(t, func() {
		for _, b := range []*x3dh.Bundle{&swapped, &ec, &kem, &none, {DeviceID: bobAddress.Device, IdentityKey: good.IdentityKey}} {
			refused(t, p.alice.Begin(ctx, p.bob.Address(), b), x3dh.ErrSignature)
		}
		refused(t, p.alice.Begin(ctx, p.bob.Address(), nil), session.ErrMalformed)
	})
	// In bytes, a bundle without a KEM prekey is none.
	missing := wire.Bundle{RegistrationID: 1, DeviceID: 1, IdentityKey: p.bob.Identity().Bytes(),
		SignedPreKey: wire.SignedPreKey{ID: 1, Key: good.SignedPreKey.Key.Bytes(), Signature: good.SignedPreKey.Signature}}
	_, err := x3dh.ParseBundle(wire.AppendBundle(nil, &missing))
	refused(t, err, x3dh.ErrMalformed)
}

func TestKA_08_KeysInTheWrongPlace(t *testing.T) {
	p := met(t)
	good := bundleOf(t, p.bob)
	ec, kem := good.SignedPreKey.Key.Bytes(), good.KEMPreKey.Key.Bytes()
	padded := append(append([]byte(nil), ec...), make([]byte, len(kem)-len(ec))...)
	swaps := map[string]func(*wire.Bundle){
		"KEM as signed prekey":    func(b *wire.Bundle) { b.SignedPreKey.Key = kem },
		"KEM as one-time prekey":  func(b *wire.Bundle) { b.PreKey.Key = kem },
		"KEM as identity key":     func(b *wire.Bundle) { b.IdentityKey = kem },
		"EC as KEM prekey":        func(b *wire.Bundle) { b.KEMPreKey.Key = ec },
		"padded EC as KEM prekey": func(b *wire.Bundle) { b.KEMPreKey.Key = padded },
	}
	for name, swap := range swaps {
		b, err := wire.ParseBundle(good.Bytes())
		require.NoError(t, err)
		swap(&b)
		_, err = x3dh.ParseBundle(wire.AppendBundle(nil, &b))
		require.Error(t, err, name)
		require.True(t, isAny(err, x3dh.ErrKey, x3dh.ErrMalformed), "%s: %v", name, err)
		requireQuiet(t, err)
	}
	first := p.alice.send(t, p.bob, "hello")
	for _, bad := range []*session.Message{
		edit(t, first, func(m *wire.PreKeySignalMessage) { m.BaseKey = kem }),
		edit(t, first, func(m *wire.PreKeySignalMessage) { m.IdentityKey = kem }),
		edit(t, first, func(m *wire.PreKeySignalMessage) { m.KEMCiphertext = ec }),
		edit(t, first, func(m *wire.PreKeySignalMessage) { m.KEMCiphertext = padded }),
	} {
		p.unharmedStores(t, func() { refused(t, p.bob.decrypt(p.alice, bad), keys.ErrKey) })
	}
	p.bob.reads(t, p.alice, first, "hello")
}

func TestKA_09_IdentitySwap(t *testing.T) {
	p := met(t)
	first, second := p.alice.send(t, p.bob, "1"), p.alice.send(t, p.bob, "2")
	p.bob.reads(t, p.alice, first, "1")
	mallory := keys.GenerateIdentityKeyPair().Public()
	swap := edit(t, second, func(m *wire.PreKeySignalMessage) { m.IdentityKey = mallory.Bytes() })
	attack := func() {
		t.Helper()
		e := refusedAs[*session.IdentityMismatchError](t, p.bob.decrypt(p.alice, swap))
		require.Equal(t, &session.IdentityMismatchError{Address: p.alice.Address(), Expected: p.alice.Identity(), Seen: mallory}, e)
	}
	p.unharmedStores(t, attack)

	// Once more when the session is archived: it stays so.
	require.NoError(t, p.bob.Archive(ctx, p.alice.Address()))
	p.unharmedStores(t, attack)
	require.Nil(t, p.bob.index(t, p.alice.Address()).Current)
	id, err := p.bob.PeerIdentity(ctx, p.alice.Address())
	require.NoError(t, err)
	require.Equal(t, p.alice.Identity(), id.Seen)

	p.bob.reads(t, p.alice, second, "2")
	require.NotNil(t, p.bob.index(t, p.alice.Address()).Current)
	p.goesOn(t)
}

// macKey computes the MAC key of the next message that a session sends.
func macKey(t *testing.T, s *wire.Session) []byte {
	t.Helper()
	pq, err := spqr.Parse(s.PQRatchet)
	require.NoError(t, err)
	_, _, salt, err := pq.Send()
	require.NoError(t, err)
	chain := [32]byte(s.Sender.Key)
	seed := kdf.HMAC(&chain, []byte{1})
	var out [80]byte
	kdf.HKDF(out[:], salt, seed[:], []byte("WhisperMessageKeys"))
	return out[32:64]
}

// remac puts another MAC, over the identity keys given, on a SignalMessage.
func remac(key, raw []byte, ids ...[]byte) []byte {
	h := hmac.New(sha256.New, key)
	for _, id := range ids {
		h.Write(id)
	}
	body := raw[:len(raw)-8]
	h.Write(body)
	return h.Sum(append([]byte(nil), body...))[:len(raw)]
}

func TestKA_10_IdentitiesInTheMAC(t *testing.T) {
	p := met(t)
	a, b, c := p.alice.Identity().Bytes(), p.bob.Identity().Bytes(), keys.GenerateIdentityKeyPair().Public().Bytes()
	orders := map[string][][]byte{
		"swapped": {b, a}, "mallory sends": {c, b}, "mallory receives": {a, c}, "no sender": {b}, "no recipient": {a},
		"neither": {}, "twice the sender": {a, a}, "twice the recipient": {b, b},
	}
	refuseAll := func(key []byte, m *session.Message) {
		t.Helper()
		for name, ids := range orders {
			t.Run(name, func(t *testing.T) {
				bad := &session.Message{Type: m.Type, Bytes: remac(key, m.Bytes, ids...)}
				if m.Type == session.TypePreKey {
					bad = edit(t, m, func(out *wire.PreKeySignalMessage) { out.MessageBytes = remac(key, out.MessageBytes, ids...) })
				}
				p.unharmedStores(t, func() { refused(t, p.bob.decrypt(p.alice, bad), session.ErrAuth) })
			})
		}
	}
	key := macKey(t, p.alice.state(t, p.bob))
	first := p.alice.send(t, p.bob, "hello")
	require.Equal(t, first, edit(t, first, func(out *wire.PreKeySignalMessage) { out.MessageBytes = remac(key, out.MessageBytes, a, b) }))
	refuseAll(key, first)
	p.bob.reads(t, p.alice, first, "hello")
	p.goesOn(t)

	key = macKey(t, p.alice.state(t, p.bob))
	m := p.alice.send(t, p.bob, "later")
	require.Equal(t, m.Bytes, remac(key, m.Bytes, a, b))
	refuseAll(key, m)
	p.bob.reads(t, p.alice, m, "later")
	p.goesOn(t)
}

// bound has alice send with an address binding of the test's choice: nil is
// none.
func (p *pair) bound(t testing.TB, addresses []byte) *session.Message {
	t.Helper()
	s := p.alice.current(t, p.bob)
	raw, err := s.Encrypt([]byte("bound"), addresses)
	require.NoError(t, err)
	return wrap(t, s, raw)
}

// wrap makes the message of a session that is unanswered.
func wrap(t testing.TB, s *ratchet.Session, raw []byte) *session.Message {
	t.Helper()
	pending, ok := s.Pending()
	if !ok {
		return &session.Message{Type: session.TypeSignal, Bytes: raw}
	}
	local, err := s.LocalIdentity()
	require.NoError(t, err)
	return &session.Message{Type: session.TypePreKey, Bytes: wire.AppendPreKeySignalMessage(nil, &wire.PreKeySignalMessage{
		Version: byte(s.Version()), RegistrationID: s.LocalRegistrationID(), HasPreKeyID: pending.HasPreKey, PreKeyID: pending.PreKeyID,
		SignedPreKeyID: pending.SignedPreKeyID, HasKEM: true, KEMPreKeyID: pending.KEMPreKeyID, KEMCiphertext: pending.KEMCiphertext,
		BaseKey: pending.BaseKey, IdentityKey: local.Bytes(), MessageBytes: raw,
	})}
}

func binding(t *testing.T, from, to session.Address) []byte {
	t.Helper()
	a, err := wire.ParseServiceID(from.User)
	require.NoError(t, err)
	b, err := wire.ParseServiceID(to.User)
	require.NoError(t, err)
	return wire.AppendAddressBinding(nil, a, from.Device, b, to.Device)
}

func TestKA_11_AddressBinding(t *testing.T) {
	someone := session.Address{User: "11111111-2222-3333-4444-555555555555", Device: 2}
	other := func(a session.Address) session.Address { a.Device++; return a }
	good := binding(t, aliceAddress, bobAddress)
	bad := map[string][]byte{
		"another sender":           binding(t, someone, bobAddress),
		"another sender device":    binding(t, other(aliceAddress), bobAddress),
		"another recipient":        binding(t, aliceAddress, someone),
		"another recipient device": binding(t, aliceAddress, other(bobAddress)),
		"swapped":                  binding(t, bobAddress, aliceAddress),
		"phone number identity":    binding(t, session.Address{User: "PNI:" + aliceAddress.User, Device: 2}, bobAddress),
		"35 bytes":                 good[:35],
		"37 bytes":                 append(good[:36:36], 0),
		"empty":                    {},
		"zeros":                    make([]byte, 36),
	}
	p := met(t)
	attack := func() {
		t.Helper()
		for name, addresses := range bad {
			m := p.bound(t, addresses)
			before := p.digest(t)
			require.ErrorIs(t, p.bob.decrypt(p.alice, m), session.ErrAuth, name)
			require.Equal(t, before, p.digest(t), name)
		}
	}
	attack() // on a session that is new
	m := p.alice.send(t, p.bob, "bound by the device")
	require.Equal(t, session.TypePreKey, m.Type)
	require.Equal(t, good, inner(t, m).Addresses)
	p.bob.reads(t, p.alice, m, "bound by the device")
	attack() // on one that is known
	p.alice.reads(t, p.bob, p.bob.send(t, p.alice, "answer"), "answer")
	attack() // in ordinary messages
	m = p.alice.send(t, p.bob, "no field any more")
	require.Nil(t, inner(t, m).Addresses)
	p.bob.reads(t, p.alice, m, "no field any more")

	q := met(t)
	q.bob.reads(t, q.alice, q.bound(t, nil), "bound") // absent: accepted
	r := met(t)
	r.bob.reads(t, r.alice, r.bound(t, good), "bound")
}

func TestKA_11_NamesThatAreNoServiceIDs(t *testing.T) {
	p := strangers(t)
	for _, users := range [][2]string{{"ani", "budi"}, {aliceAddress.User, "budi"}, {"ani", bobAddress.User}} {
		q := &pair{alice: newSide(t, session.Address{User: users[0], Device: 2}, nil, p.alice.opts),
			bob: newSide(t, session.Address{User: users[1], Device: 1}, nil, p.alice.opts)}
		q.alice.begin(t, q.bob)
		for _, addresses := range [][]byte{binding(t, aliceAddress, bobAddress), {}, make([]byte, 36)} {
			m := q.bound(t, addresses)
			q.unharmedStores(t, func() { refused(t, q.bob.decrypt(q.alice, m), session.ErrAuth) })
		}
		m := q.alice.send(t, q.bob, "hello")
		require.Nil(t, inner(t, m).Addresses)
		q.bob.reads(t, q.alice, m, "hello")
	}
}

// What the sender's device says of itself does not count, but what the server
// says of the sender.
func TestKA_11_WrongSenderGiven(t *testing.T) {
	p := met(t)
	m := p.alice.send(t, p.bob, "hello")
	p.unharmedStores(t, func() {
		for _, from := range []session.Address{{User: aliceAddress.User, Device: 3}, {User: bobAddress.User, Device: 2}, {User: "PNI:" + aliceAddress.User, Device: 2}, {User: "alice", Device: 2}} {
			_, err := p.bob.Decrypt(ctx, from, m, nil)
			refused(t, err, session.ErrAuth)
		}
	})
	upper := session.Address{User: "796ABEDB-CA4E-4F18-8803-1FDE5B921F9F", Device: 2}
	r, err := p.bob.Decrypt(ctx, upper, m, nil)
	require.NoError(t, err)
	require.Equal(t, aliceAddress, r.From)
}

func TestKA_12_PNIAndACI(t *testing.T) {
	p := strangers(t)
	store := keystore.NewMemory()
	identity := keys.GenerateIdentityKeyPair()
	device := func(user string) *side {
		d, err := session.Create(ctx, store, session.Account{Address: session.Address{User: user, Device: 1}, Identity: identity}, nil)
		require.NoError(t, err)
		return &side{Device: d, store: store, identity: identity}
	}
	aci, pni := device(bobAddress.User), device("PNI:"+bobAddress.User)
	aci.beginLastResort(t, p.alice) // so that its prekeys are of other ids than the other's
	p.bob = pni
	p.alice.begin(t, pni)
	m := p.alice.send(t, pni, "to the phone number")
	p.unharmedStores(t, func() { refusedAs[*session.PreKeyNotFoundError](t, aci.decrypt(p.alice, m)) })
	bundleOf(t, aci) // and now of the same
	p.unharmedStores(t, func() { refused(t, aci.decrypt(p.alice, m), session.ErrAuth) })
	pni.reads(t, p.alice, m, "to the phone number")

	// The session is the phone number's, in both directions.
	_, err := aci.Encrypt(ctx, p.alice.Address(), nil)
	require.NoError(t, err, "its own session")
	answer := pni.send(t, p.alice, "from the phone number")
	p.unharmedStores(t, func() {
		_, err := p.alice.Decrypt(ctx, aci.Address(), answer, nil)
		refused(t, err, session.ErrNoSession)
	})
	p.alice.reads(t, pni, answer, "from the phone number")
	_, err = p.alice.Encrypt(ctx, aci.Address(), nil)
	refused(t, err, session.ErrNoSession)
}

// The alternate-identity signature is what may join the two.
func TestKA_12_AlternateIdentity(t *testing.T) {
	aci, pni, third := keys.GenerateIdentityKeyPair(), keys.GenerateIdentityKeyPair(), keys.GenerateIdentityKeyPair()
	sig := pni.SignAlternate(aci.Public())
	require.NoError(t, pni.Public().VerifyAlternate(aci.Public(), sig))
	for name, err := range map[string]error{
		"wrong key":      third.Public().VerifyAlternate(aci.Public(), sig),
		"third identity": pni.Public().VerifyAlternate(third.Public(), sig),
		"other way":      aci.Public().VerifyAlternate(pni.Public(), sig),
		"raw":            pni.Public().VerifyAlternate(aci.Public(), signRaw(t, pni, aci.Public().Bytes())),
	} {
		require.ErrorIs(t, err, keys.ErrSignature, name)
	}
}

// without returns m without a field of the outer message.
func without(t testing.TB, m *session.Message, nums ...protowire.Number) *session.Message {
	t.Helper()
	out := m.Bytes[:1:1]
	for b := m.Bytes[1:]; len(b) > 0; {
		num, _, n := protowire.ConsumeField(b)
		require.Positive(t, n)
		drop := false
		for _, d := range nums {
			drop = drop || d == num
		}
		if !drop {
			out = append(out, b[:n]...)
		}
		b = b[n:]
	}
	return &session.Message{Type: m.Type, Bytes: out}
}

func TestKA_19_HalfAKEM(t *testing.T) {
	p := met(t)
	m := p.alice.send(t, p.bob, "hello")
	for _, nums := range [][]protowire.Number{{7}, {8}, {7, 8}, {2}, {3}, {4}, {6}} {
		p.unharmedStores(t, func() { refused(t, p.bob.decrypt(p.alice, without(t, m, nums...)), session.ErrMalformed) })
	}
	p.bob.reads(t, p.alice, m, "hello")
	p.goesOn(t)
}
