package session_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
)

// An alias is a device under the name that its peer has for it.
type alias struct {
	*side
	called session.Address
}

// byPhone are two devices with service ids, of which each knows the other by a
// phone number. Alice has begun a session that bob knows nothing of.
func byPhone(t testing.TB) (alice, bob *alias) {
	t.Helper()
	p := strangers(t)
	alice = &alias{p.alice, session.Address{User: "+15550100", Device: aliceAddress.Device}}
	bob = &alias{p.bob, session.Address{User: "+15550199", Device: bobAddress.Device}}
	require.NoError(t, alice.Begin(ctx, bob.called, bundleOf(t, p.bob)))
	return alice, bob
}

// renames has both go by the other's service id.
func renames(t testing.TB, alice, bob *alias) {
	t.Helper()
	require.NoError(t, bob.Rename(ctx, alice.called.User, strings.ToUpper(aliceAddress.User)))
	require.NoError(t, alice.Rename(ctx, bob.called.User, bobAddress.User))
	alice.called, bob.called = aliceAddress, bobAddress
}

func (from *alias) says(t testing.TB, to *alias, text string) *session.Message {
	t.Helper()
	m, err := from.Encrypt(ctx, to.called, []byte(text))
	require.NoError(t, err)
	return m
}

func (to *alias) hears(t testing.TB, from *alias, m *session.Message, text string) *session.Received {
	t.Helper()
	r, err := to.Decrypt(ctx, from.called, m, nil)
	require.NoError(t, err)
	require.Equal(t, text, string(r.Plaintext))
	require.Equal(t, from.called, r.From)
	require.Equal(t, from.Identity(), r.Identity)
	require.True(t, r.Accepted)
	return r
}

func talk(t testing.TB, alice, bob *alias) {
	t.Helper()
	bob.hears(t, alice, alice.says(t, bob, "forth"), "forth")
	alice.hears(t, bob, bob.says(t, alice, "back"), "back")
}

// under returns the records under a user, and those that name it.
func (s *side) under(t testing.TB, user string) (out []keystore.Record) {
	t.Helper()
	for _, r := range testutil.Records(t, s.store) {
		if r.Key.Owner == user || strings.Contains(string(r.Value), user) {
			out = append(out, r)
		}
	}
	return out
}

// The session goes on, in both directions, answered or not, and so do those in
// the archive.
func TestRename(t *testing.T) {
	for answered, name := range map[int]string{0: "nothing read", 1: "unanswered", 2: "answered"} {
		t.Run(name, func(t *testing.T) {
			alice, bob := byPhone(t)
			phones := []string{alice.called.User, bob.called.User}
			first := alice.says(t, bob, "hello")
			if answered > 0 {
				bob.hears(t, alice, first, "hello")
			}
			late := alice.says(t, bob, "late")
			if answered > 1 {
				alice.hears(t, bob, bob.says(t, alice, "hello you"), "hello you")
			}
			renames(t, alice, bob)
			require.Empty(t, bob.under(t, phones[0]))
			require.Empty(t, alice.under(t, phones[1]))
			if answered > 0 {
				bob.hears(t, alice, late, "late") // it is bound to no name
			} else {
				bob.hears(t, alice, first, "hello")
			}
			next := alice.says(t, bob, "bound to the new names")
			require.Equal(t, answered < 2, next.Type == session.TypePreKey)
			if answered < 2 {
				require.NotNil(t, outerOf(t, next).Message.Addresses)
			}
			bob.hears(t, alice, next, "bound to the new names")
			for range 3 {
				talk(t, alice, bob)
			}
			alice.index(t, bobAddress)
			require.Empty(t, bob.index(t, aliceAddress).Archived)
		})
	}
}

// All that is known of a user goes by the new name: nothing is lost, nothing
// else changes.
func TestRenameTakesEverything(t *testing.T) {
	p := known(t)
	require.NoError(t, p.bob.Verify(ctx, aliceAddress, p.alice.Identity(), true))
	require.NoError(t, p.bob.Block(ctx, aliceAddress.User, true))
	now := p.reinstalled(t)
	now.begin(t, p.bob)
	p.bob.reads(t, now, now.send(t, p.bob, "I have a new phone"), "I have a new phone") // with an event
	require.NoError(t, p.bob.AcceptIdentity(ctx, aliceAddress, p.alice.Identity()))
	before, index := testutil.Records(t, p.bob.store), p.bob.index(t, aliceAddress)
	waiting := p.bob.waiting(t)

	require.NoError(t, p.bob.Rename(ctx, aliceAddress.User, "alice"))
	require.Empty(t, p.bob.under(t, aliceAddress.User))
	require.Len(t, testutil.Records(t, p.bob.store), len(before))
	for _, r := range before {
		if k := r.Key; k.Owner != aliceAddress.User && k.Kind != "sent" {
			require.Equal(t, r, p.bob.load(t, k))
		}
	}
	at := session.Address{User: "alice", Device: aliceAddress.Device}
	require.Equal(t, index, p.bob.index(t, at))
	id, err := p.bob.PeerIdentity(ctx, at)
	require.NoError(t, err)
	require.True(t, id.Verified)
	_, err = p.bob.Encrypt(ctx, at, nil)
	refused(t, err, session.ErrBlocked)
	for _, e := range p.bob.events(t) {
		require.Equal(t, at, e.Address)
	}
	var sent []string
	for _, r := range p.bob.list(t, "sent", "-") {
		rec, err := wire.ParseSent(r.Value[1:])
		require.NoError(t, err)
		sent = append(sent, rec.SyncTo)
	}
	require.ElementsMatch(t, []string{bobAddress.User, "alice", "a group", "a group"}, sent)

	// What waits has its ID, and the new name; what was given out before is
	// acknowledged by it.
	var ids []session.MessageID
	for _, r := range p.bob.waiting(t) {
		require.Equal(t, at, r.From)
		for _, e := range r.Events {
			require.Equal(t, at, e.Address)
		}
		ids = append(ids, r.ID)
	}
	for _, r := range waiting {
		require.Contains(t, ids, r.ID)
		require.NoError(t, p.bob.Acknowledge(ctx, r))
	}
	require.Len(t, p.bob.waiting(t), len(waiting), "they are another's by now")
	for _, r := range waiting {
		r.From.User = "alice"
		require.NoError(t, p.bob.Acknowledge(ctx, r))
	}
	require.Empty(t, p.bob.waiting(t))
	require.Empty(t, p.bob.list(t, "body", ""))
}

// A message from before is not read again under the new name.
func TestRenameAndOldMessages(t *testing.T) {
	alice, bob := byPhone(t)
	first := alice.says(t, bob, "first")
	bob.hears(t, alice, first, "first")
	alice.hears(t, bob, bob.says(t, alice, "answer"), "answer")
	second := alice.says(t, bob, "second")
	r := bob.hears(t, alice, second, "second")
	require.NoError(t, bob.Acknowledge(ctx, r))
	renames(t, alice, bob)
	before := bob.digest(t)
	for _, m := range []*session.Message{first, second} {
		_, err := bob.Decrypt(ctx, aliceAddress, m, nil)
		refused(t, err, session.ErrDuplicate)
	}
	_, err := bob.Decrypt(ctx, session.Address{User: "+15550100", Device: 2}, second, nil)
	refused(t, err, session.ErrDuplicate) // it has its mark there
	_, err = bob.Decrypt(ctx, session.Address{User: "+15550100", Device: 2}, first, nil)
	refusedAs[*session.PreKeyNotFoundError](t, err)
	require.Equal(t, before, bob.digest(t))
	talk(t, alice, bob)
}

func TestRenameRefused(t *testing.T) {
	p := known(t)
	for _, names := range [][2]string{
		{"", "alice"}, {aliceAddress.User, ""}, {aliceAddress.User, "\xff"}, {aliceAddress.User, strings.Repeat("x", 1025)},
		{aliceAddress.User, bobAddress.User}, {strings.ToUpper(bobAddress.User), "bob"},
	} {
		p.unharmed(t, func() { refused(t, p.bob.Rename(ctx, names[0], names[1]), session.ErrMalformed) })
	}
	p.unharmed(t, func() {
		require.NoError(t, p.bob.Rename(ctx, aliceAddress.User, strings.ToUpper(aliceAddress.User)))
		require.NoError(t, p.bob.Rename(ctx, "nobody", "anybody"))
	})
	for _, r := range p.bob.under(t, aliceAddress.User) { // any record makes a user known
		if r.Key.Owner == "-" {
			continue
		}
		s := p.bob.reopen(t)
		k := r.Key
		k.Owner = "alice"
		value := r.Value
		if k.Kind == "event" {
			e, err := wire.ParseEvent(value[1:])
			require.NoError(t, err)
			e.User = "alice"
			value = wire.AppendEvent(value[:1:1], &e)
		}
		s.write(t, k, value)
		before := s.digest(t)
		refused(t, s.Rename(ctx, aliceAddress.User, "alice"), session.ErrExists)
		require.Equal(t, before, s.digest(t), k.Kind)
		require.NoError(t, s.Forget(ctx, "alice"))
		require.NoError(t, s.Rename(ctx, aliceAddress.User, "alice"))
	}
}

// A name of which nothing is known but that it was blocked once is free.
func TestRenameToAName(t *testing.T) {
	p := friends(t)
	require.NoError(t, p.bob.Block(ctx, "alice", true))
	refused(t, p.bob.Rename(ctx, aliceAddress.User, "alice"), session.ErrExists)
	require.NoError(t, p.bob.Block(ctx, "alice", false))
	require.NoError(t, p.bob.Rename(ctx, aliceAddress.User, "alice"))
	require.NoError(t, p.bob.Rename(ctx, "alice", aliceAddress.User))
	p.goesOn(t)
}

// A user may have the name under which a device keeps its own records.
func TestRenameDash(t *testing.T) {
	p := friends(t)
	emit(t, p.bob, session.Address{})
	before := testutil.Records(t, p.bob.store)
	require.NoError(t, p.bob.Rename(ctx, aliceAddress.User, "-"))
	require.NoError(t, p.bob.Rename(ctx, "-", aliceAddress.User))
	require.Len(t, testutil.Records(t, p.bob.store), len(before))
	p.goesOn(t)
	require.NoError(t, p.bob.Forget(ctx, "-"))
	require.NoError(t, p.bob.Rename(ctx, aliceAddress.User, "-"))
	require.NoError(t, p.bob.Forget(ctx, "-"))
	require.Len(t, p.bob.events(t), 1)
	_, err := p.bob.Publish(ctx)
	require.NoError(t, err)
}

// A record of a newer format stops all, and a damaged one what needs it.
func TestRenameDamaged(t *testing.T) {
	p := known(t)
	for _, r := range testutil.Records(t, p.bob.store) {
		about := r.Key.Owner == aliceAddress.User || r.Key.Kind == "sent"
		if !about {
			continue
		}
		s := p.bob.reopen(t)
		s.write(t, r.Key, []byte{2})
		before := s.digest(t)
		refused(t, s.Rename(ctx, aliceAddress.User, "alice"), keystore.ErrNewerFormat)
		refused(t, s.Forget(ctx, aliceAddress.User), keystore.ErrNewerFormat)
		require.Equal(t, before, s.digest(t))

		s = p.bob.reopen(t)
		s.write(t, r.Key, nil)
		before = s.digest(t)
		switch err := s.Rename(ctx, aliceAddress.User, "alice"); r.Key.Kind {
		case "retry": // it counts as none
			require.NoError(t, err)
			require.False(t, s.has(t, r.Key.Kind, r.Key.Owner, r.Key.Name))
		case "peer", "identity", "session":
			refused(t, err, session.ErrCorrupt)
			require.Equal(t, before, s.digest(t))
		default: // it stays
			require.NoError(t, err)
			require.NoError(t, s.Forget(ctx, "alice"))
			require.True(t, s.has(t, r.Key.Kind, r.Key.Owner, r.Key.Name))
		}
		require.NoError(t, s.Forget(ctx, aliceAddress.User))
		require.Equal(t, r.Key.Kind == "sent", s.has(t, r.Key.Kind, r.Key.Owner, r.Key.Name))

		s = p.bob.reopen(t)
		s.write(t, r.Key, []byte{1, 0xff})
		require.NoError(t, s.Rename(ctx, aliceAddress.User, "alice"), "as it is")
	}
}

// In a transaction of the app's nothing is listed that it did itself.
func TestRenameInATransaction(t *testing.T) {
	p := friends(t)
	within := new(keystore.Pending).In(ctx)
	p.unharmed(t, func() {
		refused(t, p.bob.Rename(within, aliceAddress.User, "alice"), keystore.ErrInvalid)
		refused(t, p.bob.Forget(within, aliceAddress.User), keystore.ErrInvalid)
	})
}

// Nothing is left of who is forgotten, and others notice nothing.
func TestForget(t *testing.T) {
	p := known(t)
	require.NoError(t, p.bob.Verify(ctx, aliceAddress, p.alice.Identity(), true))
	require.NoError(t, p.bob.Block(ctx, aliceAddress.User, true))
	other := newSide(t, session.Address{User: "somebody else", Device: 1}, nil, p.alice.opts)
	q := &pair{alice: other, bob: p.bob}
	other.begin(t, p.bob)
	q.goesOn(t)
	lost := p.alice.send(t, p.bob, "lost")
	before := testutil.Records(t, p.bob.store)

	require.NoError(t, p.bob.Forget(ctx, strings.ToUpper(aliceAddress.User)))
	require.Empty(t, p.bob.under(t, aliceAddress.User))
	for _, r := range before {
		if k := r.Key; k.Owner != aliceAddress.User && k.Kind != "sent" {
			require.Equal(t, r, p.bob.load(t, k))
		}
	}
	require.Equal(t, session.PeerIdentity{}, p.bob.peerIdentity(t, p.alice))
	var sent []string
	for _, r := range p.bob.list(t, "sent", "-") {
		rec, err := wire.ParseSent(r.Value[1:])
		require.NoError(t, err)
		for _, to := range rec.Recipients {
			sent = append(sent, r.Key.Name+" "+to.User)
		}
	}
	require.ElementsMatch(t, []string{"1 " + bobAddress.User, "1 peer", "4 peer"}, sent)
	q.goesOn(t)

	// What comes next is a stranger's.
	p.unharmedStores(t, func() { refused(t, p.bob.decrypt(p.alice, lost), session.ErrNoSession) })
	now := p.reinstalled(t)
	now.begin(t, p.bob)
	require.True(t, p.bob.reads(t, now, now.send(t, p.bob, "hello"), "hello").Accepted)
	now.reads(t, p.bob, p.bob.send(t, now, "who is it"), "who is it")

	digest := p.bob.digest(t)
	require.NoError(t, p.bob.Forget(ctx, "nobody"))
	for _, user := range []string{"", "\xff", strings.Repeat("x", 1025)} {
		refused(t, p.bob.Forget(ctx, user), session.ErrMalformed)
	}
	require.Equal(t, digest, p.bob.digest(t))
}

// A session of the identity of a phone number is never that of the account, and
// no name makes it so.
func TestKA_12_RenameBetweenPNIAndACI(t *testing.T) {
	alice, bob := byPhone(t)
	talk(t, alice, bob)
	pni := "PNI:" + bobAddress.User
	for _, names := range [][2]string{
		{pni, bobAddress.User}, {bobAddress.User, pni}, {pni, "bob"}, {bob.called.User, strings.ToUpper(bobAddress.User[:1]) + pni},
		{bob.called.User, pni}, {bob.called.User, "PNI:" + strings.ToUpper(bobAddress.User)},
	} {
		before := alice.digest(t)
		err := alice.Rename(ctx, names[0], names[1])
		if strings.HasPrefix(names[1], "PNI:") || strings.HasPrefix(names[0], "PNI:") {
			refused(t, err, session.ErrMalformed)
			require.Equal(t, before, alice.digest(t))
		} else { // a name like any other
			require.NoError(t, err)
			require.NoError(t, alice.Rename(ctx, names[1], names[0]))
		}
	}
	talk(t, alice, bob)
	require.NoError(t, alice.Forget(ctx, pni))
}
