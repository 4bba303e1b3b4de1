package sealed

import (
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// SealWith is Seal with its coins.
func (s *Sender) SealWith(to keys.IdentityKey, m *session.Message, hint Hint, group []byte, ephemeral *keys.PrivateKey) ([]byte, error) {
	c, err := s.content(m, hint, group)
	if err != nil {
		return nil, err
	}
	shared, err := s.agree(to)
	if err != nil {
		return nil, err
	}
	return sealV1(s.certificate.claims.Identity, to, &shared, c, ephemeral)
}

// SealManyWith is SealMany with its coins.
func (s *Sender) SealManyWith(to []Recipient, excluded []string, m *session.Message, hint Hint, group []byte, coins *[32]byte) ([]byte, error) {
	c, err := s.content(m, hint, group)
	if err != nil {
		return nil, err
	}
	l, err := newList(to, excluded)
	if err != nil {
		return nil, err
	}
	return s.sealSent(l, c, coins)
}

// OpenUnverified is Open but for the certificate.
func (o *Opener) OpenUnverified(envelope []byte) (*Message, error) {
	opened, err := o.open(envelope)
	if err != nil {
		return nil, err
	}
	return opened.message, nil
}

// EphemeralKeys is ephemeralKeys.
func EphemeralKeys(agreed *[32]byte, to keys.IdentityKey, e keys.PublicKey) (chain, cipher, mac [32]byte) {
	chain, k := ephemeralKeys(agreed, to, e)
	return chain, k.cipher, k.mac
}

// StaticKeys is staticKeys.
func StaticKeys(agreed, chain *[32]byte, static []byte) (cipher, mac [32]byte) {
	k := staticKeys(agreed, chain, static)
	return k.cipher, k.mac
}

// DeriveV2 is newV2: the ephemeral key, both halves, and that of the body.
func DeriveV2(m *[32]byte) (private, public []byte, body [32]byte) {
	x := newV2(m)
	return x.ephemeral.Bytes(), x.public.Bytes(), x.body
}

// KeyV2 is C and AT.
func KeyV2(m *[32]byte, from *keys.IdentityKeyPair, to keys.IdentityKey) (c, at []byte) {
	shared, err := from.Agree(to.PublicKey())
	if err != nil {
		panic(err)
	}
	k, err := newV2(m).key(from.Public(), to, &shared)
	if err != nil {
		panic(err)
	}
	return k[:32], k[32:]
}
