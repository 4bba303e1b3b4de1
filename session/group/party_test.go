package group_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/group"
)

var ctx = context.Background()

// room is the distribution id of most tests.
var room = group.DistributionID{0xD1, 0xD1, 0xD1, 0xD1, 0x70, 0x00, 0x11, 0xEB, 0xB3, 0x2A, 0x33, 0xB8, 0xA8, 0xA4, 0x87, 0xA6}

// A party is a device with its Groups, and all that a test may know of it.
type party struct {
	*session.Device
	groups *group.Groups
	store  keystore.Store
	opts   *session.Options
}

// clockwork is the clock of all parties of a test.
type clockwork struct{ now time.Time }

func newClock() *clockwork { return &clockwork{now: time.Unix(1_700_000_000, 0)} }

func (c *clockwork) read() time.Time { return c.now }

// newParty makes device 1 of a user over a store; nil is one in memory.
func newParty(t testing.TB, user string, c *clockwork, store keystore.Store) *party {
	t.Helper()
	if store == nil {
		store = keystore.NewMemory()
	}
	p := &party{store: store, opts: &session.Options{Content: true, Now: c.read}}
	var err error
	p.Device, err = session.Create(ctx, store, session.Account{Address: session.Address{User: user, Device: 1}}, p.opts)
	require.NoError(t, err)
	p.groups = group.New(p.Device, nil)
	return p
}

// parties are devices of different users, all of whom have sessions with each
// other.
func parties(t testing.TB, users ...string) []*party {
	t.Helper()
	c := newClock()
	var all []*party
	for _, user := range users {
		p := newParty(t, user, c, nil)
		for _, q := range all {
			q.meet(t, p)
		}
		all = append(all, p)
	}
	return all
}

// meet begins a session, and has a message go there and back.
func (p *party) meet(t testing.TB, q *party) {
	t.Helper()
	b, err := q.Bundle(ctx)
	require.NoError(t, err)
	require.NoError(t, p.Begin(ctx, q.Address(), b))
	for range 2 {
		p.saves(t, q, q.reads(t, p, p.says(t, q, &session.Content{})))
		p, q = q, p
	}
}

// saves acknowledges what q read.
func (p *party) saves(t testing.TB, q *party, r *session.Received) {
	t.Helper()
	require.NoError(t, q.Acknowledge(ctx, r))
}

// says encrypts a message of a session.
func (p *party) says(t testing.TB, q *party, c *session.Content) *session.Message {
	t.Helper()
	m, err := p.Encrypt(ctx, q.Address(), c.Bytes())
	require.NoError(t, err)
	return m
}

// reads decrypts a message of either kind.
func (p *party) reads(t testing.TB, from *party, m *session.Message) *session.Received {
	t.Helper()
	r, err := p.groups.Decrypt(ctx, from.Address(), m, nil)
	require.NoError(t, err)
	require.Equal(t, from.Address(), r.From)
	require.Equal(t, from.Identity(), r.Identity)
	return r
}

// key is the distribution message of a sender key.
func (p *party) key(t testing.TB, id group.DistributionID) []byte {
	t.Helper()
	d, err := p.groups.Distribution(ctx, id)
	require.NoError(t, err)
	return d
}

// gives hands the sender key to others.
func (p *party) gives(t testing.TB, id group.DistributionID, to ...*party) {
	t.Helper()
	d := p.key(t, id)
	for _, q := range to {
		q.saved(t, p, p.says(t, q, &session.Content{Distribution: d}))
	}
}

// saved reads a message, and acknowledges it.
func (p *party) saved(t testing.TB, from *party, m *session.Message) *session.Received {
	t.Helper()
	r := p.reads(t, from, m)
	require.NoError(t, p.Acknowledge(ctx, r))
	return r
}

// tells encrypts a message to the group.
func (p *party) tells(t testing.TB, id group.DistributionID, text string) *session.Message {
	t.Helper()
	m, err := p.groups.Encrypt(ctx, id, (&session.Content{Body: []byte(text)}).Bytes())
	require.NoError(t, err)
	require.Equal(t, session.TypeSenderKey, m.Type)
	return m
}

// hears requires that a message to the group is read as text.
func (p *party) hears(t testing.TB, from *party, m *session.Message, text string) *session.Received {
	t.Helper()
	r := p.reads(t, from, m)
	require.True(t, r.Accepted)
	require.Equal(t, text, string(r.Content.Body))
	return r
}

// decrypt is Decrypt for its error, after which the store must be as before.
func (p *party) decrypt(t testing.TB, from *party, m *session.Message, o *session.DecryptOptions) error {
	t.Helper()
	before := testutil.StoreDigest(t, p.store)
	r, err := p.groups.Decrypt(ctx, from.Address(), m, o)
	if err != nil {
		require.Nil(t, r)
		require.Equal(t, before, testutil.StoreDigest(t, p.store))
	}
	return err
}

// senderRecord is where the record of a sender key is.
func (p *party) senderRecord(sender session.Address, id group.DistributionID) keystore.Key {
	return keystore.Key{Scope: p.Address().String(), Kind: "senderkey", Owner: sender.User, Name: index(sender) + "," + id.String()}
}

func index(sender session.Address) string { return sender.String()[len(sender.User)+1:] }

// states returns the record of a sender key.
func (p *party) states(t testing.TB, sender *party, id group.DistributionID) []wire.SenderKeyState {
	t.Helper()
	recs, err := p.store.Load(ctx, p.senderRecord(sender.Address(), id))
	require.NoError(t, err)
	if recs[0].Version == 0 {
		return nil
	}
	rec, err := wire.ParseSenderKeyRecord(recs[0].Value[1:])
	require.NoError(t, err)
	return rec.States
}

// alters changes the record of a sender key.
func (p *party) alters(t testing.TB, sender *party, id group.DistributionID, f func(*wire.SenderKeyState)) {
	t.Helper()
	states := p.states(t, sender, id)
	f(&states[0])
	k := p.senderRecord(sender.Address(), id)
	require.NoError(t, p.Update(ctx, nil, func(tx *session.Tx) error {
		return tx.Put(k, wire.AppendSenderKeyRecord(nil, &wire.SenderKeyRecord{States: states}))
	}))
}
