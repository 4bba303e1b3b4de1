package session_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

const (
	day   = 24 * time.Hour
	milli = time.Millisecond
)

// keeping are two devices that never met, with a policy.
func keeping(t testing.TB, policy session.PreKeyPolicy) *pair {
	t.Helper()
	p := &pair{now: time.UnixMilli(1_700_000_000_000).UTC()}
	o := &session.Options{Now: func() time.Time { return p.now }, PreKeys: policy}
	p.alice, p.bob = newSide(t, aliceAddress, nil, o), newSide(t, bobAddress, nil, o)
	return p
}

// few is a policy that makes few keys.
var few = session.PreKeyPolicy{OneTime: 3, Low: 2}

// Uploads are what a directory has of one device.
type uploads struct{ x3dh.Publication }

// upload takes what p has, and says so.
func (d *uploads) upload(t testing.TB, s *side, p *x3dh.Publication) {
	t.Helper()
	require.NotNil(t, p)
	require.NoError(t, p.Verify())
	p.PreKeys, p.KEMPreKeys = append(d.PreKeys, p.PreKeys...), append(d.KEMPreKeys, p.KEMPreKeys...)
	d.Publication = *p
	require.NoError(t, s.MarkPublished(ctx, p))
}

func (s *side) upkeep(t testing.TB) *x3dh.Publication {
	t.Helper()
	p, err := s.Upkeep(ctx)
	require.NoError(t, err)
	return p
}

func (s *side) due(t testing.TB) session.Due {
	t.Helper()
	due, err := s.Due(ctx)
	require.NoError(t, err)
	return due
}

// nothing requires that nothing is due but counts, and that upkeep leaves the
// store alone.
func (s *side) nothing(t testing.TB) {
	t.Helper()
	due := s.due(t)
	require.Equal(t, session.Due{PreKeys: due.PreKeys, KEMPreKeys: due.KEMPreKeys, At: due.At}, due)
	dev, watch := s.spied(t) // which never looked for what is to go
	for n, lists := range []int{6, 4} {
		watch.lists = 0
		require.Nil(t, dev.upkeep(t))
		require.Empty(t, watch.commits)
		require.Len(t, watch.loads, 1+n)
		require.Equal(t, lists, watch.lists)
	}
}

// kept is what upkeep and an upload leave.
func (s *side) kept(t testing.TB) {
	t.Helper()
	if p := s.upkeep(t); p != nil {
		require.NoError(t, s.MarkPublished(ctx, p))
	}
	s.nothing(t)
}

func (s *side) events(t testing.TB) (out []session.Event) {
	t.Helper()
	for e, err := range s.Events(ctx) {
		require.NoError(t, err)
		out = append(out, e)
	}
	return out
}

// first has p's alice begin with b and returns the first message.
func (p *pair) first(t testing.TB, b *x3dh.Bundle) *session.Message {
	t.Helper()
	require.NoError(t, p.alice.Begin(ctx, p.bob.Address(), b))
	return p.alice.send(t, p.bob, "hello")
}

func TestKA_15_PreKeyExhaustion(t *testing.T) {
	p, dir := keeping(t, session.PreKeyPolicy{}), &uploads{}
	dir.upload(t, p.bob, p.bob.upkeep(t))
	p.bob.nothing(t)
	for n := range 100 {
		r := p.bob.reads(t, p.alice, p.first(t, dir.Take()), "hello")
		require.False(t, r.NoOneTimePreKey)
		due := p.bob.due(t)
		require.Equal(t, []int{99 - n, 99 - n}, []int{due.PreKeys, due.KEMPreKeys})
		require.Equal(t, due.PreKeys < 20, due.TopUp)
		require.Equal(t, due.TopUp, due.Publish)
	}
	b := dir.Take()
	require.Nil(t, b.PreKey)
	require.True(t, b.LastResort)
	r := p.bob.reads(t, p.alice, p.first(t, b), "hello")
	require.True(t, r.NoOneTimePreKey)
	require.Empty(t, p.bob.events(t))
	low := func(n int) {
		t.Helper()
		all := p.bob.events(t)
		require.Len(t, all, n)
		for _, e := range all {
			require.Equal(t, session.PreKeysLow, e.Kind)
			require.Zero(t, e.Address)
		}
	}
	publication := p.bob.upkeep(t)
	require.Len(t, publication.PreKeys, 100)
	require.Len(t, publication.KEMPreKeys, 100)
	low(1)
	require.Equal(t, publication.Bytes(), p.bob.upkeep(t).Bytes())
	low(1)

	// With upkeep after each message, the event comes at the threshold.
	dir.upload(t, p.bob, publication)
	for range 80 {
		p.bob.reads(t, p.alice, p.first(t, dir.Take()), "hello")
		p.bob.nothing(t)
	}
	low(1)
	p.bob.reads(t, p.alice, p.first(t, dir.Take()), "hello")
	publication = p.bob.upkeep(t)
	require.Len(t, publication.PreKeys, 81)
	low(2)
	dir.upload(t, p.bob, publication)
	p.bob.nothing(t)
	require.NoError(t, p.bob.AcknowledgeEvents(ctx, p.bob.events(t)...))
	low(0)
}

func TestKA_21_SignedPreKeyRotation(t *testing.T) {
	p, dir := keeping(t, few), &uploads{}
	old := p.bob.upkeep(t)
	dir.upload(t, p.bob, old)
	lasting := old.Take()
	lasting.PreKey, lasting.KEMPreKey, lasting.LastResort = nil, old.LastResort, true
	late := []*session.Message{p.first(t, lasting), p.first(t, lasting), p.first(t, lasting)}
	made := p.now

	p.now = made.Add(7*day - milli)
	p.bob.kept(t)
	p.now = made.Add(7 * day)
	require.True(t, p.bob.due(t).Rotate)
	rotated := p.bob.upkeep(t)
	require.NotEqual(t, old.SignedPreKey.ID, rotated.SignedPreKey.ID)
	require.NotEqual(t, old.LastResort.ID, rotated.LastResort.ID)
	require.NotEqual(t, old.SignedPreKey.Key, rotated.SignedPreKey.Key)
	require.Empty(t, rotated.PreKeys)
	dir.upload(t, p.bob, rotated)
	p.bob.nothing(t)
	p.bob.reads(t, p.alice, late[0], "hello")
	require.Len(t, p.bob.list(t, "basekey", ""), 1)
	require.Equal(t, rotated.SignedPreKey, bundleOf(t, p.bob).SignedPreKey)

	p.now = made.Add(37 * day)
	p.bob.kept(t)
	p.bob.reads(t, p.alice, late[1], "hello")
	require.Len(t, p.bob.list(t, "basekey", ""), 2)
	require.Equal(t, p.now.Add(milli), p.bob.due(t).At.UTC())
	p.now = p.now.Add(milli)
	require.True(t, p.bob.due(t).Delete)
	p.bob.kept(t)
	require.Empty(t, p.bob.list(t, "basekey", ""))
	require.False(t, p.bob.hasPreKey(t, "signed", old.SignedPreKey.ID))
	require.False(t, p.bob.hasPreKey(t, "lastresort", old.LastResort.ID))
	p.unharmedStores(t, func() {
		e := refusedAs[*session.PreKeyNotFoundError](t, p.bob.decrypt(p.alice, late[2]))
		require.Equal(t, &session.PreKeyNotFoundError{Kind: "signed", ID: old.SignedPreKey.ID}, e)
		bob, watch := p.bob.spied(t) // what a store says of itself comes through
		watch.fail = func(string, int) error { return errInjected }
		require.ErrorIs(t, bob.decrypt(p.alice, late[2]), errInjected)
		_, err := bob.Upkeep(ctx)
		require.ErrorIs(t, err, errInjected)
		_, err = bob.Due(ctx)
		require.ErrorIs(t, err, errInjected)
	})
	p.bob.reads(t, p.alice, p.first(t, dir.Take()), "hello")
}

// Whatever upkeep says is due next is due at that moment and not before.
func TestDueIsExact(t *testing.T) {
	for _, policy := range []session.PreKeyPolicy{
		few,
		{OneTime: 1, Low: 1, Rotate: 36 * time.Hour, Keep: 50 * time.Hour},
		{OneTime: 1, Low: 1, Rotate: 5 * time.Hour, Keep: 3 * time.Hour},
		{OneTime: 1, Low: 1, Rotate: 7*time.Hour + 123*milli, Keep: 30*time.Hour + milli},
	} {
		p := keeping(t, policy)
		for range 40 {
			overdue := p.bob.due(t).At
			p.bob.kept(t)
			at := p.bob.due(t).At
			require.Equal(t, overdue, at, "what is due next does not depend on what is due now")
			require.True(t, at.After(p.now))
			p.now = at.Add(-milli)
			p.bob.nothing(t)
			p.now = at
			due := p.bob.due(t)
			require.True(t, due.Rotate || due.Delete || due.Sweep)
			before := p.digest(t)
			c := p.bob.reopen(t)
			c.upkeep(t)
			require.NotEqual(t, before[1], (&pair{alice: p.alice, bob: c}).digest(t)[1])
		}
		require.LessOrEqual(t, len(p.bob.list(t, "signed", "-")), 9)
	}
}

// What no directory has comes again, until it is told of: the lasting prekeys
// as well as the others, and nothing that is not this device's.
func TestPublishedMarks(t *testing.T) {
	p := keeping(t, few)
	all := p.bob.upkeep(t)
	require.Equal(t, all.Bytes(), p.bob.upkeep(t).Bytes())
	require.NoError(t, p.bob.MarkPublished(ctx, p.alice.upkeep(t)), "another device's")
	require.NoError(t, p.bob.MarkPublished(ctx, &x3dh.Publication{}))
	require.Equal(t, all.Bytes(), p.bob.upkeep(t).Bytes())

	part := *all
	part.SignedPreKey, part.LastResort = x3dh.SignedPreKey{}, x3dh.KEMPreKey{}
	require.NoError(t, p.bob.MarkPublished(ctx, &part))
	again := p.bob.upkeep(t)
	require.Empty(t, again.PreKeys)
	require.Equal(t, all.SignedPreKey, again.SignedPreKey)
	require.True(t, p.bob.due(t).Publish)
	part.SignedPreKey = again.SignedPreKey
	require.NoError(t, p.bob.MarkPublished(ctx, &part))
	require.NotNil(t, p.bob.upkeep(t), "the last resort is missing")
	require.NoError(t, p.bob.MarkPublished(ctx, again))
	p.bob.nothing(t)

	// A rotation that was never uploaded comes again, and the mark of the one
	// before does not stand for it.
	p.now = p.now.Add(7 * day)
	next := p.bob.upkeep(t)
	require.NoError(t, p.bob.MarkPublished(ctx, all))
	require.Equal(t, next.Bytes(), p.bob.upkeep(t).Bytes())
	require.NoError(t, p.bob.MarkPublished(ctx, next))
	p.bob.nothing(t)
	p.bob.removeKey(t, "prekey", next.SignedPreKey.ID-1)
	publication, err := p.bob.Publish(ctx)
	require.NoError(t, err)
	require.Len(t, publication.PreKeys, 1, "Publish fills up, whatever is low")
}

// A damaged record is passed over by marks as well.
func TestPublishedMarkOfADamagedRecord(t *testing.T) {
	p := keeping(t, few)
	all := p.bob.upkeep(t)
	p.bob.write(t, p.bob.idKey("kem", all.KEMPreKeys[0].ID), []byte("\x01\xFF"))
	require.NoError(t, p.bob.MarkPublished(ctx, all))
	require.Nil(t, p.bob.upkeep(t), "two are left, which is not below two")
	p.bob.write(t, p.bob.idKey("kem", all.KEMPreKeys[1].ID), []byte("\x02"))
	require.ErrorIs(t, p.bob.MarkPublished(ctx, all), keystore.ErrNewerFormat)
}

// What a bundle has counts nowhere, and goes with its signed prekey.
func TestBundlesDoNotCount(t *testing.T) {
	p := keeping(t, few)
	made := p.now
	var firsts []*session.Message
	for range 5 {
		firsts = append(firsts, p.first(t, bundleOf(t, p.bob)))
		p.now = p.now.Add(-time.Hour) // and the clock goes back
	}
	p.now = made
	require.True(t, p.bob.due(t).TopUp)
	p.bob.kept(t)
	require.Len(t, p.bob.list(t, "prekey", "-"), 8)
	due := p.bob.due(t)
	require.Equal(t, []int{3, 3}, []int{due.PreKeys, due.KEMPreKeys})

	p.now = made.Add(7 * day)
	p.bob.kept(t)
	bundleOf(t, p.bob)
	p.now = made.Add(37 * day)
	p.bob.kept(t)
	require.Len(t, p.bob.list(t, "prekey", "-"), 9)
	p.bob.reads(t, p.alice, firsts[4], "hello")
	p.now = p.now.Add(milli)
	p.bob.kept(t)
	require.Len(t, p.bob.list(t, "prekey", "-"), 4, "three, and that of the later bundle")
	require.Len(t, p.bob.list(t, "kem", "-"), 4)
}

// Too many sessions of one pair have both replaced, by the next day.
func TestBaseKeyLimit(t *testing.T) {
	policy := few
	policy.BaseKeys = 3
	p, dir := keeping(t, policy), &uploads{}
	dir.upload(t, p.bob, p.bob.upkeep(t))
	begin := func(n int) {
		b := dir.Take()
		b.PreKey, b.KEMPreKey, b.LastResort = nil, dir.LastResort, true
		for range n {
			p.bob.reads(t, p.alice, p.first(t, b), "hello")
		}
	}
	begin(3)
	p.bob.nothing(t)
	p.now = p.now.Add(day)
	p.bob.kept(t)
	require.Len(t, p.bob.list(t, "signed", "-"), 1)
	begin(1)
	p.bob.nothing(t)
	p.now = p.now.Add(day)
	require.False(t, p.bob.due(t).Rotate, "not counted yet")
	before := dir.Publication
	dir.upload(t, p.bob, p.bob.upkeep(t))
	p.bob.nothing(t)
	require.NotEqual(t, before.SignedPreKey.ID, dir.SignedPreKey.ID)
	require.NotEqual(t, before.LastResort.ID, dir.LastResort.ID)
	require.Len(t, p.bob.list(t, "basekey", ""), 4)
	for range 3 { // what the old pair had does not count for the new one
		p.now = p.now.Add(day)
		require.False(t, p.bob.due(t).Rotate)
		p.bob.kept(t)
	}
	rec, err := wire.ParseUpkeep(p.bob.load(t, p.bob.key("upkeep", "-", "")).Value[1:])
	require.NoError(t, err)
	require.Equal(t, wire.Upkeep{Swept: uint64(p.now.UnixMilli())}, rec)
}

// A clock that was wrong costs a rotation at most, and no key its time.
func TestWrongClocks(t *testing.T) {
	for name, wrong := range map[string]time.Duration{"ahead": 80 * 365 * day, "behind": -53 * 365 * day, "before 1970": -54 * 365 * day} {
		p, dir := keeping(t, few), &uploads{}
		honest := p.now
		dir.upload(t, p.bob, p.bob.upkeep(t))
		first := p.first(t, dir.Take())
		p.now = honest.Add(wrong)
		p.bob.kept(t)
		p.now = honest.Add(time.Hour)
		p.bob.kept(t)
		due := p.bob.due(t)
		require.LessOrEqual(t, due.At.Sub(p.now), day, name)
		p.bob.reads(t, p.alice, first, "hello")
		p.now = honest.Add(8 * day)
		require.True(t, p.bob.due(t).Rotate, name)
		p.bob.kept(t)
	}
}

// The zero policy is the defaults, and so is nonsense.
func TestPolicyDefaults(t *testing.T) {
	for _, c := range []struct {
		policy session.PreKeyPolicy
		n      int
	}{{session.PreKeyPolicy{}, 100}, {session.PreKeyPolicy{OneTime: -1, Low: -1, Rotate: -1, Keep: -1, BaseKeys: -1}, 100}, {session.PreKeyPolicy{OneTime: 5}, 5}, {session.PreKeyPolicy{OneTime: 1 << 20}, 1024}} {
		if c.n > 100 && testing.Short() {
			continue
		}
		p := keeping(t, c.policy)
		publication := p.bob.upkeep(t)
		require.Len(t, publication.PreKeys, c.n)
		require.Len(t, publication.KEMPreKeys, c.n)
		parsed, err := x3dh.ParsePublication(publication.Bytes())
		require.NoError(t, err)
		require.NoError(t, parsed.Verify())
		require.NoError(t, p.bob.MarkPublished(ctx, publication))
		p.bob.nothing(t)
		p.now = p.now.Add(7*day - milli)
		require.False(t, p.bob.due(t).Rotate)
		p.now = p.now.Add(milli)
		require.True(t, p.bob.due(t).Rotate)
		p.bob.removeKey(t, "kem", publication.KEMPreKeys[0].ID)
		require.Equal(t, c.n == 5, p.bob.due(t).TopUp, "Low is at most OneTime")
	}
}

// Prekeys that came from elsewhere, all at once in use, are replaced together.
func TestPlantedPreKeys(t *testing.T) {
	p := keeping(t, few)
	p.plant(t, ids{5, 5, 5}, true)
	p.plant(t, ids{9, 9, 9}, true)
	first := p.first(t, parseBundle(t, p.plant(t, ids{7, 7, 7}, true)))
	p.bob.kept(t)
	require.Len(t, p.bob.list(t, "signed", "-"), 4)
	p.bob.reads(t, p.alice, first, "hello")
	p.now = p.now.Add(30*day + milli)
	p.bob.kept(t)
	require.Len(t, p.bob.list(t, "signed", "-"), 2, "the current one, and one that is older")
	_, err := keys.ParsePublicKey(bundleOf(t, p.bob).SignedPreKey.Key.Bytes())
	require.NoError(t, err)
}
