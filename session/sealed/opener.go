package sealed

import (
	"time"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// An Opener opens envelopes to one identity key. It prints as redacted, and may
// be used from several goroutines; the zero value is none.
type Opener struct {
	wire.Secret
	agreements agreements
	trust      *Trust
	nibbleZero bool
}

// NewOpener returns an Opener for an identity, which accepts senders whose
// certificates are good by trust.
func NewOpener(identity *keys.IdentityKeyPair, trust *Trust, o *Options) *Opener {
	options := o.orDefault()
	return &Opener{
		agreements: agreements{identity: identity, limit: options.Cache},
		trust:      trust,
		nibbleZero: options.VersionZero,
	}
}

// Open opens an envelope of version 1, or of version 2 as one device gets it,
// and verifies the sender's certificate at a time, which is best the server's at
// which it took the envelope. Whose the message inside is has to be held against
// the certificate by whoever reads it: by the user, the device and the identity
// key. A Receiver does all of that.
//
// Errors: ErrMalformed, ErrVersion, ErrTooLarge, keys.ErrKey and
// keys.ErrZeroAgreement for what is no envelope; ErrAuth for one that was
// changed, or is for another key; CertificateError.
func (o *Opener) Open(envelope []byte, at time.Time) (*Message, error) {
	opened, err := o.open(envelope)
	if err != nil {
		return nil, err
	}
	defer clear(opened.shared[:])
	if err := o.trust.Verify(opened.message.Sender, at); err != nil {
		return nil, err
	}
	if opened.fresh { // and not before: others than senders could fill the memory
		o.agreements.keep(opened.message.Sender.claims.Identity, &opened.shared)
	}
	return opened.message, nil
}

// An opened is the content of an envelope, with the agreement of the identity
// keys, which was made for it if fresh. The certificate is not verified.
type opened struct {
	message *Message
	shared  [32]byte
	fresh   bool
}

func (o *Opener) open(envelope []byte) (*opened, error) {
	version, err := wire.SealedVersion(envelope)
	if err != nil {
		return nil, err
	}
	switch {
	case version == 1 || version == 0 && o.nibbleZero:
		return o.openV1(envelope)
	case version == 2:
		return o.openV2(envelope)
	}
	return nil, errVersion(version)
}
