package session_test

import (
	"context"
	"strings"
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
	signed  map[string]int // manifests, by user
	// Of these, what is set answers instead.
	devices func(ctx context.Context, user string) ([]session.PeerDevice, error)
	bundle  func(ctx context.Context, peer session.Address) (*x3dh.Bundle, error)
	shows   func(ctx context.Context, user string) ([]byte, error)
	now     time.Time // what all clocks show
	opts    session.Options
}

func newRegistry(t testing.TB, devices ...session.Address) *registry {
	t.Helper()
	r := &registry{sides: map[session.Address]*side{}, hidden: map[session.Address]bool{},
		bundles: map[session.Address]int{}, signed: map[string]int{}, now: time.Unix(1_700_000_000, 0)}
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

func (r *registry) Bundle(within context.Context, peer session.Address) (*x3dh.Bundle, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bundles[peer]++
	if r.bundle != nil {
		return r.bundle(within, peer)
	}
	return r.sides[peer].Bundle(ctx)
}

func (r *registry) Manifest(ctx context.Context, user string) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.signed[user]++
	if r.shows != nil {
		return r.shows(ctx, user)
	}
	return nil, nil
}

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

// What is not to get a message does not, and that is nobody's failure.
func TestSendToSome(t *testing.T) {
	r := newRegistry(t, at(ani, 1), at(ani, 2), at(ani, 3), at(budi, 1), at(budi, 2))
	from := r.of(ani, 1)
	for _, c := range []struct {
		name  string
		users []string
		o     *session.SendOptions
		to    []session.Address
	}{
		{"excluded", []string{budi}, &session.SendOptions{Exclude: []session.Address{at(budi, 2), at(ani, 3), at("nobody", 9)}},
			[]session.Address{at(ani, 2), at(budi, 1)}},
		{"all excluded", []string{budi}, &session.SendOptions{NoOwnDevices: true, Exclude: []session.Address{at(budi, 2), at(budi, 1)}}, nil},
		{"no own", []string{budi}, &session.SendOptions{NoOwnDevices: true}, []session.Address{at(budi, 1), at(budi, 2)}},
		{"to oneself", []string{ani}, nil, []session.Address{at(ani, 2), at(ani, 3)}},
		{"to oneself, named", []string{ani}, &session.SendOptions{NoOwnDevices: true}, []session.Address{at(ani, 2), at(ani, 3)}},
		{"to an empty group", nil, &session.SendOptions{Group: "lonely"}, []session.Address{at(ani, 2), at(ani, 3)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := from.Send(ctx, c.users, &session.Content{Body: []byte(c.name)}, c.o)
			require.NoError(t, err)
			r.delivers(t, from, s, c.name, c.to...)
		})
	}
}

// What Send cannot make sense of it refuses, before anybody is asked.
func TestSendMalformed(t *testing.T) {
	r := newRegistry(t, at(ani, 1), at(budi, 1))
	from := r.of(ani, 1)
	before := r.digest(t)
	text := &session.Content{Body: []byte("text")}
	long := strings.Repeat("x", 1025)
	for name, send := range map[string]func() (*session.Sending, error){
		"no content": func() (*session.Sending, error) { return from.Send(ctx, []string{budi}, nil, nil) },
		"nobody":     func() (*session.Sending, error) { return from.Send(ctx, nil, text, nil) },
		"no name":    func() (*session.Sending, error) { return from.Send(ctx, []string{budi, ""}, text, nil) },
		"long name":  func() (*session.Sending, error) { return from.Send(ctx, []string{long}, text, nil) },
		"no UTF-8":   func() (*session.Sending, error) { return from.Send(ctx, []string{"\xff"}, text, nil) },
		"excluded": func() (*session.Sending, error) {
			return from.Send(ctx, []string{budi}, text, &session.SendOptions{Exclude: []session.Address{at(budi, 128)}})
		},
		"long group": func() (*session.Sending, error) {
			return from.Send(ctx, []string{budi}, text, &session.SendOptions{Group: long})
		},
		"more than a body": func() (*session.Sending, error) {
			return from.Send(ctx, []string{budi}, &session.Content{Timer: time.Second}, nil)
		},
	} {
		s, err := send()
		require.Nil(t, s, name)
		refused(t, err, session.ErrMalformed)
	}
	_, err := from.Send(ctx, []string{budi}, &session.Content{Body: make([]byte, 64<<20+1)}, nil)
	refused(t, err, session.ErrTooLarge)
	for _, s := range []*session.Sending{nil, {}} {
		refused(t, from.Reconcile(ctx, s), session.ErrMalformed)
		refused(t, from.Accept(ctx, s), session.ErrMalformed)
	}
	refused(t, from.Refresh(ctx, ""), session.ErrMalformed)
	_, err = from.Peer(ctx, "")
	refused(t, err, session.ErrMalformed)
	require.NoError(t, from.Refresh(ctx))
	require.Equal(t, before, r.digest(t))
	require.Zero(t, r.lists)
}

// With Options.Content the other devices of the account learn to whom it was
// sent, and everybody when.
func TestSendContent(t *testing.T) {
	r := newRegistry(t)
	r.opts.Content = true
	for _, a := range []session.Address{at(ani, 1), at(ani, 2), at(budi, 1), at(cici, 1)} {
		r.add(t, a)
	}
	from, own := r.of(ani, 1), r.of(ani, 2)
	c := &session.Content{Body: []byte("hello"), Timer: time.Hour, TimerVersion: 3}
	for _, try := range []struct {
		users []string
		group string
		told  string
	}{{[]string{budi}, "", budi}, {[]string{budi, ani}, "", budi}, {[]string{ani}, "", ani}, {[]string{budi, cici}, "family", "family"}} {
		s, err := from.Send(ctx, try.users, c, &session.SendOptions{Group: try.group})
		require.NoError(t, err)
		for _, res := range s.Results {
			require.NoError(t, res.Err)
			got, err := r.sides[res.To].Decrypt(ctx, from.Address(), res.Message, nil)
			require.NoError(t, err)
			want := session.Content{Body: c.Body, Timer: c.Timer, TimerVersion: 3, SentAt: s.SentAt}
			if res.To == own.Address() {
				want.SyncTo = try.told
			}
			require.Equal(t, want.Bytes(), got.Content.Bytes())
		}
	}
	require.True(t, c.SentAt.IsZero(), "it is the caller's")
	before := r.digest(t)
	_, err := from.Send(ctx, []string{budi, cici}, c, nil)
	refused(t, err, session.ErrMalformed)
	require.Equal(t, before, r.digest(t))
	_, err = from.Send(ctx, []string{budi, cici}, c, &session.SendOptions{NoOwnDevices: true})
	require.NoError(t, err)
	_, err = from.Send(ctx, []string{budi, cici}, c, &session.SendOptions{Exclude: []session.Address{own.Address()}})
	require.NoError(t, err)
}

// A device that was set up anew, which the list tells, gets a new session, and
// so does one that never answered.
func TestSendToRenewedDevice(t *testing.T) {
	r := newRegistry(t, at(ani, 1), at(budi, 1), at(budi, 2))
	from := r.of(ani, 1)
	r.delivers(t, from, r.sends(t, from, "1", budi), "1", at(budi, 1), at(budi, 2))

	old := r.of(budi, 1)
	renewed := r.join(t, session.Account{Address: at(budi, 1), Identity: old.identity, RegistrationID: 99})
	require.NoError(t, from.Refresh(ctx, budi))
	s := r.sends(t, from, "2", budi)
	r.delivers(t, from, s, "2", at(budi, 1), at(budi, 2))
	require.Equal(t, 2, r.bundles[at(budi, 1)])
	require.Equal(t, 1, r.bundles[at(budi, 2)])
	require.Len(t, from.index(t, at(budi, 1)).Archived, 1)
	require.NoError(t, from.decrypt(old, old.send(t, from, "delayed")), "the old one still reads")
	require.NotNil(t, renewed)

	r.now = r.now.Add(31 * 24 * time.Hour) // nobody ever answered
	s = r.sends(t, from, "3", budi)
	r.delivers(t, from, s, "3", at(budi, 1), at(budi, 2))
	require.Equal(t, 3, r.bundles[at(budi, 1)])
	require.Equal(t, 2, r.bundles[at(budi, 2)])

	impostor := r.join(t, session.Account{Address: at(budi, 2), RegistrationID: 100})
	require.NoError(t, from.Refresh(ctx, budi))
	before := from.load(t, from.key("session", budi, "2"))
	s = r.sends(t, from, "4", budi)
	require.NoError(t, s.Results[0].Err)
	require.Nil(t, s.Results[1].Message)
	changed := refusedAs[*session.UntrustedIdentityError](t, s.Results[1].Err)
	require.Equal(t, impostor.Identity(), changed.Seen)
	require.Equal(t, before, from.load(t, from.key("session", budi, "2")))
	require.NoError(t, from.AcceptIdentity(ctx, at(budi, 2), impostor.Identity()))
	r.delivers(t, from, r.sends(t, from, "5", budi), "5", at(budi, 1), at(budi, 2))
}

// A user who is blocked gets nothing, and the others do.
func TestSendToBlocked(t *testing.T) {
	r := newRegistry(t, at(ani, 1), at(budi, 1), at(cici, 1))
	from := r.of(ani, 1)
	require.NoError(t, from.Block(ctx, budi, true))
	s := r.sends(t, from, "text", budi, cici)
	require.Equal(t, []session.Address{at(budi, 0), at(cici, 1)}, addresses(s))
	refused(t, s.Results[0].Err, session.ErrBlocked)
	require.NoError(t, s.Results[1].Err)
	require.Zero(t, r.bundles[at(budi, 1)])
	p, err := from.Peer(ctx, budi)
	require.NoError(t, err)
	require.Equal(t, &session.Peer{User: budi, Blocked: true}, p)
	require.NoError(t, from.Reconcile(ctx, s, session.Difference{User: budi, Missing: []uint32{1}}))
	require.Equal(t, []session.Address{at(budi, 1), at(cici, 1)}, addresses(s))
	refused(t, s.Results[0].Err, session.ErrBlocked)
	require.Zero(t, r.bundles[at(budi, 1)])
}
