package interop_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/interop"
	"github.com/gembok-e2ee/gembok/internal/wire"
)

// rewrite parses a session record and every session in it, and writes it again.
func rewrite(b []byte) ([]byte, error) {
	rec, err := wire.ParseSessionRecord(b)
	if err != nil {
		return nil, err
	}
	if rec.Current != nil {
		s, err := wire.ParseSession(rec.Current)
		if err != nil {
			return nil, err
		}
		rec.Current = wire.AppendSession([]byte{}, s)
	}
	return wire.AppendSessionRecord(nil, &rec), nil
}

// parseSessionRecord is what the official library makes of a record: only the
// current session is looked into.
func parseSessionRecord(b []byte) (outcome, error) {
	again, err := rewrite(b)
	if err != nil {
		return outcome{}, err
	}
	rec, _ := wire.ParseSessionRecord(again)
	if rec.Current == nil {
		return outcome{again: again, fails: []string{"localRegistrationId", "remoteRegistrationId"}}, nil
	}
	s, _ := wire.ParseSession(rec.Current)
	return outcome{again: again, fields: interop.Fields{
		LocalRegistrationID: s.LocalRegistrationID, RemoteRegistrationID: s.RemoteRegistrationID, Usable: usable(s),
	}}, nil
}

// usable is spec/wire-core.md, Section 10.3.
func usable(s *wire.Session) bool {
	stale := s.Pending != nil && time.Unix(int64(s.Pending.Created), 0).Add(30*24*time.Hour).Before(time.Now())
	return s.Sender != nil && !stale && s.Version > 3 && len(s.PQRatchet) > 0
}

// A collector checks each record that the official library stores, and keeps some.
type collector struct {
	t    *testing.T
	p    *interop.Peer
	seen int
	kept [][]byte
}

// add requires that gembok and the official library write b again as it is, and
// so each session in it.
func (c *collector) add(b []byte) *wire.Session {
	again, err := rewrite(b)
	require.NoError(c.t, err)
	require.Equal(c.t, b, again)
	rec, err := wire.ParseSessionRecord(b)
	require.NoError(c.t, err)
	for _, old := range rec.Previous {
		s, err := wire.ParseSession(old)
		require.NoError(c.t, err)
		require.Equal(c.t, old, wire.AppendSession(nil, s))
		require.Nil(c.t, s.Pending)
		require.Nil(c.t, s.PendingKEM)
	}
	if c.seen++; c.seen%97 == 1 {
		c.kept = append(c.kept, b)
	}
	if rec.Current == nil {
		return nil
	}
	s, err := wire.ParseSession(rec.Current)
	require.NoError(c.t, err)
	return s
}

// of adds the record that party a keeps for party b.
func (c *collector) of(a, b *interop.Party) *wire.Session {
	rec, err := a.Session(b.Address)
	require.NoError(c.t, err)
	return c.add(rec)
}

// Session records in every state parse and are written again to the same bytes;
// of mutated ones both libraries say the same.
func TestInteropRecords(t *testing.T) {
	p := interop.Start(t)
	r := random(t)
	c := &collector{t: t, p: p}
	recordsPending(t, c)
	for _, oneTime := range []bool{true, false} {
		talk := meet(t, p, r, [2]string{aliceName, bobName}, interop.BundleOptions{OneTime: oneTime})
		talk.sent = func(_ int, _ interop.Message, _, after []byte) { c.add(after) }
		talk.read = func(_ int, _ interop.Message, _ string, _, after []byte) { c.add(after) }
		talk.storm(cases(1500), 40)
	}
	recordsSkipped(t, c)
	recordsArchived(t, c)
	recordsSimultaneous(t, c)
	recordsSelf(t, c)
	t.Logf("%d records", c.seen)

	inputs := append([][]byte{{}, {0x0a, 0x00}}, c.kept...)
	small := slices.DeleteFunc(slices.Clone(inputs), func(b []byte) bool { return len(b) > 20_000 })
	for range cases(3000) {
		inputs = append(inputs, mutateRecord(t, r, pick(r, small...)))
	}
	codecOf(interop.KindSessionRecord).diff(t, p, inputs)
}

// mutateRecord mutates a record, or mostly only the current session in it, so
// that its length fits again.
func mutateRecord(t *testing.T, r *rand.Rand, b []byte) []byte {
	rec, err := wire.ParseSessionRecord(b)
	require.NoError(t, err)
	if rec.Current == nil || r.IntN(5) == 0 {
		return mutate(r, b)
	}
	if s, err := wire.ParseSession(rec.Current); r.IntN(2) == 0 && err == nil && len(s.Receivers) > 0 {
		chain := &s.Receivers[r.IntN(len(s.Receivers))]
		chain.Skipped = mutate(r, chain.Skipped) // and whatever follows the skipped keys
		rec.Current = wire.AppendSession([]byte{}, s)
	} else {
		rec.Current = mutate(r, rec.Current)
	}
	return wire.AppendSessionRecord(nil, &rec)
}

// recordsPending: every form of an unacknowledged session, ids from 2^31 too.
func recordsPending(t *testing.T, c *collector) {
	for _, id := range []uint32{0, 1, 1<<24 - 1, 1 << 31, 1<<32 - 1} {
		for _, oneTime := range []bool{false, true} {
			a, b := newParty(t, c.p, aliceName, 0), newParty(t, c.p, bobName, 16380)
			begin(t, a, b, interop.BundleOptions{OneTime: oneTime, PreKeyID: &id, SignedPreKeyID: &id, KyberPreKeyID: &id})
			s := c.of(a, b)
			require.Equal(t, &wire.PendingPreKey{
				HasPreKeyID: oneTime, PreKeyID: s.Pending.PreKeyID, BaseKey: s.BaseKey, SignedPreKeyID: id, Created: s.Pending.Created,
			}, s.Pending)
			require.Equal(t, id, s.PendingKEM.PreKeyID)
			m := send(t, a, b, "x")
			c.of(a, b)
			read(t, b, a, m, "x")
			require.Nil(t, c.of(b, a).Pending)
		}
	}
}

// recordsSkipped: a chain with more skipped keys than are kept, some of them used.
func recordsSkipped(t *testing.T, c *collector) {
	a, b := newParty(t, c.p, aliceName, 1), newParty(t, c.p, bobName, 2)
	begin(t, a, b, interop.BundleOptions{})
	messages, err := a.EncryptBatch(b.Address, make([][]byte, 2501), time.Time{})
	require.NoError(t, err)
	read(t, b, a, messages[2500], "")
	s := c.of(b, a)
	require.Equal(t, wire.MaxSkipped, s.Receivers[0].Skipped.Len())
	for _, i := range []int{500, 2499, 1000, 1001} {
		read(t, b, a, messages[i], "")
		c.of(b, a)
	}
	peerError(t, second(b.Decrypt(a.Address, messages[499])), "DuplicatedMessage")
	require.Equal(t, wire.MaxSkipped-4, c.of(b, a).Receivers[0].Skipped.Len())
}

// recordsArchived: more sessions than are kept, none current, and one of them
// current again.
func recordsArchived(t *testing.T, c *collector) {
	a, b := newParty(t, c.p, aliceName, 1), newParty(t, c.p, bobName, 2)
	var messages []interop.Message
	for i := range 45 {
		begin(t, a, b, interop.BundleOptions{LastResort: true, SignedPreKeyID: new(uint32(1)), KyberPreKeyID: new(uint32(1))})
		c.of(a, b)
		messages = append(messages, send(t, a, b, fmt.Sprint(i)))
		read(t, b, a, messages[i], fmt.Sprint(i))
		c.of(b, a)
	}
	late := send(t, a, b, "late")
	require.NoError(t, a.Archive(b.Address))
	require.Nil(t, c.of(a, b))
	require.NoError(t, b.Archive(a.Address))
	require.Nil(t, c.of(b, a))
	read(t, b, a, late, "late")
	c.of(b, a)
	read(t, a, b, send(t, b, a, "back"), "back")
	c.of(a, b)
}

// recordsSimultaneous: both begin at once.
func recordsSimultaneous(t *testing.T, c *collector) {
	a, b := newParty(t, c.p, "anna", 1), newParty(t, c.p, "bert", 2)
	begin(t, a, b, interop.BundleOptions{OneTime: true})
	begin(t, b, a, interop.BundleOptions{OneTime: true})
	toB, toA := send(t, a, b, "from a"), send(t, b, a, "from b")
	read(t, b, a, toB, "from a")
	read(t, a, b, toA, "from b")
	c.of(a, b)
	c.of(b, a)
	for i := range 6 {
		read(t, a, b, send(t, b, a, fmt.Sprint(i)), fmt.Sprint(i))
		read(t, b, a, send(t, a, b, fmt.Sprint(i)), fmt.Sprint(i))
		c.of(a, b)
		c.of(b, a)
	}
}

// recordsSelf: two devices of one account, whose chains may jump further.
func recordsSelf(t *testing.T, c *collector) {
	a := newParty(t, c.p, aliceName, 1)
	b, err := c.p.NewParty(interop.PartyOptions{Name: aliceName, Device: 2, RegistrationID: 2, Identity: a.IdentityPrivate})
	require.NoError(t, err)
	begin(t, a, b, interop.BundleOptions{})
	for i := range 3 {
		read(t, b, a, send(t, a, b, fmt.Sprint(i)), fmt.Sprint(i))
		read(t, a, b, send(t, b, a, fmt.Sprint(i)), fmt.Sprint(i))
		c.of(a, b)
		c.of(b, a)
	}
}
