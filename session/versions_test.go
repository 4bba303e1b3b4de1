package session_test

import (
	"crypto/rand"
	"io"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

func withByte(m *session.Message, b byte) *session.Message {
	return &session.Message{Type: m.Type, Bytes: append([]byte{b}, m.Bytes[1:]...)}
}

// TestKA_18_A24_Versions is also A24: X3DH's first messages are malformed, which
// asks for another one, and not of a version nobody could speak.
func TestKA_18_A24_Versions(t *testing.T) {
	p := met(t)
	first := p.alice.send(t, p.bob, "hello")
	refuseAll := func(known bool) {
		t.Helper()
		want := session.ErrMalformed
		if known { // by the message inside
			want = session.ErrDuplicate
		}
		x3dh := edit(t, first, func(m *wire.PreKeySignalMessage) { m.Version = 3 })
		for _, b := range []byte{0x33, 0x34, 0x30, 0x3F} {
			for _, m := range []*session.Message{withByte(x3dh, b), without(t, withByte(x3dh, b), 7, 8)} {
				p.unharmedStores(t, func() {
					err := p.bob.decrypt(p.alice, m)
					refused(t, err, want)
					require.NotErrorIs(t, err, session.ErrVersion)
				})
			}
		}
		for _, b := range []byte{0x04, 0x14, 0x24, 0x54, 0x55, 0xF4} {
			p.unharmedStores(t, func() {
				refused(t, p.bob.decrypt(p.alice, withByte(first, b)), session.ErrVersion)
				in := edit(t, first, func(m *wire.PreKeySignalMessage) {
					m.MessageBytes = append([]byte{b}, m.MessageBytes[1:]...)
				})
				refused(t, p.bob.decrypt(p.alice, in), session.ErrVersion)
			})
		}
		inner3 := edit(t, first, func(m *wire.PreKeySignalMessage) { m.MessageBytes = append([]byte{0x34}, m.MessageBytes[1:]...) })
		p.unharmedStores(t, func() { refused(t, p.bob.decrypt(p.alice, inner3), session.ErrVersion) })
		if !known { // the low nibble counts for the MAC, inside only
			low := edit(t, first, func(m *wire.PreKeySignalMessage) { m.MessageBytes = append([]byte{0x43}, m.MessageBytes[1:]...) })
			p.unharmedStores(t, func() { refused(t, p.bob.decrypt(p.alice, low), session.ErrAuth) })
		}
	}
	refuseAll(false)
	p.bob.saves(t, p.alice, withByte(first, 0x40), "hello")
	refuseAll(true)
	p.goesOn(t)
	m := p.alice.send(t, p.bob, "later")
	for _, b := range []byte{0x24, 0x34, 0x54} {
		p.unharmedStores(t, func() { refused(t, p.bob.decrypt(p.alice, withByte(m, b)), session.ErrVersion) })
	}
	p.unharmedStores(t, func() { refused(t, p.bob.decrypt(p.alice, withByte(m, 0x43)), session.ErrAuth) })
	p.bob.reads(t, p.alice, m, "later")
}

// version3 are two devices that took an old session, of version 3, over from
// another library.
func version3(t *testing.T) *pair {
	t.Helper()
	p := friends(t)
	old := func(s, peer *side) []byte {
		rec := s.record(t, peer)
		rec.Current = editSession(t, rec.Current, func(s *wire.Session) { s.Version, s.PQRatchet = 3, nil })
		return wire.AppendSessionRecord(nil, &rec)
	}
	a, b := old(p.alice, p.bob), old(p.bob, p.alice)
	require.NoError(t, p.alice.ImportSession(ctx, p.bob.Address(), a))
	require.NoError(t, p.bob.ImportSession(ctx, p.alice.Address(), b))
	return p
}

func editSession(t testing.TB, raw []byte, change func(*wire.Session)) []byte {
	t.Helper()
	s, err := wire.ParseSession(append([]byte(nil), raw...))
	require.NoError(t, err)
	change(s)
	return wire.AppendSession(nil, s)
}

// A25: an imported session of version 3 can be used, and is never made.
func TestKA_18_A25_OldSessionsGoOn(t *testing.T) {
	p := version3(t)
	m := p.alice.send(t, p.bob, "old")
	require.Equal(t, byte(0x34), m.Bytes[0])
	p.bob.reads(t, p.alice, m, "old")
	p.goesOn(t)
	p.alice.begin(t, p.bob)
	m = p.alice.send(t, p.bob, "new")
	require.Equal(t, byte(0x44), m.Bytes[0])
	p.bob.reads(t, p.alice, m, "new")
	p.goesOn(t)
}

func TestKA_18_OtherVersionsAreNotImported(t *testing.T) {
	p := friends(t)
	for _, v := range []uint32{0, 1, 2, 5, 0x104, math.MaxUint32} {
		rec := p.alice.record(t, p.bob)
		rec.Current = editSession(t, rec.Current, func(s *wire.Session) { s.Version = v })
		p.unharmedStores(t, func() {
			refused(t, p.alice.ImportSession(ctx, p.bob.Address(), wire.AppendSessionRecord(nil, &rec)), session.ErrVersion)
		})
		// One that is in the store all the same is not sent on.
		q := &pair{alice: p.alice.reopen(t), bob: p.bob}
		q.alice.put(t, sessionKey(q.alice, bobAddress), wire.AppendSessionIndex(nil, &wire.SessionIndex{Current: rec.Current}))
		q.unharmedStores(t, func() {
			_, err := q.alice.Encrypt(ctx, q.bob.Address(), nil)
			refused(t, err, session.ErrCorrupt)
		})
	}
	p.goesOn(t)
}

func TestKA_20_RegistrationIDIsNotAuthentic(t *testing.T) {
	for _, id := range []uint32{0, 1, 16380, 16384, math.MaxUint32} {
		p := met(t)
		first := p.alice.send(t, p.bob, "hello")
		require.Equal(t, uint32(4711), outerOf(t, first).RegistrationID)
		p.bob.saves(t, p.alice, edit(t, first, func(m *wire.PreKeySignalMessage) { m.RegistrationID = id }), "hello")
		require.Equal(t, id, p.bob.current(t, p.alice).RemoteRegistrationID())
		p.goesOn(t)
		again := edit(t, first, func(m *wire.PreKeySignalMessage) { m.RegistrationID = id + 1 })
		p.unharmed(t, func() { refused(t, p.bob.decrypt(p.alice, again), session.ErrDuplicate) })
	}
}

func TestKA_20_OwnRegistrationID(t *testing.T) {
	for _, id := range []uint32{16381, 0x4000, math.MaxUint32} {
		store := newStore(t)
		before := testutil.StoreDigest(t, store)
		_, err := session.Create(ctx, store, session.Account{Address: aliceAddress, RegistrationID: id}, nil)
		refused(t, err, session.ErrRegistrationID)
		require.Equal(t, before, testutil.StoreDigest(t, store))
	}
	for range 100 {
		d, _ := newDevice(t, aliceAddress, nil)
		require.True(t, 1 <= d.RegistrationID() && d.RegistrationID() <= 16380)
	}
}

// TestKA_22_A16_StaleSession is also A16.
func TestKA_22_A16_StaleSession(t *testing.T) {
	p := met(t)
	start := p.now
	first := p.alice.send(t, p.bob, "hello")
	p.now = start.Add(30 * 24 * time.Hour)
	late := p.alice.send(t, p.bob, "on the last day")
	for _, after := range []time.Duration{time.Millisecond, time.Second, 60 * 24 * time.Hour} {
		p.now = start.Add(30*24*time.Hour + after)
		p.unharmedStores(t, func() {
			_, err := p.alice.Encrypt(ctx, p.bob.Address(), nil)
			refused(t, err, session.ErrStale)
		})
	}
	// Receiving goes on, and with the answer sending does.
	p.bob.reads(t, p.alice, first, "hello")
	p.bob.reads(t, p.alice, late, "on the last day")
	p.alice.reads(t, p.bob, p.bob.send(t, p.alice, "so late"), "so late")
	p.goesOn(t)
	p.now = p.now.Add(10 * 365 * 24 * time.Hour)
	p.goesOn(t)
}

// A record from elsewhere may say any time; one that is none makes nothing stale.
func TestKA_22_TimesThatOverflow(t *testing.T) {
	p := met(t)
	rec := p.alice.record(t, p.bob)
	for _, created := range []uint64{1 << 61, math.MaxInt64, math.MaxUint64} { // 2^61 s are 0 ms, modulo 2^64
		rec.Current = editSession(t, rec.Current, func(s *wire.Session) { s.Pending.Created = created })
		require.NoError(t, p.alice.ImportSession(ctx, p.bob.Address(), wire.AppendSessionRecord(nil, &rec)))
		require.Equal(t, session.TypePreKey, p.alice.send(t, p.bob, "hello").Type)
	}
}

func TestKA_22_ClockOfAnySort(t *testing.T) {
	clocks := []time.Time{{}, time.Unix(0, 0), time.Unix(-1, 0), time.Date(1601, 1, 1, 0, 0, 0, 0, time.UTC), time.Unix(1, 0),
		time.UnixMilli(1 << 53), time.Unix(math.MaxInt64/1000, 0), time.Unix(math.MinInt64/1000, 0), time.Unix(1<<62, 999)}
	for _, begun := range clocks {
		for _, later := range clocks {
			p := strangers(t)
			p.now = begun
			p.alice.begin(t, p.bob)
			p.now = later
			m, err := p.alice.Encrypt(ctx, p.bob.Address(), []byte("hello"))
			if err != nil {
				require.ErrorIs(t, err, session.ErrStale)
				require.Greater(t, later.UnixMilli(), begun.UnixMilli())
				continue
			}
			p.bob.reads(t, p.alice, m, "hello")
			require.NoError(t, p.bob.Archive(ctx, p.alice.Address()))
			p.now = begun
			if begun.UnixMilli() <= later.UnixMilli() { // back; else the archived session expires
				p.goesOn(t)
			}
		}
	}
}

// One-time prekeys that a bundle has are in no publication, whatever the clock.
func TestKA_22_PublishingBefore1970(t *testing.T) {
	p := strangers(t)
	p.now = time.Unix(-1000, 0)
	b := bundleOf(t, p.bob)
	publication, err := p.bob.Publish(ctx)
	require.NoError(t, err)
	for i := range publication.PreKeys {
		require.NotEqual(t, b.PreKey.ID, publication.PreKeys[i].ID)
	}
	require.NoError(t, p.bob.MarkPublished(ctx, publication))
	p.now = p.now.Add(time.Hour)
	p.unharmedStores(t, func() { require.NoError(t, p.bob.MarkPublished(ctx, publication)) })
	publication, err = p.bob.Publish(ctx)
	require.NoError(t, err)
	require.Empty(t, publication.PreKeys)
	require.Empty(t, publication.KEMPreKeys)
}

// draws records what crypto/rand gives out.
type draws struct {
	real io.Reader
	all  [][]byte
}

func (d *draws) Read(b []byte) (int, error) {
	n, err := d.real.Read(b)
	d.all = append(d.all, append([]byte(nil), b[:n]...))
	return n, err
}

func drawn(f func()) [][]byte {
	d := &draws{real: rand.Reader}
	defer func() { rand.Reader = d.real }()
	rand.Reader = d
	f()
	return d.all
}

func TestKA_23_IndependentDraws(t *testing.T) {
	p := strangers(t)
	b := bundleOf(t, p.bob)
	all := drawn(func() { require.NoError(t, p.alice.Begin(ctx, p.bob.Address(), b)) })
	first := p.alice.send(t, p.bob, "hello")
	places := map[string]int{}
	for i, coins := range all {
		k, err := keys.NewPrivateKey(coins)
		if err != nil {
			continue
		}
		require.NotContains(t, places, string(k.PublicKey().Bytes()))
		places[string(k.PublicKey().Bytes())] = i
	}
	base, ok := places[string(outerOf(t, first).BaseKey)]
	require.True(t, ok)
	ratchet, ok := places[string(inner(t, first).RatchetKey)]
	require.True(t, ok)
	require.NotEqual(t, base, ratchet)
	require.Len(t, all, 3, "base key, KEM, ratchet key")
	require.Len(t, distinct(all), 3)
}

func distinct(all [][]byte) map[string]bool {
	out := map[string]bool{}
	for _, b := range all {
		out[string(b)] = true
	}
	return out
}
