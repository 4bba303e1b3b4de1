package x3dh_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/x3dh"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

func TestBundleRoundTrip(t *testing.T) {
	bob := newDevice()
	for name, edit := range map[string]func(b *x3dh.Bundle){
		"all": func(b *x3dh.Bundle) { b.LastResort, b.Manifest = true, []byte("a manifest") },
		"no one-time prekey": func(b *x3dh.Bundle) {
			b.PreKey = nil
		},
		"ids 0":        func(b *x3dh.Bundle) { b.PreKey.ID, b.SignedPreKey.ID, b.KEMPreKey.ID = 0, 0, 0 },
		"ids of 32 b":  func(b *x3dh.Bundle) { b.PreKey.ID, b.SignedPreKey.ID, b.KEMPreKey.ID = 1<<32-1, 1<<32-1, 1<<32-1 },
		"bounds above": func(b *x3dh.Bundle) { b.RegistrationID, b.DeviceID = 16380, 127 },
		"bounds below": func(b *x3dh.Bundle) { b.RegistrationID, b.DeviceID = 1, 1 },
	} {
		t.Run(name, func(t *testing.T) {
			want := bob.bundle(true)
			edit(want)
			raw := want.Bytes()
			got, err := x3dh.ParseBundle(raw)
			require.NoError(t, err)
			require.Equal(t, want, got)
			require.NoError(t, got.Verify())
			require.Equal(t, raw, got.Bytes())
			clear(raw) // it was copied
			require.Equal(t, want, got)
		})
	}
}

func TestBundleRefusals(t *testing.T) {
	bob := newDevice()
	for name, c := range map[string]struct {
		edit func(b *x3dh.Bundle)
		want error
	}{
		"registration id 0":     {func(b *x3dh.Bundle) { b.RegistrationID = 0 }, x3dh.ErrMalformed},
		"registration id 16381": {func(b *x3dh.Bundle) { b.RegistrationID = 16381 }, x3dh.ErrMalformed},
		"device 0":              {func(b *x3dh.Bundle) { b.DeviceID = 0 }, x3dh.ErrMalformed},
		"device 128":            {func(b *x3dh.Bundle) { b.DeviceID = 128 }, x3dh.ErrMalformed},
		"no signature":          {func(b *x3dh.Bundle) { b.SignedPreKey.Signature = nil }, x3dh.ErrMalformed},
		"no KEM signature":      {func(b *x3dh.Bundle) { b.KEMPreKey.Signature = nil }, x3dh.ErrMalformed},
		"too large":             {func(b *x3dh.Bundle) { b.Manifest = make([]byte, 32<<10) }, x3dh.ErrTooLarge},
	} {
		b := bob.bundle(true)
		c.edit(b)
		got, err := x3dh.ParseBundle(b.Bytes())
		require.ErrorIs(t, err, c.want, name)
		require.Nil(t, got)
	}
}

// A wrong key in each place; KA-08 is one kind of key in the place of another.
func TestKA_08_KeysOfTheWrongKind(t *testing.T) {
	bob := newDevice()
	good, err := wire.ParseBundle(bob.bundle(true).Bytes())
	require.NoError(t, err)
	ec, kem := bob.signed.PublicKey().Bytes(), bob.kem.Public().Bytes()
	wrongEC := [][]byte{kem, ec[1:], ec[:32], append(bytes.Clone(ec), 0), append([]byte{8}, ec[1:]...)}
	wrongKEM := [][]byte{ec, append(bytes.Clone(ec), make([]byte, 1536)...), append([]byte{8}, ec[1:]...), kem[1:], kem[:1568],
		append(bytes.Clone(kem), 0), append([]byte{5}, kem[1:]...), append([]byte{0x0A}, kem[1:]...), append([]byte{8}, bytes.Repeat([]byte{0xFF}, 1568)...)}
	for place, wrong := range map[string][][]byte{"identity": wrongEC, "signed": wrongEC, "one-time": wrongEC, "KEM": wrongKEM} {
		for i, k := range wrong {
			w := good
			switch place {
			case "identity":
				w.IdentityKey = k
			case "signed":
				w.SignedPreKey.Key = k
			case "one-time":
				w.PreKey.Key = k
			case "KEM":
				w.KEMPreKey.Key = k
			}
			got, err := x3dh.ParseBundle(wire.AppendBundle(nil, &w))
			require.ErrorIs(t, err, x3dh.ErrKey, "%s %d", place, i)
			require.Nil(t, got)
		}
	}
}

func TestPRS_07_TruncatedBundle(t *testing.T) {
	for _, oneTime := range []bool{true, false} {
		raw := newDevice().bundle(oneTime).Bytes() // its last field is required
		for n := range raw {
			b, err := x3dh.ParseBundle(raw[:n])
			require.ErrorIs(t, err, x3dh.ErrMalformed, n)
			require.Nil(t, b)
		}
	}
}

func TestPRS_03_UnknownFieldOfABundle(t *testing.T) {
	want := newDevice().bundle(true)
	got, err := x3dh.ParseBundle(append(want.Bytes(), 0xA2, 0x06, 1, 'x')) // field 100
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func TestPRS_11_EmptyManifest(t *testing.T) {
	d := newDevice()
	b, err := x3dh.ParseBundle(append(d.bundle(true).Bytes(), 0x6A, 0))
	require.NoError(t, err)
	require.Nil(t, b.Manifest)
	p, err := x3dh.ParsePublication(append(newPublication(d, 0, 0).Bytes(), 0x6A, 0))
	require.NoError(t, err)
	require.Nil(t, p.Manifest)
}

func newPublication(d *device, oneTime, kem int) *x3dh.Publication {
	p := &x3dh.Publication{
		RegistrationID: 5678, DeviceID: 1, IdentityKey: d.identity.Public(), Manifest: []byte("a manifest"),
		SignedPreKey: d.signedPreKey(d.signed.PublicKey()), LastResort: d.kemPreKey(d.kem.Public()),
	}
	for i := range oneTime {
		p.PreKeys = append(p.PreKeys, x3dh.PreKey{ID: uint32(i), Key: keys.GeneratePrivateKey().PublicKey()})
	}
	for i := range kem {
		k := d.kemPreKey(keys.GenerateKEMPrivateKey().Public())
		k.ID = 100 + uint32(i)
		p.KEMPreKeys = append(p.KEMPreKeys, k)
	}
	return p
}

func TestPublicationRoundTrip(t *testing.T) {
	for _, n := range []int{0, 1, 5} {
		want := newPublication(newDevice(), n, n)
		raw := want.Bytes()
		got, err := x3dh.ParsePublication(raw)
		require.NoError(t, err)
		require.Equal(t, want, got)
		require.NoError(t, got.Verify())
		require.Equal(t, raw, got.Bytes())
		clear(raw)
		require.Equal(t, want, got)
	}
}

func TestPublicationVerify(t *testing.T) {
	d, other := newDevice(), newDevice()
	for name, edit := range map[string]func(p *x3dh.Publication){
		"signed prekey": func(p *x3dh.Publication) { p.SignedPreKey.Signature[9] ^= 1 },
		"last resort":   func(p *x3dh.Publication) { p.LastResort.Signature[9] ^= 1 },
		"the last KEM prekey": func(p *x3dh.Publication) {
			k := &p.KEMPreKeys[len(p.KEMPreKeys)-1]
			k.Signature = other.identity.SignKEMPreKey(k.Key)
		},
		"identity": func(p *x3dh.Publication) { p.IdentityKey = other.identity.Public() },
		"swapped":  func(p *x3dh.Publication) { p.LastResort.Signature = p.KEMPreKeys[0].Signature },
	} {
		p := newPublication(d, 1, 2)
		require.NoError(t, p.Verify(), name)
		edit(p)
		require.ErrorIs(t, p.Verify(), x3dh.ErrSignature, name)
	}
}

func TestPublicationTake(t *testing.T) {
	alice, bob := newDevice(), newDevice()
	p := newPublication(bob, 3, 2)
	all := *p
	before := p.Bytes()
	for i := range 5 {
		b := p.Take()
		require.NoError(t, b.Verify())
		require.Equal(t, all.RegistrationID, b.RegistrationID)
		require.Equal(t, all.DeviceID, b.DeviceID)
		require.Equal(t, all.IdentityKey, b.IdentityKey)
		require.Equal(t, all.SignedPreKey, b.SignedPreKey)
		require.Equal(t, all.Manifest, b.Manifest)
		require.Equal(t, i >= 2, b.LastResort)
		if i < 3 {
			require.Equal(t, all.PreKeys[i], *b.PreKey)
			b.PreKey.ID = 9 // not p's
		} else {
			require.Nil(t, b.PreKey)
		}
		want := all.LastResort
		if i < 2 {
			want = all.KEMPreKeys[i]
		}
		require.Equal(t, want, b.KEMPreKey)
		initiate(t, alice, b)
	}
	require.Empty(t, p.PreKeys)
	require.Empty(t, p.KEMPreKeys)
	require.Equal(t, before, all.Bytes())
}

func TestPublicationRefusals(t *testing.T) {
	d := newDevice()
	raw := newPublication(d, 1, 1).Bytes()
	whole, err := wire.ParsePublication(raw)
	require.NoError(t, err)
	short := d.signed.PublicKey().Bytes()[:32]
	for name, edit := range map[string]func(w *wire.Publication){
		"identity":        func(w *wire.Publication) { w.IdentityKey = short },
		"signed prekey":   func(w *wire.Publication) { w.SignedPreKey.Key = short },
		"last resort":     func(w *wire.Publication) { w.LastResort.Key = short },
		"one-time prekey": func(w *wire.Publication) { w.PreKeys = []wire.PreKey{{Key: short}} },
		"KEM prekey":      func(w *wire.Publication) { w.KEMPreKeys = []wire.SignedPreKey{{Key: short, Signature: short}} },
		"no signed":       func(w *wire.Publication) { w.SignedPreKey = wire.SignedPreKey{} },
		"no last resort":  func(w *wire.Publication) { w.LastResort = wire.SignedPreKey{} },
	} {
		w := *whole
		edit(&w)
		p, err := x3dh.ParsePublication(wire.AppendPublication(nil, &w))
		require.ErrorIs(t, err, x3dh.ErrKey, name)
		require.Nil(t, p)
	}
	_, err = x3dh.ParsePublication(make([]byte, wire.MaxPublication+1))
	require.ErrorIs(t, err, x3dh.ErrTooLarge)
	_, err = x3dh.ParsePublication(nil)
	require.ErrorIs(t, err, x3dh.ErrMalformed)
}

// What is cut off at the end of a field after the required ones is a shorter
// publication; all else is none.
func TestPRS_07_TruncatedPublication(t *testing.T) {
	raw := newPublication(newDevice(), 2, 1).Bytes()
	shorter := 0
	for n := range raw {
		p, err := x3dh.ParsePublication(raw[:n])
		if err != nil {
			require.True(t, p == nil)
			continue
		}
		require.Equal(t, raw[:n], p.Bytes())
		require.NoError(t, p.Verify())
		shorter++
	}
	require.Equal(t, 4, shorter) // two and one prekeys, and the manifest
}
