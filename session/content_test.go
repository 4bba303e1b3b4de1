package session_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// contentPair are two devices, bob's of either address and identity, whose
// plaintexts are Content, and alice's without a check of what she sends.
type contentPair struct {
	*pair
	forger *side // alice's store, opened in raw mode
}

func contents(t testing.TB, alice session.Address, id *keys.IdentityKeyPair) *contentPair {
	t.Helper()
	return contentsOf(t, alice, id, nil)
}

func contentsOf(t testing.TB, alice session.Address, id, bobs *keys.IdentityKeyPair) *contentPair {
	t.Helper()
	p := &pair{now: time.Unix(1_700_000_000, 0)}
	clock := func() time.Time { return p.now }
	o := &session.Options{Now: clock, Content: true}
	p.bob = newSide(t, bobAddress, bobs, o)
	if id == nil && alice.User == bobAddress.User {
		id = p.bob.identity
	}
	p.alice = newSide(t, alice, id, o)
	forger := &side{store: p.alice.store, identity: p.alice.identity, opts: &session.Options{Now: clock}}
	var err error
	forger.Device, err = session.Open(ctx, forger.store, alice, forger.opts)
	require.NoError(t, err)
	if id != nil { // of the own user, it is no stranger's to her only then
		require.NoError(t, p.alice.AcceptIdentity(ctx, bobAddress, p.bob.Identity()))
	}
	p.alice.begin(t, p.bob)
	return &contentPair{p, forger}
}

// forged has bob get bytes from alice that she did not pad or check.
func (p *contentPair) forged(t testing.TB, plaintext []byte) (*session.Received, error) {
	t.Helper()
	m, err := p.forger.Encrypt(ctx, bobAddress, plaintext)
	require.NoError(t, err)
	return p.bob.Decrypt(ctx, p.alice.Address(), m, nil)
}

func text(s string) []byte { return (&session.Content{Body: []byte(s)}).Bytes() }

var sampleContent = session.Content{
	Body: []byte("good morning, dear neighbour"), SentAt: time.UnixMilli(1_700_000_000_123), Timer: 90 * time.Second, TimerVersion: 7,
}

func TestContent(t *testing.T) {
	p := contents(t, aliceAddress, nil)
	sizes := map[int]bool{}
	for n := range 200 {
		c := sampleContent
		c.Body = bytes.Repeat([]byte{0x80}, n)
		m, err := p.alice.Encrypt(ctx, bobAddress, c.Bytes())
		require.NoError(t, err)
		sizes[len(m.Bytes)] = true
		r, err := p.bob.Decrypt(ctx, p.alice.Address(), m, nil)
		require.NoError(t, err)
		require.Equal(t, c.Bytes(), r.Plaintext)
		sameContent(t, &c, r.Content)
		again, err := p.bob.Decrypt(ctx, p.alice.Address(), m, nil)
		require.NoError(t, err)
		sameResult(t, again, r)
		sameContent(t, &c, again.Content)
		require.NoError(t, p.bob.Acknowledge(ctx, r))
	}
	require.LessOrEqual(t, len(sizes), 12) // 4 steps of padding, in 1 to 3 forms of what is around it
}

func sameContent(t testing.TB, want, got *session.Content) {
	t.Helper()
	require.NotNil(t, got)
	require.Equal(t, string(want.Body), string(got.Body))
	require.True(t, want.SentAt.Equal(got.SentAt), "%v, not %v", got.SentAt, want.SentAt)
	require.Equal(t, want.Timer, got.Timer)
	require.Equal(t, want.TimerVersion, got.TimerVersion)
	require.Equal(t, want.SyncTo, got.SyncTo)
}

// What Unacknowledged yields has its Content, in the record "staged" or beside
// it, within the operation and after it.
func TestContentStaged(t *testing.T) {
	for _, n := range []int{0, 10, 5000} {
		p := contents(t, aliceAddress, nil)
		c := sampleContent
		c.Body = make([]byte, n)
		m, err := p.alice.Encrypt(ctx, bobAddress, c.Bytes())
		require.NoError(t, err)
		require.NoError(t, p.bob.Update(ctx, []session.Address{p.alice.Address()}, func(tx *session.Tx) error {
			for range 2 {
				r, err := tx.Decrypt(p.alice.Address(), m, nil)
				require.NoError(t, err)
				sameContent(t, &c, r.Content)
			}
			return nil
		}))
		found := 0
		for r, err := range p.bob.reopen(t).Unacknowledged(ctx) {
			require.NoError(t, err)
			require.Equal(t, c.Bytes(), r.Plaintext)
			sameContent(t, &c, r.Content)
			found++
		}
		require.Equal(t, 1, found)
	}
}

// A message of a feature is read as one of a peer is.
func TestContentStage(t *testing.T) {
	p := contents(t, aliceAddress, nil)
	stage := func(plaintext []byte) (r *session.Received, err error) {
		r = &session.Received{From: p.alice.Address(), Identity: p.alice.Identity(), Plaintext: plaintext}
		return r, p.bob.Update(ctx, nil, func(tx *session.Tx) error { return tx.Stage(r, []byte("inner")) })
	}
	before := p.digest(t)
	_, err := stage([]byte{0xFF})
	refused(t, err, session.ErrMalformed)
	copied := session.Content{Body: []byte("text"), SyncTo: "carla"}
	_, err = stage(copied.Bytes())
	refused(t, err, session.ErrMalformed)
	require.Equal(t, before, p.digest(t))
	r, err := stage(text("text"))
	require.NoError(t, err)
	require.Equal(t, "text", string(r.Content.Body))
}

// Bytes has an answer for every Content, and reads back what it says.
func TestContentBytes(t *testing.T) {
	for _, c := range []struct{ in, out session.Content }{
		{},
		{in: sampleContent, out: sampleContent},
		{in: session.Content{Timer: -time.Hour}, out: session.Content{}},
		{in: session.Content{Timer: 1999 * time.Millisecond}, out: session.Content{Timer: time.Second}},
		{in: session.Content{Timer: 1 << 62}, out: session.Content{Timer: (1<<32 - 1) * time.Second}},
		{in: session.Content{TimerVersion: 3}, out: session.Content{TimerVersion: 3}},
		{in: session.Content{SentAt: time.Unix(-5, 0)}, out: session.Content{SentAt: time.UnixMilli(1)}},
	} {
		p := contents(t, aliceAddress, nil)
		m, err := p.alice.Encrypt(ctx, bobAddress, c.in.Bytes())
		require.NoError(t, err)
		r, err := p.bob.Decrypt(ctx, p.alice.Address(), m, nil)
		require.NoError(t, err)
		sameContent(t, &c.out, r.Content)
	}
}

// Without Options.Content bytes are bytes.
func TestRawMode(t *testing.T) {
	p := friends(t)
	for _, plaintext := range []string{"", "\xFF", "text\x80\x00"} {
		r := p.bob.reads(t, p.alice, p.alice.send(t, p.bob, plaintext), plaintext)
		require.Nil(t, r.Content)
	}
	short, long := p.alice.send(t, p.bob, ""), p.alice.send(t, p.bob, "0123456789abcdef")
	require.Less(t, len(short.Bytes), len(long.Bytes))
}

// What is no Content is not sent, by Encrypt or within an Update.
func TestContentRefusedToSend(t *testing.T) {
	p := contents(t, aliceAddress, nil)
	sync := func(to string, c []byte) []byte {
		return wire.AppendContent(nil, &wire.Content{Sync: &wire.Sync{Recipient: to, Content: c}})
	}
	for name, plaintext := range map[string][]byte{
		"no protobuf": {0xFF}, "wire type": {0x08, 1}, "truncated": {0x0A, 9, 1},
		"copy for another": sync("carla", text("text")), "copy of a copy": sync("carla", sync("carla", nil)), "copy to nobody": sync("", text("text")),
	} {
		before := p.digest(t)
		_, err := p.alice.Encrypt(ctx, bobAddress, plaintext)
		require.ErrorIs(t, err, session.ErrMalformed, name)
		requireQuiet(t, err)
		require.NoError(t, p.alice.Update(ctx, []session.Address{bobAddress}, func(tx *session.Tx) error {
			_, err := tx.Encrypt(bobAddress, plaintext)
			require.ErrorIs(t, err, session.ErrMalformed, name)
			return nil
		}))
		require.Equal(t, before, p.digest(t), name)
	}
}

// Bad padding and bad Content in an authentic message change nothing: neither
// the session nor the prekeys of one that begins one.
func TestContentMalformed(t *testing.T) {
	var overlong []byte
	for range 11 {
		overlong = append(overlong, 0x80)
	}
	pad := func(b ...byte) []byte { return wire.AppendPadded(nil, b) }
	for name, plaintext := range map[string][]byte{
		"empty": {}, "zeros": make([]byte, 79), "no marker": append(text("text"), 0, 0), "behind the marker": append(pad(text("text")...), 1),
		"no protobuf": pad(0xFF), "wire type": pad(0x08, 1), "truncated": pad(0x0A, 9, 1), "varint": pad(append([]byte{0x20}, overlong...)...),
		"timer": pad(0x1A, 1, 0xFF), "sync": pad(0x4A, 1, 0xFF), "UTF-8": pad(0x4A, 3, 0x0A, 1, 0xFF),
	} {
		t.Run(name, func(t *testing.T) {
			p := contents(t, aliceAddress, nil)
			for range 2 { // first as a message that begins a session
				before := testutil.StoreDigest(t, p.bob.store)
				r, err := p.forged(t, plaintext)
				refused(t, err, session.ErrMalformed)
				require.Nil(t, r)
				require.Equal(t, before, testutil.StoreDigest(t, p.bob.store))
				p.talks(t)
			}
		})
	}
}

// talks has each side read a message.
func (p *contentPair) talks(t testing.TB) {
	t.Helper()
	for _, way := range [][2]*side{{p.alice, p.bob}, {p.bob, p.alice}} {
		m, err := way[0].Encrypt(ctx, way[1].Address(), text("well"))
		require.NoError(t, err)
		r, err := way[1].Decrypt(ctx, way[0].Address(), m, nil)
		require.NoError(t, err)
		require.Equal(t, "well", string(r.Content.Body))
	}
}

// A copy comes from the own other device, and is what that sent.
func TestContentSync(t *testing.T) {
	p := contents(t, session.Address{User: bobAddress.User, Device: bobAddress.Device + 1}, nil)
	c := sampleContent
	c.SyncTo = aliceAddress.User
	m, err := p.alice.Encrypt(ctx, bobAddress, c.Bytes())
	require.NoError(t, err)
	r, err := p.bob.Decrypt(ctx, p.alice.Address(), m, nil)
	require.NoError(t, err)
	sameContent(t, &c, r.Content)
	require.Equal(t, c.Bytes(), r.Plaintext)
	require.Equal(t, p.alice.Address(), r.From)
	for again, err := range p.bob.Unacknowledged(ctx) {
		require.NoError(t, err)
		sameContent(t, &c, again.Content)
	}
	plain, err := p.forged(t, wire.AppendPadded(nil, text("a note to myself")))
	require.NoError(t, err)
	require.Empty(t, plain.Content.SyncTo)
}

// TestSES_09_ForgedSync: nobody but the own account's other devices, under its
// identity key, can show a message as the own. What is shown has its
// authenticated sender.
func TestSES_09_ForgedSync(t *testing.T) {
	forged := session.Content{Body: []byte("I lent you the money"), SyncTo: aliceAddress.User}
	nested := session.Content{Body: forged.Bytes(), SyncTo: aliceAddress.User}
	inside := wire.AppendContent(nil, &wire.Content{Sync: &wire.Sync{Recipient: aliceAddress.User, Content: forged.Bytes()}})
	nobody := wire.AppendContent(nil, &wire.Content{Sync: &wire.Sync{Content: text("text")}})
	endless := wire.AppendContent(nil, &wire.Content{Sync: &wire.Sync{Recipient: string(make([]byte, 1025))}})
	other := session.Address{User: bobAddress.User, Device: bobAddress.Device + 1}
	shared := keys.GenerateIdentityKeyPair()
	for name, c := range map[string]struct {
		from session.Address
		id   *keys.IdentityKeyPair
		text []byte
	}{
		"a contact":            {aliceAddress, nil, forged.Bytes()},
		"a contact, nested":    {aliceAddress, nil, inside},
		"another account":      {aliceAddress, shared, forged.Bytes()}, // under the same key
		"another identity key": {other, keys.GenerateIdentityKeyPair(), forged.Bytes()},
		"a copy of a copy":     {other, nil, inside},
		"to nobody":            {other, nil, nobody},
		"to a long name":       {other, nil, endless},
		"this very device":     {bobAddress, nil, forged.Bytes()},
	} {
		t.Run(name, func(t *testing.T) {
			bobs := keys.GenerateIdentityKeyPair()
			if c.id == shared {
				bobs = shared
			}
			p := contentsOf(t, c.from, c.id, bobs)
			before := testutil.StoreDigest(t, p.bob.store)
			r, err := p.forged(t, wire.AppendPadded(nil, c.text))
			refused(t, err, session.ErrMalformed)
			require.Nil(t, r)
			require.Equal(t, before, testutil.StoreDigest(t, p.bob.store))
		})
	}
	p := contents(t, aliceAddress, nil) // in a body it is bytes
	m, err := p.alice.Encrypt(ctx, bobAddress, (&session.Content{Body: nested.Bytes()}).Bytes())
	require.NoError(t, err)
	r, err := p.bob.Decrypt(ctx, p.alice.Address(), m, nil)
	require.NoError(t, err)
	require.Empty(t, r.Content.SyncTo)
	require.Equal(t, aliceAddress, r.From)
	require.Equal(t, p.alice.Identity(), r.Identity)
}

// A staged message that is no Content is damage, and the others follow.
func TestContentDamaged(t *testing.T) {
	p := contents(t, aliceAddress, nil)
	m, err := p.alice.Encrypt(ctx, bobAddress, text("text"))
	require.NoError(t, err)
	_, err = p.bob.Decrypt(ctx, p.alice.Address(), m, nil)
	require.NoError(t, err)
	for _, rec := range p.bob.list(t, "staged", "") {
		staged, err := wire.ParseStaged(rec.Value[1:])
		require.NoError(t, err)
		staged.Plaintext = []byte{0xFF}
		p.bob.put(t, rec.Key, wire.AppendStaged(nil, &staged))
	}
	p.talks(t)
	var bad, good int
	for r, err := range p.bob.Unacknowledged(ctx) {
		if err == nil {
			require.NotNil(t, r.Content)
			good++
			continue
		}
		refused(t, err, keystore.ErrCorrupt)
		bad++
	}
	require.Equal(t, [2]int{1, 1}, [2]int{bad, good})
}

// FuzzContent gives arbitrary authentic plaintexts to a device in Content mode.
func FuzzContent(f *testing.F) {
	for _, b := range [][]byte{
		{}, make([]byte, 79), {0x80}, wire.AppendPadded(nil, sampleContent.Bytes()), sampleContent.Bytes(),
		wire.AppendPadded(nil, (&session.Content{SyncTo: "carla", Body: []byte("text")}).Bytes()),
	} {
		f.Add(b, true)
		f.Add(b, false)
	}
	own := contents(f, session.Address{User: bobAddress.User, Device: bobAddress.Device + 1}, nil)
	their := contents(f, aliceAddress, nil)
	f.Fuzz(func(t *testing.T, b []byte, isOwn bool) {
		p := their
		if isOwn {
			p = own
		}
		before := testutil.StoreDigest(t, p.bob.store)
		r, err := p.forged(t, b)
		if err != nil {
			refused(t, err, session.ErrMalformed)
			require.Equal(t, before, testutil.StoreDigest(t, p.bob.store))
			return
		}
		require.True(t, isOwn || r.Content.SyncTo == "")
		require.True(t, bytes.HasPrefix(b, r.Plaintext))
		require.NoError(t, p.bob.Acknowledge(ctx, r))
	})
}
