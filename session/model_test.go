package session_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// A model is bob, who talks with devices at one address, each under a key of
// its own, while sessions begin, come late, expire, are archived, accepted and
// moved about; and what must be true of his records after every step.
type model struct {
	*pair
	t      *testing.T
	r      *mathrand.Rand
	phones []*side // at alice's address
	flying []*letter
	read   []*letter
	seen   map[string]bool // "base key, ratchet key" that bob has read from
	used   map[string]bool // "ratchet key, counter" that bob has sent
	count  map[string]int
}

// A letter is a message to bob.
type letter struct {
	m       *session.Message
	from    *side
	got     *session.Received // once bob has read it
	acked   time.Time         // zero: not yet
	base    []byte
	ratchet []byte
	text    string
}

// TestSES_05_RandomSequences holds the records of a device against what the
// design says of them, over random sequences of all that changes them.
func TestSES_05_RandomSequences(t *testing.T) {
	seeds, steps := uint64(6), 250
	if !testing.Short() {
		seeds, steps = 8, 1000
	}
	total := map[string]int{}
	for seed := range seeds {
		m := newModel(t, seed, total)
		for range steps {
			m.step()
		}
		m.settle()
	}
	for _, what := range []string{"begun", "read", "again", "redelivered", "lost", "accepted", "refused", "promoted", "kept", "trimmed", "expired", "answered", "imported", "unaccepted"} {
		require.NotZero(t, total[what], "%s: %v", what, total)
	}
}

func newModel(t *testing.T, seed uint64, count map[string]int) *model {
	p := strangers(t)
	m := &model{pair: p, t: t, r: mathrand.New(mathrand.NewPCG(seed, 5)), seen: map[string]bool{}, used: map[string]bool{}, count: count}
	o := *p.bob.opts
	o.PromoteOnlyNewer = seed%4 == 3
	p.bob = newSide(t, bobAddress, nil, &o)
	for range 3 {
		m.phones = append(m.phones, newSide(t, aliceAddress, nil, p.alice.opts))
	}
	return m
}

func (m *model) phone() *side {
	return m.phones[[]int{0, 0, 0, 0, 1, 1, 2}[m.r.IntN(7)]]
}

// step does one thing, and checks the records before and after it.
func (m *model) step() {
	before := m.records()
	trims := false
	switch n := m.r.IntN(100); {
	case n < 22:
		trims = m.begins()
	case n < 42:
		m.writes(m.phone())
	case n < 70 && len(m.flying) > 0:
		i := m.r.IntN(len(m.flying))
		if n < 55 { // the newest is the likeliest
			i = len(m.flying) - 1
		}
		trims = m.delivers(i, before)
	case n < 75 && len(m.read) > 0:
		m.repeats(m.read[m.r.IntN(len(m.read))])
	case n < 85:
		m.answers()
	case n < 89:
		m.accepts(before)
		trims = true
	case n < 91:
		trims = m.bob.Archive(ctx, aliceAddress) == nil
	case n < 92:
		m.moves()
	default:
		m.now = m.now.Add(time.Duration(m.r.IntN(100)-5) * time.Hour)
	}
	m.compare(before, m.records(), trims)
}

// begins has either side begin a session. It reports whether bob did.
func (m *model) begins() bool {
	p := m.phone()
	m.count["begun"]++
	if m.r.IntN(4) > 0 {
		p.begin(m.t, m.bob)
		m.writes(p)
		return false
	}
	id, err := m.bob.PeerIdentity(ctx, aliceAddress)
	require.NoError(m.t, err)
	err = m.bob.Begin(ctx, aliceAddress, bundleOf(m.t, p))
	if !id.Accepted.IsZero() && id.Accepted != p.Identity() {
		refusedAs[*session.UntrustedIdentityError](m.t, err)
		return false
	}
	require.NoError(m.t, err)
	return true
}

// writes has a phone send, if it can.
func (m *model) writes(p *side) {
	text := fmt.Sprint("letter ", len(m.flying)+len(m.read))
	msg, err := p.Encrypt(ctx, bobAddress, []byte(text))
	if err != nil {
		require.True(m.t, isAny(err, session.ErrNoSession, session.ErrStale), "%v", err)
		return
	}
	base := baseKey(p.index(m.t, bobAddress).Current)
	m.flying = append(m.flying, &letter{m: msg, from: p, base: base, ratchet: inner(m.t, msg).RatchetKey, text: text})
}

// delivers gives bob letter i. It reports whether he read it.
func (m *model) delivers(i int, before *records) bool {
	l := m.flying[i]
	m.flying = slices.Delete(m.flying, i, i+1)
	unharmed := testutil.StoreDigest(m.t, m.bob.store)
	r, err := m.bob.Decrypt(ctx, aliceAddress, l.m, nil)
	if err != nil {
		requireQuiet(m.t, err)
		require.Equal(m.t, unharmed, testutil.StoreDigest(m.t, m.bob.store))
		require.True(m.t, m.mayBeLost(l, before), "lost %q: %v", l.text, err)
		m.count["lost"]++
		return false
	}
	require.Equal(m.t, l.text, string(r.Plaintext))
	require.Equal(m.t, l.from.Identity(), r.Identity)
	id, err := m.bob.PeerIdentity(ctx, aliceAddress)
	require.NoError(m.t, err)
	require.Equal(m.t, id.Accepted == r.Identity, r.Accepted)
	m.seen[string(l.base)+string(l.ratchet)] = true
	l.got = r
	m.read = append(m.read, l)
	m.count["read"]++
	return true
}

// mayBeLost reports whether bob may be unable to read a letter: its session is
// gone, or never came and cannot begin any more, or its chain is.
func (m *model) mayBeLost(l *letter, before *records) bool {
	s := before.sessions[string(l.base)]
	if s == nil {
		begins := l.m.Type == session.TypePreKey && !m.seen[string(l.base)] && m.keyFor(l)
		return !begins
	}
	if m.now.Sub(s.at) > 30*24*time.Hour && !s.current {
		return true
	}
	held := slices.ContainsFunc(s.state.Receivers, func(c wire.Chain) bool { return bytes.Equal(c.PublicKey, l.ratchet) })
	return !held && m.seen[string(l.base)+string(l.ratchet)]
}

// keyFor reports whether bob has the prekeys of a first message.
func (m *model) keyFor(l *letter) bool {
	return m.bob.hasPreKey(m.t, "prekey", outerOf(m.t, l.m).PreKeyID)
}

// repeats gives bob a letter that he has read: until he acknowledges it he
// reads it again, and for 7 days after that it is a duplicate.
func (m *model) repeats(l *letter) {
	if l.acked.IsZero() && m.r.IntN(2) == 0 {
		require.NoError(m.t, m.bob.Acknowledge(ctx, l.got))
		l.acked = m.now
	}
	before := testutil.StoreDigest(m.t, m.bob.store)
	if l.acked.IsZero() {
		sameResult(m.t, m.bob.reads(m.t, l.from, l.m, l.text), l.got)
		m.count["redelivered"]++
	} else {
		err := m.bob.decrypt(l.from, l.m)
		require.Error(m.t, err)
		if m.now.Sub(l.acked) <= 7*24*time.Hour {
			refused(m.t, err, session.ErrDuplicate)
		}
		m.count["again"]++
	}
	require.Equal(m.t, before, testutil.StoreDigest(m.t, m.bob.store))
}

// answers has bob send, and whoever has the accepted key read it.
func (m *model) answers() {
	id, err := m.bob.PeerIdentity(ctx, aliceAddress)
	require.NoError(m.t, err)
	msg, err := m.bob.Encrypt(ctx, aliceAddress, []byte("answer"))
	if err != nil {
		if !isAny(err, session.ErrNoSession, session.ErrStale) {
			e := refusedAs[*session.UntrustedIdentityError](m.t, err)
			require.Equal(m.t, id.Accepted, e.Accepted)
			require.Equal(m.t, id.Seen, e.Seen)
			require.NotEqual(m.t, e.Accepted, e.Seen)
			m.count["refused"]++
		}
		return
	}
	require.Equal(m.t, id.Accepted, id.Seen)
	in := inner(m.t, msg)
	counter := fmt.Sprintf("%x %d", in.RatchetKey, in.Counter)
	require.False(m.t, m.used[counter], "a counter twice")
	m.used[counter] = true
	for _, p := range m.phones {
		if p.Identity() == id.Accepted && m.r.IntN(3) > 0 {
			if r, err := p.Decrypt(ctx, bobAddress, msg, nil); err == nil {
				require.Equal(m.t, "answer", string(r.Plaintext))
				m.count["answered"]++
			}
		}
	}
}

// accepts has bob accept a key: the newest seen, or any.
func (m *model) accepts(before *records) {
	id, err := m.bob.PeerIdentity(ctx, aliceAddress)
	require.NoError(m.t, err)
	key := id.Seen
	if key.IsZero() || m.r.IntN(3) == 0 {
		key = m.phone().Identity()
	}
	require.NoError(m.t, m.bob.AcceptIdentity(ctx, aliceAddress, key))
	m.count["accepted"]++
	// The newest under the key on which he read something is the current one now,
	// if there is any; else the one that was.
	want := []byte(nil)
	for _, s := range before.order {
		if s.under(key) && (s.current || heard(s.state)) && (s.current || m.now.Sub(s.at) <= 30*24*time.Hour) {
			want = s.state.BaseKey
			break
		}
	}
	require.Equal(m.t, want, baseKey(m.bob.index(m.t, aliceAddress).Current))
}

// moves has bob export all sessions and import them again, or reopens him.
func (m *model) moves() {
	record, err := m.bob.ExportSession(ctx, aliceAddress)
	if err != nil {
		refused(m.t, err, session.ErrNoSession)
		return
	}
	require.NoError(m.t, m.bob.ImportSession(ctx, aliceAddress, record))
	again, err := m.bob.ExportSession(ctx, aliceAddress)
	require.NoError(m.t, err)
	require.Equal(m.t, record, again)
	m.count["imported"]++
	m.bob = m.bob.reopen(m.t)
}

// settle lets the sides agree again, whatever was.
func (m *model) settle() {
	id := m.phones[0].Identity()
	require.NoError(m.t, m.bob.AcceptIdentity(ctx, aliceAddress, id))
	m.alice = m.phones[0]
	m.alice.begin(m.t, m.bob)
	m.goesOn(m.t)
	require.True(m.t, m.agree(m.t))
}

// heard reports whether a message was read on a session.
func heard(s *wire.Session) bool {
	return slices.ContainsFunc(s.Receivers, func(c wire.Chain) bool { return c.Index > 0 })
}

// records are what bob keeps of sessions: by base key, and in their order.
type records struct {
	sessions map[string]*kept
	order    []*kept
}

type kept struct {
	state      *wire.Session
	current    bool
	at         time.Time // when archived
	unaccepted bool
}

func (k *kept) under(key keys.IdentityKey) bool {
	return bytes.Equal(k.state.RemoteIdentity, key.Bytes())
}

// records reads bob's records, and requires that they are sound.
func (m *model) records() *records {
	idx := m.bob.index(m.t, aliceAddress)
	id, err := m.bob.PeerIdentity(ctx, aliceAddress)
	require.NoError(m.t, err)
	out := &records{sessions: map[string]*kept{}}
	add := func(raw []byte, k *kept) {
		k.state, err = wire.ParseSession(raw)
		require.NoError(m.t, err)
		require.Nil(m.t, out.sessions[string(k.state.BaseKey)])
		out.sessions[string(k.state.BaseKey)] = k
		out.order = append(out.order, k)
	}
	if idx.Current != nil {
		k := &kept{current: true}
		add(idx.Current, k)
		require.True(m.t, k.under(id.Accepted), "sending under a key that is not accepted")
	}
	few := 0
	for i := range idx.Archived {
		n := &idx.Archived[i]
		k := &kept{at: time.UnixMilli(int64(n.ArchivedAt)), unaccepted: n.Unaccepted}
		add(m.bob.load(m.t, m.bob.key("archive", aliceAddress.User, archiveName(aliceAddress, n))).Value[1:], k)
		m.sound(n, k, id.Accepted)
		if n.Unaccepted {
			few++
		}
	}
	require.LessOrEqual(m.t, few, 4)
	m.count["unaccepted"] += few
	return out
}

// sound requires that what the record "session" says of an archived one is so.
func (m *model) sound(n *wire.ArchivedNote, k *kept, accepted keys.IdentityKey) {
	name := sha256.Sum256(k.state.BaseKey)
	require.Equal(m.t, name[:], n.Name)
	require.Nil(m.t, k.state.Pending)
	require.Nil(m.t, k.state.PendingKEM)
	require.False(m.t, k.unaccepted && k.under(accepted), "accepted, and marked as not")
	var hints []byte
	for i := range k.state.Receivers {
		h := sha256.Sum256(k.state.Receivers[i].PublicKey)
		hints = append(hints, h[:wire.HintSize]...)
	}
	require.Equal(m.t, hints, append([]byte(nil), n.Hints...))
}

// compare requires that no session went without a reason, and that the order
// of those that stayed in the archive is the same. trims says that one may have
// been added.
func (m *model) compare(before, after *records, trims bool) {
	var was, is []string
	for _, s := range before.order {
		base := string(s.state.BaseKey)
		now := after.sessions[base]
		switch {
		case now == nil && m.now.Sub(s.at) > 30*24*time.Hour && !s.current:
			m.count["expired"]++
		case now == nil:
			require.True(m.t, trims && !s.current, "a session is gone (the current one: %v)", s.current)
			m.trimmed(s, before, after)
		case now.current && !s.current:
			m.count["promoted"]++
		case !now.current && !s.current:
			was = append(was, base)
			if !bytes.Equal(s.state.RootKey, now.state.RootKey) {
				m.count["kept"]++
			}
		}
	}
	for _, s := range after.order {
		if old := before.sessions[string(s.state.BaseKey)]; old != nil && !old.current && !s.current {
			is = append(is, string(s.state.BaseKey))
		}
	}
	require.Equal(m.t, was, is, "the archive is in another order")
}

// trimmed requires that s had to make room: a session under a key that is not
// accepted is the oldest of more than four, or of 41; another one the oldest of
// 40 of its kind.
func (m *model) trimmed(s *kept, before, after *records) {
	m.count["trimmed"]++
	few, other := 0, 0
	for _, k := range after.order {
		switch {
		case k.unaccepted:
			few++
		case !k.current:
			other++
		}
	}
	if s.unaccepted {
		require.True(m.t, few == 4 || few+other == 40, "room for an unaccepted one")
	} else {
		require.Equal(m.t, 40, other, "room for one more")
	}
	for _, k := range before.order { // the oldest of its kind
		if k == s {
			continue
		}
		if i, j := slices.Index(before.order, s), slices.Index(before.order, k); j > i && k.unaccepted == s.unaccepted {
			require.Nil(m.t, after.sessions[string(k.state.BaseKey)], "one older than it stayed")
		}
	}
}
