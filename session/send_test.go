package session_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

const (
	ani  = "ani"
	budi = "budi"
	cici = "cici"
)

// A registry is a Directory of devices that a test has, and counts what it is
// asked.
type registry struct {
	mu      sync.Mutex
	sides   map[session.Address]*side
	hidden  map[session.Address]bool // not listed, but there are bundles
	lists   int
	bundles map[session.Address]int
	// Of these, what is set answers instead.
	devices func(ctx context.Context, user string) ([]session.PeerDevice, error)
	bundle  func(ctx context.Context, peer session.Address) (*x3dh.Bundle, error)
	now     time.Time // what all clocks show
	opts    session.Options
}

func newRegistry(t testing.TB, devices ...session.Address) *registry {
	t.Helper()
	r := &registry{sides: map[session.Address]*side{}, hidden: map[session.Address]bool{},
		bundles: map[session.Address]int{}, now: time.Unix(1_700_000_000, 0)}
	r.opts = session.Options{Now: func() time.Time { return r.now }, Directory: r}
	for _, a := range devices {
		r.add(t, a)
	}
	return r
}

// add makes a device; those of one user share an identity key.
func (r *registry) add(t testing.TB, a session.Address) *side {
	t.Helper()
	account := session.Account{Address: a, RegistrationID: uint32(1 + len(r.sides))}
	for b, s := range r.sides {
		if b.User == a.User {
			account.Identity = s.identity
		}
	}
	return r.join(t, account)
}

func (r *registry) join(t testing.TB, account session.Account) *side {
	t.Helper()
	s := &side{store: keystore.NewMemory(), identity: account.Identity, opts: &r.opts}
	if s.identity == nil {
		s.identity = newIdentity()
		account.Identity = s.identity
	}
	var err error
	s.Device, err = session.Create(ctx, s.store, account, s.opts)
	require.NoError(t, err)
	r.sides[account.Address] = s
	return s
}

func (r *registry) of(user string, device uint32) *side { return r.sides[at(user, device)] }

func at(user string, device uint32) session.Address {
	return session.Address{User: user, Device: device}
}

func (r *registry) Devices(ctx context.Context, user string) (out []session.PeerDevice, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lists++
	if r.devices != nil {
		return r.devices(ctx, user)
	}
	return r.list(user), nil
}

func (r *registry) list(user string) (out []session.PeerDevice) {
	for id := uint32(127); id > 0; id-- { // in no good order
		if s := r.of(user, id); s != nil && !r.hidden[s.Address()] {
			out = append(out, session.PeerDevice{Device: id, RegistrationID: s.RegistrationID()})
		}
	}
	return out
}

func (r *registry) Bundle(ctx context.Context, peer session.Address) (*x3dh.Bundle, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bundles[peer]++
	if r.bundle != nil {
		return r.bundle(ctx, peer)
	}
	return r.sides[peer].Bundle(ctx)
}

func (r *registry) Manifest(context.Context, string) ([]byte, error) { return nil, nil }

// sends has a device send a text, and returns what came of it.
func (r *registry) sends(t testing.TB, from *side, text string, users ...string) *session.Sending {
	t.Helper()
	s, err := from.Send(ctx, users, &session.Content{Body: []byte(text)}, nil)
	require.NoError(t, err)
	inOrder(t, s)
	return s
}

func inOrder(t testing.TB, s *session.Sending) {
	t.Helper()
	for i := range s.Results[1:] {
		a, b := s.Results[i].To, s.Results[i+1].To
		require.True(t, a.User < b.User || a.User == b.User && a.Device < b.Device)
	}
}

// delivers requires that each result is a message, and that it is read as text.
func (r *registry) delivers(t testing.TB, from *side, s *session.Sending, text string, to ...session.Address) {
	t.Helper()
	require.Equal(t, to, addresses(s))
	for _, res := range s.Results {
		require.NoError(t, res.Err, res.To)
		got := r.sides[res.To]
		require.Equal(t, got.RegistrationID(), res.RegistrationID)
		got.acknowledges(t, got.reads(t, from, res.Message, text))
	}
}

func addresses(s *session.Sending) (out []session.Address) {
	for _, res := range s.Results {
		out = append(out, res.To)
	}
	return out
}

func (r *registry) digest(t testing.TB) map[session.Address][32]byte {
	t.Helper()
	out := map[session.Address][32]byte{}
	for a, s := range r.sides {
		out[a] = testutil.StoreDigest(t, s.store)
	}
	return out
}

// A message goes to all devices of its users and to the own other ones, on
// sessions that begin where there are none; the Directory is asked once.
func TestSend(t *testing.T) {
	r := newRegistry(t, at(ani, 1), at(ani, 2), at(budi, 1), at(budi, 7), at(cici, 3))
	from := r.of(ani, 1)
	all := []session.Address{at(ani, 2), at(budi, 1), at(budi, 7), at(cici, 3)}
	s := r.sends(t, from, "hello", cici, budi, budi)
	require.Equal(t, r.now, s.SentAt)
	require.Equal(t, 3, r.lists)
	require.Len(t, r.bundles, 4)
	for _, res := range s.Results {
		require.Equal(t, session.TypePreKey, res.Message.Type)
	}
	r.delivers(t, from, s, "hello", all...)

	watched, watch := from.spied(t)
	for i, text := range []string{"again", "and again"} {
		watch.reset()
		s = r.sends(t, watched, text, budi, cici)
		require.Equal(t, r.now.Add(time.Duration(i+1)*time.Millisecond), s.SentAt)
		require.Len(t, watch.commits, 1)
		require.Len(t, watch.loads, 2+[]int{1, -1}[i]) // a new Device has to look who there is
		r.delivers(t, from, s, text, all...)
	}
	require.Equal(t, 3, r.lists)
	for a, n := range r.bundles {
		require.Equal(t, 1, n, a)
	}
	p, err := from.Peer(ctx, budi)
	require.NoError(t, err)
	require.Equal(t, &session.Peer{User: budi, Devices: []session.PeerDevice{
		{Device: 1, RegistrationID: 3}, {Device: 7, RegistrationID: 4}}}, p)
}

func newIdentity() *keys.IdentityKeyPair { return keys.GenerateIdentityKeyPair() }
