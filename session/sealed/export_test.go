package sealed

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/gcmsiv"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// SealWith is Seal with its coins.
func (s *Sender) SealWith(to keys.IdentityKey, m *session.Message, hint Hint, group []byte, ephemeral *keys.PrivateKey) ([]byte, error) {
	c, err := s.content(m, hint, group)
	if err != nil {
		return nil, err
	}
	shared, err := s.agree(to)
	if err != nil {
		return nil, err
	}
	return sealV1(s.certificate.claims.Identity, to, &shared, c, ephemeral)
}

// SealManyWith is SealMany with its coins.
func (s *Sender) SealManyWith(to []Recipient, excluded []string, m *session.Message, hint Hint, group []byte, coins *[32]byte) ([]byte, error) {
	c, err := s.content(m, hint, group)
	if err != nil {
		return nil, err
	}
	l, err := newList(to, excluded)
	if err != nil {
		return nil, err
	}
	return s.sealSent(l, c, coins)
}

// OpenUnverified is Open but for the certificate.
func (o *Opener) OpenUnverified(envelope []byte) (*Message, error) {
	opened, err := o.open(envelope)
	if err != nil {
		return nil, err
	}
	return opened.message, nil
}

// EphemeralKeys is ephemeralKeys.
func EphemeralKeys(agreed *[32]byte, to keys.IdentityKey, e keys.PublicKey) (chain, cipher, mac [32]byte) {
	chain, k := ephemeralKeys(agreed, to, e)
	return chain, k.cipher, k.mac
}

// StaticKeys is staticKeys.
func StaticKeys(agreed, chain *[32]byte, static []byte) (cipher, mac [32]byte) {
	k := staticKeys(agreed, chain, static)
	return k.cipher, k.mac
}

// DeriveV2 is newV2: the ephemeral key, both halves, and that of the body.
func DeriveV2(m *[32]byte) (private, public []byte, body [32]byte) {
	x := newV2(m)
	return x.ephemeral.Bytes(), x.public.Bytes(), x.body
}

// KeyV2 is C and AT.
func KeyV2(m *[32]byte, from *keys.IdentityKeyPair, to keys.IdentityKey) (c, at []byte) {
	shared, err := from.Agree(to.PublicKey())
	if err != nil {
		panic(err)
	}
	k, err := newV2(m).key(from.Public(), to, &shared)
	if err != nil {
		panic(err)
	}
	return k[:32], k[32:]
}

// SealContent seals whatever it is given, in both versions.
func SealContent(t testing.TB, from *keys.IdentityKeyPair, to keys.IdentityKey, content []byte) map[string][]byte {
	shared, err := from.Agree(to.PublicKey())
	require.NoError(t, err)
	return sealBytes(t, from.Public(), &shared, to, content)
}

// SealBy seals with the key pair of one, the name of another, and a certificate.
func SealBy(t testing.TB, by *keys.IdentityKeyPair, from keys.IdentityKey, c *SenderCertificate, to keys.IdentityKey) map[string][]byte {
	shared, err := by.Agree(to.PublicKey())
	require.NoError(t, err)
	return sealBytes(t, from, &shared, to, contentOf(c))
}

// SealAs seals for a key with which every agreement is zero.
func SealAs(t testing.TB, from keys.IdentityKey, c *SenderCertificate, to keys.IdentityKey) map[string][]byte {
	out := sealBytes(t, from, new([32]byte), to, contentOf(c))
	if from.IsZero() { // no certificate says so
		delete(out, "v2")
	}
	return out
}

func contentOf(c *SenderCertificate) []byte {
	return wire.AppendSealedContent(nil, &wire.SealedContent{Type: wire.TypeSignal, Certificate: c.raw})
}

func sealBytes(t testing.TB, from keys.IdentityKey, shared *[32]byte, to keys.IdentityKey, content []byte) map[string][]byte {
	e := keys.GeneratePrivateKey()
	agreed, err := e.Agree(to.PublicKey())
	require.NoError(t, err)
	chain, k := ephemeralKeys(&agreed, to, e.PublicKey())
	m := wire.SealedMessage{Ephemeral: e.PublicKey().Bytes(), Static: k.seal(from.Bytes(), 0)}
	k = staticKeys(shared, &chain, m.Static)
	m.Message = k.seal(append([]byte(nil), content...), 0)
	one := append(wire.AppendSealedHead(nil, &m, len(m.Message)), m.Message...)

	x := newV2((*[32]byte)(chain[:]))
	key, err := x.key(from, to, shared)
	require.NoError(t, err)
	body := gcmsiv.Seal(x.public.Bytes()[1:], &x.body, new([12]byte), content, nil)
	return map[string][]byte{"v1": one, "v2": wire.AppendSealedReceived(nil, &key, body)}
}

// Kept is how many agreements an Opener keeps, and whether that with a key is
// among them.
func (o *Opener) Kept(peer keys.IdentityKey) (n int, kept bool) { return o.agreements.has(peer) }

// Kept is the same of a Sender.
func (s *Sender) Kept(peer keys.IdentityKey) (n int, kept bool) { return s.agreements.has(peer) }

// Fresh returns whether an agreement is computed.
func (s *Sender) Fresh(peer keys.IdentityKey) bool {
	_, fresh, err := s.agreements.agree(peer)
	return fresh && err == nil
}

func (a *agreements) has(peer keys.IdentityKey) (n int, kept bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, kept = a.kept.at[peer]
	return len(a.kept.slots), kept
}

// Kept is how many certificates a Trust remembers.
func (t *Trust) Kept() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.verified.slots)
}

// Recent is a recent of ints.
type Recent struct{ r recent[int, int] }

// Get returns a value, or 0.
func (r *Recent) Get(key int) int {
	if v := r.r.get(key); v != nil {
		return *v
	}
	return 0
}

// Put puts a value, and returns how many there are, in use and in memory.
func (r *Recent) Put(limit, key, value int) (n, room int) {
	r.r.put(limit, key, value)
	if len(r.r.at) != len(r.r.slots) {
		panic("index and slots differ")
	}
	return len(r.r.slots), cap(r.r.slots)
}

// Overwritten returns whether growing from limit values on cleared them.
func (r *Recent) Overwritten(limit int) bool {
	old := r.r.slots
	r.r.put(limit, -1, -1)
	return &old[0] != &r.r.slots[0] && old[0] == slot[int, int]{}
}

// SealTweaked makes an envelope of version 2 in which E does not come from M: the
// agreement is made with private, and public is said to be its key. All else is
// right.
func SealTweaked(t testing.TB, from *keys.IdentityKeyPair, private *keys.PrivateKey, public keys.PublicKey, c *SenderCertificate, to keys.IdentityKey) []byte {
	shared, err := from.Agree(to.PublicKey())
	require.NoError(t, err)
	x := newV2(&[32]byte{1, 2, 3})
	if private != nil {
		x.ephemeral = private
	}
	x.public = public
	key, err := x.key(from.Public(), to, &shared)
	require.NoError(t, err)
	return wire.AppendSealedReceived(nil, &key, x.appendShared(nil, &wire.SealedContent{Type: wire.TypeSignal, Certificate: c.raw}))
}

// EphemeralV2 is the E of SealTweaked that is right.
func EphemeralV2() keys.PublicKey { return newV2(&[32]byte{1, 2, 3}).public }

// CheckSent is checkSent.
func CheckSent(size int) error { return checkSent(size) }
