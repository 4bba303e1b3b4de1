package session_test

import (
	mathrand "math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/ratchet"
	"github.com/gembok-e2ee/gembok/session"
)

// damages are all the ways to spoil one field of a stored session.
var damages = map[string]func(*wire.Session){
	"version":            func(s *wire.Session) { s.Version = 7 },
	"local identity":     func(s *wire.Session) { s.LocalIdentity = s.LocalIdentity[:32] },
	"no local identity":  func(s *wire.Session) { s.LocalIdentity = nil },
	"other local":        func(s *wire.Session) { s.LocalIdentity = s.RemoteIdentity },
	"remote identity":    func(s *wire.Session) { s.RemoteIdentity = append([]byte{4}, s.RemoteIdentity[1:]...) },
	"no remote identity": func(s *wire.Session) { s.RemoteIdentity = nil },
	"root key":           func(s *wire.Session) { s.RootKey = s.RootKey[:31] },
	"no root key":        func(s *wire.Session) { s.RootKey = nil },
	"no sender":          func(s *wire.Session) { s.Sender = nil },
	"sender private":     func(s *wire.Session) { s.Sender.PrivateKey = s.Sender.PrivateKey[:31] },
	"sender chain":       func(s *wire.Session) { s.Sender.Key = s.Sender.Key[:31] },
	"sender public":      func(s *wire.Session) { s.Sender.PublicKey = s.Sender.PublicKey[:32] },
	"SPQR state":         func(s *wire.Session) { s.PQRatchet = s.PQRatchet[:len(s.PQRatchet)-1] },
	"SPQR bytes":         func(s *wire.Session) { s.PQRatchet = []byte{0xFF, 0xFF} },
	"no SPQR":            func(s *wire.Session) { s.PQRatchet = nil },
}

// A damaged archived session is passed over, whatever is wrong with it.
func TestSES_04_DamagedArchivedSession(t *testing.T) {
	p, ends := many(t, 3)
	raw := map[string]func([]byte) []byte{
		"gone":        nil,
		"not decoded": func([]byte) []byte { return []byte{1, 0xFF, 0xFF} },
		"empty":       func([]byte) []byte { return []byte{1} },
		"no format":   func([]byte) []byte { return []byte{} },
		"cut":         func(b []byte) []byte { return b[:len(b)-1] },
		"zeros":       func(b []byte) []byte { return append([]byte{1}, make([]byte, len(b)-1)...) },
	}
	for name, damage := range damages {
		raw[name] = func(b []byte) []byte { return append([]byte{1}, editSession(t, b[1:], damage)...) }
	}
	base := p.bob.index(t, p.alice.Address())
	for name, change := range raw {
		t.Run(name, func(t *testing.T) {
			q := &pair{alice: p.alice.reopen(t), bob: p.bob.reopen(t)}
			newest := q.bob.key("archive", aliceAddress.User, archiveName(p.alice.Address(), &base.Archived[0]))
			rec := q.bob.load(t, newest)
			if change == nil {
				_, err := q.bob.store.Commit(ctx, keystore.Change{Op: keystore.Delete, Key: newest, Expect: rec.Version})
				require.NoError(t, err)
			} else {
				q.bob.write(t, newest, change(rec.Value))
			}
			// Garbage, a message for the older session behind it, a new session.
			q.unharmedStores(t, func() { refused(t, q.bob.decrypt(q.alice, hostile(0, 1, 3)), session.ErrAuth) })
			older, err := ratchet.Parse(ends[0].Append(nil))
			require.NoError(t, err)
			q.bob.reads(t, q.alice, says(t, older, "the older one"), "the older one")
			q.alice.begin(t, q.bob)
			q.goesOn(t)
		})
	}
}

// A damaged current session fails with one error, beside which it is said
// that it is damage; archived ones and new ones go on.
func TestSES_04_DamagedCurrentSession(t *testing.T) {
	p, ends := many(t, 3)
	good := p.bob.index(t, p.alice.Address())
	copyOf := func(end *ratchet.Session) *ratchet.Session {
		out, err := ratchet.Parse(end.Append(nil))
		require.NoError(t, err)
		return out
	}
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			q := &pair{alice: p.alice.reopen(t), bob: p.bob.reopen(t)}
			idx := good
			idx.Current = editSession(t, idx.Current, damage)
			q.bob.put(t, sessionKey(q.bob, q.alice.Address()), wire.AppendSessionIndex(nil, &idx))
			m := says(t, copyOf(ends[2]), "for the damaged one")
			q.unharmedStores(t, func() {
				err := q.bob.decrypt(q.alice, m)
				require.True(t, isAny(err, session.ErrAuth, session.ErrVersion), "%v", err)
				requireQuiet(t, err)
			})
			q.sendsDamaged(t, name)
			q.bob.reads(t, q.alice, says(t, copyOf(ends[0]), "an archived one"), "an archived one")
			q.alice.begin(t, q.bob)
			q.goesOn(t)
		})
	}
}

// sendsDamaged has bob send on a damaged session: it is ErrCorrupt, if it is
// something that sending looks at.
func (p *pair) sendsDamaged(t *testing.T, name string) {
	t.Helper()
	bob := p.bob.reopen(t)
	before := testutil.StoreDigest(t, bob.store)
	m, err := bob.Encrypt(ctx, p.alice.Address(), nil)
	if err == nil {
		require.Contains(t, []string{"other local", "root key", "no root key", "no SPQR"}, name)
		err := p.alice.reopen(t).decrypt(p.bob, m)
		require.True(t, err == nil || isAny(err, session.ErrAuth), "%v", err)
		return
	}
	refused(t, err, session.ErrCorrupt)
	require.Equal(t, before, testutil.StoreDigest(t, bob.store))
}

// Damage of a receiver chain matters only to the messages on it.
func TestSES_04_DamagedReceiverChain(t *testing.T) {
	p := friends(t)
	first := p.alice.send(t, p.bob, "on the chain")
	late := p.alice.send(t, p.bob, "late")
	p.bob.reads(t, p.alice, first, "on the chain")
	good := p.bob.index(t, p.alice.Address())
	last := len(p.bob.state(t, p.alice).Receivers) - 1
	for name, damage := range map[string]func(c *wire.Chain){
		"public key": func(c *wire.Chain) { c.PublicKey = []byte{5} },
		"no key":     func(c *wire.Chain) { c.Key, c.Index = nil, 0 },
		"short key":  func(c *wire.Chain) { c.Key = c.Key[:31] },
	} {
		t.Run(name, func(t *testing.T) {
			q := &pair{alice: p.alice.reopen(t), bob: p.bob.reopen(t)}
			idx := good
			idx.Current = editSession(t, idx.Current, func(s *wire.Session) { damage(&s.Receivers[last]) })
			q.bob.put(t, sessionKey(q.bob, q.alice.Address()), wire.AppendSessionIndex(nil, &idx))
			q.unharmedStores(t, func() { refused(t, q.bob.decrypt(q.alice, late), session.ErrAuth) })
			q.alice.reads(t, q.bob, q.bob.send(t, q.alice, "answer"), "answer")
			q.goesOn(t)
		})
	}
}

// TestSES_05_ASessionExistsOnce makes 1,000 random promotions; index looks
// for doubles and leftovers after each.
func TestSES_05_ASessionExistsOnce(t *testing.T) {
	p, ends := many(t, 41)
	r := mathrand.New(mathrand.NewPCG(5, 5))
	promotions := 0
	for i := range 1000 {
		at := r.IntN(len(ends))
		before := baseKey(p.bob.index(t, p.alice.Address()).Current)
		p.bob.reads(t, p.alice, says(t, ends[at], "promoted"), "promoted")
		idx := p.bob.index(t, p.alice.Address())
		require.Equal(t, ends[at].BaseKey(), baseKey(idx.Current))
		require.Equal(t, 40, len(idx.Archived))
		if string(before) != string(baseKey(idx.Current)) {
			promotions++
		}
		if i%100 == 0 { // the other side's answer moves the end on
			m := p.bob.send(t, p.alice, "answer")
			_, err := ends[at].Decrypt(m.Bytes, nil)
			require.NoError(t, err)
		}
	}
	require.Greater(t, promotions, 900)
}

// TestSES_06_VersionMismatch has a session of version 3 in front of one of
// version 4, and the other way round.
func TestSES_06_VersionMismatch(t *testing.T) {
	p := version3(t)
	old := p.alice.current(t, p.bob)
	p.alice.begin(t, p.bob)
	p.goesOn(t)
	end := p.alice.current(t, p.bob)
	for range 3 {
		p.bob.reads(t, p.alice, says(t, old, "version 3"), "version 3")
		p.bob.reads(t, p.alice, says(t, end, "version 4"), "version 4")
	}
	p.bob.reads(t, p.alice, says(t, old, "version 3"), "version 3")
	require.Equal(t, uint32(3), p.bob.state(t, p.alice).Version)
	m := says(t, end, "of the archived session")
	for _, b := range []byte{0x34, 0x33} { // a lie about the version
		p.unharmedStores(t, func() {
			require.True(t, isAny(p.bob.decrypt(p.alice, withByte(m, b)), session.ErrAuth, session.ErrVersion))
		})
	}
	p.bob.reads(t, p.alice, m, "of the archived session")
	require.NoError(t, p.bob.Archive(ctx, p.alice.Address())) // nothing but archived ones
	p.unharmedStores(t, func() {
		require.True(t, isAny(p.bob.decrypt(p.alice, withByte(says(t, end, ""), 0x34)), session.ErrAuth, session.ErrVersion))
	})
}

// TestSES_11_DelayedMessages has messages of any session, sent before others
// took its place, arrive in any order: each is read, once.
func TestSES_11_DelayedMessages(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := strangers(t)
		type delayed struct {
			m        *session.Message
			from, to *side
		}
		var waiting []delayed
		sides := []*side{p.alice, p.bob}
		deliver := func(i int) {
			d := waiting[i]
			waiting = append(waiting[:i:i], waiting[i+1:]...)
			d.to.saves(t, d.from, d.m, "delayed")
			refused(t, d.to.decrypt(d.from, d.m), session.ErrDuplicate)
		}
		// So few that nothing falls out of the window of five receiver chains.
		steps := rapid.SliceOfN(rapid.IntRange(0, 9), 1, 16).Draw(rt, "steps")
		for _, step := range steps {
			i := step % 2
			from, to := sides[i], sides[1-i]
			switch {
			case step < 2:
				from.begin(t, to)
			case step < 7:
				m, err := from.Encrypt(ctx, to.Address(), []byte("delayed"))
				if err != nil {
					require.ErrorIs(t, err, session.ErrNoSession)
					continue
				}
				waiting = append(waiting, delayed{m, from, to})
			case len(waiting) > 0:
				deliver(rapid.IntRange(0, len(waiting)-1).Draw(rt, "which"))
			}
		}
		for len(waiting) > 0 {
			deliver(rapid.IntRange(0, len(waiting)-1).Draw(rt, "rest"))
		}
		p.alice.index(t, p.bob.Address())
		p.bob.index(t, p.alice.Address())
	})
}

// A session that is not among 41, or was archived over 30 days ago, is gone.
func TestSES_11_LimitsOfTheArchive(t *testing.T) {
	p, ends := many(t, 43)
	for _, end := range ends[:2] {
		p.unharmedStores(t, func() { refused(t, p.bob.decrypt(p.alice, says(t, end, "too old")), session.ErrAuth) })
	}
	p.bob.reads(t, p.alice, says(t, ends[2], "the 41st"), "the 41st")

	archived := p.now
	p.now = archived.Add(30 * 24 * time.Hour)
	p.bob.reads(t, p.alice, says(t, ends[3], "the last day"), "the last day")
	p.now = p.now.Add(time.Millisecond)
	p.unharmedStores(t, func() {
		m := says(t, ends[4], "a day late")
		refused(t, p.bob.decrypt(p.alice, m), session.ErrAuth)
		// Nor is it found by its base key.
		refusedAs[*session.PreKeyNotFoundError](t, p.bob.decrypt(p.alice, asFirst(t, ends[4], m)))
	})
	p.alice.begin(t, p.bob) // what expired goes with the next commit; the two that moved stay
	p.goesOn(t)
	require.Equal(t, 2, len(p.bob.index(t, p.alice.Address()).Archived))
}

// asFirst wraps m of an end as a message that begins its session.
func asFirst(t *testing.T, end *ratchet.Session, m *session.Message) *session.Message {
	t.Helper()
	local, err := end.LocalIdentity()
	require.NoError(t, err)
	outer := wire.PreKeySignalMessage{
		Version: 4, SignedPreKeyID: 1, HasKEM: true, KEMPreKeyID: 1 << 20, KEMCiphertext: make([]byte, 1569),
		BaseKey: end.BaseKey(), IdentityKey: local.Bytes(), MessageBytes: m.Bytes,
	}
	return &session.Message{Type: session.TypePreKey, Bytes: wire.AppendPreKeySignalMessage(nil, &outer)}
}

// What expired makes room before anything that did not: a new key's session is
// there to read the second message.
func TestSES_11_ExpiredGoFirst(t *testing.T) {
	p, _ := many(t, 41)
	p.now = p.now.Add(31 * 24 * time.Hour)
	other := p.reinstalled(t)
	other.begin(t, p.bob)
	p.bob.reads(t, other, other.send(t, p.bob, "one"), "one")
	p.bob.reads(t, other, other.send(t, p.bob, "two"), "two")
	require.Equal(t, 1, len(p.bob.index(t, aliceAddress).Archived))
}

// In strict mode an archived session decrypts and never sends again.
func TestPromoteOnlyNewer(t *testing.T) {
	p := strangers(t)
	p.bob = newSide(t, bobAddress, nil, &session.Options{PromoteOnlyNewer: true})
	p.alice.begin(t, p.bob)
	p.goesOn(t)
	old := p.alice.current(t, p.bob)
	p.alice.begin(t, p.bob)
	p.goesOn(t)
	current := baseKey(p.bob.index(t, p.alice.Address()).Current)
	for i := range 5 {
		p.bob.reads(t, p.alice, says(t, old, "old"), "old")
		idx := p.bob.index(t, p.alice.Address())
		require.Equal(t, current, baseKey(idx.Current), i)
		require.Equal(t, 1, len(idx.Archived))
	}
	require.NoError(t, p.bob.Archive(ctx, p.alice.Address()))
	p.bob.reads(t, p.alice, says(t, old, "old"), "old")
	_, err := p.bob.Encrypt(ctx, p.alice.Address(), nil)
	refused(t, err, session.ErrNoSession)
}

// A current session that does not decode at all is carried along: it is in
// the way of nothing.
func TestSES_04_CurrentSessionNotDecoded(t *testing.T) {
	p, ends := many(t, 3)
	idx := p.bob.index(t, p.alice.Address())
	idx.Current = []byte{0xFF, 0xFF}
	p.bob.put(t, sessionKey(p.bob, p.alice.Address()), wire.AppendSessionIndex(nil, &idx))
	next, err := ratchet.Parse(ends[2].Append(nil))
	require.NoError(t, err)
	p.unharmedStores(t, func() {
		err := p.bob.decrypt(p.alice, says(t, next, "for the damaged one"))
		refused(t, err, session.ErrAuth)
		require.ErrorIs(t, err, session.ErrCorrupt)
		_, err = p.bob.Encrypt(ctx, p.alice.Address(), nil)
		refused(t, err, session.ErrCorrupt)
	})
	q := &pair{alice: p.alice.reopen(t), bob: p.bob.reopen(t)}
	q.bob.reads(t, q.alice, says(t, ends[0], "archived"), "archived")
	require.Equal(t, []byte{0xFF, 0xFF}, q.bob.record(t, q.alice).Previous[0])
	p.alice.begin(t, p.bob)
	p.goesOn(t)
	require.Equal(t, []byte{0xFF, 0xFF}, p.bob.record(t, p.alice).Previous[0])
	p.bob.index(t, p.alice.Address())

	// Nor does it keep an identity key from being accepted.
	p.bob.put(t, sessionKey(p.bob, p.alice.Address()), wire.AppendSessionIndex(nil, &idx))
	require.NoError(t, p.bob.AcceptIdentity(ctx, p.alice.Address(), p.alice.Identity()))
	require.NotEqual(t, []byte{0xFF, 0xFF}, p.bob.index(t, p.alice.Address()).Current)
}

// What expired is not revived by a prekey message either, and goes with any
// message that is read.
func TestSES_11_ExpiredSession(t *testing.T) {
	p := met(t)
	p.goesOnWith(t, "1")
	old := p.alice.send(t, p.bob, "2")
	require.NoError(t, p.bob.Archive(ctx, p.alice.Address()))
	p.alice.begin(t, p.bob)
	p.goesOn(t)
	p.now = p.now.Add(30*24*time.Hour + time.Millisecond)
	p.unharmed(t, func() { refusedAs[*session.PreKeyNotFoundError](t, p.bob.decrypt(p.alice, old)) })
	require.Empty(t, p.bob.index(t, p.alice.Address()).Archived)
	require.Empty(t, p.bob.list(t, "archive", ""))
	p.goesOn(t)
}
