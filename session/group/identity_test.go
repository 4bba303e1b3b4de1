package group_test

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/group"
)

// between are alice, who gave bob a sender key, and another device of her address
// with an identity key that bob has not accepted, in a session with him.
func between(t testing.TB) (alice, bob, mallory *party) {
	t.Helper()
	alice, bob, _ = told(t)
	mallory = newParty(t, "alice", newClock(), nil)
	b, err := bob.Bundle(ctx)
	require.NoError(t, err)
	require.NoError(t, mallory.Begin(ctx, bob.Address(), b))
	bob.saved(t, mallory, mallory.says(t, bob, &session.Content{}))
	return alice, bob, mallory
}

// given is what a sender key of another chain is made of.
func (p *party) another(t testing.TB, id group.DistributionID, chain uint32) []byte {
	t.Helper()
	other := newParty(t, "somebody", newClock(), nil)
	return changed(t, other.key(t, id), func(m *wire.SenderKeyDistributionMessage) { m.ChainID = chain })
}

// A key under an identity that is not accepted is kept beside those of the
// accepted one, and takes nothing from them.
func TestGRP_03_UnacceptedIdentity(t *testing.T) {
	alice, bob, mallory := between(t)
	kept := bob.states(t, alice, room)
	require.Len(t, kept, 1)
	give := func(d []byte) *session.Received {
		r := bob.reads(t, mallory, mallory.says(t, bob, &session.Content{Body: []byte("key"), Distribution: d}))
		require.False(t, r.Accepted)
		require.Equal(t, "key", string(r.Content.Body)) // delivered, whatever becomes of the key
		require.NoError(t, bob.Acknowledge(ctx, r))
		return r
	}
	// The same chain, with the same signing key and another chain key; and with another one.
	stolen := alice.key(t, room)
	give(changed(t, stolen, func(m *wire.SenderKeyDistributionMessage) { m.ChainKey = make([]byte, 32) }))
	give(mallory.another(t, room, chainOf(t, stolen)))
	require.Equal(t, kept, bob.states(t, alice, room))

	// Another chain is kept beside it, and what is read by it is hers.
	give(mallory.key(t, room))
	require.Len(t, bob.states(t, alice, room), 2)
	require.Equal(t, alice.Identity().Bytes(), bob.index(t, alice).Entries[0].Identity)
	r := bob.reads(t, mallory, mallory.tells(t, room, "I am Alice"))
	require.False(t, r.Accepted)
	require.NotEqual(t, alice.Identity(), r.Identity)
	bob.hears(t, alice, alice.tells(t, room, "I am"), "I am")

	// However many come, the accepted one stays.
	for range 7 {
		require.NoError(t, mallory.groups.Rotate(ctx, room))
		give(mallory.key(t, room))
	}
	require.Len(t, bob.states(t, alice, room), 5)
	bob.hears(t, alice, alice.tells(t, room, "still"), "still")
	// And puts hers out, not its own.
	first := alice.tells(t, room, "first")
	for range 4 {
		require.NoError(t, alice.groups.Rotate(ctx, room))
		alice.gives(t, room, bob)
	}
	bob.hears(t, alice, first, "first")
	for _, s := range bob.states(t, alice, room) {
		require.Equal(t, alice.Identity().Bytes(), s.Identity)
	}
	give(mallory.key(t, room)) // there is no room for it now
	for _, s := range bob.states(t, alice, room) {
		require.Equal(t, alice.Identity().Bytes(), s.Identity)
	}
}

// Whoever gets in first with a chain that is another's does not keep it.
func TestGRP_03_AcceptedReplaces(t *testing.T) {
	alice, bob, mallory := between(t)
	other := group.DistributionID{3}
	d := alice.key(t, other)
	bob.saved(t, mallory, mallory.says(t, bob, &session.Content{
		Distribution: changed(t, d, func(m *wire.SenderKeyDistributionMessage) { m.ChainKey = make([]byte, 32) })}))
	require.Equal(t, mallory.Identity().Bytes(), bob.states(t, alice, other)[0].Identity)
	alice.gives(t, other, bob)
	require.Len(t, bob.states(t, alice, other), 1)
	bob.hears(t, alice, alice.tells(t, other, "hello"), "hello")
}

// DecryptOptions.Identity is held against whom the sender key came from, before
// anything changes, and when the message comes again.
func TestRequiredIdentity(t *testing.T) {
	alice, bob, carol := told(t)
	right, wrong := alice.Identity(), carol.Identity()
	m := alice.tells(t, room, "hello")
	refused := func() {
		err := bob.decrypt(t, alice, m, &session.DecryptOptions{Identity: &wrong})
		var mismatch *session.IdentityMismatchError
		require.ErrorAs(t, err, &mismatch)
		require.Equal(t, session.IdentityMismatchError{Address: alice.Address(), Expected: wrong, Seen: right}, *mismatch)
	}
	refused()
	require.NoError(t, bob.decrypt(t, alice, m, &session.DecryptOptions{Identity: &right}))
	refused()
	require.True(t, bob.hears(t, alice, m, "hello").Redelivered)
}

// A state that others made does not tell whose it is: its messages are nobody's.
func TestImportedState(t *testing.T) {
	alice, bob, carol := told(t)
	bob.alters(t, alice, room, func(s *wire.SenderKeyState) { s.Identity = nil })
	m := alice.tells(t, room, "hello")
	identity := alice.Identity()
	require.Error(t, bob.decrypt(t, alice, m, &session.DecryptOptions{Identity: &identity}))
	r, err := bob.groups.Decrypt(ctx, alice.Address(), m, nil)
	require.NoError(t, err)
	require.True(t, r.Identity.IsZero())
	require.False(t, r.Accepted)
	again, err := bob.groups.Decrypt(ctx, alice.Address(), m, nil)
	require.NoError(t, err)
	require.True(t, again.Redelivered)
	require.True(t, again.Identity.IsZero())
	// Until the sender gives the same key.
	before := bob.states(t, alice, room)[0]
	alice.gives(t, room, bob)
	before.Identity = alice.Identity().Bytes()
	require.Equal(t, before, bob.states(t, alice, room)[0])
	bob.hears(t, alice, alice.tells(t, room, "hers"), "hers")
	_ = carol
}

// numbered is the distribution id of a number.
func numbered(n int) (id group.DistributionID) {
	binary.BigEndian.PutUint32(id[:], uint32(n))
	return id
}

func (p *party) index(t testing.TB, sender *party) wire.SenderKeyIndex {
	t.Helper()
	recs, err := p.store.Load(ctx, p.indexRecord(sender))
	require.NoError(t, err)
	x, err := wire.ParseSenderKeyIndex(recs[0].Value[1:])
	require.NoError(t, err)
	return x
}

func (p *party) indexRecord(sender *party) keystore.Key {
	return keystore.Key{Scope: p.Address().String(), Kind: "senderkey", Owner: sender.Address().User, Name: index(sender.Address())}
}

// filled has bob keep as many sender keys of a device as may be, under an identity
// key, the oldest with the lowest number.
func (p *party) filled(t testing.TB, sender *party, identity []byte) {
	t.Helper()
	x := p.index(t, sender)
	for n := range group.MaxIDs - len(x.Entries) {
		id := numbered(n)
		x.Entries = append(x.Entries, wire.SenderKeyEntry{ID: id[:], At: uint64(n) + 1, Identity: identity})
	}
	state := wire.SenderKeyState{ChainID: 1, ChainKey: make([]byte, 32), SigningPublic: sender.Identity().Bytes(), Identity: identity}
	require.NoError(t, p.Update(ctx, nil, func(tx *session.Tx) error {
		for n := range 3 {
			rec := wire.AppendSenderKeyRecord(nil, &wire.SenderKeyRecord{States: []wire.SenderKeyState{state}})
			if err := tx.Put(p.senderRecord(sender.Address(), numbered(n)), rec); err != nil {
				return err
			}
		}
		return tx.Put(p.indexRecord(sender), wire.AppendSenderKeyIndex(nil, &x))
	}))
}

// A device can have so many keys kept, and no more.
func TestIndexIsBounded(t *testing.T) {
	alice, bob, _ := told(t)
	bob.filled(t, alice, alice.Identity().Bytes())
	fresh := group.DistributionID{0xFF}
	alice.gives(t, fresh, bob)
	x := bob.index(t, alice)
	require.Len(t, x.Entries, group.MaxIDs)
	require.Nil(t, bob.states(t, alice, numbered(0)))
	require.NotNil(t, bob.states(t, alice, numbered(1)))
	bob.hears(t, alice, alice.tells(t, fresh, "new"), "new")
	bob.hears(t, alice, alice.tells(t, room, "handed out after those"), "handed out after those")
	// One that comes again counts from then on.
	second := changed(t, alice.key(t, numbered(1)), func(m *wire.SenderKeyDistributionMessage) {})
	bob.saved(t, alice, alice.says(t, bob, &session.Content{Distribution: second}))
	alice.gives(t, group.DistributionID{0xFE}, bob)
	require.NotNil(t, bob.states(t, alice, numbered(1)))
	require.Nil(t, bob.states(t, alice, numbered(2)))
}

// Under an identity key that is not accepted none of the others goes out.
func TestGRP_03_IndexOfUnaccepted(t *testing.T) {
	alice, bob, mallory := between(t)
	bob.filled(t, alice, alice.Identity().Bytes())
	fresh := group.DistributionID{0xFF}
	before := bob.index(t, alice)
	mallory.gives(t, fresh, bob)
	require.Nil(t, bob.states(t, alice, fresh))
	require.Equal(t, before, bob.index(t, alice))

	// Full of hers, hers go out.
	alice, bob, mallory = between(t)
	bob.filled(t, alice, mallory.Identity().Bytes())
	mallory.gives(t, fresh, bob)
	require.NotNil(t, bob.states(t, alice, fresh))
	require.Nil(t, bob.states(t, alice, numbered(0)))
	alice.gives(t, group.DistributionID{0xFE}, bob)
	require.Nil(t, bob.states(t, alice, numbered(1)))
	bob.hears(t, alice, alice.tells(t, room, "kept"), "kept")
	require.Len(t, bob.index(t, alice).Entries, group.MaxIDs)
}

// Damage of what is kept of a sender is mended by the next key that comes from
// the accepted one, and by no other.
func TestDamagedRecords(t *testing.T) {
	for _, value := range []string{"", "\x01\x0a", "\x01\x0a\x01\xff"} {
		for _, which := range []string{"record", "index"} {
			t.Run(fmt.Sprintf("%s %x", which, value), func(t *testing.T) {
				alice, bob, mallory := between(t)
				k := bob.senderRecord(alice.Address(), room)
				if which == "index" {
					k = bob.indexRecord(alice)
				}
				rec := testutil.Load(t, bob.store, k)
				testutil.Commit(t, bob.store, testutil.Put(k, rec.Version, value))
				m := alice.tells(t, room, "hello")
				if which == "record" {
					require.ErrorIs(t, bob.decrypt(t, alice, m, nil), session.ErrCorrupt)
				}
				mallory.gives(t, room, bob)
				require.Equal(t, value, string(testutil.Load(t, bob.store, k).Value))
				alice.gives(t, room, bob)
				bob.hears(t, alice, alice.tells(t, room, "again"), "again")
			})
		}
	}
}

// A record of a newer format is left alone, and nothing is done without it.
func TestNewerRecords(t *testing.T) {
	alice, bob, _ := told(t)
	for _, p := range []*party{bob, alice} {
		k := p.senderRecord(alice.Address(), room)
		testutil.Commit(t, p.store, testutil.Put(k, testutil.Load(t, p.store, k).Version, "\x02new"))
	}
	own := newParty(t, "other", newClock(), nil)
	m := &session.Message{Type: session.TypeSenderKey, Bytes: bytesOf(t, "main", "skm_0")}
	require.ErrorIs(t, bob.decrypt(t, alice, m, nil), keystore.ErrNewerFormat)
	d := alice.says(t, bob, &session.Content{Distribution: own.key(t, room)})
	require.ErrorIs(t, bob.decrypt(t, alice, d, nil), keystore.ErrNewerFormat)
	before := testutil.StoreDigest(t, alice.store)
	_, err := alice.groups.Encrypt(ctx, room, nil)
	require.ErrorIs(t, err, keystore.ErrNewerFormat)
	_, err = alice.groups.Distribution(ctx, room)
	require.ErrorIs(t, err, keystore.ErrNewerFormat)
	require.ErrorIs(t, alice.groups.Rotate(ctx, room), keystore.ErrNewerFormat)
	require.Equal(t, before, testutil.StoreDigest(t, alice.store))
}

// Nobody gives this device a key of its own.
func TestGRP_03_OwnAddress(t *testing.T) {
	alice, bob, _ := told(t)
	before := alice.states(t, alice, room)
	mallory := newParty(t, "mallory", newClock(), nil)
	b, err := alice.Bundle(ctx)
	require.NoError(t, err)
	require.NoError(t, mallory.Begin(ctx, alice.Address(), b))
	m := mallory.says(t, alice, &session.Content{Distribution: mallory.key(t, room)})
	r, err := alice.groups.Decrypt(ctx, alice.Address(), m, nil) // which a server says it is from
	require.NoError(t, err)
	require.False(t, r.Accepted)
	require.Equal(t, before, alice.states(t, alice, room))
	m = alice.tells(t, room, "mine")
	bob.hears(t, alice, m, "mine")
	// Nor does it read its own messages, be its chain behind them.
	alice.alters(t, alice, room, func(s *wire.SenderKeyState) { *s = before[0] })
	require.ErrorIs(t, alice.decrypt(t, alice, m, nil), session.ErrDuplicate)
}

// What decides whether a key may take the place of another is as it was when that is
// committed: here the user accepts another identity key meanwhile.
func TestGRP_03_AcceptedMeanwhile(t *testing.T) {
	alice, bob, mallory := between(t)
	other := group.DistributionID{6}
	d := alice.key(t, other)
	bob.saved(t, mallory, mallory.says(t, bob, &session.Content{
		Distribution: changed(t, d, func(m *wire.SenderKeyDistributionMessage) { m.ChainKey = make([]byte, 32) })}))
	before := bob.states(t, alice, other)
	m := alice.says(t, bob, &session.Content{Distribution: d})
	_, err := bob.Decrypt(ctx, alice.Address(), m, nil)
	require.NoError(t, err)
	once := true
	raced := bob.over(t, &fickle{Store: bob.store, before: func(call string, _ int) error {
		if once && call == "commit" {
			once = false
			require.NoError(t, bob.AcceptIdentity(ctx, alice.Address(), mallory.Identity()))
		}
		return nil
	}})
	require.True(t, raced.reads(t, alice, m).Redelivered)
	require.False(t, once)
	require.Equal(t, before, bob.states(t, alice, other))
}
