package sealed_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/group"
	"github.com/gembok-e2ee/gembok/session/sealed"
	"github.com/gembok-e2ee/gembok/x3dh"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

var ctx = context.Background()

const (
	aliceID = "9d0652a3-dcc3-4d11-975f-74d61598733f"
	bobID   = "796abedb-ca4e-4f18-8803-1fde5b921f9f"
	carolID = "3f0f4734-e331-4434-bd4f-6d8f6ea6dcc7"
)

// A world is a server, its certificates, and the devices it knows.
type world struct {
	now       time.Time
	server    *sealed.ServerCertificate
	signing   *keys.SigningKey
	trust     *sealed.Trust
	published map[session.Address]*x3dh.Publication
}

// A party is a device with all that seals and opens.
type party struct {
	*session.Device
	store    keystore.Store
	groups   *group.Groups
	cert     *sealed.SenderCertificate
	sender   *sealed.Sender
	receiver *sealed.Receiver
}

func newWorld(t testing.TB) *world {
	t.Helper()
	root, signing := keys.GenerateSigningKey(), keys.GenerateSigningKey()
	w := &world{
		now: time.UnixMilli(1_700_000_000_000), signing: signing,
		trust: &sealed.Trust{Roots: []keys.VerifyKey{root.Public()}}, published: make(map[session.Address]*x3dh.Publication),
	}
	w.server = sealed.IssueServerCertificate(root, 1, signing.Public())
	return w
}

func (w *world) Devices(_ context.Context, user string) (out []session.PeerDevice, err error) {
	for a, p := range w.published {
		if a.User == user {
			out = append(out, session.PeerDevice{Device: a.Device, RegistrationID: p.RegistrationID})
		}
	}
	return out, nil
}

func (w *world) Bundle(_ context.Context, peer session.Address) (*x3dh.Bundle, error) {
	return w.published[peer].Take(), nil
}

func (w *world) Manifest(context.Context, string) ([]byte, error) { return nil, nil }

// joins makes a device that everybody can find.
func (w *world) joins(t testing.TB, user string, device uint32, identity *keys.IdentityKeyPair) *party {
	t.Helper()
	p := &party{store: keystore.NewMemory()}
	a := session.Account{Address: session.Address{User: user, Device: device}, Identity: identity}
	var err error
	p.Device, err = session.Create(ctx, p.store, a, &session.Options{
		Now: func() time.Time { return w.now }, Directory: w, Content: true, PreKeys: session.PreKeyPolicy{OneTime: 2},
	})
	require.NoError(t, err)
	w.published[p.Address()], err = p.Publish(ctx)
	require.NoError(t, err)
	p.groups = group.New(p.Device, nil)
	p.receiver = sealed.NewReceiver(p.Device, p.groups, w.trust, nil)
	p.certified(t, w.issue(t, w.claims(p)))
	return p
}

// claims are what the server certifies of a device.
func (w *world) claims(p *party) sealed.Claims {
	a := p.Address()
	return sealed.Claims{User: a.User, Device: a.Device, Identity: p.Identity(), Expires: w.now.Add(24 * time.Hour)}
}

func (w *world) issue(t testing.TB, c sealed.Claims) *sealed.SenderCertificate {
	t.Helper()
	cert, err := sealed.IssueSenderCertificate(w.server, w.signing, c)
	require.NoError(t, err)
	return cert
}

// certified has p seal with a certificate.
func (p *party) certified(t testing.TB, cert *sealed.SenderCertificate) {
	t.Helper()
	var err error
	p.cert = cert
	p.sender, err = sealed.NewSender(p.IdentityKeyPair(), cert, nil)
	require.NoError(t, err)
}

// writes returns what p's device encrypts for another one: pairwise, in no
// envelope.
func (p *party) writes(t testing.TB, to *party, body string) *session.Message {
	t.Helper()
	s, err := p.Send(ctx, []string{to.Address().User}, &session.Content{Body: []byte(body)}, &session.SendOptions{NoOwnDevices: true})
	require.NoError(t, err)
	for _, r := range s.Results {
		if r.To == to.Address() {
			require.NoError(t, r.Err)
			return r.Message
		}
	}
	require.FailNow(t, "nothing for the device")
	return nil
}

// seals puts a message in an envelope for to.
func (p *party) seals(t testing.TB, to *party, m *session.Message) []byte {
	t.Helper()
	e, err := p.sender.Seal(to.Identity(), m, sealed.HintDefault, nil)
	require.NoError(t, err)
	require.Equal(t, session.TypeSealed, e.Type)
	return e.Bytes
}

// opens opens an envelope that has a message in it.
func (p *party) opens(t testing.TB, w *world, envelope []byte, body string) *sealed.Received {
	t.Helper()
	r, err := p.receiver.Open(ctx, envelope, w.now, nil)
	require.NoError(t, err)
	require.NotNil(t, r.Received)
	require.Equal(t, body, string(r.Content.Body))
	return r
}

// friends have each read a message of the other's.
func (w *world) friends(t testing.TB, a, b *party) {
	t.Helper()
	b.opens(t, w, a.seals(t, b, a.writes(t, b, "hello")), "hello")
	a.opens(t, w, b.seals(t, a, b.writes(t, a, "hello, too")), "hello, too")
}

// unchanged looks whether f leaves all of a store as it was.
func (p *party) unchanged(t testing.TB, f func()) {
	t.Helper()
	before := testutil.StoreDigest(t, p.store)
	f()
	require.Equal(t, before, testutil.StoreDigest(t, p.store), "the store changed")
}

// refuses opens an envelope that changes nothing.
func (p *party) refuses(t testing.TB, w *world, envelope []byte) (r *sealed.Received, err error) {
	t.Helper()
	p.unchanged(t, func() { r, err = p.receiver.Open(ctx, envelope, w.now, nil) })
	require.Error(t, err)
	return r, err
}

// grouped returns a message of a's that b gets with a sender key that it has.
func (w *world) grouped(t testing.TB, a, b *party, body string) *session.Message {
	t.Helper()
	id := group.DistributionID{1}
	key, err := a.groups.Distribution(ctx, id)
	require.NoError(t, err)
	s, err := a.Send(ctx, []string{b.Address().User}, &session.Content{Distribution: key}, &session.SendOptions{NoOwnDevices: true})
	require.NoError(t, err)
	b.opens(t, w, a.seals(t, b, s.Results[0].Message), "")
	m, err := a.groups.Encrypt(ctx, id, (&session.Content{Body: []byte(body)}).Bytes())
	require.NoError(t, err)
	return m
}
