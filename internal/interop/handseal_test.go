package interop_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/gembok-e2ee/gembok/internal/gcmsiv"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// A handSealer seals whatever it is told to: envelopes that fit, and others. All
// but the curve and the cipher of version 2 is the standard library's.
type handSealer struct {
	t      *testing.T
	sender *keys.IdentityKeyPair
	to     keys.IdentityKey
	r      *rand.Rand
}

func (h *handSealer) derive(salt, secret []byte, info string, n int) []byte {
	out, err := hkdf.Key(sha256.New, secret, salt, info, n)
	require.NoError(h.t, err)
	return out
}

func (h *handSealer) agree(k interface {
	Agree(keys.PublicKey) ([32]byte, error)
}) []byte {
	shared, err := k.Agree(h.to.PublicKey())
	require.NoError(h.t, err)
	return shared[:]
}

// ctrMAC is AES-256-CTR with a MAC of 10 bytes behind it.
func ctrMAC(key, macKey, plain []byte) []byte {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	out := make([]byte, len(plain))
	cipher.NewCTR(block, make([]byte, aes.BlockSize)).XORKeyStream(out, plain)
	mac := hmac.New(sha256.New, macKey)
	mac.Write(out)
	return mac.Sum(out)[:len(out)+10]
}

// v1 makes an envelope of version 1: static is what says whose the sender is, nil
// the right thing.
func (h *handSealer) v1(static, content []byte) []byte {
	if static == nil {
		static = h.sender.Public().Bytes()
	}
	eph := keys.GeneratePrivateKey()
	e := eph.PublicKey().Bytes()
	first := h.derive(append(append([]byte("UnidentifiedDelivery"), h.to.Bytes()...), e...), h.agree(eph), "", 96)
	hidden := ctrMAC(first[32:64], first[64:], static)
	second := h.derive(append(first[:32:32], hidden...), h.agree(h.sender), "", 96)
	out := []byte{0x11}
	for i, b := range [][]byte{e, hidden, ctrMAC(second[32:64], second[64:], content)} {
		out = protowire.AppendBytes(protowire.AppendTag(out, protowire.Number(i+1), protowire.BytesType), b)
	}
	return out
}

// A handV2 is an envelope of version 2: what all get, and what each.
type handV2 struct {
	h      *handSealer
	m      []byte
	eph    *keys.PrivateKey
	shared []byte // E ‖ body
}

func (h *handSealer) v2(content []byte) *handV2 {
	v := &handV2{h: h, m: randomBytes(h.r, 32)}
	var err error
	v.eph, err = keys.NewPrivateKey(h.derive(nil, v.m, "Sealed Sender v2: r (2023-08)", 32))
	require.NoError(h.t, err)
	key := [32]byte(h.derive(nil, v.m, "Sealed Sender v2: K", 32))
	v.shared = gcmsiv.Seal(v.eph.PublicKey().Bytes()[1:], &key, new([12]byte), content, nil)
	return v
}

// key is C ‖ AT for a recipient, tagged by the sender whom static says.
func (v *handV2) key(to keys.IdentityKey, static []byte) []byte {
	h, e := v.h, v.eph.PublicKey().Bytes()
	h.to = to
	c := h.derive(nil, concat(h.agree(v.eph), e, to.Bytes()), "Sealed Sender v2: DH", 32)
	for i := range c {
		c[i] ^= v.m[i]
	}
	return append(c, h.derive(nil, concat(h.agree(h.sender), e, c, static, to.Bytes()), "Sealed Sender v2: DH-sender", 16)...)
}

// received is what one recipient gets.
func (v *handV2) received(to keys.IdentityKey) []byte {
	return concat([]byte{0x22}, v.key(to, v.h.sender.Public().Bytes()), v.shared)
}

func concat(parts ...[]byte) []byte {
	var out []byte
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}
