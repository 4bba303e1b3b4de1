package hosting_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/hosting"
	"github.com/gembok-e2ee/gembok/x3dh"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

var ctx = context.Background()

// The account that is asked, beside toko's that is asked about.
const budi = "budi"

// A town is devices with gates, and the Directory of them all: what is shown of a
// user is what a test says.
type town struct {
	mu        sync.Mutex
	now       time.Time
	sides     map[session.Address]*side
	manifests map[string][]byte
	bundled   map[string][]byte // what comes in bundles in its place
	asked     map[string]int    // for manifests
	broken    error             // of Manifest
}

// A side is a device, and what a test has to know of it.
type side struct {
	*session.Device
	gate  *hosting.Gate
	store keystore.Store
	opts  *session.Options
}

func newTown() *town {
	return &town{now: start, sides: map[session.Address]*side{}, manifests: map[string][]byte{}, bundled: map[string][]byte{}, asked: map[string]int{}}
}

func at(user string, device uint32) session.Address {
	return session.Address{User: user, Device: device}
}

// add makes a device with a gate, under a key of the test's.
func (w *town) add(t testing.TB, a session.Address, identity *keys.IdentityKeyPair) *side {
	t.Helper()
	return w.addTo(t, keystore.NewMemory(), a, identity, &hosting.Options{Providers: known()})
}

func (w *town) addTo(t testing.TB, store keystore.Store, a session.Address, identity *keys.IdentityKeyPair, o *hosting.Options) *side {
	t.Helper()
	s := &side{gate: hosting.NewGate(a.User, o), store: store}
	s.opts = &session.Options{Now: w.clock, Directory: w, Content: true, Gate: s.gate}
	var err error
	s.Device, err = session.Create(ctx, store, session.Account{Address: a, Identity: identity, RegistrationID: 1 + a.Device}, s.opts)
	require.NoError(t, err)
	w.sides[a] = s
	return s
}

func (w *town) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *town) Devices(_ context.Context, user string) (out []session.PeerDevice, _ error) {
	for a, s := range w.sides {
		if a.User == user {
			out = append(out, session.PeerDevice{Device: a.Device, RegistrationID: s.RegistrationID()})
		}
	}
	return out, nil
}

func (w *town) Bundle(ctx context.Context, peer session.Address) (*x3dh.Bundle, error) {
	b, err := w.sides[peer].Device.Bundle(ctx)
	if err == nil {
		b.Manifest = w.bundled[peer.User]
	}
	return b, err
}

func (w *town) Manifest(_ context.Context, user string) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked[user]++
	return w.manifests[user], w.broken
}

// met is a town in which budi and toko, on device 1 each, have read a message of
// each other, and agreed to nobody's saying who has the keys.
func met(t testing.TB) (w *town, b, k *side) {
	t.Helper()
	w = newTown()
	b, k = w.add(t, at(budi, 1), budiKey), w.add(t, at(toko, 1), deviceKey(1))
	w.begins(t, b, k)
	b.agrees(t, toko)
	b.says(t, k, "halo")
	k.agrees(t, budi)
	k.says(t, b, "halo")
	return w, b, k
}

// begins has one begin a session with another one.
func (w *town) begins(t testing.TB, from, to *side) {
	t.Helper()
	bundle, err := w.Bundle(ctx, to.Address())
	require.NoError(t, err)
	require.NoError(t, from.Begin(ctx, to.Address(), bundle))
}

// passes lets time go by.
func (w *town) passes(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// publishes has the account of a side sign its next manifest, and the side say so. The
// Directory shows it from then on.
func (s *side) publishes(t testing.TB, w *town, m *hosting.Manifest) *hosting.Manifest {
	t.Helper()
	require.NoError(t, s.gate.Publish(ctx, s.Device, m.Bytes()))
	w.manifests[m.Account] = m.Bytes()
	return m
}

// encrypts is Encrypt of a text.
func (s *side) encrypts(to *side, text string) (*session.Message, error) {
	return s.Encrypt(ctx, to.Address(), (&session.Content{Body: []byte(text)}).Bytes())
}

// refuses is the error of encrypting anything, which changes nothing.
func (s *side) refuses(t testing.TB, to *side) error {
	t.Helper()
	before := testutil.StoreDigest(t, s.store)
	m, err := s.encrypts(to, "no")
	require.Error(t, err)
	require.Nil(t, m)
	require.Equal(t, before, testutil.StoreDigest(t, s.store))
	return err
}

// says has another one read a text, and acknowledge it.
func (s *side) says(t testing.TB, to *side, text string) *session.Received {
	t.Helper()
	m, err := s.encrypts(to, text)
	require.NoError(t, err)
	return to.reads(t, s, m, text)
}

func (s *side) reads(t testing.TB, from *side, m *session.Message, text string) *session.Received {
	t.Helper()
	r, err := s.Decrypt(ctx, from.Address(), m, nil)
	require.NoError(t, err)
	require.Equal(t, text, string(r.Content.Body))
	require.NoError(t, s.Acknowledge(ctx, r))
	return r
}

// wants returns what the user is asked about an account before anything is sent.
func (s *side) wants(t testing.TB, user string) *hosting.ConsentRequiredError {
	t.Helper()
	_, err := s.Encrypt(ctx, at(user, 1), nil)
	return consentIn(t, err)
}

func consentIn(t testing.TB, err error) *hosting.ConsentRequiredError {
	t.Helper()
	var e *hosting.ConsentRequiredError
	require.ErrorAs(t, err, &e)
	return e
}

// agrees says yes to what is asked.
func (s *side) agrees(t testing.TB, user string) {
	t.Helper()
	require.NoError(t, s.gate.Consent(ctx, s.Device, user, s.wants(t, user).Token, hosting.Yes))
}

func (s *side) label(t testing.TB, users ...string) *hosting.Label {
	t.Helper()
	l, err := s.gate.Label(ctx, s.Device, users...)
	require.NoError(t, err)
	return &l
}

func (s *side) receipt(t testing.TB, r *session.Received) *hosting.Receipt {
	t.Helper()
	out, err := s.gate.Receipt(r)
	require.NoError(t, err)
	return out
}

// notices are what came with a message.
func (s *side) notices(t testing.TB, r *session.Received) (out []*hosting.Notice) {
	t.Helper()
	for i := range r.Events {
		if r.Events[i].Kind == session.LabelNotice {
			n, err := s.gate.Notice(&r.Events[i])
			require.NoError(t, err)
			out = append(out, n)
		}
	}
	return out
}

// told are the notices that belong to no message, and are acknowledged.
func (s *side) told(t testing.TB) (out []*hosting.Notice) {
	t.Helper()
	for e, err := range s.Events(ctx) {
		require.NoError(t, err)
		if e.Kind == session.LabelNotice {
			n, err := s.gate.Notice(&e)
			require.NoError(t, err)
			out = append(out, n)
		}
		require.NoError(t, s.AcknowledgeEvents(ctx, e))
	}
	return out
}

// consents is the ledger.
func (s *side) consents(t testing.TB) (out []hosting.Consent) {
	t.Helper()
	for c, err := range s.gate.Consents(ctx, s.Device) {
		require.NoError(t, err)
		out = append(out, *c)
	}
	return out
}

// budiKey is the key of budi's device 1 in met.
var budiKey = pair(50)

// saysRaw has another one read a content that is given as bytes.
func (s *side) saysRaw(t testing.TB, to *side, content []byte) *session.Received {
	t.Helper()
	m, err := s.Encrypt(ctx, to.Address(), content)
	require.NoError(t, err)
	r, err := to.Decrypt(ctx, s.Address(), m, nil)
	require.NoError(t, err)
	require.NoError(t, to.Acknowledge(ctx, r))
	return r
}

// reopen takes the device up again, with other options.
func (s *side) reopen(t testing.TB) {
	t.Helper()
	var err error
	s.Device, err = session.Open(ctx, s.store, s.Address(), s.opts)
	require.NoError(t, err)
}

// foreignContexts are contents of toko's with a context that is not for budi or of
// its own, and one that is not whole.
func foreignContexts(m *hosting.Manifest) map[string][]byte {
	hash := m.Hash()
	right := wire.HostingContext{Sender: toko, SenderDevice: 1, Recipient: budi, Epoch: m.Epoch, Hash: hash[:]}
	out := map[string][]byte{}
	for name, change := range map[string]func(*wire.HostingContext){
		"sender":     func(h *wire.HostingContext) { h.Sender = "warung" },
		"device":     func(h *wire.HostingContext) { h.SenderDevice = 2 },
		"recipient":  func(h *wire.HostingContext) { h.Recipient = "cici" },
		"short hash": func(h *wire.HostingContext) { h.Hash = h.Hash[:31] },
		"no hash":    func(h *wire.HostingContext) { h.Hash = nil },
		"no epoch":   func(h *wire.HostingContext) { h.Epoch = 0 },
		"seen hash":  func(h *wire.HostingContext) { h.SeenHash = h.Hash },
	} {
		h := right
		change(&h)
		out[name] = wire.AppendContent(nil, &wire.Content{Hosting: &h})
	}
	return out
}

// sends is encrypts for its error.
func (s *side) sends(to *side, text string) error {
	_, err := s.encrypts(to, text)
	return err
}
