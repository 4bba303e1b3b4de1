package sealed

import (
	"crypto/sha256"
	"crypto/subtle"

	"github.com/gembok-e2ee/gembok/internal/etm"
	"github.com/gembok-e2ee/gembok/internal/kdf"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// macSize is the length of the MAC behind a ciphertext in an envelope.
const macSize = 10

// v1Keys encrypt one part of an envelope of version 1.
type v1Keys struct {
	cipher, mac [32]byte
}

// ephemeralKeys derives the keys of the sender's key, and the chain that those
// of the message go on from (Section 1.2, step 1).
//
//	agreed  DH between ephemeral and recipient
//	to, e   the recipient's and the ephemeral key
func ephemeralKeys(agreed *[32]byte, to keys.IdentityKey, e keys.PublicKey) (chain [32]byte, k v1Keys) {
	var buf [20 + 33 + 33]byte
	okm := hkdf96(e.Append(to.Append(append(buf[:0], "UnidentifiedDelivery"...))), agreed)
	chain, k = [32]byte(okm[:]), v1Keys{cipher: [32]byte(okm[32:]), mac: [32]byte(okm[64:])}
	clear(okm[:])
	return chain, k
}

// staticKeys derives the keys of the message (Section 1.2, step 3).
//
//	agreed  DH between sender and recipient
//	static  the encrypted key of the sender, 43 bytes, MAC included
func staticKeys(agreed, chain *[32]byte, static []byte) (k v1Keys) {
	var buf [32 + 33 + macSize]byte
	okm := hkdf96(append(append(buf[:0], chain[:]...), static...), agreed)
	k = v1Keys{cipher: [32]byte(okm[32:]), mac: [32]byte(okm[64:])} // the first third is not used
	clear(okm[:])
	clear(buf[:])
	return k
}

// hkdf96 is HKDF with a salt of more than 64 bytes: HMAC hashes such a key first
// (RFC 2104, Section 2).
func hkdf96(salt []byte, ikm *[32]byte) (okm [96]byte) {
	hashed := sha256.Sum256(salt)
	kdf.HKDF(okm[:], &hashed, ikm[:], nil)
	clear(hashed[:])
	return okm
}

// seal encrypts buf[from:] in place and appends the MAC.
func (k *v1Keys) seal(buf []byte, from int) []byte {
	etm.CTR(&k.cipher, buf[from:])
	mac := etm.MAC(&k.mac, buf[from:])
	return append(buf, mac[:macSize]...)
}

// open returns the plaintext of b, in new memory, or false.
func (k *v1Keys) open(b []byte) ([]byte, bool) {
	if len(b) < macSize {
		return nil, false
	}
	c := b[:len(b)-macSize]
	mac := etm.MAC(&k.mac, c)
	if subtle.ConstantTimeCompare(mac[:macSize], b[len(c):]) != 1 {
		return nil, false
	}
	plaintext := append(make([]byte, 0, len(c)), c...)
	etm.CTR(&k.cipher, plaintext)
	return plaintext, true
}

// sealV1 makes an envelope of version 1 (Section 1.2).
//
//	shared     DH between sender and recipient
//	ephemeral  a new key, used for this call only
//
// The error is keys.ErrZeroAgreement.
func sealV1(from, to keys.IdentityKey, shared *[32]byte, c *wire.SealedContent, ephemeral *keys.PrivateKey) ([]byte, error) {
	public := ephemeral.PublicKey()
	agreed, err := ephemeral.Agree(to.PublicKey())
	if err != nil {
		return nil, err
	}
	chain, k := ephemeralKeys(&agreed, to, public)
	defer clear(agreed[:])
	defer clear(chain[:])

	var buf [33 + 33 + macSize]byte
	m := wire.SealedMessage{Ephemeral: public.Append(buf[:0])}
	m.Static = k.seal(from.Append(buf[33:33]), 0)
	k = staticKeys(shared, &chain, m.Static)
	out := wire.AppendSealedHead(nil, &m, c.Size()+macSize)
	out = k.seal(wire.AppendSealedContent(out, c), len(out))
	k = v1Keys{}
	return out, nil
}

// openV1 opens an envelope of version 1; the order of checks is that of Section
// 1.3. Errors are ErrMalformed, ErrTooLarge, ErrAuth, keys.ErrKey and
// keys.ErrZeroAgreement.
func (o *Opener) openV1(b []byte) (*opened, error) {
	m, err := wire.ParseSealedMessage(b)
	if err != nil {
		return nil, err
	}
	ephemeral, err := keys.ParsePublicKey(m.Ephemeral)
	if err != nil {
		return nil, err
	}
	agreed, err := o.agreements.identity.Agree(ephemeral)
	if err != nil {
		return nil, err
	}
	chain, k := ephemeralKeys(&agreed, o.agreements.identity.Public(), ephemeral)
	defer clear(agreed[:])
	defer clear(chain[:])
	static, ok := k.open(m.Static)
	if !ok {
		return nil, session.ErrAuth
	}
	from, err := keys.ParseIdentityKey(static)
	if err != nil {
		return nil, err
	}
	return o.openFrom(from, &chain, &m)
}

// openFrom goes on once the sender's key is known, from step 6.
func (o *Opener) openFrom(from keys.IdentityKey, chain *[32]byte, m *wire.SealedMessage) (*opened, error) {
	shared, fresh, err := o.agreements.agree(from)
	if err != nil {
		return nil, err
	}
	k := staticKeys(&shared, chain, m.Static)
	content, ok := k.open(m.Message)
	k = v1Keys{}
	if !ok {
		return nil, session.ErrAuth
	}
	message, err := parseMessage(content)
	if err != nil {
		return nil, err
	}
	if !message.Sender.claims.Identity.Equal(from) {
		return nil, session.ErrAuth
	}
	return &opened{message: message, shared: shared, fresh: fresh}, nil
}
