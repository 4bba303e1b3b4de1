package session_test

import (
	"crypto/sha256"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// A chorus is what a package above does for a message that all get alike: its
// counter is a record, and no two messages have the same.
type chorus struct {
	devices   []session.Result // of the last call
	plaintext []byte
	calls     int
	err       error
}

var chorusKey = keystore.Key{Kind: "senderkey", Owner: ani, Name: "1,song"}

func (c *chorus) shared(tx *session.Tx, devices []session.Result, plaintext []byte) (*session.Message, error) {
	c.calls, c.devices, c.plaintext = c.calls+1, devices, append([]byte(nil), plaintext...)
	if c.err != nil {
		return nil, c.err
	}
	count, _, err := tx.Get(chorusKey)
	if err != nil {
		return nil, err
	}
	count = append([]byte(nil), append(count, 1)...)
	if err := tx.Put(chorusKey, count); err != nil {
		return nil, err
	}
	return &session.Message{Type: session.TypeSenderKey, Bytes: append([]byte{byte(len(count))}, plaintext...)}, nil
}

func (c *chorus) options() *session.SendOptions {
	return &session.SendOptions{Group: "choir", Shared: c.shared, Beside: []keystore.Key{chorusKey}}
}

// sings has a device send a text to all devices of users alike.
func (s *side) sings(t testing.TB, c *chorus, text string, users ...string) *session.Sending {
	t.Helper()
	out, err := s.Send(ctx, users, &session.Content{Body: []byte(text)}, c.options())
	require.NoError(t, err)
	inOrder(t, out)
	return out
}

// choir are devices that have sessions with ani's first.
func choir(t testing.TB, o session.Options) *registry {
	t.Helper()
	return settled(t, o, at(ani, 1), at(ani, 2), at(budi, 1), at(budi, 7), at(cici, 3))
}

func (s *side) sessionWith(t testing.TB, peer *side) [32]byte {
	t.Helper()
	return sha256.Sum256(s.current(t, peer).BaseKey())
}

// sessions are the versions of what there is of users but their lists.
func (s *side) sessions(t testing.TB, users ...string) map[keystore.Key]uint64 {
	t.Helper()
	out := map[keystore.Key]uint64{}
	for _, user := range users {
		for _, kind := range []string{"session", "archive", "identity"} {
			for _, rec := range s.list(t, kind, user) {
				out[rec.Key] = rec.Version
			}
		}
	}
	return out
}

// A message for all alike is encrypted once, in one Load and one Commit, and
// changes no session; the own other devices get a copy of their own.
func TestSendShared(t *testing.T) {
	for _, o := range []session.Options{{}, {Content: true}} {
		r, c := choir(t, o), new(chorus)
		from, watch := r.of(ani, 1).spied(t)
		from.sings(t, c, "hello", budi, cici) // now it knows who there is
		watch.reset()
		lists, before := r.lists, from.sessions(t, budi, cici)
		s := from.sings(t, c, "again", budi, cici)
		require.Len(t, watch.loads, 1)
		require.Len(t, watch.commits, 1)
		require.Equal(t, lists, r.lists)
		require.Equal(t, before, from.sessions(t, budi, cici))

		require.Equal(t, []session.Address{at(ani, 2), at(budi, 1), at(budi, 7), at(cici, 3)}, addresses(s))
		require.Nil(t, s.Envelope)
		require.Len(t, c.devices, 3)
		shared := s.Results[1].Message
		require.Equal(t, session.TypeSenderKey, shared.Type)
		require.Equal(t, append([]byte{2}, c.plaintext...), shared.Bytes)
		for i, res := range s.Results {
			to := r.sides[res.To]
			require.NoError(t, res.Err)
			require.Equal(t, to.Identity(), res.Identity)
			require.Equal(t, to.RegistrationID(), res.RegistrationID)
			require.Equal(t, from.sessionWith(t, to), res.Session)
			if i == 0 {
				require.NotEqual(t, session.TypeSenderKey, res.Message.Type)
				_, err := to.Decrypt(ctx, from.Address(), res.Message, nil)
				require.NoError(t, err)
				continue
			}
			require.Same(t, shared, res.Message)
			res.Message = nil
			require.Equal(t, res.To, c.devices[i-1].To)
			require.Equal(t, res.Identity, c.devices[i-1].Identity)
			require.Equal(t, res.Session, c.devices[i-1].Session)
			require.Equal(t, res.RegistrationID, c.devices[i-1].RegistrationID)
			require.Nil(t, c.devices[i-1].Message)
		}
		if !o.Content {
			require.Equal(t, "again", string(c.plaintext))
			continue
		}
		plain, err := wire.TrimPadding(c.plaintext)
		require.NoError(t, err)
		content, err := wire.ParseContent(plain)
		require.NoError(t, err)
		require.Equal(t, "again", string(content.Body))
		require.EqualValues(t, s.SentAt.UnixMilli(), content.SentAt)
	}
}

// Who cannot get it is told of, and the others get it. No session begins.
func TestSendSharedToSome(t *testing.T) {
	r := choir(t, session.Options{})
	r.add(t, at(budi, 9)) // ani's knows nothing of it
	from, c := r.of(ani, 1), new(chorus)
	from.sings(t, c, "hello", budi, cici)
	require.NoError(t, from.Block(ctx, cici, true))
	require.NoError(t, from.Refresh(ctx, budi))
	fetched := r.bundles[at(budi, 9)]
	s := from.sings(t, c, "hello", budi, cici, "nobody")
	require.Equal(t, fetched, r.bundles[at(budi, 9)])
	require.Equal(t, []session.Address{at(ani, 2), at(budi, 1), at(budi, 7), at(budi, 9), at(cici, 0), at("nobody", 0)}, addresses(s))
	refused(t, s.Results[4].Err, session.ErrBlocked)
	refused(t, s.Results[5].Err, session.ErrNoDevice)
	require.Equal(t, s.Results[4:], c.devices[3:])
	stranger := s.Results[3]
	require.Same(t, s.Results[1].Message, stranger.Message)
	require.True(t, stranger.Identity.IsZero())
	require.Zero(t, stranger.Session)
	require.Equal(t, r.of(budi, 9).RegistrationID(), stranger.RegistrationID)

	// A new identity key that nobody accepted: nothing for this device.
	other := r.of(budi, 1).renewed(t, r)
	m, err := other.Send(ctx, []string{ani}, &session.Content{Body: []byte("it is me")}, nil)
	require.NoError(t, err)
	got, err := from.Decrypt(ctx, at(budi, 1), m.Results[0].Message, nil)
	require.NoError(t, err)
	require.False(t, got.Accepted)
	s = from.sings(t, c, "hello", budi)
	untrusted := refusedAs[*session.UntrustedIdentityError](t, s.Results[1].Err)
	require.Equal(t, other.Identity(), untrusted.Seen)
	require.Nil(t, s.Results[1].Message)
	require.NotNil(t, s.Results[2].Message)
	require.Equal(t, s.Results[1].Err, c.devices[0].Err)
	from.forgetSessions(t)
	s = from.sings(t, c, "hello", budi)
	require.Equal(t, untrusted, refusedAs[*session.UntrustedIdentityError](t, s.Results[1].Err))
	require.Equal(t, untrusted.Accepted, s.Results[1].Identity)

	// With nobody to get it, that is said, and nobody gets it.
	s = from.sings(t, c, "hello", cici)
	require.Equal(t, s.Results[1:], c.devices)
	require.Len(t, s.Results, 2)
	require.Nil(t, s.Results[1].Message)

	// With nobody at all, nothing is encrypted.
	calls := c.calls
	s = from.sings(t, c, "hello", ani)
	require.Equal(t, calls, c.calls)
	require.Len(t, s.Results, 1)
}

// renewed is the device set up anew, under another identity key.
func (s *side) renewed(t testing.TB, r *registry) *side {
	t.Helper()
	return r.join(t, session.Account{Address: s.Address(), RegistrationID: s.RegistrationID(), Identity: newIdentity()})
}

// A session with a device that was set up anew since, or that never answered, is
// none to go by.
func TestSendSharedWithoutSession(t *testing.T) {
	r, c := choir(t, session.Options{}), new(chorus)
	from := r.of(ani, 1)
	from.sings(t, c, "hello", budi)
	require.NotZero(t, c.devices[0].Session)
	r.join(t, session.Account{Address: at(budi, 1), RegistrationID: 99, Identity: r.of(budi, 1).identity})
	require.NoError(t, from.Refresh(ctx, budi))
	from.sings(t, c, "hello", budi)
	require.Zero(t, c.devices[0].Session)
	require.EqualValues(t, 99, c.devices[0].RegistrationID)
	require.Equal(t, r.of(budi, 1).Identity(), c.devices[0].Identity)
	require.NotZero(t, c.devices[1].Session)

	// What nobody has listed is known of the session.
	from.put(t, from.key("peer", budi, ""), wire.AppendPeer(nil, &wire.Peer{ListedAt: 1, Devices: []wire.PeerDevice{{ID: 1}, {ID: 7}}}))
	s := from.sings(t, c, "hello", budi)
	require.NotZero(t, c.devices[1].Session)
	require.Equal(t, r.of(budi, 7).RegistrationID(), c.devices[1].RegistrationID)
	require.Equal(t, r.of(budi, 7).RegistrationID(), s.Results[2].RegistrationID)

	from.forgetSessions(t)
	from.sings(t, c, "hello", budi)
	require.Zero(t, c.devices[1].Session)
	require.Equal(t, r.of(budi, 7).Identity(), c.devices[1].Identity)
}

// What the func or the gate refuses is not sent, and nothing changed.
func TestSendSharedRefused(t *testing.T) {
	r, c := choir(t, session.Options{}), new(chorus)
	from := r.of(ani, 1)
	from.sings(t, c, "hello", budi, cici)
	before := r.digest(t)
	unchanged := func(o *session.SendOptions, d *session.Device, want error) {
		t.Helper()
		s, err := d.Send(ctx, []string{budi, cici}, &session.Content{Body: []byte("text")}, o)
		refused(t, err, want)
		require.Nil(t, s)
		require.Equal(t, before, r.digest(t))
	}
	c.err = errInjected
	unchanged(c.options(), from.Device, errInjected)
	c.err = nil
	o := c.options()
	o.Shared = func(*session.Tx, []session.Result, []byte) (*session.Message, error) { return nil, nil }
	unchanged(o, from.Device, session.ErrMalformed)
	o = c.options()
	o.Shared = func(tx *session.Tx, devices []session.Result, plaintext []byte) (*session.Message, error) {
		if _, err := c.shared(tx, devices, plaintext); err != nil {
			return nil, err
		}
		return nil, tx.Put(keystore.Key{Kind: "session", Owner: budi, Name: "1"}, nil)
	}
	unchanged(o, from.Device, keystore.ErrInvalid)

	// The gate is asked about each device, with the key that it has, and before.
	seen, calls := map[session.Address]bool{}, c.calls
	opts := *from.opts
	opts.Gate = &bouncer{send: func(to session.Address, identity keys.IdentityKey) error {
		require.Equal(t, r.sides[to].Identity(), identity)
		seen[to] = true
		if to == at(budi, 7) {
			return errInjected
		}
		return nil
	}}
	gated, err := session.Open(ctx, from.store, from.Address(), &opts)
	require.NoError(t, err)
	unchanged(c.options(), gated, errInjected)
	require.Len(t, seen, 4)
	require.Equal(t, calls, c.calls)
}

// A bouncer is a gate that has a func instead of records.
type bouncer struct {
	meddler
	send func(to session.Address, identity keys.IdentityKey) error
}

func (b *bouncer) Send(_ time.Time, _ []keystore.Record, to session.Address, identity keys.IdentityKey) error {
	return b.send(to, identity)
}
