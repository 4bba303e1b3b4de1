package session_test

import (
	"crypto/rand"
	"fmt"
	"math/big"
	"testing"

	"filippo.io/edwards25519"
	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

var primeP = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))

// encode is a number below 2^256 as a Montgomery u.
func encode(n *big.Int) (u [32]byte) {
	b := n.FillBytes(make([]byte, 32))
	for i := range b {
		u[i] = b[31-i]
	}
	return u
}

func number(u [32]byte) *big.Int {
	for i := range 16 {
		u[i], u[31-i] = u[31-i], u[i]
	}
	return new(big.Int).SetBytes(u[:])
}

// smallOrder lists all 32-byte strings that X25519 takes for a point of order
// 1, 2, 4 or 8.
func smallOrder() (out [][32]byte) {
	for _, k := range testutil.SmallOrderKeys() {
		out = append(out, [32]byte(k[1:]))
	}
	return out
}

func public(t testing.TB, u [32]byte) keys.PublicKey {
	t.Helper()
	k, err := keys.ParsePublicKey(append([]byte{5}, u[:]...))
	require.NoError(t, err)
	return k
}

// forge returns a signature that verifies under a public key of small order,
// for which nobody needs a private key: h·A is the identity for every eighth
// hash. There is none for u = −1, which has no Edwards image.
func forge(t testing.TB, verify func(sig []byte) error) []byte {
	t.Helper()
	for range 200 {
		var wide [64]byte
		rand.Read(wide[:])
		s, err := edwards25519.NewScalar().SetUniformBytes(wide[:])
		require.NoError(t, err)
		sig := append(new(edwards25519.Point).ScalarBaseMult(s).Bytes(), s.Bytes()...)
		for _, sign := range []byte{0, 0x80} {
			sig[63] = sig[63]&0x7F | sign
			if verify(sig) == nil {
				return sig
			}
		}
	}
	return nil
}

func bundleOf(t testing.TB, s *side) *x3dh.Bundle {
	t.Helper()
	b, err := s.Bundle(ctx)
	require.NoError(t, err)
	return b
}

func TestKA_01_SmallOrderKeysInABundle(t *testing.T) {
	p := friends(t)
	for i, u := range smallOrder() {
		small := public(t, u)
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			b := bundleOf(t, p.bob)
			b.SignedPreKey.Key, b.SignedPreKey.Signature = small, p.bob.identity.SignPreKey(small)
			one := bundleOf(t, p.bob)
			one.PreKey.Key = small
			p.unharmed(t, func() {
				refused(t, p.alice.Begin(ctx, p.bob.Address(), b), x3dh.ErrZeroAgreement)
				refused(t, p.alice.Begin(ctx, p.bob.Address(), one), x3dh.ErrZeroAgreement)
			})
		})
	}
}

// Nobody owns an identity key of small order, yet signatures under it can be
// made by anyone.
func TestKA_01_SmallOrderIdentity(t *testing.T) {
	p := friends(t)
	nobody := session.Address{User: "nobody", Device: bobAddress.Device}
	forged := 0
	for _, u := range smallOrder() {
		id := keys.NewIdentityKey(public(t, u))
		b := bundleOf(t, p.bob)
		b.IdentityKey = id
		want := error(x3dh.ErrSignature)
		ec := forge(t, func(sig []byte) error { return id.VerifyPreKey(b.SignedPreKey.Key, sig) })
		kem := forge(t, func(sig []byte) error { return id.VerifyKEMPreKey(b.KEMPreKey.Key, sig) })
		if ec != nil && kem != nil {
			b.SignedPreKey.Signature, b.KEMPreKey.Signature = ec, kem
			want = x3dh.ErrZeroAgreement
			forged++
		}
		p.unharmed(t, func() { refused(t, p.alice.Begin(ctx, nobody, b), want) })

		q := met(t)
		first := edit(t, q.alice.send(t, q.bob, "hello"), func(m *wire.PreKeySignalMessage) { m.IdentityKey = id.Bytes() })
		q.unharmed(t, func() { refused(t, q.bob.decrypt(q.alice, first), x3dh.ErrZeroAgreement) })
	}
	require.Equal(t, 11, forged, "all but u = −1, twice, and the zero key")
}

func TestKA_01_SmallOrderBaseKey(t *testing.T) {
	p := met(t)
	first := p.alice.send(t, p.bob, "hello")
	for _, u := range smallOrder() {
		bad := edit(t, first, func(m *wire.PreKeySignalMessage) { m.BaseKey = public(t, u).Bytes() })
		p.unharmedStores(t, func() { refused(t, p.bob.decrypt(p.alice, bad), keys.ErrKey) })
	}
	p.bob.reads(t, p.alice, first, "hello")
	p.goesOn(t)
}

func TestKA_01_SmallOrderRatchetKey(t *testing.T) {
	p := met(t)
	first := p.alice.send(t, p.bob, "hello")
	p.smallRatchetKey(t, p.alice, p.bob, first)
	p.bob.reads(t, p.alice, first, "hello")
	answer := p.bob.send(t, p.alice, "answer")
	p.smallRatchetKey(t, p.bob, p.alice, answer)
	p.alice.reads(t, p.bob, answer, "answer")
	p.goesOn(t)
}

func (p *pair) smallRatchetKey(t *testing.T, from, to *side, m *session.Message) {
	t.Helper()
	for _, u := range smallOrder() {
		bad := withRatchetKey(t, m, public(t, u))
		p.unharmedStores(t, func() { refused(t, to.decrypt(from, bad), x3dh.ErrZeroAgreement) })
	}
}

// withRatchetKey puts another ratchet key into m.
func withRatchetKey(t testing.TB, m *session.Message, k keys.PublicKey) *session.Message {
	t.Helper()
	return editInner(t, m, func(in *wire.SignalMessage) { in.RatchetKey = k.Bytes() })
}

// editInner changes fields of the SignalMessage in m; the MAC stays.
func editInner(t testing.TB, m *session.Message, change func(*wire.SignalMessage)) *session.Message {
	t.Helper()
	in := inner(t, m)
	mac := in.MAC
	change(&in)
	raw := append(wire.AppendSignalMessage(nil, &in), mac...)
	if m.Type == session.TypeSignal {
		return &session.Message{Type: m.Type, Bytes: raw}
	}
	return edit(t, m, func(out *wire.PreKeySignalMessage) { out.MessageBytes = raw })
}

// unharmedStores is unharmed without further messages.
func (p *pair) unharmedStores(t testing.TB, attack func()) {
	t.Helper()
	before := p.digest(t)
	attack()
	require.Equal(t, before, p.digest(t), "a store has changed")
}

func TestKA_02_BaseKeyNotCanonical(t *testing.T) {
	p := met(t)
	first := p.alice.send(t, p.bob, "hello")
	bad := append(testutil.OutOfRangeKeys(), testutil.TopBit(outerOf(t, first).BaseKey))
	require.Len(t, bad, 20)
	oneTime := outerOf(t, first).PreKeyID
	for _, k := range bad {
		m := edit(t, first, func(m *wire.PreKeySignalMessage) { m.BaseKey = k })
		p.unharmedStores(t, func() { refused(t, p.bob.decrypt(p.alice, m), keys.ErrKey) })
		require.True(t, p.bob.hasPreKey(t, "prekey", oneTime))
	}
	p.bob.reads(t, p.alice, first, "hello")
	require.False(t, p.bob.hasPreKey(t, "prekey", oneTime))
	p.goesOn(t)
}

// tweaked returns u with each of the seven points of small order added that
// change it. Every one gives the same shared secrets.
func tweaked(t testing.TB, u [32]byte) (out [][32]byte) {
	t.Helper()
	// y = (u − 1) / (u + 1)
	n := number(u)
	d := new(big.Int).ModInverse(new(big.Int).Add(n, big.NewInt(1)), primeP)
	y := new(big.Int).Mod(new(big.Int).Mul(new(big.Int).Sub(n, big.NewInt(1)), d), primeP)
	b := encode(y)
	point, err := new(edwards25519.Point).SetBytes(b[:])
	require.NoError(t, err)
	// A point of order 8, of which the multiples are all there are.
	o8 := smallOrderEdwards(t)
	add := edwards25519.NewIdentityPoint()
	for range 7 {
		add = new(edwards25519.Point).Add(add, o8)
		out = append(out, [32]byte(new(edwards25519.Point).Add(point, add).BytesMontgomery()))
	}
	return out
}

// smallOrderEdwards returns a point of order 8.
func smallOrderEdwards(t testing.TB) *edwards25519.Point {
	t.Helper()
	u := number(smallOrder()[10])
	d := new(big.Int).ModInverse(new(big.Int).Add(u, big.NewInt(1)), primeP)
	y := encode(new(big.Int).Mod(new(big.Int).Mul(new(big.Int).Sub(u, big.NewInt(1)), d), primeP))
	o8, err := new(edwards25519.Point).SetBytes(y[:])
	require.NoError(t, err)
	four := new(edwards25519.Point).Add(o8, o8)
	four.Add(four, four)
	require.Equal(t, 0, four.Equal(edwards25519.NewIdentityPoint()))
	require.Equal(t, 1, new(edwards25519.Point).Add(four, four).Equal(edwards25519.NewIdentityPoint()))
	return o8
}

func TestKA_03_BaseKeyWithTorsion(t *testing.T) {
	p := met(t)
	first := p.alice.send(t, p.bob, "hello")
	honest := outerOf(t, first)
	for _, u := range tweaked(t, [32]byte(honest.BaseKey[1:])) {
		m := edit(t, first, func(m *wire.PreKeySignalMessage) { m.BaseKey = public(t, u).Bytes() })
		p.unharmedStores(t, func() { refused(t, p.bob.decrypt(p.alice, m), keys.ErrKey) })
		require.True(t, p.bob.hasPreKey(t, "prekey", honest.PreKeyID))
	}
	p.bob.reads(t, p.alice, first, "hello")
	p.goesOn(t)
}

func TestKA_04_ECKeyForm(t *testing.T) {
	p := met(t)
	first := p.alice.send(t, p.bob, "hello")
	for name, set := range map[string]func(*wire.PreKeySignalMessage, []byte){
		"base key":     func(m *wire.PreKeySignalMessage, k []byte) { m.BaseKey = k },
		"identity key": func(m *wire.PreKeySignalMessage, k []byte) { m.IdentityKey = k },
		"ratchet key": func(m *wire.PreKeySignalMessage, k []byte) {
			m.Message.RatchetKey = k
			m.MessageBytes = append(wire.AppendSignalMessage(nil, &m.Message), m.Message.MAC...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			honest := outerOf(t, first).BaseKey
			var bad [][]byte
			for _, kind := range []byte{0, 1, 4, 6, 0xFF} {
				bad = append(bad, append([]byte{kind}, honest[1:]...))
			}
			for _, n := range []int{0, 1, 32, 34, 65} {
				bad = append(bad, append(append([]byte{}, honest...), make([]byte, 32)...)[:n])
			}
			for _, k := range bad {
				m := edit(t, first, func(m *wire.PreKeySignalMessage) { set(m, k) })
				p.unharmedStores(t, func() { refused(t, p.bob.decrypt(p.alice, m), keys.ErrKey) })
			}
		})
	}
	p.bob.reads(t, p.alice, first, "hello")
}
