package session_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/ratchet"
	"github.com/gembok-e2ee/gembok/session"
)

// unreached is a mark that no store here reaches.
const unreached = 1 << 40

// rolledBack marks the devices of a store, as one that is older than the app
// knows it.
func (s *side) rolledBack(t testing.TB) {
	t.Helper()
	require.ErrorIs(t, session.CheckGeneration(ctx, s.store, unreached), keystore.ErrRolledBack)
}

// restored takes up a device again from backup, a copy of its store, and does
// what an app has to.
func (s *side) restored(t testing.TB, backup *side) *side {
	t.Helper()
	out := backup.reopen(t)
	require.ErrorIs(t, session.CheckGeneration(ctx, out.store, testutil.Generation(t, s.store)), keystore.ErrRolledBack)
	require.NoError(t, out.AfterRestore(ctx))
	return out
}

// A counters are the messages that left a device, in all its lives, by ratchet
// key and counter.
type counters map[string][]byte

// left requires that m has a counter of its own.
func (c counters) left(t testing.TB, m *session.Message) {
	t.Helper()
	require.True(t, c.fresh(t, m), "a counter was used twice")
}

func (c counters) fresh(t testing.TB, m *session.Message) bool {
	t.Helper()
	in := inner(t, m)
	name := string(in.RatchetKey) + decimal(in.Counter)
	before, known := c[name]
	c[name] = in.Ciphertext
	return !known || string(before) == string(in.Ciphertext)
}

// A device goes on after a backup was put back: with new sessions and prekeys,
// nothing is used twice, and what is late can still be read.
func TestSTO_04_AfterRestore(t *testing.T) {
	p, sent := friends(t), counters{}
	p.bob.kept(t)
	says := func(text string) *session.Message {
		m := p.bob.send(t, p.alice, text)
		sent.left(t, m)
		return m
	}
	p.alice.reads(t, p.bob, says("before the backup"), "before the backup")
	onChain := p.alice.send(t, p.bob, "on a chain of the backup")
	p.bob.reads(t, p.alice, p.alice.send(t, p.bob, "begins it"), "begins it")
	p.alice.reads(t, p.bob, says("answers it"), "answers it")
	backup := p.bob.reopen(t)

	late := []*session.Message{onChain, p.alice.send(t, p.bob, "late 1"), p.alice.send(t, p.bob, "late 2")}
	p.bob.reads(t, p.alice, late[1], "late 1")
	for range 3 {
		p.alice.reads(t, p.bob, says("after the backup"), "after the backup")
		p.goesOn(t)
	}
	lost := p.alice.send(t, p.bob, "with keys that are lost")

	p.bob = p.bob.restored(t, backup)
	_, err := p.bob.Encrypt(ctx, aliceAddress, nil)
	refused(t, err, session.ErrNoSession)
	for i, text := range []string{"on a chain of the backup", "late 1", "late 2"} { // the first of the last two is a DH step
		p.bob.reads(t, p.alice, late[i], text)
		_, err = p.bob.Encrypt(ctx, aliceAddress, nil)
		refused(t, err, session.ErrNoSession)
	}
	refused(t, p.bob.decrypt(p.alice, lost), session.ErrAuth)

	p.bob.begin(t, p.alice)
	first := says("on a new session")
	require.Equal(t, session.TypePreKey, first.Type)
	p.alice.reads(t, p.bob, first, "on a new session")
	for range 3 {
		p.goesOn(t)
		p.alice.reads(t, p.bob, says("more"), "more")
	}
	idx := p.bob.index(t, aliceAddress)
	require.Len(t, idx.Archived, 1)
	require.True(t, idx.Archived[0].Restored)
}

// Without the check, nothing keeps a device from doing it: the test above sees
// what it is to see.
func TestSTO_04_NothingIsPromisedWithoutTheCheck(t *testing.T) {
	p, sent := friends(t), counters{}
	backup := p.bob.reopen(t)
	sent.left(t, p.bob.send(t, p.alice, "one"))
	require.False(t, sent.fresh(t, backup.send(t, p.alice, "another")))
}

// A mark that the store has reached is none that it missed.
func TestCheckGeneration(t *testing.T) {
	p := friends(t)
	newest := testutil.Generation(t, p.bob.store)
	before := p.digest(t)
	for _, mark := range []uint64{0, 1, newest} {
		require.NoError(t, session.CheckGeneration(ctx, p.bob.store, mark))
	}
	require.NoError(t, p.bob.AfterRestore(ctx))
	require.Equal(t, before, p.digest(t))
	p.goesOn(t)

	require.ErrorIs(t, session.CheckGeneration(ctx, newStore(t), 1), keystore.ErrRolledBack)
	second, err := session.Create(ctx, p.bob.store, session.Account{Address: session.Address{User: "second", Device: 1}}, nil)
	require.NoError(t, err)
	newest = testutil.Generation(t, p.bob.store)
	for range 2 { // what is marked stays so
		require.ErrorIs(t, session.CheckGeneration(ctx, p.bob.store, newest+2), keystore.ErrRolledBack)
		require.Equal(t, newest+1, testutil.Generation(t, p.bob.store))
	}
	for _, d := range []*session.Device{p.bob.Device, second} {
		_, err := d.Publish(ctx)
		refused(t, err, keystore.ErrRolledBack)
		require.NoError(t, d.AfterRestore(ctx))
		_, err = d.Publish(ctx)
		require.NoError(t, err)
	}
	closed := newStore(t)
	require.NoError(t, closed.Close())
	require.ErrorIs(t, session.CheckGeneration(ctx, closed, 0), keystore.ErrClosed)
}

// allowed are the operations that a device does in a store that was rolled back.
var allowed = []string{"Create", "Open", "PeerIdentity", "Acknowledge", "Acknowledge large", "Unacknowledged", "Events", "AcknowledgeEvents",
	"MarkRead", "MarkRead large", "MarkRead again", "Acknowledge what was read"}

// Until AfterRestore went through, a device does nothing with what may be
// outdated, be it opened before the store was marked or after.
func TestSTO_04_RefusedUntilRestored(t *testing.T) {
	for _, op := range slices.Concat(operations, upkeeps, peerings, retries, timers) {
		t.Run(op.name, func(t *testing.T) {
			s, run := op.setup(t)
			tr := try(t, s, run)
			tr.rolledBack(t)
			before := tr.digest(t)
			if slices.Contains(allowed, op.name) {
				require.NoError(t, tr.do())
				return
			}
			again := tr.reopen(t)
			withCoins(7, func() { refused(t, run(ctx, again.Device, again.store), keystore.ErrRolledBack) })
			refused(t, tr.do(), keystore.ErrRolledBack)
			require.Equal(t, before, tr.digest(t))
			require.NoError(t, tr.AfterRestore(ctx))
			require.NotErrorIs(t, tr.do(), keystore.ErrRolledBack)
		})
	}
}

// A func of Update that passes over the error gets nothing out of it.
func TestSTO_04_UpdateCannotPassOverIt(t *testing.T) {
	p := friends(t)
	p.bob.rolledBack(t)
	before := p.digest(t)
	refused(t, p.bob.Update(ctx, nil, func(tx *session.Tx) error {
		_, err := tx.Encrypt(aliceAddress, nil)
		refused(t, err, keystore.ErrRolledBack)
		tx.Put(draft, []byte("text"))
		return nil
	}), keystore.ErrRolledBack)
	require.Equal(t, before, p.digest(t))
	refused(t, p.bob.Update(ctx, nil, func(tx *session.Tx) error {
		return tx.Put(keystore.Key{Kind: "restore", Owner: "-"}, nil)
	}), keystore.ErrInvalid)
	for _, e := range []session.Event{{Kind: session.PreKeysLow}, {Kind: session.SessionRenewed, Address: aliceAddress}} {
		refused(t, p.bob.Update(ctx, nil, func(tx *session.Tx) error { return tx.Emit(e) }), keystore.ErrRolledBack)
	}
	require.Equal(t, before, p.digest(t))
}

// Whoever checks in a transaction of the app's, and rolls that back because of
// the error, would have no marks.
func TestSTO_04_NoCheckInATransaction(t *testing.T) {
	p := friends(t)
	before := p.digest(t)
	err := session.CheckGeneration(new(keystore.Pending).In(ctx), p.bob.store, unreached)
	refused(t, err, keystore.ErrInvalid)
	require.Equal(t, before, p.digest(t))
}

// An operation that was under way when its store was put in order comes too
// late.
func TestSTO_04_UnderWay(t *testing.T) {
	p := friends(t)
	bob, watch := p.bob.spied(t)
	done := false
	watch.fail = func(call string, _ int) error {
		if call == "commit" && !done {
			done = true
			p.bob.rolledBack(t)
			require.NoError(t, p.bob.AfterRestore(ctx))
		}
		return nil
	}
	_, err := bob.Encrypt(ctx, aliceAddress, nil)
	refused(t, err, session.ErrNoSession)
	require.True(t, done)
}

// Why no session of a backup sends again, though a DH step gave it a chain of
// its own: the peer knows another that came out of the same state.
func TestSTO_04_WhatAStepOnRestoredStateGives(t *testing.T) {
	p := friends(t)
	copyOf := func(s *ratchet.Session) *ratchet.Session {
		out, err := ratchet.Parse(s.Append(nil))
		require.NoError(t, err)
		return out
	}
	step := func(from, to *ratchet.Session) (err error) {
		m, encryptErr := from.Encrypt([]byte("text"), nil)
		require.NoError(t, encryptErr)
		_, err = to.Decrypt(m, nil)
		return err
	}
	alice, bob := p.alice.current(t, p.bob), p.bob.current(t, p.alice)
	backup := copyOf(bob)
	require.NoError(t, step(bob, alice)) // after the backup, and alice steps

	m, err := alice.Encrypt([]byte("text"), nil)
	require.NoError(t, err)
	_, err = backup.Decrypt(m, nil) // a DH step
	require.NoError(t, err)
	require.NotEqual(t, bob.SenderKey(), backup.SenderKey())
	// Alice has the post-quantum key of the next message already.
	require.ErrorIs(t, step(copyOf(backup), copyOf(alice)), session.ErrAuth)
	_, err = bob.Decrypt(m, nil) // the first life had read it, too,
	require.NoError(t, err)
	require.NoError(t, step(bob, alice)) // and had answered
	for range 3 {
		require.ErrorIs(t, step(backup, alice), session.ErrAuth)
	}
}

// No way leads from the archive of a restored device back to sending.
func TestSTO_04_RestoredSessionsNeverSend(t *testing.T) {
	p, ends := many(t, 3) // two are archived before the backup
	p.bob.rolledBack(t)
	require.NoError(t, p.bob.AfterRestore(ctx))
	silent := func() {
		t.Helper()
		idx := p.bob.index(t, p.alice.Address())
		require.Nil(t, idx.Current)
		require.Len(t, idx.Archived, 3)
		for _, n := range idx.Archived {
			require.True(t, n.Restored)
		}
	}
	for i, end := range ends {
		p.bob.reads(t, p.alice, says(t, end, "late"), "late")
		silent()
		p.bob.reads(t, p.alice, says(t, ends[i], "later"), "later")
		silent()
	}
	require.NoError(t, p.bob.AcceptIdentity(ctx, p.alice.Address(), p.alice.Identity()))
	silent()
	_, err := p.bob.ExportSession(ctx, p.alice.Address())
	refused(t, err, session.ErrNoSession)
	refused(t, p.bob.Archive(ctx, p.alice.Address()), session.ErrNoSession)

	p.bob.begin(t, p.alice)
	p.alice.reads(t, p.bob, p.bob.send(t, p.alice, "new"), "new")
	p.goesOn(t)
	p.bob.reads(t, p.alice, says(t, ends[0], "latest"), "latest")
	p.goesOn(t) // on the new one
	rec := p.bob.record(t, p.alice)
	require.NotNil(t, rec.Current)
	require.Empty(t, rec.Previous)
	// A session of the time after it is archived, and comes back, as ever.
	other := p.alice.current(t, p.bob)
	p.alice.begin(t, p.bob)
	p.goesOn(t)
	p.bob.reads(t, p.alice, says(t, other, "come back"), "come back")
	require.Equal(t, other.BaseKey(), p.bob.current(t, p.alice).BaseKey())
}

// A peer that has no answer yet goes on with messages that begin its session:
// they are read, and the session stays archived.
func TestSTO_04_UnansweredPeer(t *testing.T) {
	p := met(t)
	p.bob.reads(t, p.alice, p.alice.send(t, p.bob, "1"), "1")
	backup := p.bob.reopen(t)
	answer := p.bob.send(t, p.alice, "lost on the way")
	p.bob = p.bob.restored(t, backup)
	m := p.alice.send(t, p.bob, "2")
	require.Equal(t, session.TypePreKey, m.Type)
	p.bob.reads(t, p.alice, m, "2")
	_, err := p.bob.Encrypt(ctx, aliceAddress, nil)
	refused(t, err, session.ErrNoSession)
	p.bob.begin(t, p.alice)
	p.alice.reads(t, p.bob, p.bob.send(t, p.alice, "3"), "3")
	p.goesOn(t)
	p.alice.reads(t, p.bob, answer, "lost on the way")
}

// restores are the operations of this file, for the tests of all operations.
var restores = []operation{
	{"CheckGeneration", func(t *testing.T) (*side, run) {
		return friends(t).bob, func(ctx context.Context, _ *session.Device, s keystore.Store) error {
			err := session.CheckGeneration(ctx, s, unreached)
			switch {
			case err == nil:
				return errors.New("not noticed")
			case errors.Is(err, keystore.ErrRolledBack):
				return nil
			}
			return err
		}
	}},
	{"AfterRestore", func(t *testing.T) (*side, run) {
		p, _ := many(t, 3)
		p.bob.put(t, p.bob.key("senderkey", bobAddress.User, decimal(bobAddress.Device)), nil)
		renewed := *p.bob.opts
		renewed.Restored = func(tx *session.Tx) error { return tx.Put(draft, []byte("renewed")) }
		p.bob.opts = &renewed
		bundleOf(t, p.bob)
		p.bob.rolledBack(t)
		return p.bob, on(func(ctx context.Context, d *session.Device) error { return d.AfterRestore(ctx) })
	}},
	{"AfterRestore of none", func(t *testing.T) (*side, run) {
		return friends(t).bob, on(func(ctx context.Context, d *session.Device) error { return d.AfterRestore(ctx) })
	}},
}

// What Options.Restored does is done once, with what is the Device's own, and
// again when it failed.
func TestSTO_04_Hook(t *testing.T) {
	p := friends(t)
	var fails error
	calls := 0
	o := *p.bob.opts
	o.Restored = func(tx *session.Tx) error {
		calls++
		_, err := tx.Encrypt(aliceAddress, nil)
		refused(t, err, session.ErrNoSession)
		if err := tx.Put(draft, []byte("renewed")); err != nil {
			return err
		}
		return fails
	}
	p.bob.opts = &o
	p.bob = p.bob.reopen(t)
	require.NoError(t, p.bob.AfterRestore(ctx))
	require.Zero(t, calls)
	p.bob.rolledBack(t)
	before := p.digest(t)
	fails = errInjected
	require.ErrorIs(t, p.bob.AfterRestore(ctx), errInjected)
	require.Equal(t, before, p.digest(t))
	_, err := p.bob.Encrypt(ctx, aliceAddress, nil)
	refused(t, err, keystore.ErrRolledBack)
	fails = nil
	for range 2 {
		require.NoError(t, p.bob.AfterRestore(ctx))
		require.Equal(t, 2, calls)
	}
	require.Len(t, p.bob.list(t, "draft", ""), 1)
}

// A record that does not decode is passed over; one of a newer release stops
// everything, as long as it is there.
func TestSTO_04_DamagedRecords(t *testing.T) {
	p, _ := many(t, 2)
	newer := p.bob.reopen(t)
	p.bob.write(t, p.bob.key("session", "damaged", "1"), []byte{1, 0xFF})
	p.bob.write(t, p.bob.key("session", "empty", "1"), nil)
	p.bob.write(t, p.bob.key("session", "no number", "x"), []byte{1})
	p.bob.write(t, p.bob.key("prekey", "-", "7777"), []byte{1, 0xFF})
	idx := p.bob.index(t, p.alice.Address())
	idx.Current = []byte{0xFF}
	p.bob.put(t, sessionKey(p.bob, p.alice.Address()), wire.AppendSessionIndex(nil, &idx))
	p.bob.rolledBack(t)
	require.NoError(t, p.bob.AfterRestore(ctx))
	require.Empty(t, p.bob.list(t, "prekey", ""))
	p.bob.begin(t, p.alice)
	p.alice.reads(t, p.bob, p.bob.send(t, p.alice, "new"), "new")
	p.goesOn(t)

	for _, k := range []keystore.Key{newer.key("session", "peer", "1"), newer.key("prekey", "-", "1"), newer.key("nextid", "-", ""), newer.key("restore", "-", "")} {
		bob := newer.reopen(t)
		bob.write(t, k, []byte{2, 0})
		bob.rolledBack(t)
		before := testutil.StoreDigest(t, bob.store)
		refused(t, bob.AfterRestore(ctx), keystore.ErrNewerFormat)
		require.Equal(t, before, testutil.StoreDigest(t, bob.store))
	}
	newer.write(t, newer.key("nextid", "-", ""), []byte{1, 0xFF})
	newer.rolledBack(t)
	refused(t, newer.AfterRestore(ctx), session.ErrCorrupt)
	_, err := newer.Bundle(ctx)
	refused(t, err, keystore.ErrRolledBack)
}

// The prekeys are new, under ids that never were; the lasting ones of before are
// kept for first messages that are late.
func TestSTO_04_PreKeys(t *testing.T) {
	for _, start := range []uint32{1, 1<<24 - 1<<16 - 1, 1<<24 - 2} {
		p, dir := keeping(t, few), &uploads{}
		p.bob.put(t, p.bob.key("nextid", "-", ""), wire.AppendNextIDs(nil, &wire.NextIDs{PreKey: start, SignedPreKey: start, KEMPreKey: start}))
		dir.upload(t, p.bob, p.bob.upkeep(t))
		bundleOf(t, p.bob)
		withOneTime, lasting := dir.Take(), dir.Publication
		lasting.PreKeys, lasting.KEMPreKeys = nil, nil
		before := p.bob.nextIDs(t)
		next := (before.KEMPreKey + 1<<16) % (1 << 24)
		p.bob.put(t, p.bob.key("lastresort", "-", decimal(next)), nil) // an id in use
		p.now = p.now.Add(time.Hour)
		p.bob.rolledBack(t)
		require.NoError(t, p.bob.AfterRestore(ctx))

		require.Empty(t, p.bob.list(t, "prekey", ""))
		require.Empty(t, p.bob.list(t, "kem", ""))
		require.Len(t, p.bob.list(t, "signed", ""), 2)
		require.Len(t, p.bob.list(t, "lastresort", ""), 3)
		after := p.bob.nextIDs(t)
		require.Equal(t, (before.PreKey+1<<16)%(1<<24), after.PreKey)
		require.Equal(t, (before.SignedPreKey+1<<16)%(1<<24)+1, after.SignedPreKey)
		require.Equal(t, (next+1)%(1<<24)+1, after.KEMPreKey)
		due := p.bob.due(t)
		require.True(t, due.TopUp && due.Publish && !due.Rotate && !due.Delete)
		renewed := p.bob.upkeep(t)
		require.Len(t, renewed.PreKeys, 3)
		require.Len(t, renewed.KEMPreKeys, 3)
		require.NotEqual(t, lasting.SignedPreKey.ID, renewed.SignedPreKey.ID)
		require.NotEqual(t, lasting.LastResort.ID, renewed.LastResort.ID)
		require.NoError(t, p.bob.MarkPublished(ctx, renewed))

		refusedAs[*session.PreKeyNotFoundError](t, p.bob.decrypt(p.alice, p.first(t, withOneTime)))
		p.bob.reads(t, p.alice, p.first(t, lasting.Take()), "hello")
		p.bob.reads(t, p.alice, p.first(t, renewed.Take()), "hello")
		p.goesOn(t)
		p.bob.removeKey(t, "lastresort", next)
		p.now = p.now.Add(31 * day)
		p.bob.kept(t)
		require.Len(t, p.bob.list(t, "signed", ""), 2)
	}
}

func (s *side) nextIDs(t testing.TB) wire.NextIDs {
	t.Helper()
	ids, err := wire.ParseNextIDs(s.load(t, s.key("nextid", "-", "")).Value[1:])
	require.NoError(t, err)
	return ids
}

// What the app had acknowledged after the backup is yielded again, under the
// same ID; what it had not yet is there as before.
func TestSTO_04_StagedMessages(t *testing.T) {
	p := friends(t)
	for r := range p.bob.Unacknowledged(ctx) {
		require.NoError(t, p.bob.Acknowledge(ctx, r))
	}
	kept := p.bob.reads(t, p.alice, p.alice.send(t, p.bob, "kept"), "kept")
	marked := p.bob.reads(t, p.alice, p.alice.send(t, p.bob, "acknowledged"), "acknowledged")
	old := p.alice.send(t, p.bob, "acknowledged before")
	require.NoError(t, p.bob.Acknowledge(ctx, p.bob.reads(t, p.alice, old, "acknowledged before")))
	backup := p.bob.reopen(t)
	require.NoError(t, p.bob.Acknowledge(ctx, marked))
	again := p.alice.send(t, p.bob, "read twice")
	first := p.bob.reads(t, p.alice, again, "read twice")
	require.NoError(t, p.bob.Acknowledge(ctx, first))

	p.bob = p.bob.restored(t, backup)
	var texts []string
	for r, err := range p.bob.Unacknowledged(ctx) {
		require.NoError(t, err)
		require.Contains(t, []session.MessageID{kept.ID, marked.ID}, r.ID)
		texts = append(texts, string(r.Plaintext))
	}
	slices.Sort(texts)
	require.Equal(t, "acknowledged kept", strings.Join(texts, " "))
	refused(t, p.bob.decrypt(p.alice, old), session.ErrDuplicate)
	r := p.bob.reads(t, p.alice, again, "read twice")
	require.Equal(t, first.ID, r.ID)
	require.False(t, r.Redelivered)
}
