package session_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh"
)

// popular is a device with sessions, each beside an archived one, and one-time
// prekeys, in a store that was rolled back.
func popular(t testing.TB, sessions, preKeys int) *pair {
	t.Helper()
	p, _ := many(t, 2)
	p.bob.kept(t)
	records := testutil.Records(t, p.bob.store)
	var changes []keystore.Change
	for _, r := range records {
		for i := 1; r.Key.Owner == p.alice.Address().User && i < sessions; i++ {
			k := r.Key
			k.Owner = fmt.Sprint("user ", i)
			changes = append(changes, keystore.Change{Op: keystore.Put, Key: k, Value: r.Value})
		}
	}
	for i := range preKeys { // whose records are damaged
		k := p.bob.key("prekey", "-", decimal(uint32(1000+i)))
		changes = append(changes, keystore.Change{Op: keystore.Put, Key: k, Value: []byte{1}})
	}
	testutil.Commit(t, p.bob.store, changes...)
	p.bob.rolledBack(t)
	return p
}

// tookUp requires that all that AfterRestore does was done, once, to a device
// that was like before.
func (s *side) tookUp(t testing.TB, before *side) {
	t.Helper()
	require.False(t, s.has(t, "restore", "-", ""))
	require.Len(t, s.list(t, "session", ""), len(before.list(t, "session", "")))
	archives := map[keystore.Key]bool{}
	for _, r := range s.list(t, "archive", "") {
		archives[r.Key] = true
	}
	for _, r := range s.list(t, "session", "") {
		idx, err := wire.ParseSessionIndex(r.Value[1:])
		require.NoError(t, err)
		require.Nil(t, idx.Current)
		require.Len(t, idx.Archived, 2)
		for i := range idx.Archived {
			require.True(t, idx.Archived[i].Restored)
			require.True(t, archives[s.key("archive", r.Key.Owner, archiveName(session.Address{Device: 2}, &idx.Archived[i]))])
		}
	}
	require.Len(t, archives, 2*len(before.list(t, "session", "")))
	require.Empty(t, s.list(t, "prekey", ""))
	require.Empty(t, s.list(t, "kem", ""))
	require.Len(t, s.list(t, "signed", ""), 2)
	require.Len(t, s.list(t, "lastresort", ""), 2)
	want := before.nextIDs(t)
	want.PreKey, want.SignedPreKey, want.KEMPreKey = want.PreKey+1<<16, want.SignedPreKey+1<<16+1, want.KEMPreKey+1<<16+1
	require.Equal(t, want, s.nextIDs(t))
}

// stopped is a store that ends with call n, and all after it.
func (s *side) stopped(t testing.TB, n int) (*side, *spy) {
	t.Helper()
	dev, watch := s.spied(t)
	watch.fail = func(_ string, i int) error {
		if i >= n {
			return errInjected
		}
		return nil
	}
	return dev, watch
}

// Stopped at any call of its store, a device that has too many sessions for one
// commit does nothing until it is taken up again; then all is done, once.
func TestSTO_04_StoppedAnywhere(t *testing.T) {
	p := popular(t, 210, 210)
	full, watch := p.bob.reopen(t).spied(t)
	require.NoError(t, full.AfterRestore(ctx))
	full.tookUp(t, p.bob)
	require.Len(t, watch.commits, 3) // prekeys, sessions, and the rest of both
	for _, changes := range watch.commits {
		require.Less(t, len(changes), 1000)
	}
	calls := len(watch.loads) + watch.lists + 2*len(watch.commits)
	for n := 1; n <= calls; n++ {
		if raceEnabled && n%3 != 0 {
			continue // nothing here runs at once
		}
		c := p.bob.reopen(t)
		dev, _ := c.stopped(t, n)
		require.ErrorIs(t, dev.AfterRestore(ctx), errInjected)
		dev = c.reopen(t)
		if _, err := dev.Encrypt(ctx, p.alice.Address(), nil); n < calls {
			refused(t, err, keystore.ErrRolledBack)
		}
		require.NoError(t, dev.AfterRestore(ctx))
		dev.tookUp(t, p.bob)
	}

	// Stopped again and again, it comes to an end.
	c, runs := p.bob.reopen(t), 0
	for err := errInjected; err != nil; runs++ {
		require.Less(t, runs, 100)
		dev, _ := c.stopped(t, 15)
		if err = dev.AfterRestore(ctx); err != nil {
			require.ErrorIs(t, err, errInjected)
		}
	}
	require.Greater(t, runs, 2)
	c.tookUp(t, p.bob)
}

// Several processes take one device up at once: it is done once.
func TestSTO_04_TakenUpByMany(t *testing.T) {
	p := popular(t, 450, 210)
	before, second := p.bob.reopen(t), *p.bob
	var err error
	second.Device, err = session.Open(ctx, p.bob.store, bobAddress, p.bob.opts)
	require.NoError(t, err)
	var wg sync.WaitGroup
	for i := range 8 {
		d := []*side{p.bob, &second}[i%2]
		wg.Go(func() {
			if err := d.AfterRestore(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	p.bob.tookUp(t, before)
}

// Whoever was slower than another process does not archive what was begun since.
func TestSTO_04_TakenUpMeanwhile(t *testing.T) {
	p := popular(t, 210, 0)
	full, watch := p.bob.reopen(t).spied(t)
	var calls []string
	watch.fail = func(call string, _ int) error { calls = append(calls, call); return nil }
	require.NoError(t, full.AfterRestore(ctx))
	require.Greater(t, len(calls), 12)
	for n, call := range calls {
		if call == "committed" {
			continue
		}
		q := &pair{alice: p.alice.reopen(t), bob: p.bob.reopen(t)}
		dev, watch := q.bob.spied(t)
		watch.fail = func(_ string, i int) error {
			if i == n+1 {
				require.NoError(t, q.bob.AfterRestore(ctx))
				q.bob.begin(t, q.alice)
			}
			return nil
		}
		require.NoError(t, dev.AfterRestore(ctx))
		q.alice.reads(t, q.bob, q.bob.send(t, q.alice, "begun meanwhile"), "begun meanwhile")
		q.goesOn(t)
	}
}

// A life is a device that is put back to backups again and again, a peer, and
// the mail between them.
type life struct {
	*rapid.T
	tb      *testing.T
	p       *pair
	backups []*side
	bundles []*x3dh.Bundle // of bob, perhaps of a life before
	toAlice []*session.Message
	toBob   []*session.Message
	sent    counters
}

// Whatever is sent, lost, late, repeated and put back in whatever order: no
// counter is used twice, and a session begun anew works.
func TestSTO_04_Lives(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := strangers(t)
		p.alice.begin(t, p.bob)
		l := &life{T: rt, tb: t, p: p, sent: counters{}}
		for range rapid.IntRange(5, 60).Draw(rt, "steps") {
			l.step()
			p.now = p.now.Add(time.Minute)
		}
		p.bob.begin(t, p.alice)
		for range 3 {
			require.NoError(rt, p.alice.decrypt(p.bob, l.bobSends()))
			p.bob.reads(t, p.alice, p.alice.send(t, p.bob, "text"), "text")
		}
	})
}

func (l *life) step() {
	p, t := l.p, l.tb
	switch rapid.SampledFrom([]string{"bob sends", "bob sends", "alice sends", "alice sends", "alice reads", "alice reads",
		"bob reads", "bob reads", "bob's bundle", "alice begins", "backup", "restore"}).Draw(l.T, "step") {
	case "bob sends":
		if m := l.bobSends(); m != nil {
			l.toAlice = append(l.toAlice, m)
		}
	case "alice sends":
		l.toBob = append(l.toBob, p.alice.send(t, p.bob, "text"))
	case "alice reads":
		l.deliver(&l.toAlice, p.bob, p.alice)
	case "bob reads":
		l.deliver(&l.toBob, p.alice, p.bob)
	case "bob's bundle":
		l.bundles = append(l.bundles, bundleOf(t, p.bob))
	case "alice begins":
		if len(l.bundles) > 0 {
			require.NoError(l.T, p.alice.Begin(ctx, p.bob.Address(), rapid.SampledFrom(l.bundles).Draw(l.T, "bundle")))
		}
	case "backup":
		l.backups = append(l.backups, p.bob.reopen(t))
	case "restore":
		if len(l.backups) > 0 {
			l.restore(rapid.SampledFrom(l.backups).Draw(l.T, "backup"))
		}
	}
}

func (l *life) restore(backup *side) {
	p, t := l.p, l.tb
	bob := backup.reopen(t)
	bob.rolledBack(t)
	dev, _ := bob.stopped(t, rapid.IntRange(1, 12).Draw(l.T, "stop"))
	if dev.AfterRestore(ctx) != nil && bob.has(t, "restore", "-", "") {
		_, err := bob.Encrypt(ctx, aliceAddress, nil)
		require.ErrorIs(l.T, err, keystore.ErrRolledBack)
	}
	require.NoError(l.T, bob.AfterRestore(ctx))
	p.bob = bob
}

// bobSends has bob send, on a new session where he has none.
func (l *life) bobSends() *session.Message {
	p := l.p
	text := fmt.Appendf(nil, "text %d", len(l.sent)) // never the same
	m, err := p.bob.Encrypt(ctx, p.alice.Address(), text)
	if errors.Is(err, session.ErrNoSession) {
		p.bob.begin(l.tb, p.alice)
		m, err = p.bob.Encrypt(ctx, p.alice.Address(), text)
	}
	require.NoError(l.T, err)
	l.sent.left(l.tb, m)
	return m
}

// deliver hands over one message of many, and perhaps keeps a copy. What is lost
// with a state that was put back cannot be read.
func (l *life) deliver(mail *[]*session.Message, from, to *side) {
	if len(*mail) == 0 {
		return
	}
	i := rapid.IntRange(0, len(*mail)-1).Draw(l.T, "mail")
	m := (*mail)[i]
	if rapid.Bool().Draw(l.T, "once") {
		*mail = append((*mail)[:i:i], (*mail)[i+1:]...)
	}
	err := to.decrypt(from, m)
	if _, gone := errors.AsType[*session.PreKeyNotFoundError](err); gone {
		return
	}
	if _, again := errors.AsType[*session.BaseKeyReusedError](err); again {
		return
	}
	require.True(l.T, err == nil || isAny(err, session.ErrAuth, session.ErrDuplicate, session.ErrNoSession), "%v", err)
}
