package sealed

import (
	"context"
	"errors"
	"time"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/group"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

var (
	// ErrSelfSend reports an envelope that this very device sealed.
	ErrSelfSend = errors.New("sealed: envelope of this device itself")
	// ErrGroup reports a group message for a Receiver that has no Groups.
	ErrGroup = errors.New("sealed: group message without groups")
)

// A Receiver opens the envelopes that a device gets. NewReceiver makes one; the
// zero value is none. It is safe for concurrent use, and holds secrets: it prints
// as redacted.
type Receiver struct {
	wire.Secret

	device *session.Device
	groups *group.Groups
	opener *Opener
	e164   string
}

// NewReceiver returns the Receiver of a device, which believes the certificates
// that trust does. Groups reads messages of groups, and takes in the keys that
// come for them; nil is no groups.
func NewReceiver(d *session.Device, groups *group.Groups, trust *Trust, o *Options) *Receiver {
	return &Receiver{device: d, groups: groups, opener: NewOpener(d.IdentityKeyPair(), trust, o), e164: o.orDefault().E164}
}

// A Received is what was in an envelope, by its certificate. It holds a message,
// and prints as redacted. The zero value is none.
type Received struct {
	wire.Secret

	// Received is the message, decrypted and staged: Device.Acknowledge takes it.
	// It is nil beside an error, and where there is a Retry.
	*session.Received
	// Retry is a request to send a message again, unread: what Device.Resend and
	// Groups.Resend take, with From. Nil: this is none.
	Retry *session.Message

	// From is the device that the certificate is of.
	From session.Address
	// Sender is the certificate.
	Sender *SenderCertificate
	// Type is that of the message in the envelope, and Inner all of it.
	Type  session.MessageType
	Inner *session.Message
	// Hint says whether the sender would send the message again.
	Hint Hint
	// Group is what the sender says that the message is for; nil is nothing. It
	// is for finding out where an error belongs, and proves nothing.
	Group []byte
}

// Open opens an envelope, believes its certificate if that is good at a time, and
// decrypts what is inside: messages of sessions and, with Groups, of groups. The
// time is that at which the server took the envelope, by an app that believes it,
// or its own. A request to send something again comes back as Retry, for
// Device.Resend or Groups.Resend.
//
// The certificate names the sender: its key must be the one that the message in
// the envelope is authentic by (of a message of a group, that under which the
// sender key came), and the DecryptOptions.Identity, if there is one. The message
// has the ID that it has without an envelope, and in any other: a copy is
// Redelivered, or ErrDuplicate.
//
// Errors: ErrVersion, ErrMalformed, ErrTooLarge, keys.ErrKey and
// keys.ErrZeroAgreement for what is no envelope, or has no message or sender inside
// that there can be; one ErrAuth for an envelope that was changed, or is for another
// key; CertificateError; ErrSelfSend. With these there is no Received: nobody is
// known to have sent anything.
//
// After these the sender is known, and the Received beside the error says what
// Device.RequestRetry needs: From and Inner. What that returns is sealed for the
// key of the certificate, with HintImplicit and the Group. Errors: ErrGroup;
// IdentityMismatchError; ErrMalformed, ErrVersion and ErrTooLarge for a request that
// is none; those of Groups.Decrypt or Device.Decrypt.
//
// After an error everything is as before, but for keystore.ErrCommitUnknown as in
// Device.Decrypt.
func (r *Receiver) Open(ctx context.Context, envelope []byte, at time.Time, o *session.DecryptOptions) (*Received, error) {
	m, err := r.opener.Open(envelope, at)
	if err != nil {
		return nil, err
	}
	claims := m.Sender.Claims()
	from, err := session.Address{User: claims.User, Device: claims.Device}.Canonical()
	switch {
	case err != nil:
		return nil, err
	case r.isOwn(from, claims.E164):
		return nil, ErrSelfSend
	}
	out := &Received{
		From: from, Sender: m.Sender, Hint: m.Hint, Group: m.Group,
		Type: m.Type, Inner: &session.Message{Type: m.Type, Bytes: m.Bytes},
	}
	opts, err := demand(from, claims.Identity, o)
	if err == nil {
		err = r.read(ctx, out, opts)
	}
	return out, err
}

// isOwn reports whether a certificate is this device's own. The spec compares
// names as they are spelled (Section 1.6); here two service ids are the same
// whatever the case of their digits.
func (r *Receiver) isOwn(from session.Address, e164 string) bool {
	own := r.device.Address()
	return from.Device == own.Device && (from.User == own.User || r.e164 != "" && e164 == r.e164)
}

// demand returns o with the demand that the message be by this key.
func demand(from session.Address, key keys.IdentityKey, o *session.DecryptOptions) (*session.DecryptOptions, error) {
	var opts session.DecryptOptions
	if o != nil {
		opts = *o
	}
	if want := opts.Identity; want != nil && !want.Equal(key) {
		return nil, &session.IdentityMismatchError{Address: from, Expected: *want, Seen: key}
	}
	opts.Identity = &key
	return &opts, nil
}

// read decrypts the message.
func (r *Receiver) read(ctx context.Context, out *Received, o *session.DecryptOptions) (err error) {
	switch {
	case out.Type == session.TypePlaintext:
		if _, err = wire.ParsePlaintextContent(out.Inner.Bytes); err == nil {
			out.Retry = out.Inner
		}
	case r.groups != nil:
		out.Received, err = r.groups.Decrypt(ctx, out.From, out.Inner, o)
	case out.Type == session.TypeSenderKey:
		err = ErrGroup
	default:
		out.Received, err = r.device.Decrypt(ctx, out.From, out.Inner, o)
	}
	return err
}
