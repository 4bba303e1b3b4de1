package sealed

import (
	"crypto/rand"

	"github.com/gembok-e2ee/gembok/internal/gcmsiv"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// SealRaw seals whatever it is given, as one device gets it in version 2.
func (s *Sender) SealRaw(to keys.IdentityKey, content []byte) ([]byte, error) {
	var coins [32]byte
	rand.Read(coins[:])
	x := newV2(&coins)
	shared, err := s.agree(to)
	if err != nil {
		return nil, err
	}
	k, err := x.key(s.certificate.claims.Identity, to, &shared)
	if err != nil {
		return nil, err
	}
	body := gcmsiv.Seal(x.public.Bytes()[1:], &x.body, new([12]byte), content, nil)
	return wire.AppendSealedReceived(nil, &k, body), nil
}

// SealForged makes an envelope to a recipient in the name of a certificate, with
// the recipient's private key in place of the sender's.
func SealForged(to *keys.IdentityKeyPair, from *SenderCertificate, m *session.Message) ([]byte, error) {
	shared, err := to.Agree(from.claims.Identity.PublicKey())
	if err != nil {
		return nil, err
	}
	c, err := (&Sender{certificate: from}).content(m, HintDefault, nil)
	if err != nil {
		return nil, err
	}
	return sealV1(from.claims.Identity, to.Public(), &shared, c, keys.GeneratePrivateKey())
}
