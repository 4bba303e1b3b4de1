package sealed_test

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/sealed"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// An issuer is what a relay has: a root, and a server's key and certificate.
type issuer struct {
	root, key *keys.SigningKey
	server    *sealed.ServerCertificate
}

func newIssuer(id uint32) *issuer {
	i := &issuer{root: keys.GenerateSigningKey(), key: keys.GenerateSigningKey()}
	i.server = sealed.IssueServerCertificate(i.root, id, i.key.Public())
	return i
}

func aliceClaims(t testing.TB) sealed.Claims {
	return sealed.Claims{User: aliceUUID, Device: 1, Identity: pair(t, 0x33).Public(), Expires: expires}
}

func (i *issuer) issue(t testing.TB, change func(*sealed.Claims)) *sealed.SenderCertificate {
	t.Helper()
	c := aliceClaims(t)
	if change != nil {
		change(&c)
	}
	made, err := sealed.IssueSenderCertificate(i.server, i.key, c)
	require.NoError(t, err)
	return made
}

func (i *issuer) trust() *sealed.Trust {
	return &sealed.Trust{Roots: []keys.VerifyKey{i.root.Public()}}
}

func (i *issuer) roots(more ...*issuer) (out []keys.VerifyKey) {
	for _, i := range append(more, i) {
		out = append(out, i.root.Public())
	}
	return out
}

func TestSS_01_TrustRoots(t *testing.T) {
	one, two, three := newIssuer(1), newIssuer(1), newIssuer(1)
	c := one.issue(t, nil)
	for _, cache := range []int{0, 5} {
		for range 2 { // the second time out of the cache, if any
			for _, roots := range [][]keys.VerifyKey{one.roots(), one.roots(two, three), three.roots(one, two), two.roots(one)} {
				require.NoError(t, (&sealed.Trust{Roots: roots, Cache: cache}).Verify(c, expires))
			}
			for _, roots := range [][]keys.VerifyKey{nil, two.roots(), two.roots(three, three), {{}}, {one.key.Public()}} {
				refused(t, &sealed.Trust{Roots: roots, Cache: cache}, c, expires, "untrusted")
			}
		}
	}
	refused(t, nil, c, expires, "untrusted")

	// The root signed the server's certificate, and another key the sender's.
	body := body(t, c.Bytes())
	refused(t, one.trust(), parsed(t, signed(body, two.key.Sign(body))), expires, "untrusted")
	refused(t, one.trust(), parsed(t, signed(body, one.root.Sign(body))), expires, "untrusted")
	require.NoError(t, one.trust().Verify(parsed(t, signed(body, one.key.Sign(body))), expires))
	// A signature of any other length is read, and not good.
	for _, n := range []int{0, 1, 63, 65} {
		refused(t, one.trust(), parsed(t, signed(body, make([]byte, n))), expires, "untrusted")
	}
	_, err := sealed.IssueSenderCertificate(one.server, two.key, aliceClaims(t))
	require.ErrorIs(t, err, session.ErrMalformed)
}

func TestSS_02_Expiry(t *testing.T) {
	i := newIssuer(1)
	for _, cache := range []int{0, 5} {
		trust := i.trust()
		trust.Cache = cache
		c := i.issue(t, nil)
		for _, at := range []time.Time{expires, expires.Add(-time.Millisecond), expires.Add(time.Millisecond - 1), time.UnixMilli(0)} {
			require.NoError(t, trust.Verify(c, at))
		}
		for _, at := range []time.Time{expires.Add(time.Millisecond), expires.Add(time.Hour), time.UnixMilli(math.MaxInt64), {}, time.UnixMilli(-1)} {
			refused(t, trust, c, at, "expired")
		}
	}
	zero := i.issue(t, func(c *sealed.Claims) { c.Expires = time.UnixMilli(0) })
	require.NoError(t, i.trust().Verify(zero, time.UnixMilli(0)))
	refused(t, i.trust(), zero, time.UnixMilli(1), "expired")

	// Beyond what a time can say.
	for _, ms := range []uint64{1<<63 - 1, 1 << 63, math.MaxUint64} {
		w, err := wire.ParseSenderCertificate(body(t, i.issue(t, nil).Bytes()))
		require.NoError(t, err)
		w.Expires = ms
		b := wire.AppendSenderCertificate(nil, &w)
		c := parsed(t, signed(b, i.key.Sign(b)))
		require.NoError(t, i.trust().Verify(c, time.UnixMilli(math.MaxInt64)))
		require.Equal(t, int64(math.MaxInt64), c.Claims().Expires.UnixMilli())
		refused(t, i.trust(), c, time.UnixMilli(-1), "expired")
	}
}

func TestSS_03_Revoked(t *testing.T) {
	const test = 0xDEADC357
	i := newIssuer(test)
	c := i.issue(t, nil)
	trust := i.trust()
	require.NoError(t, trust.Verify(c, expires)) // the list is the caller's
	for _, list := range [][]uint32{{test}, {1, test, 2}} {
		trust := &sealed.Trust{Roots: trust.Roots, Revoked: list}
		refused(t, trust, c, expires, "revoked")
		var e *sealed.CertificateError
		require.ErrorAs(t, trust.Verify(c, expires), &e)
		require.Equal(t, uint32(test), e.Server)
		trust.Servers = map[uint32]*sealed.ServerCertificate{test: i.server}
		refused(t, trust, i.issue(t, func(c *sealed.Claims) { c.Compact = true }), expires, "revoked")
	}
	require.NoError(t, (&sealed.Trust{Roots: trust.Roots, Revoked: []uint32{1, 2}}).Verify(c, expires))
}

func TestSS_04_ByReference(t *testing.T) {
	i, other := newIssuer(7), newIssuer(7)
	c := i.issue(t, func(c *sealed.Claims) { c.Compact = true })
	trust := i.trust()
	refused(t, trust, c, expires, "unknown server certificate")
	refused(t, &sealed.Trust{}, c, expires, "unknown server certificate")
	var e *sealed.CertificateError
	require.ErrorAs(t, trust.Verify(c, expires), &e)
	require.Equal(t, uint32(7), e.Server)

	trust.Servers = map[uint32]*sealed.ServerCertificate{7: i.server, 8: other.server}
	require.NoError(t, trust.Verify(c, expires))
	// What is known is not trusted for that.
	refused(t, &sealed.Trust{Roots: other.roots(), Servers: trust.Servers}, c, expires, "untrusted")
	refused(t, &sealed.Trust{Roots: i.roots(other), Servers: map[uint32]*sealed.ServerCertificate{7: other.server}}, c, expires, "untrusted")
	// Under a number that is not its own it is still itself.
	refused(t, &sealed.Trust{Roots: i.roots(), Revoked: []uint32{7}, Servers: map[uint32]*sealed.ServerCertificate{7: i.server}}, c, expires, "revoked")
	require.NoError(t, i.trust().Verify(i.issue(t, nil), expires)) // embedded: no table
}

// All four combinations of what stands for user and server.
func TestCertificateForms(t *testing.T) {
	i := newIssuer(7)
	trust := i.trust()
	trust.Servers = map[uint32]*sealed.ServerCertificate{7: i.server}
	id, err := wire.ParseServiceID(aliceUUID)
	require.NoError(t, err)
	for n := range 4 {
		w, err := wire.ParseSenderCertificate(body(t, i.issue(t, nil).Bytes()))
		require.NoError(t, err)
		if n&1 != 0 {
			w.User, w.UUID = "", id.UUID[:]
		}
		if n&2 != 0 {
			w.Server, w.ServerID = nil, 7
		}
		b := wire.AppendSenderCertificate(nil, &w)
		c := parsed(t, signed(b, i.key.Sign(b)))
		require.NoError(t, trust.Verify(c, expires))
		require.Equal(t, aliceClaims(t), c.Claims())
	}
}

// Any string is a user, as it is; so is a phone number.
func TestCertificateNames(t *testing.T) {
	i := newIssuer(1)
	for _, name := range []string{"x", "ani", strings.ToUpper(aliceUUID), "PNI:" + aliceUUID, "+1", "ü \x00", strings.Repeat("x", 1000)} {
		c := i.issue(t, func(c *sealed.Claims) { c.User, c.E164 = name, name })
		require.Equal(t, name, parsed(t, c.Bytes()).Claims().User)
		require.Equal(t, name, parsed(t, c.Bytes()).Claims().E164)
		require.NoError(t, i.trust().Verify(c, expires))
	}
	upper := i.issue(t, func(c *sealed.Claims) { c.User, c.Compact = strings.ToUpper(aliceUUID), true })
	require.Equal(t, aliceUUID, upper.Claims().User)

	// An empty one is read, and not issued.
	w, err := wire.ParseSenderCertificate(body(t, i.issue(t, nil).Bytes()))
	require.NoError(t, err)
	w.User = ""
	b := wire.AppendSenderCertificate(nil, &w)
	require.NoError(t, i.trust().Verify(parsed(t, signed(b, i.key.Sign(b))), expires))
}

func TestIssueRefuses(t *testing.T) {
	i := newIssuer(1)
	for name, change := range map[string]func(*sealed.Claims){
		"no user":         func(c *sealed.Claims) { c.User = "" },
		"user, no UTF-8":  func(c *sealed.Claims) { c.User = "\xff" },
		"long user":       func(c *sealed.Claims) { c.User = strings.Repeat("x", 3000) },
		"phone, no UTF-8": func(c *sealed.Claims) { c.E164 = "\xff" },
		"device 0":        func(c *sealed.Claims) { c.Device = 0 },
		"device 128":      func(c *sealed.Claims) { c.Device = 128 },
		"no identity":     func(c *sealed.Claims) { c.Identity = keys.IdentityKey{} },
		"before 1970":     func(c *sealed.Claims) { c.Expires = time.UnixMilli(-1) },
		"no time":         func(c *sealed.Claims) { c.Expires = time.Time{} },
		"compact name":    func(c *sealed.Claims) { c.User, c.Compact = "ani", true },
		"compact PNI":     func(c *sealed.Claims) { c.User, c.Compact = "PNI:"+aliceUUID, true },
	} {
		c := aliceClaims(t)
		change(&c)
		_, err := sealed.IssueSenderCertificate(i.server, i.key, c)
		require.ErrorIs(t, err, session.ErrMalformed, name)
	}
	_, err := sealed.IssueSenderCertificate(i.server, i.key, sealed.Claims{})
	require.ErrorIs(t, err, session.ErrMalformed)
}

// Keys have 33 bytes and type 5; those of servers also are good for verifying.
func TestKA_04_CertificateKeys(t *testing.T) {
	i := newIssuer(1)
	good := pair(t, 0x33).Public().Bytes()
	bad := [][]byte{nil, good[:32], append(bytes.Clone(good), 0), append([]byte{6}, good[1:]...), make([]byte, 33)}
	for _, key := range bad {
		w, err := wire.ParseSenderCertificate(body(t, i.issue(t, nil).Bytes()))
		require.NoError(t, err)
		w.Identity = key
		_, err = sealed.ParseSenderCertificate(signed(wire.AppendSenderCertificate(nil, &w), nil))
		require.ErrorIs(t, err, keys.ErrKey)
	}
	for _, key := range append(bad, testutil.SmallOrderKeys()...) {
		b := signed(wire.AppendServerCertificate(nil, &wire.ServerCertificate{ID: 1, Key: key}), nil)
		_, err := sealed.ParseServerCertificate(b)
		require.ErrorIs(t, err, keys.ErrKey)
		// Also inside that of a sender.
		w, err := wire.ParseSenderCertificate(body(t, i.issue(t, nil).Bytes()))
		require.NoError(t, err)
		w.Server = b
		_, err = sealed.ParseSenderCertificate(signed(wire.AppendSenderCertificate(nil, &w), nil))
		require.ErrorIs(t, err, keys.ErrKey)
	}
}

// flips calls f with each bit of b changed, or with one bit of some bytes.
func flips(b []byte, f func(bit int, b []byte)) {
	step := 1
	if testing.Short() {
		step = 59
	}
	for bit := 0; bit < 8*len(b); bit += step {
		c := bytes.Clone(b)
		c[bit/8] ^= 1 << (bit % 8)
		f(bit, c)
	}
}

func TestSS_07_CertificateBits(t *testing.T) {
	i := newIssuer(7)
	full, compact := i.issue(t, nil), i.issue(t, func(c *sealed.Claims) { c.Compact = true })
	trust := i.trust()
	trust.Servers = map[uint32]*sealed.ServerCertificate{7: i.server}
	cached := &sealed.Trust{Roots: trust.Roots, Servers: trust.Servers, Cache: 1000}
	never := func(b []byte) {
		c, err := sealed.ParseSenderCertificate(b)
		if err != nil {
			require.True(t, isAny(err, session.ErrMalformed, keys.ErrKey), "%v", err)
			return
		}
		require.Error(t, trust.Verify(c, expires))
		require.Error(t, cached.Verify(c, expires))
	}
	for _, c := range []*sealed.SenderCertificate{full, compact} {
		require.NoError(t, cached.Verify(c, expires))
		flips(c.Bytes(), func(_ int, b []byte) { never(b) })
		for n := range c.Bytes() {
			never(c.Bytes()[:n])
		}
	}
	flips(i.server.Bytes(), func(_ int, b []byte) {
		server, err := sealed.ParseServerCertificate(b)
		if err != nil {
			require.True(t, isAny(err, session.ErrMalformed, keys.ErrKey), "%v", err)
			return
		}
		bad := &sealed.Trust{Roots: trust.Roots, Servers: map[uint32]*sealed.ServerCertificate{7: server}, Cache: 5}
		refused(t, bad, compact, expires, "untrusted")
	})
	for n := range i.server.Bytes() {
		_, err := sealed.ParseServerCertificate(i.server.Bytes()[:n])
		require.ErrorIs(t, err, session.ErrMalformed)
	}
}

// Unknown fields are kept, in what is signed and beside it.
func TestPRS_03_CertificateAsReceived(t *testing.T) {
	i := newIssuer(1)
	more := []byte{0xFA, 0x07, 3, 1, 2, 3}
	inner := append(body(t, i.issue(t, nil).Bytes()), more...)
	b := append(signed(inner, i.key.Sign(inner)), more...)
	c := parsed(t, b)
	require.NoError(t, i.trust().Verify(c, expires))
	require.Equal(t, b, c.Bytes())
	refused(t, i.trust(), parsed(t, signed(inner[:len(inner)-len(more)], i.key.Sign(inner))), expires, "untrusted")
}

// What was read does not change with what it was read from, or what it returns.
func TestCertificateCopies(t *testing.T) {
	i := newIssuer(1)
	b := i.issue(t, nil).Bytes()
	c := parsed(t, b)
	clear(b)
	clear(c.Bytes())
	require.NoError(t, i.trust().Verify(c, expires))
	clear(i.server.Bytes())
	require.NoError(t, i.trust().Verify(i.issue(t, nil), expires))
	require.NotContains(t, (&sealed.CertificateError{Reason: "expired", Server: 5}).Error(), "5")
}
