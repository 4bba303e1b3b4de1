package sealed

import (
	"crypto/subtle"
	"slices"

	"github.com/gembok-e2ee/gembok/internal/gcmsiv"
	"github.com/gembok-e2ee/gembok/internal/kdf"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// The labels of Section 3.1. An older one of the first is not known any more.
var (
	labelEphemeral = []byte("Sealed Sender v2: r (2023-08)")
	labelBody      = []byte("Sealed Sender v2: K")
	labelMask      = []byte("Sealed Sender v2: DH")
	labelTag       = []byte("Sealed Sender v2: DH-sender")
)

// A v2 is what an envelope of version 2 derives from M, the 32 bytes that all
// its recipients learn.
type v2 struct {
	wire.Secret
	m         [32]byte
	ephemeral *keys.PrivateKey // e
	public    keys.PublicKey   // E
	body      [32]byte         // K
}

// newV2 derives. When sealing, m is uniformly random and used for this message
// only.
func newV2(m *[32]byte) *v2 {
	x := &v2{m: *m}
	var e [32]byte
	kdf.HKDF(e[:], nil, m[:], labelEphemeral)
	kdf.HKDF(x.body[:], nil, m[:], labelBody)
	private, err := keys.NewPrivateKey(e[:])
	if err != nil {
		panic("sealed: internal error: private key of 32 bytes refused")
	}
	clear(e[:])
	x.ephemeral, x.public = private, private.PublicKey()
	return x
}

func (x *v2) clear() {
	clear(x.m[:])
	clear(x.body[:])
}

// A v2Key is C ‖ AT: M for one recipient, and the proof that the sender knew it.
type v2Key = [wire.SealedKeySize]byte

// key makes C ‖ AT for one recipient.
//
//	shared  DH between the identity keys from and to
//
// The error is keys.ErrZeroAgreement.
func (x *v2) key(from, to keys.IdentityKey, shared *[32]byte) (k v2Key, err error) {
	agreed, err := x.ephemeral.Agree(to.PublicKey())
	if err != nil {
		return k, err
	}
	c := maskV2(&agreed, x.public, to)
	subtle.XORBytes(c[:], c[:], x.m[:])
	tag := tagV2(shared, x.public, &c, from, to)
	copy(k[:], c[:])
	copy(k[32:], tag[:])
	clear(agreed[:])
	return k, nil
}

// maskV2 returns what hides M from everybody but a recipient.
//
//	agreed  DH between e and the recipient
func maskV2(agreed *[32]byte, e keys.PublicKey, to keys.IdentityKey) (mask [32]byte) {
	var buf [32 + 33 + 33]byte
	kdf.HKDF(mask[:], nil, to.Append(e.Append(append(buf[:0], agreed[:]...))), labelMask)
	clear(buf[:])
	return mask
}

// tagV2 returns AT, which only the sender and the recipient can make.
//
//	shared  DH between the two
func tagV2(shared *[32]byte, e keys.PublicKey, c *[32]byte, from, to keys.IdentityKey) (tag [16]byte) {
	var buf [32 + 33 + 32 + 33 + 33]byte
	ikm := append(e.Append(append(buf[:0], shared[:]...)), c[:]...)
	kdf.HKDF(tag[:], nil, to.Append(from.Append(ikm)), labelTag)
	clear(buf[:])
	return tag
}

// sharedSize is the length of what appendShared appends.
func sharedSize(c *wire.SealedContent) int { return 32 + c.Size() + gcmsiv.Overhead }

// appendShared appends E ‖ body, which is the same for all recipients.
func (x *v2) appendShared(dst []byte, c *wire.SealedContent) []byte {
	var public [33]byte
	dst = append(dst, x.public.Append(public[:0])[1:]...)
	start := len(dst)
	dst = wire.AppendSealedContent(slices.Grow(dst, c.Size()+gcmsiv.Overhead), c)
	return gcmsiv.Seal(dst[:start], &x.body, new([12]byte), dst[start:], nil) // in its place
}

// openV2 opens an envelope of version 2; the order of checks is that of Section
// 3.6. Errors are as those of openV1.
func (o *Opener) openV2(b []byte) (*opened, error) {
	m, err := wire.ParseSealedShared(b)
	if err != nil {
		return nil, err
	}
	ephemeral, err := keys.ParsePublicKey(append([]byte{5}, m.Ephemeral[:]...))
	if err != nil {
		return nil, err
	}
	agreed, err := o.agreements.identity.Agree(ephemeral)
	if err != nil {
		return nil, err
	}
	secret := maskV2(&agreed, ephemeral, o.agreements.identity.Public())
	subtle.XORBytes(secret[:], secret[:], m.Key[:32])
	x := newV2(&secret)
	defer x.clear()
	clear(secret[:])
	clear(agreed[:])
	if !x.public.Equal(ephemeral) {
		return nil, session.ErrAuth
	}
	content, ok := gcmsiv.Open(nil, &x.body, new([12]byte), m.Body, nil)
	if !ok {
		return nil, session.ErrAuth
	}
	return o.openShared(content, ephemeral, m.Key)
}

// openShared goes on once the body is known, from step 5.
func (o *Opener) openShared(content []byte, e keys.PublicKey, k *v2Key) (*opened, error) {
	message, err := parseMessage(content)
	if err != nil {
		return nil, err
	}
	from := message.Sender.claims.Identity
	shared, fresh, err := o.agreements.agree(from)
	if err != nil {
		return nil, err
	}
	tag := tagV2(&shared, e, (*[32]byte)(k[:]), from, o.agreements.identity.Public())
	if subtle.ConstantTimeCompare(tag[:], k[32:]) != 1 {
		return nil, session.ErrAuth
	}
	return &opened{message: message, shared: shared, fresh: fresh}, nil
}
