package interop_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/interop"
	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/sealed"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// openOfficial is the official library's one call.
func (w *sealedTown) openOfficial(c *citizen, envelope []byte, at time.Time, e164 string) error {
	_, err := c.party.OpenSealed(envelope, w.root.Public().Bytes(), at, e164)
	return err
}

// An envelope by somebody with a good certificate, around the first message that
// another one wrote: where the names of a session are not bound, as they are
// where they are service ids, the official library takes it for that somebody's
// own message. Gembok does not, and changes nothing.
func TestInterop_SS_06_Wrapped(t *testing.T) {
	w := newSealedTown(t)
	ani := w.settleIn(session.Address{User: "ani", Device: 1}, true)
	mallory := w.settleIn(session.Address{User: "mallory", Device: 1}, true)
	for _, to := range []*citizen{
		w.settleIn(session.Address{User: "citra", Device: 1}, true),
		w.settleIn(session.Address{User: "citra", Device: 2}, false),
	} {
		remote := ani.sessionWith(to.address)
		m, err := ani.party.Encrypt(remote, contentOf("from ani"), time.Time{})
		require.NoError(t, err)
		require.Equal(t, interop.PreKey, m.Type)
		certificate, err := sealed.ParseSenderCertificate(w.certificates[mallory.address])
		require.NoError(t, err)
		s, err := sealed.NewSender(mallory.identity, certificate, nil)
		require.NoError(t, err)
		envelope, err := s.Seal(to.identity.Public(), &session.Message{Type: session.TypePreKey, Bytes: m.Bytes}, 0, nil)
		require.NoError(t, err)
		if to.party != nil {
			got, err := w.open(to, envelope.Bytes, w.expires)
			require.NoError(t, err)
			require.Equal(t, mallory.address, got.from)
			require.Equal(t, "from ani", got.text)
			continue
		}
		before := testutil.StoreDigest(t, to.store)
		_, err = w.open(to, envelope.Bytes, w.expires)
		var mismatch *session.IdentityMismatchError
		require.ErrorAs(t, err, &mismatch)
		require.Equal(t, before, testutil.StoreDigest(t, to.store))
	}
}

// What a device sealed itself: by its own name and number, or by its account's
// phone number. A certificate too late is told before that, by both. Of a name in
// other letters only gembok knows that it is the same.
func TestInterop_SS_05_SelfSend(t *testing.T) {
	const e164 = "+14151111111"
	w := newSealedTown(t)
	for _, c := range []struct {
		user    string
		device  uint32
		e164    string
		at      time.Duration
		theirs  string // in their error; "": they go on to decrypt
		ours    error
		expired bool
	}{
		{user: aliceName, device: 1, theirs: "SealedSenderSelfSend", ours: sealed.ErrSelfSend},
		{user: bobName, device: 1, e164: e164, theirs: "SealedSenderSelfSend", ours: sealed.ErrSelfSend},
		{user: strings.ToUpper(aliceName), device: 1, ours: sealed.ErrSelfSend},
		{user: aliceName, device: 2},
		{user: bobName, device: 2, e164: e164},
		{user: aliceName, device: 1, at: time.Millisecond, theirs: "trust root", expired: true},
	} {
		id := keys.GenerateIdentityKeyPair()
		theirs := w.move(session.Address{User: aliceName, Device: 1}, id, true)
		ours := w.move(session.Address{User: aliceName, Device: 1}, id, false)
		claims := interop.Claims{User: c.user, Device: c.device, Identity: id.Public().Bytes(), Expires: uint64(w.expires.UnixMilli())}
		if c.e164 != "" {
			claims.E164 = &c.e164
		}
		certificate, err := w.office.p.SenderCertificate(claims, w.theirs, w.server.PrivateBytes())
		require.NoError(t, err)
		hand := &handSealer{t: t, r: random(t), sender: id, to: id.Public()}
		envelope := hand.v1(nil, wire.AppendSealedContent(nil, &wire.SealedContent{Type: wire.TypeSignal, Certificate: certificate, Content: []byte("none")}))

		err = w.openOfficial(theirs, envelope, w.expires.Add(c.at), e164)
		requirePeerError(t, err)
		if c.theirs != "" {
			require.ErrorContains(t, err, c.theirs)
		} else {
			require.NotContains(t, err.Error(), "SelfSend")
		}
		_, err = sealed.NewReceiver(ours.device, ours.groups, w.trust(), &sealed.Options{E164: e164}).Open(context.Background(), envelope, w.expires.Add(c.at), nil)
		switch {
		case c.expired:
			var ce *sealed.CertificateError
			require.ErrorAs(t, err, &ce)
		case c.ours != nil:
			require.ErrorIs(t, err, c.ours)
		default:
			require.NotErrorIs(t, err, sealed.ErrSelfSend)
			require.ErrorIs(t, err, session.ErrMalformed) // what is inside is no message
		}
	}
}

// Signatures of certificates with an s of L or more are valid for the official
// library alone; one revoked id it has built in, for gembok it is configuration.
func TestInteropCertificateDivergences(t *testing.T) {
	p := interop.Share(t)
	o := newOffice(t, p)
	identity := keys.GenerateIdentityKeyPair().Public()
	for {
		certificate, err := wire.ParseCertificate(o.certify(address(aliceName), identity, false))
		require.NoError(t, err)
		if certificate.Signature = addOrder(certificate.Signature); !unreducedS(certificate.Signature) {
			continue
		}
		odd := wire.AppendCertificate(nil, &certificate)
		valid, err := p.ValidCertificate(odd, o.expires, o.root.Public().Bytes())
		require.NoError(t, err)
		require.True(t, valid)
		var ce *sealed.CertificateError
		require.ErrorAs(t, verifyOurs(odd, o.trust(), o.expires), &ce)
		break
	}

	const revoked = 0xDEADC357
	server := sealed.IssueServerCertificate(o.root, revoked, o.server.Public())
	o.ours, o.theirs = server.Bytes(), server.Bytes()
	certificate := o.certify(address(aliceName), identity, true)
	valid, err := p.ValidCertificate(certificate, o.expires, o.root.Public().Bytes())
	require.NoError(t, err)
	require.False(t, valid)
	require.NoError(t, verifyOurs(certificate, o.trust(), o.expires))
	trust := o.trust()
	trust.Revoked = []uint32{revoked}
	var ce *sealed.CertificateError
	require.ErrorAs(t, verifyOurs(certificate, trust, o.expires), &ce)
	require.Equal(t, "revoked", ce.Reason)
}

// Registration ids have 14 bits in an envelope for many, and a session is needed
// that can be sent on: both libraries refuse what has not, and write nothing.
func TestInterop_SS_11_RegistrationIDs(t *testing.T) {
	p := interop.Share(t)
	o := newOffice(t, p)
	sender, err := p.NewParty(interop.PartyOptions{Name: aliceName, Device: 1, RegistrationID: 1})
	require.NoError(t, err)
	pair, err := keys.NewIdentityKeyPair(sender.IdentityPrivate)
	require.NoError(t, err)
	certificate := o.certify(address(aliceName), pair.Public(), true)
	dem := wire.AppendPlaintextContent(nil, &wire.DecryptionErrorMessage{Timestamp: 5})
	content, err := p.WrapPlaintext(dem, interop.SealOptions{Certificate: certificate})
	require.NoError(t, err)
	parsed, err := sealed.ParseSenderCertificate(certificate)
	require.NoError(t, err)
	ours, err := sealed.NewSender(pair, parsed, nil)
	require.NoError(t, err)
	for id, good := range map[uint32]bool{0: true, 1: true, 0x3fff: true, 0x4000: false, 0x7fff_ffff: false} {
		to := newParty(t, p, bobName, id)
		require.NoError(t, sender.SetIdentity(to.Address, nil))
		begin(t, sender, to, interop.BundleOptions{})
		theirs, theirErr := sender.SealMany([]interop.Address{to.Address}, nil, content)
		sent, err := sealedFor(ours, to, dem)
		if !good {
			peerError(t, theirErr, "InvalidRegistrationId")
			var re *sealed.RecipientError
			require.ErrorAs(t, err, &re)
			require.Equal(t, bobName, re.Address.User)
			continue
		}
		require.NoError(t, theirErr)
		require.NoError(t, err)
		require.Len(t, sent, len(theirs))
		for _, form := range [][]byte{sent, theirs} {
			d, err := splitOurs(form)
			require.NoError(t, err)
			require.Equal(t, []interop.DeliveryDevice{{Device: 1, RegistrationID: id}}, d.Recipients[0].Devices)
		}
		require.NoError(t, sender.Archive(to.Address))
		_, err = sender.SealMany([]interop.Address{to.Address}, nil, content)
		requirePeerError(t, err)
	}
}

// sealedFor is a sent form by gembok for one device of the official library.
func sealedFor(s *sealed.Sender, to *interop.Party, dem []byte) ([]byte, error) {
	identity, err := keys.ParseIdentityKey(to.Identity)
	if err != nil {
		return nil, err
	}
	return s.SealMany([]sealed.Recipient{{User: to.Address.Name, Identity: identity,
		Devices: []sealed.Device{{ID: to.Address.Device, RegistrationID: to.RegistrationID}}}}, nil,
		&session.Message{Type: session.TypePlaintext, Bytes: dem}, 0, nil)
}
