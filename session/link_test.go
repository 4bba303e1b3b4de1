package session_test

import (
	"bytes"
	"context"
	"crypto/hpke"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// A manifests is a Directory that knows manifests only.
type manifests func(user string) ([]byte, error)

func (manifests) Devices(context.Context, string) ([]session.PeerDevice, error) {
	return nil, errors.ErrUnsupported
}

func (manifests) Bundle(context.Context, session.Address) (*x3dh.Bundle, error) {
	return nil, errors.ErrUnsupported
}

func (f manifests) Manifest(_ context.Context, user string) ([]byte, error) { return f(user) }

func noManifest(string) ([]byte, error) { return nil, nil }

// A linking is an old device of bob's, and a new one that waits.
type linking struct {
	bob  *side
	link *session.Link
	now  time.Time
}

var bobsSecond = session.Address{User: bobAddress.User, Device: 7}

func newLinking(t testing.TB, manifest manifests) *linking {
	t.Helper()
	l := &linking{now: time.Unix(1_700_000_000, 0)}
	o := &session.Options{Now: func() time.Time { return l.now }, Directory: manifest}
	l.bob = newSide(t, bobAddress, nil, o)
	l.link = l.wait(t, bobsSecond)
	return l
}

func (l *linking) wait(t testing.TB, a session.Address) *session.Link {
	t.Helper()
	link, err := session.GenerateLink(a, l.bob.opts)
	require.NoError(t, err)
	return link
}

func (l *linking) digest(t testing.TB) [32]byte { return testutil.StoreDigest(t, l.bob.store) }

// refuses requires that bob links nothing, and nothing changes.
func (l *linking) refuses(t testing.TB, code string, key []byte, want error) {
	t.Helper()
	before := l.digest(t)
	sealed, err := l.bob.Link(ctx, code, key)
	refused(t, err, want)
	require.Nil(t, sealed)
	require.Equal(t, before, l.digest(t))
}

// linkOf is a device that waits to be linked to s.
func linkOf(t testing.TB, s *side) *session.Link {
	t.Helper()
	link, err := session.GenerateLink(session.Address{User: s.Address().User, Device: 9}, s.opts)
	require.NoError(t, err)
	return link
}

var linkings = []operation{
	{"Link", func(t *testing.T) (*side, run) {
		l := newLinking(t, noManifest)
		first := l.wait(t, bobsSecond)
		_, err := l.bob.Link(ctx, first.Code(), first.PublicKey())
		require.NoError(t, err)
		return l.bob, on(func(ctx context.Context, d *session.Device) error {
			sealed, err := d.Link(ctx, l.link.Code(), l.link.PublicKey())
			if err != nil && sealed != nil {
				return errors.New("something sealed beside the error")
			}
			return err
		})
	}},
	{"Link at a gate", func(t *testing.T) (*side, run) {
		l := newLinking(t, noManifest)
		l.bob.hears(t)
		return l.bob, on(func(ctx context.Context, d *session.Device) error {
			_, err := d.Link(ctx, l.link.Code(), l.link.PublicKey())
			return err
		})
	}},
	{"Decrypt Content", func(t *testing.T) (*side, run) {
		p := contents(t, aliceAddress, nil)
		m, err := p.alice.Encrypt(ctx, bobAddress, sampleContent.Bytes())
		require.NoError(t, err)
		return p.bob, reading(m)
	}},
	{"Encrypt Content", func(t *testing.T) (*side, run) {
		p := contents(t, aliceAddress, nil)
		p.talks(t)
		return p.bob, on(func(ctx context.Context, d *session.Device) error {
			_, err := d.Encrypt(ctx, aliceAddress, sampleContent.Bytes())
			return err
		})
	}},
}

// What redacts does not say what is in it; here, how to open it.
func TestLinkPrintsNothing(t *testing.T) {
	l := newLinking(t, noManifest)
	testutil.RequireRedacted(t, l.link, l.link.PublicKey(), []byte(bobAddress.User))
	testutil.RequireRedacted(t, &sampleContent, sampleContent.Body)
	account, err := l.link.Open(l.seal(t))
	require.NoError(t, err)
	testutil.RequireRedacted(t, &account, l.bob.identity.PrivateBytes())
}

func (l *linking) seal(t testing.TB) []byte {
	t.Helper()
	sealed, err := l.bob.Link(ctx, l.link.Code(), l.link.PublicKey())
	require.NoError(t, err)
	return sealed
}

// In a transaction of the app's, which may be rolled back, nothing is linked.
func TestLinkPending(t *testing.T) {
	l := newLinking(t, noManifest)
	before := l.digest(t)
	var pending keystore.Pending
	sealed, err := l.bob.Link(pending.In(ctx), l.link.Code(), l.link.PublicKey())
	refused(t, err, keystore.ErrInvalid)
	require.Nil(t, sealed)
	require.Equal(t, before, l.digest(t))
}

func TestLink(t *testing.T) {
	l := newLinking(t, noManifest)
	require.Len(t, l.link.PublicKey(), 1216)
	sealed, err := l.bob.Link(ctx, l.link.Code(), l.link.PublicKey())
	require.NoError(t, err)
	account, err := l.link.Open(sealed)
	require.NoError(t, err)
	require.Equal(t, bobsSecond, account.Address)
	require.True(t, l.bob.identity.Equal(account.Identity))

	second := &side{store: keystore.NewMemory(), identity: account.Identity, opts: l.bob.opts}
	second.Device, err = session.Create(ctx, second.store, account, l.bob.opts)
	require.NoError(t, err)
	require.Equal(t, l.bob.Identity(), second.Identity())
	p := &pair{alice: second, bob: l.bob, now: l.now}
	p.alice.begin(t, p.bob)
	p.goesOn(t)
}

// The form of a code, and a sealed identity made by the bytes of the
// specification.
func TestLinkForm(t *testing.T) {
	l := newLinking(t, noManifest)
	code := l.link.Code()
	require.Len(t, code, 131)
	require.Regexp(t, `^GEMBOK-LINK-1:[A-Z2-7]+$`, code)
	require.Equal(t, code, l.link.Code())
	key := l.link.PublicKey()
	clear(key)
	require.NotEqual(t, key, l.link.PublicKey())

	public, err := hpke.MLKEM768X25519().NewPublicKey(l.link.PublicKey())
	require.NoError(t, err)
	pair := append(append([]byte{0x0A, 33}, l.bob.Identity().Bytes()...), append([]byte{0x12, 32}, l.bob.identity.PrivateBytes()...)...)
	plaintext := append([]byte{0x08, 1, 0x12, byte(len(bobsSecond.User))}, bobsSecond.User...)
	plaintext = append(append(plaintext, 0x18, 7, 0x22, byte(len(pair))), pair...)
	sealed, err := hpke.Seal(public, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), []byte("gembok/link/1"), plaintext)
	require.NoError(t, err)
	account, err := l.link.Open(sealed)
	require.NoError(t, err)
	require.True(t, l.bob.identity.Equal(account.Identity))
}

// Every slip in a code is noticed, whatever it is in.
func TestLinkCode(t *testing.T) {
	l := newLinking(t, noManifest)
	code, key := l.link.Code(), l.link.PublicKey()
	for i := range code {
		for _, bit := range []byte{1, 0x20, 0x80} {
			b := []byte(code)
			b[i] ^= bit
			l.refuses(t, string(b), key, session.ErrMalformed)
		}
		l.refuses(t, code[:i], key, session.ErrMalformed)
		l.refuses(t, code[:i]+"\n"+code[i:], key, session.ErrMalformed)
	}
	for _, odd := range []string{code + "A", code + "=", code + " ", " " + code, strings.ToLower(code), code + code, code + strings.Repeat("A", 4000)} {
		l.refuses(t, odd, key, session.ErrMalformed)
	}
	_, err := l.bob.Link(ctx, code, key)
	require.NoError(t, err)
}

// codeOf makes a code of any content.
func codeOf(key []byte, device byte, user string) string {
	hash := sha256.Sum256(key)
	b := append(append(hash[:], device), user...)
	sum := sha256.Sum256(append([]byte("GEMBOK-LINK-1:"), b...))
	return "GEMBOK-LINK-1:" + strings.TrimRight(base32.StdEncoding.EncodeToString(append(b, sum[:4]...)), "=")
}

func TestLinkAddress(t *testing.T) {
	l := newLinking(t, noManifest)
	key := l.link.PublicKey()
	require.Equal(t, l.link.Code(), codeOf(key, 7, bobAddress.User))
	for name, c := range map[string]struct {
		device byte
		user   string
		want   error
	}{
		"another user":  {7, aliceAddress.User, session.ErrMalformed},
		"no user":       {7, "", session.ErrMalformed},
		"UTF-8":         {7, "\xFF", session.ErrMalformed},
		"a long name":   {7, strings.Repeat("b", 1025), session.ErrMalformed},
		"device 0":      {0, bobAddress.User, session.ErrMalformed},
		"device 128":    {128, bobAddress.User, session.ErrMalformed},
		"device 255":    {255, bobAddress.User, session.ErrMalformed},
		"this device":   {byte(bobAddress.Device), bobAddress.User, session.ErrExists},
		"a listed one":  {3, bobAddress.User, session.ErrExists},
		"a removed one": {4, bobAddress.User, nil},
	} {
		l.bob.put(t, l.bob.key("peer", bobAddress.User, ""), wire.AppendPeer(nil, &wire.Peer{
			Devices: []wire.PeerDevice{{ID: 3, RegistrationID: 5}, {ID: 4, RegistrationID: 5, StaleSince: 1}},
		}))
		if c.want == nil {
			_, err := l.bob.Link(ctx, codeOf(key, c.device, c.user), key)
			require.NoError(t, err, name)
			continue
		}
		l.refuses(t, codeOf(key, c.device, c.user), key, c.want)
	}
	for _, a := range []session.Address{{}, {User: "bob", Device: 128}, {User: "bob"}, {Device: 1}} {
		link, err := session.GenerateLink(a, nil)
		refused(t, err, session.ErrMalformed)
		require.Nil(t, link)
	}
}

// A public key that is not the one in the code is not sealed for.
func TestLinkPublicKey(t *testing.T) {
	l := newLinking(t, noManifest)
	code, key := l.link.Code(), l.link.PublicKey()
	for i := range key {
		b := bytes.Clone(key)
		b[i] ^= 1 << (i % 8)
		l.refuses(t, code, b, session.ErrAuth)
	}
	for _, b := range [][]byte{nil, {}, key[:1215], append(bytes.Clone(key), 0), l.wait(t, bobsSecond).PublicKey()} {
		l.refuses(t, code, b, session.ErrAuth)
	}
	for _, b := range [][]byte{{}, make([]byte, 1215), bytes.Repeat([]byte{0xFF}, 1216), make([]byte, 1216), make([]byte, 1217)} {
		l.refuses(t, codeOf(b, 7, bobAddress.User), b, session.ErrMalformed) // right, and no key
	}
}

// Whatever was done to what was sealed, it does not open; the right one does
// still.
func TestLinkSealed(t *testing.T) {
	l := newLinking(t, noManifest)
	sealed, err := l.bob.Link(ctx, l.link.Code(), l.link.PublicKey())
	require.NoError(t, err)
	rejects := func(b []byte, want error) {
		t.Helper()
		account, err := l.link.Open(b)
		refused(t, err, want)
		require.Nil(t, account.Identity)
		require.Zero(t, account.Address)
	}
	for i := range sealed {
		if testing.Short() && i%16 != 0 && i != len(sealed)-1 {
			continue
		}
		b := bytes.Clone(sealed)
		b[i] ^= 1 << (i % 8)
		rejects(b, session.ErrAuth)
		if i%32 == 0 || i > 1120 {
			rejects(sealed[:i], session.ErrAuth)
		}
	}
	rejects(nil, session.ErrAuth)
	rejects(append(bytes.Clone(sealed), 0), session.ErrAuth)
	rejects(make([]byte, 1<<20), session.ErrTooLarge)
	account, err := l.link.Open(sealed)
	require.NoError(t, err)
	require.True(t, l.bob.identity.Equal(account.Identity))
	_, err = l.wait(t, bobsSecond).Open(sealed)
	refused(t, err, session.ErrAuth)
}

// What is sealed for this device, and is not what it should be.
func TestLinkInside(t *testing.T) {
	l := newLinking(t, noManifest)
	public, err := hpke.MLKEM768X25519().NewPublicKey(l.link.PublicKey())
	require.NoError(t, err)
	record := wire.AppendIdentityKeyPairRecord(nil, &wire.IdentityKeyPairRecord{
		Public: l.bob.Identity().Bytes(), Private: l.bob.identity.PrivateBytes()})
	other := wire.AppendIdentityKeyPairRecord(nil, &wire.IdentityKeyPairRecord{
		Public: keys.GenerateIdentityKeyPair().Public().Bytes(), Private: l.bob.identity.PrivateBytes()})
	good := wire.Link{User: bobAddress.User, Device: 7, Identity: record}
	later := wire.AppendLink(nil, &good)
	later[1] = 2
	for name, c := range map[string]struct {
		in   []byte
		want error
	}{
		"nothing":        {nil, session.ErrMalformed},
		"a version":      {later, session.ErrVersion},
		"no protobuf":    {[]byte{0xFF}, session.ErrMalformed},
		"another user":   {wire.AppendLink(nil, &wire.Link{User: aliceAddress.User, Device: 7, Identity: record}), session.ErrMalformed},
		"another device": {wire.AppendLink(nil, &wire.Link{User: bobAddress.User, Device: 8, Identity: record}), session.ErrMalformed},
		"no pair":        {wire.AppendLink(nil, &wire.Link{User: bobAddress.User, Device: 7}), keys.ErrKey},
		"half a pair":    {wire.AppendLink(nil, &wire.Link{User: bobAddress.User, Device: 7, Identity: record[:35]}), keys.ErrKey},
		"bad pair":       {wire.AppendLink(nil, &wire.Link{User: bobAddress.User, Device: 7, Identity: []byte{0xFF}}), session.ErrMalformed},
		"two pairs":      {wire.AppendLink(nil, &wire.Link{User: bobAddress.User, Device: 7, Identity: other}), keys.ErrKey},
	} {
		sealed, err := hpke.Seal(public, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), []byte("gembok/link/1"), c.in)
		require.NoError(t, err)
		account, err := l.link.Open(sealed)
		require.ErrorIs(t, err, c.want, name)
		requireQuiet(t, err)
		require.Nil(t, account.Identity)
	}
	sealed, err := hpke.Seal(public, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), []byte("gembok/link/2"), wire.AppendLink(nil, &good))
	require.NoError(t, err)
	_, err = l.link.Open(sealed)
	refused(t, err, session.ErrAuth)
	_, err = l.bob.Link(ctx, l.link.Code(), l.link.PublicKey())
	require.NoError(t, err)
}

// A code is good for once, on both sides, and for 10 minutes on the new one.
func TestLinkOnce(t *testing.T) {
	l := newLinking(t, noManifest)
	code, key := l.link.Code(), l.link.PublicKey()
	sealed, err := l.bob.Link(ctx, code, key)
	require.NoError(t, err)
	l.refuses(t, code, key, session.ErrLink)
	l.now = l.now.Add(10 * time.Minute)
	l.refuses(t, code, key, session.ErrLink)
	l.bob = l.bob.reopen(t)
	l.refuses(t, code, key, session.ErrLink)
	_, err = l.link.Open(sealed)
	require.NoError(t, err)
	_, err = l.link.Open(sealed)
	refused(t, err, session.ErrLink)

	late := l.wait(t, bobsSecond)
	sealed, err = l.bob.Link(ctx, late.Code(), late.PublicKey())
	require.NoError(t, err)
	l.now = l.now.Add(10*time.Minute + time.Millisecond)
	_, err = late.Open(sealed)
	refused(t, err, session.ErrLink)
	_, err = new(session.Link).Open(sealed)
	refused(t, err, session.ErrLink)
	last := l.wait(t, bobsSecond)
	_, err = l.bob.Link(ctx, last.Code(), last.PublicKey())
	require.NoError(t, err)
	record, err := wire.ParseLinks(l.bob.load(t, l.bob.key("link", "-", "")).Value[1:])
	require.NoError(t, err)
	require.Len(t, record.Used, 1) // those before are forgotten
}

// Of those who use one code at once, one may.
func TestLinkAtOnce(t *testing.T) {
	l := newLinking(t, noManifest)
	var wg sync.WaitGroup
	got, opened := make(chan []byte, 8), make(chan error, 8)
	for range 8 {
		wg.Go(func() {
			if sealed, err := l.bob.Link(ctx, l.link.Code(), l.link.PublicKey()); err == nil {
				got <- sealed
			} else if !errors.Is(err, session.ErrLink) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	require.Len(t, got, 1)
	sealed := <-got
	for range 8 {
		wg.Go(func() {
			if _, err := l.link.Open(sealed); !errors.Is(err, session.ErrLink) {
				opened <- err
			}
		})
	}
	wg.Wait()
	require.Len(t, opened, 1)
	require.NoError(t, <-opened)
}

// No more codes are used at once than an account has devices.
func TestLinkMany(t *testing.T) {
	l := newLinking(t, noManifest)
	var many wire.Links
	for i := range 128 {
		hash := sha256.Sum256([]byte{byte(i)})
		many.Used = append(many.Used, wire.UsedLink{Hash: hash[:], At: uint64(l.now.UnixMilli())})
	}
	key := l.bob.key("link", "-", "")
	l.bob.put(t, key, wire.AppendLinks(nil, &many))
	l.refuses(t, l.link.Code(), l.link.PublicKey(), session.ErrLink)
	many.Used[0].At -= 600001
	l.bob.put(t, key, wire.AppendLinks(nil, &many))
	_, err := l.bob.Link(ctx, l.link.Code(), l.link.PublicKey())
	require.NoError(t, err)
	l.bob.put(t, key, []byte{0xFF})
	other := l.wait(t, bobsSecond)
	l.refuses(t, other.Code(), other.PublicKey(), keystore.ErrCorrupt)
	l.bob.put(t, key, nil)
	l.bob.put(t, l.bob.key("peer", bobAddress.User, ""), []byte{0xFF})
	l.refuses(t, other.Code(), other.PublicKey(), keystore.ErrCorrupt)
}

// The identity goes to no device whose key a provider or a platform keeps, and
// to none while nobody says whether that is so.
func TestLinkHosted(t *testing.T) {
	signed := func(user string, controllers ...wire.Controller) manifests {
		return func(asked string) ([]byte, error) {
			require.Equal(t, bobAddress.User, asked)
			return signedManifest(user, controllers...), nil
		}
	}
	for name, c := range map[string]struct {
		manifest manifests
		want     error
	}{
		"provider":        {signed(bobAddress.User, 1, 4), session.ErrHosted},
		"platform":        {signed(bobAddress.User, 2, 5), session.ErrHosted},
		"another account": {signed(aliceAddress.User, 1, 1), session.ErrMalformed},
		"garbage":         {func(string) ([]byte, error) { return []byte{0xFF}, nil }, session.ErrMalformed},
		"huge":            {func(string) ([]byte, error) { return make([]byte, 9<<10), nil }, session.ErrTooLarge},
		"error":           {func(string) ([]byte, error) { return nil, errTest }, errTest},
		"panic":           {func(string) ([]byte, error) { panic("directory") }, nil},
		"no directory":    {nil, nil},
	} {
		l := newLinking(t, c.manifest)
		if name == "no directory" {
			l.bob.opts = &session.Options{Now: l.bob.opts.Now}
			l.bob = l.bob.reopen(t)
		}
		before := l.digest(t)
		sealed, err := l.bob.Link(ctx, l.link.Code(), l.link.PublicKey())
		require.Error(t, err, name)
		require.Nil(t, sealed)
		if c.want != nil {
			require.ErrorIs(t, err, c.want, name)
		}
		if c.want != session.ErrHosted {
			require.Equal(t, bobAddress.User, refusedAs[*session.DirectoryError](t, err).User)
		}
		require.Equal(t, before, l.digest(t))
	}
	for name, manifest := range map[string]manifests{
		"own": signed(bobAddress.User, 1, 3), "another device's": signed(bobAddress.User, 4, 2), "not listed": signed(bobAddress.User, 5), "none": noManifest,
	} {
		l := newLinking(t, manifest)
		_, err := l.bob.Link(ctx, l.link.Code(), l.link.PublicKey())
		require.NoError(t, err, name)
	}
}

var errTest = errors.New("not today")

// signedManifest lists devices 1 and 7, with these controllers.
func signedManifest(user string, controllers ...wire.Controller) []byte {
	m := wire.Manifest{Version: 1, Account: user, Kind: 1, Epoch: 1, NotBefore: 1, NotAfter: 2, Key: make([]byte, 33)}
	s := wire.SignedManifest{Signature: make([]byte, 64)}
	for i, c := range controllers {
		e := wire.ManifestEndpoint{Device: uint32(1 + 6*i), Identity: make([]byte, 33), Controller: c, Storage: 1, NotAfter: 2}
		sigs := wire.ManifestEndpointSigs{Endpoint: make([]byte, 64)}
		if c.Hosted() {
			e.Provider = &wire.ManifestProvider{Name: "Host", Domain: "host.example", Key: make([]byte, 33)}
			sigs.Provider = make([]byte, 64)
		}
		m.Endpoints, s.Signatures = append(m.Endpoints, e), append(s.Signatures, sigs)
	}
	s.Manifest = wire.AppendManifest(nil, &m)
	return wire.AppendSignedManifest(nil, &s)
}

// A store that fails, or was put back, lets nothing leave.
func TestLinkStore(t *testing.T) {
	l := newLinking(t, noManifest)
	bob, watch := l.bob.spied(t)
	watch.reset()
	for _, call := range []string{"load", "commit"} {
		watch.fail = func(c string, _ int) error {
			if c == call {
				return errTest
			}
			return nil
		}
		before := l.digest(t)
		sealed, err := bob.Link(ctx, l.link.Code(), l.link.PublicKey())
		require.ErrorIs(t, err, errTest)
		require.Nil(t, sealed)
		require.Equal(t, before, l.digest(t))
	}
	watch.fail = nil
	watch.reset()
	_, err := bob.Link(ctx, l.link.Code(), l.link.PublicKey())
	require.NoError(t, err)
	require.Len(t, watch.loads, 1)
	require.Len(t, watch.commits, 1)
	require.ErrorIs(t, session.CheckGeneration(ctx, l.bob.store, 1<<60), keystore.ErrRolledBack)
	other := l.wait(t, bobsSecond)
	l.refuses(t, other.Code(), other.PublicKey(), keystore.ErrRolledBack)
	done, cancel := context.WithCancel(ctx)
	cancel()
	_, err = l.bob.Link(done, other.Code(), other.PublicKey())
	require.Error(t, err)
}
