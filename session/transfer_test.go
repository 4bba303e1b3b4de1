package session_test

import (
	"fmt"
	mathrand "math/rand/v2"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// moved is s as a device in a fresh store: the same account and prekeys, and
// its sessions with peer by way of a libsignal record.
func (s *side) moved(t testing.TB, peer *side) *side {
	t.Helper()
	record, err := s.ExportSession(ctx, peer.Address())
	require.NoError(t, err)
	out := &side{store: keystore.NewMemory(), identity: s.identity, opts: s.opts}
	out.Device, err = session.Create(ctx, out.store, session.Account{Address: s.Address(), Identity: s.identity, RegistrationID: s.RegistrationID()}, s.opts)
	require.NoError(t, err)
	var changes []keystore.Change
	for _, kind := range []string{"prekey", "signed", "kem", "lastresort", "nextid", "basekey", "upkeep", "staged", "body", "mark", "event"} {
		for _, r := range s.list(t, kind, "") {
			changes = append(changes, keystore.Change{Op: keystore.Put, Key: r.Key, Value: r.Value})
		}
	}
	_, err = out.store.Commit(ctx, changes...)
	require.NoError(t, err)
	require.NoError(t, out.ImportSession(ctx, peer.Address(), record))
	again, err := out.ExportSession(ctx, peer.Address())
	require.NoError(t, err)
	require.Equal(t, record, again, "not byte for byte the same")
	out.index(t, peer.Address())
	return out
}

// The sessions move to another store at any time, skipped keys, archived
// sessions and pending prekeys with them.
func TestRecordsRoundTrip(t *testing.T) {
	p := met(t)
	r := mathrand.New(mathrand.NewPCG(8, 8))
	late := map[*session.Message][2]*side{}
	turn := func(from, to *side) {
		m := from.send(t, to, "on the way")
		if r.IntN(4) == 0 {
			late[m] = [2]*side{from, to}
			return
		}
		to.reads(t, from, m, "on the way")
	}
	p.bob.reads(t, p.alice, p.alice.send(t, p.bob, "1"), "1")
	p.alice = p.alice.moved(t, p.bob) // unanswered still
	m := p.alice.send(t, p.bob, "2")
	require.Equal(t, session.TypePreKey, m.Type)
	p.bob.reads(t, p.alice, m, "2")
	p.goesOn(t)
	for i := range 120 {
		turn(p.alice, p.bob)
		turn(p.bob, p.alice)
		if r.IntN(6) == 0 {
			p.alice = p.alice.moved(t, p.bob)
		}
		if r.IntN(6) == 0 {
			p.bob = p.bob.moved(t, p.alice)
		}
		if i%3 == 2 { // what waits arrives before it is too old
			for m, sides := range late {
				to, from := p.bob, p.alice
				if sides[1].Address() == p.alice.Address() {
					to, from = p.alice, p.bob
				}
				to.reads(t, from, m, "on the way")
			}
			clear(late)
		}
		if i%40 == 39 {
			p.alice.begin(t, p.bob)
			p.goesOn(t)
		}
	}
	require.Equal(t, 3, len(p.bob.index(t, p.alice.Address()).Archived))
}

func TestImportKeepsArchivedBytes(t *testing.T) {
	p, ends := many(t, 5)
	rec := p.bob.record(t, p.alice)
	require.Len(t, rec.Previous, 4)
	// What another library may have written: unknown fields, a session that
	// never was answered, one that does not decode, one without a base key.
	rec.Previous[0] = append(append([]byte(nil), rec.Previous[0]...), 0x98, 0x06, 0x01)
	rec.Previous[1] = editSession(t, rec.Previous[1], func(s *wire.Session) {
		s.Pending = &wire.PendingPreKey{BaseKey: s.BaseKey, SignedPreKeyID: 3}
	})
	rec.Previous = append(rec.Previous, []byte{0xFF, 0xFF}, editSession(t, rec.Previous[2], func(s *wire.Session) { s.BaseKey = nil }), []byte{})
	record := wire.AppendSessionRecord(nil, &rec)
	require.NoError(t, p.bob.ImportSession(ctx, p.alice.Address(), record))
	again, err := p.bob.ExportSession(ctx, p.alice.Address())
	require.NoError(t, err)
	require.Equal(t, record, again)
	p.goesOn(t)
	again, err = p.bob.ExportSession(ctx, p.alice.Address())
	require.NoError(t, err)
	got, err := wire.ParseSessionRecord(again)
	require.NoError(t, err)
	require.Equal(t, rec.Previous, got.Previous)

	// Each can still be read on, and sends no prekey messages when it does.
	for i := range 3 {
		text := strconv.Itoa(i)
		p.bob.reads(t, p.alice, says(t, ends[3-i], text), text)
		m := p.bob.send(t, p.alice, "answer")
		require.Equal(t, session.TypeSignal, m.Type)
	}
	// The acceptance of a key does not revive it either.
	rec = p.bob.record(t, p.alice)
	rec.Current = nil
	rec.Previous[0] = editSession(t, rec.Previous[0], func(s *wire.Session) { s.Pending = &wire.PendingPreKey{BaseKey: s.BaseKey} })
	require.NoError(t, p.bob.ImportSession(ctx, p.alice.Address(), wire.AppendSessionRecord(nil, &rec)))
	require.NoError(t, p.bob.AcceptIdentity(ctx, p.alice.Address(), p.alice.Identity()))
	require.Equal(t, session.TypeSignal, p.bob.send(t, p.alice, "answer").Type)
}

func TestImportOfManySessions(t *testing.T) {
	p, ends := many(t, 41)
	rec := p.bob.record(t, p.alice)
	for i := range 5 { // the oldest, of which there are too many
		rec.Previous = append(rec.Previous, fmt.Appendf(nil, "garbage %d", i))
	}
	all := rec.Previous
	raw := wire.AppendSessionRecord(nil, &wire.SessionRecord{Current: rec.Current, Previous: all[:40]})
	for _, p := range all[40:] {
		raw = append(raw, 0x12, byte(len(p)))
		raw = append(raw, p...)
	}
	require.NoError(t, p.bob.ImportSession(ctx, p.alice.Address(), raw))
	require.Equal(t, all[:40], p.bob.record(t, p.alice).Previous)
	require.Equal(t, 40, len(p.bob.index(t, p.alice.Address()).Archived))
	p.bob.reads(t, p.alice, says(t, ends[0], "the oldest"), "the oldest")
}

func TestImportRefuses(t *testing.T) {
	p := friends(t)
	good := p.alice.record(t, p.bob)
	encode := func(change func(*wire.Session)) []byte {
		return wire.AppendSessionRecord(nil, &wire.SessionRecord{Current: editSession(t, good.Current, change)})
	}
	mallory := keys.GenerateIdentityKeyPair().Public()
	p.unharmed(t, func() {
		for _, bad := range [][]byte{nil, {}, {0x98, 0x06, 0x01}} {
			refused(t, p.alice.ImportSession(ctx, p.bob.Address(), bad), session.ErrNoSession)
		}
		for name, bad := range map[string][]byte{
			"bytes": {0xFF}, "cut": wire.AppendSessionRecord(nil, &good)[:100],
			"session": wire.AppendSessionRecord(nil, &wire.SessionRecord{Current: []byte{0xFF}}),
			"local":   encode(func(s *wire.Session) { s.LocalIdentity = s.LocalIdentity[:32] }),
			"remote":  encode(func(s *wire.Session) { s.RemoteIdentity = nil }),
		} {
			err := p.alice.ImportSession(ctx, p.bob.Address(), bad)
			require.ErrorIs(t, err, session.ErrMalformed, name)
			requireQuiet(t, err)
		}
		refused(t, p.alice.ImportSession(ctx, p.bob.Address(), []byte{0x0a, 0}), session.ErrVersion)
		refused(t, p.alice.ImportSession(ctx, p.bob.Address(), make([]byte, 64<<20+1)), session.ErrTooLarge)
		e := refusedAs[*session.IdentityMismatchError](t, p.alice.ImportSession(ctx, p.bob.Address(), encode(func(s *wire.Session) { s.LocalIdentity = mallory.Bytes() })))
		require.Equal(t, &session.IdentityMismatchError{Address: p.bob.Address(), Expected: p.alice.Identity(), Seen: mallory}, e)
		u := refusedAs[*session.UntrustedIdentityError](t, p.alice.ImportSession(ctx, p.bob.Address(), encode(func(s *wire.Session) { s.RemoteIdentity = mallory.Bytes() })))
		require.Equal(t, &session.UntrustedIdentityError{Address: p.bob.Address(), Accepted: p.bob.Identity(), Seen: mallory}, u)
	})
	p.unharmed(t, func() {
		_, err := p.alice.ExportSession(ctx, session.Address{User: "nobody", Device: 1})
		refused(t, err, session.ErrNoSession)
		refused(t, p.alice.Archive(ctx, session.Address{User: "nobody", Device: 1}), session.ErrNoSession)
	})
	require.NoError(t, p.alice.Archive(ctx, p.bob.Address()))
	refused(t, p.alice.Archive(ctx, p.bob.Address()), session.ErrNoSession)
}

// A record that has one session twice would have messages read, and counters
// used, twice: the older state is left out.
func TestImportOfDoubles(t *testing.T) {
	p, _ := many(t, 3)
	rec := p.bob.record(t, p.alice)
	archived := rec.Previous
	rec.Previous = [][]byte{rec.Current, archived[0], archived[0], rec.Current, archived[1], archived[0]}
	require.NoError(t, p.bob.ImportSession(ctx, p.alice.Address(), wire.AppendSessionRecord(nil, &rec)))
	require.Equal(t, archived, p.bob.record(t, p.alice).Previous)
	require.Equal(t, 2, len(p.bob.index(t, p.alice.Address()).Archived))
	p.goesOn(t)
}

// An import takes the place of all there was, and trusts on first use.
func TestImportReplaces(t *testing.T) {
	p, ends := many(t, 6)
	rec := p.bob.record(t, p.alice)
	require.NoError(t, p.bob.ImportSession(ctx, p.alice.Address(), wire.AppendSessionRecord(nil, &wire.SessionRecord{Current: rec.Previous[2], Previous: rec.Previous[3:4]})))
	idx := p.bob.index(t, p.alice.Address())
	require.Equal(t, rec.Previous[2], idx.Current)
	require.Equal(t, 1, len(idx.Archived))
	refused(t, p.bob.decrypt(p.alice, says(t, ends[5], "gone")), session.ErrAuth)
	p.bob.reads(t, p.alice, says(t, ends[1], "archived"), "archived")

	q := strangers(t)
	q.bob = newSide(t, bobAddress, p.bob.identity, p.bob.opts)
	q.alice = p.alice
	require.NoError(t, q.bob.ImportSession(ctx, aliceAddress, wire.AppendSessionRecord(nil, &wire.SessionRecord{Previous: rec.Previous})))
	id, err := q.bob.PeerIdentity(ctx, aliceAddress)
	require.NoError(t, err)
	require.Equal(t, p.alice.Identity(), id.Accepted)
	_, err = q.bob.Encrypt(ctx, aliceAddress, nil)
	refused(t, err, session.ErrNoSession)
	q.bob.reads(t, p.alice, says(t, ends[3], "archived"), "archived")
	q.alice.reads(t, q.bob, q.bob.send(t, q.alice, "answer"), "answer")
}

// Exports join records that belong together, whatever another process does.
func TestExportIsASnapshot(t *testing.T) {
	p, ends := many(t, 4)
	bob, watch := p.bob.spied(t)
	want := 0
	watch.fail = func(call string, n int) error {
		if call == "load" && n == 2 { // between the two loads of the export
			p.bob.reads(t, p.alice, says(t, ends[1], "in between"), "in between")
			want++
		}
		return nil
	}
	record, err := bob.ExportSession(ctx, p.alice.Address())
	require.NoError(t, err)
	require.Equal(t, 1, want)
	again, err := p.bob.ExportSession(ctx, p.alice.Address())
	require.NoError(t, err)
	require.Equal(t, again, record)
	require.Len(t, watch.loads, 4)
	require.Len(t, watch.commits, 1)
}

type vectors struct {
	Keys struct {
		BobIdentity   testutil.Hex `json:"bob_identity_private"`
		BobSigned     testutil.Hex `json:"bob_signed_prekey_private"`
		BobOneTime    testutil.Hex `json:"bob_one_time_private"`
		AliceIdentity testutil.Hex `json:"alice_identity_private"`
		KyberPublic   testutil.Hex `json:"kyber_public"`
		KyberSecret   testutil.Hex `json:"kyber_secret"`
	}
	Flight struct {
		First      testutil.Hex `json:"prekey_message_0"`
		Second     testutil.Hex `json:"prekey_message_1"`
		Plaintexts []string
		Record     testutil.Hex `json:"alice_record_after_two_sends"`
		NoOneTime  struct {
			First testutil.Hex `json:"prekey_message_0"`
		} `json:"no_opk"`
	} `json:"official_first_flight"`
	Steps []struct {
		Receiver  string
		Type      int
		Record    testutil.Hex `json:"record_before"`
		Message   testutil.Hex
		Plaintext string
	} `json:"official_decrypt_steps"`
}

// Steps of a conversation of the official library: its record, its message.
func TestVectorsOfficialSteps(t *testing.T) {
	var v vectors
	testutil.ReadJSON(t, "wire/wire-core-vectors.json", &v)
	types := map[int]int{}
	for i, step := range v.Steps {
		rec, err := wire.ParseSessionRecord(step.Record)
		require.NoError(t, err)
		own, err := wire.ParseSession(rec.Current)
		require.NoError(t, err)
		address, peer := bobAddress, aliceAddress
		if step.Receiver == "alice" {
			address, peer = aliceAddress, bobAddress
		}
		s := newSide(t, address, identityOf(t, &v, own.LocalIdentity), nil)
		require.NoError(t, s.ImportSession(ctx, peer, step.Record))
		r, err := s.Decrypt(ctx, peer, &session.Message{Type: session.MessageType(step.Type), Bytes: step.Message}, nil)
		require.NoError(t, err, i)
		require.Equal(t, step.Plaintext, string(r.Plaintext))
		types[step.Type]++
	}
	require.Equal(t, map[int]int{2: 39, 3: 1}, types)
}

func identityOf(t *testing.T, v *vectors, public []byte) *keys.IdentityKeyPair {
	t.Helper()
	for _, private := range [][]byte{v.Keys.AliceIdentity, v.Keys.BobIdentity} {
		id, err := keys.NewIdentityKeyPair(private)
		require.NoError(t, err)
		if string(id.Public().Bytes()) == string(public) {
			return id
		}
	}
	require.FailNow(t, "an identity that is in no vector")
	return nil
}

// The official library's first messages, to prekeys that were imported.
func TestVectorsOfficialFirstFlight(t *testing.T) {
	var v vectors
	testutil.ReadJSON(t, "wire/wire-core-vectors.json", &v)
	id, err := keys.NewIdentityKeyPair(v.Keys.BobIdentity)
	require.NoError(t, err)
	for _, messages := range [][]testutil.Hex{{v.Flight.First, v.Flight.Second}, {v.Flight.Second, v.Flight.First}, {v.Flight.NoOneTime.First}} {
		bob := newSide(t, bobAddress, id, nil)
		bob.plantKey(t, "signed", 22, wire.AppendSignedPreKeyRecord(nil, &wire.SignedPreKeyRecord{ID: 22, Private: v.Keys.BobSigned, Public: publicOf(t, v.Keys.BobSigned)}))
		bob.plantKey(t, "prekey", 31337, wire.AppendPreKeyRecord(nil, &wire.PreKeyRecord{ID: 31337, Private: v.Keys.BobOneTime, Public: publicOf(t, v.Keys.BobOneTime)}))
		bob.plantKey(t, "lastresort", 33, wire.AppendSignedPreKeyRecord(nil, &wire.SignedPreKeyRecord{ID: 33,
			Private: append([]byte{8}, v.Keys.KyberSecret...), Public: append([]byte{8}, v.Keys.KyberPublic...)}))
		for _, m := range messages {
			want := v.Flight.Plaintexts[0]
			if string(m) == string(v.Flight.Second) {
				want = v.Flight.Plaintexts[1]
			}
			r, err := bob.Decrypt(ctx, aliceAddress, &session.Message{Type: session.TypePreKey, Bytes: m}, nil)
			require.NoError(t, err)
			require.Equal(t, want, string(r.Plaintext))
		}
	}
	// And its record goes on here.
	alice, err := keys.NewIdentityKeyPair(v.Keys.AliceIdentity)
	require.NoError(t, err)
	s := newSide(t, aliceAddress, alice, nil)
	require.NoError(t, s.ImportSession(ctx, bobAddress, v.Flight.Record))
	_, err = s.Encrypt(ctx, bobAddress, nil)
	refused(t, err, session.ErrStale) // of November 2023
	again, err := s.ExportSession(ctx, bobAddress)
	require.NoError(t, err)
	require.Equal(t, []byte(v.Flight.Record), again)
}

func publicOf(t *testing.T, private []byte) []byte {
	t.Helper()
	k, err := keys.NewPrivateKey(private)
	require.NoError(t, err)
	return k.PublicKey().Bytes()
}
