package sealed

import (
	"crypto/rand"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// A Sender seals messages with one certificate. When that is renewed, make
// another one. It prints as redacted, and may be used from several goroutines;
// the zero value is none.
type Sender struct {
	wire.Secret
	agreements  agreements
	certificate *SenderCertificate
}

// NewSender returns a Sender for the identity that a certificate is about. It is
// a session.IdentityMismatchError if that is another one. Whether the certificate
// is good, and until when, is for its recipients to say.
func NewSender(identity *keys.IdentityKeyPair, certificate *SenderCertificate, o *Options) (*Sender, error) {
	claims := &certificate.claims
	if !claims.Identity.Equal(identity.Public()) {
		return nil, &session.IdentityMismatchError{
			Address:  session.Address{User: claims.User, Device: claims.Device},
			Expected: claims.Identity,
			Seen:     identity.Public(),
		}
	}
	return &Sender{
		agreements:  agreements{identity: identity, limit: o.orDefault().Cache},
		certificate: certificate,
	}, nil
}

// Seal puts a message into an envelope of version 1, for a device with an
// identity key. Group is opaque to all but its reader; nil is none, and so is an
// empty one.
//
// Errors: ErrMalformed for a message of a type that is not sealed, ErrTooLarge,
// keys.ErrZeroAgreement for a key that is none.
func (s *Sender) Seal(to keys.IdentityKey, m *session.Message, hint Hint, group []byte) (*session.Message, error) {
	c, err := s.content(m, hint, group)
	if err != nil {
		return nil, err
	}
	shared, err := s.agree(to)
	if err != nil {
		return nil, err
	}
	defer clear(shared[:])
	envelope, err := sealV1(s.certificate.claims.Identity, to, &shared, c, keys.GeneratePrivateKey())
	if err != nil {
		return nil, err
	}
	return &session.Message{Type: session.TypeSealed, Bytes: envelope}, nil
}

// content returns what is to be sealed.
func (s *Sender) content(m *session.Message, hint Hint, group []byte) (*wire.SealedContent, error) {
	c := &wire.SealedContent{
		Type:        wire.MessageType(m.Type),
		Certificate: s.certificate.raw,
		Content:     m.Bytes,
		Hint:        uint32(hint),
		Group:       group,
	}
	return c, wire.CheckSealedContent(c)
}

// agree returns the agreement between the sender and a recipient.
func (s *Sender) agree(to keys.IdentityKey) ([32]byte, error) {
	shared, fresh, err := s.agreements.agree(to)
	if err == nil && fresh {
		s.agreements.keep(to, &shared)
	}
	return shared, err
}

// SealMany puts a message into one envelope of version 2 for many, in the form
// that is sent to a server (version byte 0x23), which makes of it what each
// device gets: Split. Recipients come out in the order they are in, each user
// once: if one is there again, with the same identity key, the devices are
// added to the first. Excluded users get nothing; they are named so that a
// server, which may want all members of a group, sees that they were not
// forgotten. Users are service ids. It computes on all cores.
//
// Errors: those of Seal; RecipientError, for a recipient, and nothing is made for
// the others.
func (s *Sender) SealMany(to []Recipient, excluded []string, m *session.Message, hint Hint, group []byte) ([]byte, error) {
	c, err := s.content(m, hint, group)
	if err != nil {
		return nil, err
	}
	l, err := newList(to, excluded)
	if err != nil {
		return nil, err
	}
	var coins [32]byte
	rand.Read(coins[:])
	defer clear(coins[:])
	return s.sealSent(l, c, &coins)
}

// sealSent makes a sent form (Section 3.3).
//
//	m  32 bytes, uniformly random, used for this call only
//
// Errors are ErrTooLarge and RecipientError.
func (s *Sender) sealSent(l *list, c *wire.SealedContent, m *[32]byte) ([]byte, error) {
	size := l.size() + sharedSize(c)
	if err := checkSent(size); err != nil {
		return nil, err
	}
	x := newV2(m)
	defer x.clear()
	made, bad, err := s.keys(x, len(l.entries), func(i int) keys.IdentityKey { return l.entries[i].identity })
	if err != nil {
		return nil, &RecipientError{Address: session.Address{User: l.entries[bad].id.String()}, Err: err}
	}
	out := wire.AppendSealedUpload(nil, len(l.entries)+len(l.excluded), size)
	return x.appendShared(l.append(out, made), c), nil
}

// keys makes C ‖ AT for n identity keys, on all cores. Of what fails it returns
// the first.
func (s *Sender) keys(x *v2, n int, to func(i int) keys.IdentityKey) (made []v2Key, bad int, err error) {
	made = make([]v2Key, n)
	bad, err = parallel(n, func(i int) error {
		shared, err := s.agree(to(i))
		if err != nil {
			return err
		}
		made[i], err = x.key(s.certificate.claims.Identity, to(i), &shared)
		clear(shared[:])
		return err
	})
	return made, bad, err
}
