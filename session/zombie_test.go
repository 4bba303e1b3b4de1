package session_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/ratchet"
	"github.com/gembok-e2ee/gembok/session"
)

// robbed are friends of whom somebody has copied alice's session, which she has
// left for a new one since. Bob's store is another one, if there is one.
func robbed(t *testing.T, strict bool, store keystore.Store) (p *pair, thief *ratchet.Session) {
	t.Helper()
	p = strangers(t)
	o := *p.bob.opts
	o.PromoteOnlyNewer = strict
	p.bob.opts = &o
	p.bob = p.bob.reopen(t)
	if store != nil {
		p.bob.takesTo(t, store)
	}
	p.alice.begin(t, p.bob)
	p.goesOn(t)
	thief = p.alice.current(t, p.bob)
	p.renews(t)
	return p, thief
}

// renews has alice begin a new session, to be healed on.
func (p *pair) renews(t *testing.T) {
	t.Helper()
	p.alice.begin(t, p.bob)
	p.goesOn(t)
}

// sendsOn requires that bob sends alice what she reads and the thief does not,
// on the session that he sent on before.
func (p *pair) sendsOn(t *testing.T, thief *ratchet.Session, base string) {
	t.Helper()
	require.Equal(t, base, string(baseKey(p.bob.index(t, p.alice.Address()).Current)))
	m := p.bob.send(t, p.alice, "for alice only")
	raw := m.Bytes
	if m.Type == session.TypePreKey {
		raw = outerOf(t, m).MessageBytes
	}
	_, err := ratchetCopy(t, thief).Decrypt(raw, &ratchet.DecryptOptions{})
	require.Error(t, err)
	p.alice.reads(t, p.bob, m, "for alice only")
}

func ratchetCopy(t *testing.T, s *ratchet.Session) *ratchet.Session {
	t.Helper()
	out, err := ratchet.Parse(s.Append(nil))
	require.NoError(t, err)
	return out
}

// Somebody has a copy of a session that was left 31 days ago: nothing is done
// with it any more, by default or otherwise.
func TestSES_02_CopyOfAnOldSession(t *testing.T) { oldCopy(t, nil) }

func oldCopy(t *testing.T, store keystore.Store) {
	for _, strict := range []bool{false, true} {
		p, thief := robbed(t, strict, store)
		base := string(baseKey(p.bob.index(t, p.alice.Address()).Current))
		p.now = p.now.Add(31 * 24 * time.Hour)
		for range 2 {
			m := says(t, thief, "it is me, alice")
			p.unharmed(t, func() { refused(t, p.bob.decrypt(p.alice, m), session.ErrAuth) })
		}
		p.sendsOn(t, thief, base)
		require.Empty(t, p.bob.list(t, "archive", ""), "the next message that was read removed it")
		p.goesOn(t)
		store = nil
	}
}

// Before that, what is sent on it is read. With PromoteOnlyNewer it brings the
// old session not back; by default it does, until the peer's next message.
func TestSES_02_PromoteOnlyNewer(t *testing.T) { promoteOnlyNewer(t, nil) }

func promoteOnlyNewer(t *testing.T, store keystore.Store) {
	p, thief := robbed(t, true, store)
	base := string(baseKey(p.bob.index(t, p.alice.Address()).Current))
	for day := range 4 {
		p.now = p.now.Add(7 * 24 * time.Hour)
		r := p.bob.reads(t, p.alice, says(t, thief, "it is me, alice"), "it is me, alice")
		require.Empty(t, r.Events)
		p.sendsOn(t, thief, base)
		require.NoError(t, p.bob.AcceptIdentity(ctx, p.alice.Address(), p.alice.Identity()))
		p.sendsOn(t, thief, base)
		require.Len(t, p.bob.index(t, p.alice.Address()).Archived, 1, day)
		if day%2 == 1 {
			p.goesOn(t)
		}
	}
	p.now = p.now.Add(3 * 24 * time.Hour)
	m := says(t, thief, "still me")
	p.unharmed(t, func() { refused(t, p.bob.decrypt(p.alice, m), session.ErrAuth) })
	p.sendsOn(t, thief, base)
}

// What the test above is to see.
func TestSES_02_PromotedByDefault(t *testing.T) {
	p, thief := robbed(t, false, nil)
	base := string(baseKey(p.bob.index(t, p.alice.Address()).Current))
	p.bob.reads(t, p.alice, says(t, thief, "it is me, alice"), "it is me, alice")
	require.NotEqual(t, base, string(baseKey(p.bob.index(t, p.alice.Address()).Current)))
	m := p.bob.send(t, p.alice, "for whom")
	got, err := ratchetCopy(t, thief).Decrypt(m.Bytes, &ratchet.DecryptOptions{})
	require.NoError(t, err)
	require.Equal(t, "for whom", string(got))
	p.goesOnWith(t, "on the new session")
	p.sendsOn(t, thief, base)
}

// A first message of the session, with which the copy can be wrapped, changes
// nothing about that.
func TestSES_02_FirstMessageOfAnOldSession(t *testing.T) {
	p := strangers(t)
	o := *p.bob.opts
	o.PromoteOnlyNewer = true
	p.bob.opts = &o
	p.bob = p.bob.reopen(t)
	p.alice.begin(t, p.bob)
	p.goesOnWith(t, "first")
	thief := p.alice.current(t, p.bob)
	p.renews(t)
	base := string(baseKey(p.bob.index(t, p.alice.Address()).Current))
	m := says(t, thief, "again")
	require.Equal(t, session.TypePreKey, m.Type)
	p.bob.reads(t, p.alice, m, "again")
	p.sendsOn(t, thief, base)
	p.now = p.now.Add(31 * 24 * time.Hour)
	m = says(t, thief, "and again")
	p.unharmed(t, func() { refusedAs[*session.PreKeyNotFoundError](t, p.bob.decrypt(p.alice, m)) })
	p.goesOn(t)
}
