package interop_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/interop"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/sealed"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// A sealedTown is a town with an office, where each device has a certificate.
type sealedTown struct {
	*town
	*office
	certificates map[session.Address][]byte
}

func newSealedTown(t *testing.T) *sealedTown {
	p := interop.Share(t)
	w := newTown(t, p, true)
	return &sealedTown{town: w, office: newOffice(t, p), certificates: make(map[session.Address][]byte)}
}

// settleIn brings in a device, with a certificate of the other library.
func (w *sealedTown) settleIn(a session.Address, official bool) *citizen {
	return w.settleAs(a, keys.GenerateIdentityKeyPair(), official)
}

func (w *sealedTown) settleAs(a session.Address, id *keys.IdentityKeyPair, official bool) *citizen {
	c := w.move(a, id, official)
	w.certificates[a] = w.certify(a, id.Public(), !official)
	return c
}

// sender is a Sender of a device of gembok.
func (w *sealedTown) sender(c *citizen) *sealed.Sender {
	certificate, err := sealed.ParseSenderCertificate(w.certificates[c.address])
	require.NoError(w.town.t, err)
	s, err := sealed.NewSender(c.identity, certificate, nil)
	require.NoError(w.town.t, err)
	return s
}

// A sealedMail is what was in an envelope, as either library says.
type sealedMail struct {
	from  session.Address
	typ   int
	inner []byte
	hint  uint32
	group []byte // nil: none
	text  string
}

// open opens an envelope, and reads what is in it, on whichever kind of device.
func (w *sealedTown) open(c *citizen, envelope []byte, at time.Time) (*sealedMail, error) {
	if c.device != nil {
		return w.openOurs(c, envelope, at)
	}
	return w.openTheirs(c, envelope, at)
}

func (w *sealedTown) openOurs(c *citizen, envelope []byte, at time.Time) (*sealedMail, error) {
	ctx := context.Background()
	got, err := sealed.NewReceiver(c.device, c.groups, w.trust(), nil).Open(ctx, envelope, at, nil)
	if err != nil {
		return nil, err
	}
	out := &sealedMail{from: got.From, typ: int(got.Type), hint: uint32(got.Hint), group: got.Group}
	if got.Retry != nil {
		out.inner = got.Retry.Bytes
		return out, nil
	}
	out.text = string(got.Content.Body)
	return out, c.device.Acknowledge(ctx, got.Received)
}

// openTheirs is what an app over the official library does.
func (w *sealedTown) openTheirs(c *citizen, envelope []byte, at time.Time) (*sealedMail, error) {
	out, plain, err := w.plaintextTheirs(c, envelope, at)
	if err == nil && plain != nil {
		out.text = bodyOf(w.town.t, plain)
	}
	return out, err
}

// plaintextTheirs also takes in the sender key that is in a message. There is no
// plaintext in one of type Plaintext.
func (w *sealedTown) plaintextTheirs(c *citizen, envelope []byte, at time.Time) (out *sealedMail, plain []byte, err error) {
	t := w.town.t
	content, err := c.party.Unseal(envelope)
	if err != nil {
		return nil, nil, err
	}
	m, err := w.town.p.Parse(interop.KindSealedContent, content)
	require.NoError(t, err)
	valid, err := w.town.p.ValidCertificate(m.Fields.Certificate, at, w.root.Public().Bytes())
	require.NoError(t, err)
	if !valid {
		return nil, nil, errCertificate
	}
	who, err := w.town.p.Parse(interop.KindSenderCertificate, m.Fields.Certificate)
	require.NoError(t, err)
	from := interop.Address{Name: who.Fields.UUID, Device: who.Fields.DeviceID}
	out = &sealedMail{from: toSession(from), typ: m.Fields.Type, inner: m.Fields.Body, hint: m.Fields.Hint}
	if m.Fields.Group != nil {
		out.group = *m.Fields.Group
	}
	switch m.Fields.Type {
	case interop.Plaintext:
	case interop.SenderKey:
		plain, err = c.party.GroupDecrypt(from, m.Fields.Body)
	default:
		plain, err = w.decryptTheirs(c, from, envelope, at)
	}
	return out, plain, err
}

// decryptTheirs reads what is a session's in one call of the official library.
func (w *sealedTown) decryptTheirs(c *citizen, from interop.Address, envelope []byte, at time.Time) ([]byte, error) {
	t := w.town.t
	opened, err := c.party.OpenSealed(envelope, w.root.Public().Bytes(), at, "")
	if err != nil {
		return nil, err
	}
	require.Equal(t, from, interop.Address{Name: opened.UUID, Device: opened.Device})
	content, err := wire.ParseContent(unpad(t, opened.Plaintext))
	require.NoError(t, err)
	if content.Distribution != nil {
		require.NoError(t, c.party.ProcessSenderKey(from, content.Distribution))
	}
	return opened.Plaintext, nil
}

func bodyOf(t *testing.T, padded []byte) string {
	content, err := wire.ParseContent(unpad(t, padded))
	require.NoError(t, err)
	return string(content.Body)
}
