package session_test

import (
	"context"
	"crypto/rand"
	"errors"
	mathrand "math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/ratchet"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

var ctx = context.Background()

// A side is a device, and all that a test may know of it.
type side struct {
	*session.Device
	store    keystore.Store
	identity *keys.IdentityKeyPair
	opts     *session.Options
}

// A pair is two devices that may talk.
type pair struct {
	alice, bob *side
	now        time.Time // what both their clocks show
}

func newSide(t testing.TB, a session.Address, id *keys.IdentityKeyPair, o *session.Options) *side {
	t.Helper()
	if id == nil {
		id = keys.GenerateIdentityKeyPair()
	}
	s := &side{store: keystore.NewMemory(), identity: id, opts: o}
	var err error
	s.Device, err = session.Create(ctx, s.store, session.Account{Address: a, Identity: id, RegistrationID: 4711}, o)
	require.NoError(t, err)
	return s
}

// strangers are two devices that never met.
func strangers(t testing.TB) *pair {
	t.Helper()
	p := &pair{now: time.Unix(1_700_000_000, 0)}
	o := &session.Options{Now: func() time.Time { return p.now }}
	p.alice, p.bob = newSide(t, aliceAddress, nil, o), newSide(t, bobAddress, nil, o)
	return p
}

// met are two devices of which alice has begun a session that bob knows
// nothing of.
func met(t testing.TB) *pair {
	t.Helper()
	p := strangers(t)
	p.alice.begin(t, p.bob)
	return p
}

// friends are two devices that have each read a message on one session.
func friends(t testing.TB) *pair {
	t.Helper()
	p := met(t)
	p.goesOn(t)
	return p
}

// begin begins a session with peer, from a bundle with one-time prekeys.
func (s *side) begin(t testing.TB, peer *side) {
	t.Helper()
	begin(t, s.Device, peer.Device)
}

// beginLastResort does it from a bundle that has none.
func (s *side) beginLastResort(t testing.TB, peer *side) {
	t.Helper()
	p, err := peer.Publish(ctx)
	require.NoError(t, err)
	p.PreKeys, p.KEMPreKeys = nil, nil
	require.NoError(t, s.Begin(ctx, peer.Address(), p.Take()))
}

func (s *side) send(t testing.TB, to *side, text string) *session.Message {
	t.Helper()
	return send(t, s.Device, to.Device, text)
}

// reads requires that m is read as text.
func (s *side) reads(t testing.TB, from *side, m *session.Message, text string) *session.Received {
	t.Helper()
	r, err := s.Decrypt(ctx, from.Address(), m, nil)
	require.NoError(t, err)
	require.Equal(t, text, string(r.Plaintext))
	require.Equal(t, from.Address(), r.From)
	require.Equal(t, from.Identity(), r.Identity)
	return r
}

// saves requires that m is read as text, and again until it is acknowledged.
func (s *side) saves(t testing.TB, from *side, m *session.Message, text string) {
	t.Helper()
	r := s.reads(t, from, m, text)
	sameResult(t, s.reads(t, from, m, text), r)
	require.NoError(t, s.Acknowledge(ctx, r))
}

// decrypt is Decrypt for its error.
func (s *side) decrypt(from *side, m *session.Message) error {
	r, err := s.Decrypt(ctx, from.Address(), m, nil)
	if err != nil && r != nil {
		return errors.New("a result beside the error " + err.Error())
	}
	return err
}

// goesOn has each side send, and read, an honest message.
func (p *pair) goesOn(t testing.TB) {
	t.Helper()
	p.bob.reads(t, p.alice, p.alice.send(t, p.bob, "how are you"), "how are you")
	p.alice.reads(t, p.bob, p.bob.send(t, p.alice, "fine"), "fine")
}

// goesOnWith has just alice send one.
func (p *pair) goesOnWith(t testing.TB, text string) {
	t.Helper()
	p.bob.reads(t, p.alice, p.alice.send(t, p.bob, text), text)
}

// reopen takes up a device again from a copy of its store.
func (s *side) reopen(t testing.TB) *side {
	t.Helper()
	out := &side{store: copyOf(t, s.store), identity: s.identity, opts: s.opts}
	var err error
	out.Device, err = session.Open(ctx, out.store, s.Address(), s.opts)
	require.NoError(t, err)
	return out
}

// copyOf copies a store. Copies of one store are equal, versions too.
func copyOf(t testing.TB, s keystore.Store) keystore.Store {
	t.Helper()
	var changes []keystore.Change
	for r, err := range s.List(ctx, "", "", "") {
		require.NoError(t, err)
		changes = append(changes, keystore.Change{Op: keystore.Put, Key: r.Key, Value: r.Value})
	}
	out := keystore.NewMemory()
	_, err := out.Commit(ctx, changes...)
	require.NoError(t, err)
	return out
}

// unharmed runs attack, which gives the pair bad input: afterwards both stores
// are as before, and the next ciphertext of each side, with equal coins, is the
// one that it would have sent without the attack. They are read.
func (p *pair) unharmed(t testing.TB, attack func()) {
	t.Helper()
	alice, bob := p.alice.reopen(t), p.bob.reopen(t)
	before := p.digest(t)
	attack()
	require.Equal(t, before, p.digest(t), "a store has changed")
	toBob := sameNext(t, p.alice, alice, p.bob)
	toAlice := sameNext(t, p.bob, bob, p.alice)
	if toBob != nil {
		p.bob.reads(t, p.alice, toBob, "next")
	}
	if toAlice != nil {
		p.alice.reads(t, p.bob, toAlice, "next")
	}
}

// sameNext has s send what its copy from before would have sent. Whoever has
// no session cannot, before and after.
func sameNext(t testing.TB, s, before, to *side) *session.Message {
	t.Helper()
	var want, got *session.Message
	var wantErr, gotErr error
	withCoins(1, func() { want, wantErr = before.Encrypt(ctx, to.Address(), []byte("next")) })
	withCoins(1, func() { got, gotErr = s.Encrypt(ctx, to.Address(), []byte("next")) })
	require.Equal(t, wantErr, gotErr)
	require.Equal(t, want, got)
	return got
}

func (p *pair) digest(t testing.TB) [2][32]byte {
	return [2][32]byte{testutil.StoreDigest(t, p.alice.store), testutil.StoreDigest(t, p.bob.store)}
}

// withCoins runs f while crypto/rand gives out coins that follow from seed.
func withCoins(seed byte, f func()) {
	real := rand.Reader
	defer func() { rand.Reader = real }()
	rand.Reader = mathrand.NewChaCha8([32]byte{seed})
	f()
}

// refused requires an error of a class, that tells nothing.
func refused(t testing.TB, err, want error) {
	t.Helper()
	require.ErrorIs(t, err, want)
	requireQuiet(t, err)
}

// refusedAs requires an error of a type, that tells nothing.
func refusedAs[E error](t testing.TB, err error) E {
	t.Helper()
	got, ok := errors.AsType[E](err)
	require.True(t, ok, "%v", err)
	requireQuiet(t, err)
	return got
}

var longHex = regexp.MustCompile(`[0-9a-fA-F]{16}`)

// requireQuiet requires that the text of an error is short and plain, and has
// no address and nothing like a key in it (MEM-02).
func requireQuiet(t testing.TB, err error) {
	t.Helper()
	text := err.Error()
	require.Less(t, len(text), 200, text)
	require.NotRegexp(t, longHex, text)
	for _, c := range []byte(text) {
		require.True(t, ' ' <= c && c <= '~', "%q", text)
	}
	for _, a := range []session.Address{aliceAddress, bobAddress} {
		require.NotContains(t, strings.ToLower(text), a.User[:8])
	}
}

// current takes the current session with peer out of a device.
func (s *side) current(t testing.TB, peer *side) *ratchet.Session {
	t.Helper()
	out, err := ratchet.Parse(s.record(t, peer).Current)
	require.NoError(t, err)
	return out
}

// state is the same, as bytes to be looked at.
func (s *side) state(t testing.TB, peer *side) *wire.Session {
	t.Helper()
	out, err := wire.ParseSession(s.record(t, peer).Current)
	require.NoError(t, err)
	return out
}

func (s *side) record(t testing.TB, peer *side) wire.SessionRecord {
	t.Helper()
	b, err := s.ExportSession(ctx, peer.Address())
	require.NoError(t, err)
	rec, err := wire.ParseSessionRecord(b)
	require.NoError(t, err)
	return rec
}

// edit returns m, a TypePreKey, with its fields changed.
func edit(t testing.TB, m *session.Message, change func(*wire.PreKeySignalMessage)) *session.Message {
	t.Helper()
	outer := outerOf(t, m)
	change(&outer)
	return &session.Message{Type: m.Type, Bytes: wire.AppendPreKeySignalMessage(nil, &outer)}
}

func outerOf(t testing.TB, m *session.Message) wire.PreKeySignalMessage {
	t.Helper()
	outer, err := wire.ParsePreKeySignalMessage(m.Bytes)
	require.NoError(t, err)
	return outer
}

// inner returns the SignalMessage that m is or wraps.
func inner(t testing.TB, m *session.Message) wire.SignalMessage {
	t.Helper()
	if m.Type == session.TypePreKey {
		return outerOf(t, m).Message
	}
	out, err := wire.ParseSignalMessage(m.Bytes)
	require.NoError(t, err)
	return out
}

// flip returns m with one bit changed; at counts from the end if negative.
func flip(m *session.Message, at int, bit byte) *session.Message {
	out := &session.Message{Type: m.Type, Bytes: append([]byte(nil), m.Bytes...)}
	if at < 0 {
		at += len(out.Bytes)
	}
	out.Bytes[at] ^= bit
	return out
}

func isAny(err error, of ...error) bool {
	for _, target := range of {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

func newStore(t testing.TB) keystore.Store {
	t.Helper()
	return keystore.NewMemory()
}

func permutation(n int, seed uint64) []int {
	return mathrand.New(mathrand.NewPCG(seed, 0)).Perm(n)
}
