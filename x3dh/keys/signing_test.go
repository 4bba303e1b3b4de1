package keys_test

import (
	"bytes"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// order is L, the order of the base point.
var order, _ = new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)

// addToS returns sig with s + n, the sign bit kept.
func addToS(sig []byte, n *big.Int) []byte {
	out := bytes.Clone(sig)
	s := bytes.Clone(sig[32:])
	s[31] &= 0x7F
	slices.Reverse(s)
	copy(out[32:], encode(new(big.Int).Add(new(big.Int).SetBytes(s), n))[1:])
	out[63] |= sig[63] & 0x80
	return out
}

func TestSIG_01_Malleability(t *testing.T) {
	for range 8 {
		k := keys.GenerateSigningKey()
		sig := k.Sign([]byte("m"))
		require.NoError(t, k.Public().Verify(sig, []byte("m")))
		require.Equal(t, sig, addToS(sig, new(big.Int)))
		for i := int64(1); i <= 7; i++ {
			bad := addToS(sig, new(big.Int).Mul(order, big.NewInt(i)))
			require.ErrorIs(t, k.Public().Verify(bad, []byte("m")), keys.ErrSignature)
		}
	}
}

func TestSIG_02_VerifyKeySmallOrder(t *testing.T) {
	for _, b := range testutil.SmallOrderKeys() {
		k, err := keys.ParseVerifyKey(b)
		require.ErrorIs(t, err, keys.ErrKey)
		require.Zero(t, k)
	}
	// Keys of mixed order pass: h·T is not seen by the parser, and peers
	// accept them. An honest key plus a point of small order stands for them.
	_, torsioned := testutil.TorsionedKeys()
	for _, b := range torsioned {
		_, err := keys.ParseVerifyKey(b)
		require.NoError(t, err)
	}
}

func TestSIG_03_SignBit(t *testing.T) {
	seen := map[byte]bool{}
	for len(seen) < 2 {
		k := keys.GenerateSigningKey()
		sig := k.Sign([]byte("m"))
		seen[sig[63]>>7] = true
		require.NoError(t, k.Public().Verify(sig, []byte("m")))
		sig[63] ^= 0x80
		require.ErrorIs(t, k.Public().Verify(sig, []byte("m")), keys.ErrSignature)
	}
}

func TestSIG_05_Parts(t *testing.T) {
	k := keys.GenerateSigningKey()
	msg := bytes.Repeat([]byte("gembok!?"), 1<<17) // 1 MiB
	whole := k.Sign(msg)
	for _, cut := range []int{0, 1, 31, 64, 128, 1984, 1 << 19, 1<<20 - 1, 1 << 20} {
		require.NoError(t, k.Public().Verify(whole, msg[:cut], msg[cut:]))
		require.NoError(t, k.Public().Verify(k.Sign(msg[:cut], nil, msg[cut:]), msg))
	}
	require.NoError(t, k.Public().Verify(k.Sign()))
	require.ErrorIs(t, k.Public().Verify(whole, msg[1:], msg[:1]), keys.ErrSignature)
}

func TestSIG_06_CrossProtocol(t *testing.T) {
	pair := keys.GenerateIdentityKeyPair()
	public := pair.Public()
	preKey := keys.GeneratePrivateKey().PublicKey()
	kem := keys.GenerateKEMPrivateKey().Public()
	other := keys.GenerateIdentityKeyPair().Public()
	body := other.Bytes()

	signatures := map[string][]byte{
		"prekey":    pair.SignPreKey(preKey),
		"kem":       pair.SignKEMPreKey(kem),
		"alternate": pair.SignAlternate(other),
		"label":     pair.Sign("Signal_PNI_Signature", body),
		"label2":    pair.Sign("Signal_PNI_Signatur", body),
		"label3":    pair.Sign("x", preKey.Bytes()),
	}
	verifiers := map[string]func([]byte) error{
		"prekey":    func(s []byte) error { return public.VerifyPreKey(preKey, s) },
		"kem":       func(s []byte) error { return public.VerifyKEMPreKey(kem, s) },
		"alternate": func(s []byte) error { return public.VerifyAlternate(other, s) },
		"label":     func(s []byte) error { return public.Verify("Signal_PNI_Signature", body, s) },
		"label2":    func(s []byte) error { return public.Verify("Signal_PNI_Signatur", body, s) },
		"label3":    func(s []byte) error { return public.Verify("x", preKey.Bytes(), s) },
	}
	for made, sig := range signatures {
		for as, verify := range verifiers {
			if made == as {
				require.NoError(t, verify(sig), made)
			} else {
				require.ErrorIs(t, verify(sig), keys.ErrSignature, "%s as %s", made, as)
			}
		}
	}
	// Label and message do not run into each other.
	sig := pair.Sign("ab", []byte("c"))
	require.ErrorIs(t, public.Verify("a", []byte("bc"), sig), keys.ErrSignature)
	require.ErrorIs(t, public.Verify("abc", nil, sig), keys.ErrSignature)
}

// The bytes that are signed, by the raw signatures of the same private key.
func TestSignedBytes(t *testing.T) {
	pair := keys.GenerateIdentityKeyPair()
	raw, err := keys.NewSigningKey(pair.PrivateBytes())
	require.NoError(t, err)
	preKey := keys.GeneratePrivateKey().PublicKey()
	kem := keys.GenerateKEMPrivateKey().Public()
	other := keys.GenerateIdentityKeyPair().Public()
	domain := bytes.Repeat([]byte{0xFF}, 32)

	require.NoError(t, raw.Public().Verify(pair.SignPreKey(preKey), preKey.Bytes()))
	require.NoError(t, raw.Public().Verify(pair.SignKEMPreKey(kem), kem.Bytes()))
	require.NoError(t, raw.Public().Verify(pair.SignAlternate(other), domain, []byte("Signal_PNI_Signature"), other.Bytes()))
	require.NoError(t, raw.Public().Verify(pair.Sign("label", []byte("msg")), domain, []byte("label\x00msg")))
}

func TestLabels(t *testing.T) {
	pair := keys.GenerateIdentityKeyPair()
	raw, err := keys.NewSigningKey(pair.PrivateBytes())
	require.NoError(t, err)
	domain := bytes.Repeat([]byte{0xFF}, 32)
	for _, label := range []string{"", strings.Repeat("x", 65), "a\x00", "\x1f", "\x7f", "a\n", "é", "\xff"} {
		require.Panics(t, func() { pair.Sign(label, nil) }, "%q", label)
		sig := raw.Sign(domain, []byte(label), []byte{0}, []byte("m")) // as it would be
		require.ErrorIs(t, pair.Public().Verify(label, []byte("m"), sig), keys.ErrSignature)
	}
	for _, label := range []string{"x", " ~", strings.Repeat("x", 64)} {
		require.NoError(t, pair.Public().Verify(label, []byte("m"), pair.Sign(label, []byte("m"))))
	}
}

func TestSIG_07_Length(t *testing.T) {
	pair, k := keys.GenerateIdentityKeyPair(), keys.GenerateSigningKey()
	preKey := keys.GeneratePrivateKey().PublicKey()
	long := append(pair.SignPreKey(preKey), make([]byte, 64)...)
	longRaw := append(k.Sign([]byte("m")), make([]byte, 64)...)
	for n := range 129 {
		err, errRaw := pair.Public().VerifyPreKey(preKey, long[:n]), k.Public().Verify(longRaw[:n], []byte("m"))
		if n == 64 {
			require.NoError(t, err)
			require.NoError(t, errRaw)
			continue
		}
		require.ErrorIs(t, err, keys.ErrSignature)
		require.ErrorIs(t, errRaw, keys.ErrSignature)
	}
	require.ErrorIs(t, pair.Public().VerifyPreKey(preKey, nil), keys.ErrSignature)
}

func TestKA_06_PreKeySignature(t *testing.T) {
	pair := keys.GenerateIdentityKeyPair()
	public := pair.Public()
	preKey := keys.GeneratePrivateKey().PublicKey()
	sig := pair.SignPreKey(preKey)
	require.NoError(t, public.VerifyPreKey(preKey, sig))
	for i := range 512 {
		bad := bytes.Clone(sig)
		bad[i/8] ^= 1 << (i % 8)
		require.ErrorIs(t, public.VerifyPreKey(preKey, bad), keys.ErrSignature, "bit %d", i)
	}
	raw, err := keys.NewSigningKey(pair.PrivateBytes())
	require.NoError(t, err)
	for name, bad := range map[string][]byte{
		"other key": keys.GenerateIdentityKeyPair().SignPreKey(preKey),
		"32 bytes":  raw.Sign(preKey.Bytes()[1:]),
		"empty":     {},
	} {
		require.ErrorIs(t, public.VerifyPreKey(preKey, bad), keys.ErrSignature, name)
	}
}

func TestKA_07_KEMPreKeySignature(t *testing.T) {
	pair := keys.GenerateIdentityKeyPair()
	public := pair.Public()
	preKey, kem := keys.GeneratePrivateKey().PublicKey(), keys.GenerateKEMPrivateKey().Public()
	require.NoError(t, public.VerifyKEMPreKey(kem, pair.SignKEMPreKey(kem)))
	for name, bad := range map[string][]byte{
		"EC signature":  pair.SignPreKey(preKey),
		"other key":     keys.GenerateIdentityKeyPair().SignKEMPreKey(kem),
		"other pre-key": pair.SignKEMPreKey(keys.GenerateKEMPrivateKey().Public()),
		"empty":         {},
	} {
		require.ErrorIs(t, public.VerifyKEMPreKey(kem, bad), keys.ErrSignature, name)
	}
	require.ErrorIs(t, public.VerifyPreKey(preKey, pair.SignKEMPreKey(kem)), keys.ErrSignature)
}

func TestKA_12_AlternateIdentity(t *testing.T) {
	aci, pni, third := keys.GenerateIdentityKeyPair(), keys.GenerateIdentityKeyPair(), keys.GenerateIdentityKeyPair()
	sig := pni.SignAlternate(aci.Public())
	require.NoError(t, pni.Public().VerifyAlternate(aci.Public(), sig))
	for name, err := range map[string]error{
		"wrong key":      third.Public().VerifyAlternate(aci.Public(), sig),
		"third identity": pni.Public().VerifyAlternate(third.Public(), sig),
		"not symmetric":  aci.Public().VerifyAlternate(pni.Public(), sig),
		"itself":         pni.Public().VerifyAlternate(pni.Public(), sig),
		"cut":            pni.Public().VerifyAlternate(aci.Public(), sig[:63]),
	} {
		require.ErrorIs(t, err, keys.ErrSignature, name)
	}
}

// Section 10.9 of sealed-groups-fingerprint: the keys of carol and alice there.
func TestAlternateIdentityVector(t *testing.T) {
	var all struct {
		PNI struct{ S testutil.Hex } `json:"pni_signature"`
	}
	testutil.ReadJSON(t, "sealed-groups-fingerprint/sealed-groups-fingerprint-vectors.json", &all)
	carol, err := keys.NewIdentityKeyPair(bytes.Repeat([]byte{0x66}, 32))
	require.NoError(t, err)
	alice, err := keys.NewIdentityKeyPair(bytes.Repeat([]byte{0x33}, 32))
	require.NoError(t, err)
	require.NoError(t, carol.Public().VerifyAlternate(alice.Public(), all.PNI.S))
}

// Verifier is Verify, for keys of both signs, whatever is wrong.
func TestVerifier(t *testing.T) {
	for i := range 8 {
		k := keys.GenerateSigningKey()
		verify := k.Public().Verifier()
		for range 2 {
			sig := k.Sign([]byte("m"))
			require.NoError(t, verify(sig, []byte("m")))
			require.ErrorIs(t, verify(sig, []byte("n")), keys.ErrSignature)
			require.ErrorIs(t, verify(addToS(sig, order), []byte("m")), keys.ErrSignature)
			require.ErrorIs(t, verify(sig[1:], []byte("m")), keys.ErrSignature)
			require.ErrorIs(t, keys.GenerateSigningKey().Public().Verifier()(sig, []byte("m")), keys.ErrSignature)
			require.ErrorIs(t, keys.VerifyKey{}.Verifier()(sig, []byte("m")), keys.ErrSignature)
			sig[63] ^= 0x80
			require.ErrorIs(t, verify(sig, []byte("m")), keys.ErrSignature, i)
		}
	}
	// u = 2 is a point of the twist: it parses, and verifies nothing.
	twist, err := keys.ParseVerifyKey(append([]byte{5, 2}, make([]byte, 31)...))
	require.NoError(t, err)
	sig := keys.GenerateSigningKey().Sign([]byte("m"))
	require.ErrorIs(t, twist.Verify(sig, []byte("m")), keys.ErrSignature)
	require.ErrorIs(t, twist.Verifier()(sig, []byte("m")), keys.ErrSignature)
}
