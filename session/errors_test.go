package session_test

import (
	"context"
	"math"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

func TestCreateAndOpen(t *testing.T) {
	p := strangers(t)
	before := testutil.StoreDigest(t, p.bob.store)
	_, err := session.Create(ctx, p.bob.store, session.Account{Address: bobAddress}, nil)
	refused(t, err, session.ErrExists)
	d, err := session.Open(ctx, p.bob.store, aliceAddress, nil)
	refused(t, err, session.ErrNoDevice)
	require.Nil(t, d)
	require.Equal(t, before, testutil.StoreDigest(t, p.bob.store))
}

// Own records that nobody can have written.
func TestOwnRecord(t *testing.T) {
	p := strangers(t)
	key := p.bob.key("self", "-", "")
	good, err := wire.ParseSelf(p.bob.load(t, key).Value[1:])
	require.NoError(t, err)
	other := wire.AppendIdentityKeyPairRecord(nil, &wire.IdentityKeyPairRecord{
		Public: p.alice.Identity().Bytes(), Private: p.bob.identity.PrivateBytes()})
	for name, change := range map[string]func(*wire.Self){
		"user": func(s *wire.Self) { s.User = aliceAddress.User }, "device": func(s *wire.Self) { s.Device = 9 },
		"pair": func(s *wire.Self) { s.Identity = other }, "bytes": func(s *wire.Self) { s.Identity = []byte{0xFF} },
		"no pair": func(s *wire.Self) { s.Identity = nil },
	} {
		self := good
		change(&self)
		bob := p.bob.reopen(t)
		bob.put(t, key, wire.AppendSelf(nil, &self))
		d, err := session.Open(ctx, bob.store, bobAddress, nil)
		require.ErrorIs(t, err, session.ErrCorrupt, name)
		requireQuiet(t, err)
		require.Nil(t, d)
	}
}

// meetings are all operations that may meet a damaged record of bob's, who
// has records of all kinds.
func meetings(t *testing.T) (p *pair, all map[string]keystore.Key, ops map[string]func(*session.Device) error) {
	t.Helper()
	p = strangers(t)
	p.beginWith(t, p.plant(t, ids{1, 1, 1}, true))
	p.goesOn(t)
	p.beginWith(t, p.plant(t, ids{2, 2, 2}, false))
	p.goesOn(t)
	p.beginWith(t, p.plant(t, ids{3, 3, 3}, true))
	first := p.alice.send(t, p.bob, "first")
	bundleOf(t, p.bob)
	p.plant(t, ids{4, 4, 4}, false)
	p.bob.put(t, p.bob.key("upkeep", "-", ""), wire.AppendUpkeep(nil, &wire.Upkeep{Swept: 1}))
	bundle := bundleOf(t, p.alice)
	record, err := p.bob.ExportSession(ctx, aliceAddress)
	require.NoError(t, err)
	all = map[string]keystore.Key{}
	for _, r := range p.bob.list(t, "", "") {
		if _, ok := all[r.Key.Kind]; !ok || r.Key.Name == "3" { // of the prekeys, what first names
			all[r.Key.Kind] = r.Key
		}
	}
	decrypt := func(m *session.Message) func(*session.Device) error {
		return func(d *session.Device) error { _, err := d.Decrypt(ctx, aliceAddress, m, nil); return err }
	}
	return p, all, map[string]func(*session.Device) error{
		"Publish":  func(d *session.Device) error { _, err := d.Publish(ctx); return err },
		"Bundle":   func(d *session.Device) error { _, err := d.Bundle(ctx); return err },
		"Upkeep":   func(d *session.Device) error { _, err := d.Upkeep(ctx); return err },
		"Due":      func(d *session.Device) error { _, err := d.Due(ctx); return err },
		"first":    decrypt(first),
		"any":      decrypt(hostile(0, 1, 3)), // all sessions are looked at, none is right
		"Encrypt":  func(d *session.Device) error { _, err := d.Encrypt(ctx, aliceAddress, nil); return err },
		"Export":   func(d *session.Device) error { _, err := d.ExportSession(ctx, aliceAddress); return err },
		"Identity": func(d *session.Device) error { _, err := d.PeerIdentity(ctx, aliceAddress); return err },
		"Import":   func(d *session.Device) error { return d.ImportSession(ctx, aliceAddress, record) },
		"Begin":    func(d *session.Device) error { return d.Begin(ctx, aliceAddress, bundle) },
		"Accept":   func(d *session.Device) error { return d.AcceptIdentity(ctx, aliceAddress, p.alice.Identity()) },
		"Archive":  func(d *session.Device) error { return d.Archive(ctx, aliceAddress) },
	}
}

// TestDamagedRecords has a record of each kind damaged, or of a newer format:
// whoever needs it says so and leaves everything as it is, the others work.
func TestDamagedRecords(t *testing.T) {
	needs := map[string][]string{
		"nextid":     {"Publish", "Bundle", "Upkeep", "Due"},
		"upkeep":     {"Upkeep", "Due"},
		"prekey":     {"Publish", "Bundle", "Upkeep", "Due", "first"},
		"signed":     {"Publish", "Bundle", "Upkeep", "Due", "first"},
		"kem":        {"Publish", "Bundle", "Upkeep", "Due"},
		"lastresort": {"Publish", "Bundle", "Upkeep", "Due", "first"},
		"identity":   {"first", "any", "Encrypt", "Identity", "Import", "Begin", "Accept"},
		"session":    {"first", "any", "Encrypt", "Export", "Import", "Begin", "Accept", "Archive"},
		"archive":    {"any", "Export", "Accept"},
	}
	values := map[string]error{"\x02newer": keystore.ErrNewerFormat, "\x01\xFF": session.ErrCorrupt, "": session.ErrCorrupt}
	p, all, ops := meetings(t)
	for kind, who := range needs {
		for value, want := range values {
			for name, op := range ops {
				unneeded := slices.Contains([]string{"Publish", "Bundle", "Upkeep", "Due"}, name) && kind != "nextid"
				passedOver := (kind == "archive" || unneeded) && want != keystore.ErrNewerFormat && (name != "Export" || value != "")
				bob := p.bob.reopen(t)
				bob.write(t, all[kind], []byte(value))
				before := testutil.StoreDigest(t, bob.store)
				err := op(bob.Device)
				if slices.Contains(who, name) && !passedOver {
					require.ErrorIs(t, err, want, "%s %q: %s", kind, value, name)
					requireQuiet(t, err)
				} else if name != "any" {
					require.NoError(t, err, "%s %q: %s", kind, value, name)
				}
				if err != nil {
					require.Equal(t, before, testutil.StoreDigest(t, bob.store), "%s %q: %s", kind, value, name)
				}
			}
		}
	}
}

// Prekey records that decode and hold no keys.
func TestDamagedPreKeys(t *testing.T) {
	for kind, who := range map[string][]string{"prekey": {"first"}, "signed": {"first"}, "lastresort": {"first"}} {
		for _, record := range [][]byte{nil, {0x08, 0x03}, {0x08, 0x03, 0x12, 0x01, 0x05, 0x1a, 0x01, 0x05}} {
			p, all, ops := meetings(t)
			p.bob.put(t, all[kind], wire.AppendStoredPreKey(nil, &wire.StoredPreKey{Record: record, Created: 1, Published: 1}))
			for _, name := range who {
				p.unharmedStores(t, func() { refused(t, ops[name](p.bob.Device), session.ErrCorrupt) })
			}
		}
	}
}

// Prekeys that nobody can be told of are nobody's: others take their place, and
// theirs they keep, with their id.
func TestDamagedPreKeysArePassedOver(t *testing.T) {
	for _, kind := range []string{"prekey", "kem", "signed", "lastresort"} {
		for _, value := range []string{"\x01\xFF", "", "\x01" + string(wire.AppendStoredPreKey(nil, &wire.StoredPreKey{Record: []byte{0x08, 0x03}, Created: math.MaxInt64}))} {
			p, all, _ := meetings(t)
			due, err := p.bob.Due(ctx)
			require.NoError(t, err)
			require.Zero(t, due.Damaged)
			p.bob.write(t, all[kind], []byte(value))
			due, err = p.bob.Due(ctx)
			require.NoError(t, err)
			require.Equal(t, 1, due.Damaged, "%s %q", kind, value)
			publication, err := p.bob.Upkeep(ctx)
			require.NoError(t, err)
			require.NoError(t, publication.Verify())
			require.Equal(t, value, string(p.bob.load(t, all[kind]).Value))
			due, err = p.bob.Due(ctx)
			require.NoError(t, err)
			require.Equal(t, []int{1, 100, 100}, []int{due.Damaged, due.PreKeys, due.KEMPreKeys})
			again, err := p.bob.Publish(ctx)
			require.NoError(t, err)
			require.Equal(t, publication.Bytes(), again.Bytes())
			require.NoError(t, p.bob.MarkPublished(ctx, publication))
		}
	}
}

func TestExhaustedChain(t *testing.T) {
	p := friends(t)
	idx := p.alice.index(t, p.bob.Address())
	idx.Current = editSession(t, idx.Current, func(s *wire.Session) { s.Sender.Index = math.MaxUint32 - 1 })
	p.alice.put(t, sessionKey(p.alice, bobAddress), wire.AppendSessionIndex(nil, &idx))
	last := p.alice.send(t, p.bob, "the last one")
	require.Equal(t, uint32(math.MaxUint32-1), inner(t, last).Counter)
	p.unharmedStores(t, func() {
		m, err := p.alice.Encrypt(ctx, p.bob.Address(), nil)
		refused(t, err, session.ErrExhausted)
		require.Nil(t, m)
		refused(t, p.bob.decrypt(p.alice, last), session.ErrTooFar)
	})
	p.alice.reads(t, p.bob, p.bob.send(t, p.alice, "hello?"), "hello?")
	p.alice.begin(t, p.bob)
	p.goesOn(t)
}

func TestPRS_08_TrailingBytes(t *testing.T) {
	p := met(t)
	first := p.alice.send(t, p.bob, "hello")
	appended := func(m *session.Message, b ...byte) *session.Message {
		return &session.Message{Type: m.Type, Bytes: append(append([]byte(nil), m.Bytes...), b...)}
	}
	p.unharmedStores(t, func() {
		for n := 1; n <= 100; n++ {
			refused(t, p.bob.decrypt(p.alice, appended(first, make([]byte, n)...)), session.ErrMalformed)
		}
		in := edit(t, first, func(m *wire.PreKeySignalMessage) {
			m.MessageBytes = append(m.MessageBytes[:len(m.MessageBytes):len(m.MessageBytes)], 0)
		})
		require.True(t, isAny(p.bob.decrypt(p.alice, in), session.ErrAuth, session.ErrMalformed))
	})
	// The outer message is nobody's: an unknown field in it is passed over.
	p.bob.reads(t, p.alice, appended(first, protowire.AppendVarint(protowire.AppendTag(nil, 99, protowire.VarintType), 5)...), "hello")
	p.goesOn(t)
	m := p.alice.send(t, p.bob, "later")
	p.unharmedStores(t, func() {
		for n := 1; n <= 100; n++ {
			for _, b := range []byte{0, 1, 0x2a, 0xFF} {
				tail := make([]byte, n)
				tail[n-1] = b
				err := p.bob.decrypt(p.alice, appended(m, tail...))
				require.True(t, isAny(err, session.ErrAuth, session.ErrMalformed, keys.ErrKey), "%v", err)
				requireQuiet(t, err)
			}
		}
	})
	p.bob.reads(t, p.alice, m, "later")
}

// The largest plaintext, and messages one byte too long.
func TestSIZ_01_Sizes(t *testing.T) {
	p := friends(t)
	p.unharmed(t, func() {
		_, err := p.alice.Encrypt(ctx, p.bob.Address(), make([]byte, 64<<20+1))
		refused(t, err, session.ErrTooLarge)
		huge := make([]byte, 64<<20+8<<10+1)
		huge[0] = 0x44
		for _, kind := range []session.MessageType{session.TypeSignal, session.TypePreKey} {
			refused(t, p.bob.decrypt(p.alice, &session.Message{Type: kind, Bytes: huge}), session.ErrTooLarge)
		}
	})
	sizes := []int{0, 1, 15, 16, 17, 1 << 16}
	if !testing.Short() && runtime.GOARCH == "amd64" {
		sizes = append(sizes, 64<<20)
	}
	for _, n := range sizes {
		text := make([]byte, n)
		m, err := p.alice.Encrypt(ctx, p.bob.Address(), text)
		require.NoError(t, err)
		r, err := p.bob.Decrypt(ctx, p.alice.Address(), m, nil)
		require.NoError(t, err)
		require.Equal(t, n, len(r.Plaintext))
		require.True(t, slices.Equal(text, r.Plaintext))
		require.NotNil(t, r.Plaintext)
	}
}

// A device whose clock, store and options are the defaults.
func TestDefaults(t *testing.T) {
	alice, _ := newDevice(t, aliceAddress, nil)
	bob, _ := newDevice(t, bobAddress, &session.Options{})
	begin(t, alice, bob)
	require.Equal(t, "hello", read(t, bob, alice, send(t, alice, bob, "hello")))
	require.Equal(t, "answer", read(t, alice, bob, send(t, bob, alice, "answer")))
	_, err := alice.Decrypt(context.Background(), bob.Address(), &session.Message{}, &session.DecryptOptions{})
	refused(t, err, session.ErrMalformed)
}

// What was published once stays so, and what was used up meanwhile is no error.
func TestMarkPublishedAgain(t *testing.T) {
	p := strangers(t)
	publication, err := p.bob.Publish(ctx)
	require.NoError(t, err)
	require.NoError(t, p.alice.Begin(ctx, p.bob.Address(), (&x3dh.Publication{RegistrationID: 1, DeviceID: 1, IdentityKey: publication.IdentityKey,
		SignedPreKey: publication.SignedPreKey, LastResort: publication.LastResort, PreKeys: publication.PreKeys[:1]}).Take()))
	p.goesOn(t)
	require.NoError(t, p.bob.MarkPublished(ctx, publication))
	require.False(t, p.bob.hasPreKey(t, "prekey", publication.PreKeys[0].ID))
	p.now = p.now.Add(time.Hour)
	p.unharmed(t, func() { require.NoError(t, p.bob.MarkPublished(ctx, publication)) })
}
