package sealed_test

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/sealed"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// isOpenError tells whether err is one of those of Opener.Open.
func isOpenError(err error) bool {
	var e *sealed.CertificateError
	return errors.As(err, &e) || isAny(err, session.ErrMalformed, session.ErrVersion, session.ErrTooLarge, session.ErrAuth,
		keys.ErrKey, keys.ErrZeroAgreement)
}

// A letter is one message in both envelopes, from alice to bob.
type letter struct {
	issuer   *issuer
	message  *sealed.Message
	v1, v2   []byte
	to       *keys.IdentityKeyPair
	envelope map[string][]byte // both
}

// letterOf seals a message. Its length is small, since every bit is changed.
func letterOf(t testing.TB, typ session.MessageType, hint sealed.Hint, group []byte) *letter {
	t.Helper()
	return newIssuer(1).letter(t, typ, hint, group)
}

// letter is letterOf with a certificate of i.
func (i *issuer) letter(t testing.TB, typ session.MessageType, hint sealed.Hint, group []byte) *letter {
	t.Helper()
	l := &letter{issuer: i, to: pair(t, 0x44)}
	c := l.issuer.issue(t, nil)
	s, err := sealed.NewSender(pair(t, 0x33), c, nil)
	require.NoError(t, err)
	m := &session.Message{Type: typ, Bytes: count(20)}
	l.message = &sealed.Message{Type: typ, Bytes: m.Bytes, Hint: hint, Group: group, Sender: c}
	one, err := s.Seal(l.to.Public(), m, hint, group)
	require.NoError(t, err)
	require.Equal(t, session.TypeSealed, one.Type)
	l.v1 = one.Bytes
	many, err := s.SealMany([]sealed.Recipient{toBob(t)}, nil, m, hint, group)
	require.NoError(t, err)
	up, err := sealed.Split(many)
	require.NoError(t, err)
	l.v2 = up.Received(&up.Deliveries[0])
	l.envelope = map[string][]byte{"v1": l.v1, "v2": l.v2}
	return l
}

func (l *letter) opener(o *sealed.Options) *sealed.Opener {
	return sealed.NewOpener(l.to, l.issuer.trust(), o)
}

func TestSS_14_Envelopes(t *testing.T) {
	for _, typ := range []session.MessageType{session.TypeSignal, session.TypePreKey, session.TypeSenderKey, session.TypePlaintext} {
		for _, hint := range []sealed.Hint{sealed.HintDefault, sealed.HintResendable, sealed.HintImplicit, 200, math.MaxUint32} {
			for _, group := range [][]byte{nil, {1}, bytes.Repeat([]byte{0xa5}, 32), make([]byte, 1000)} {
				l := letterOf(t, typ, hint, group)
				for name, b := range l.envelope {
					m, err := l.opener(nil).Open(b, expires)
					require.NoError(t, err, name)
					require.Equal(t, l.message, m)
				}
			}
			if testing.Short() {
				break
			}
		}
	}
	l := letterOf(t, session.TypeSignal, 0, []byte{}) // as none
	m, err := l.opener(nil).Open(l.v1, expires)
	require.NoError(t, err)
	require.Nil(t, m.Group)
}

func TestSealRefuses(t *testing.T) {
	s := sender(t, "sender_cert_string")
	for typ := range 256 {
		m := &session.Message{Type: session.MessageType(typ)}
		_, err := s.Seal(pair(t, 0x44).Public(), m, 0, nil)
		_, many := s.SealMany(nil, nil, m, 0, nil)
		if slices.Contains([]int{2, 3, 7, 8}, typ) {
			require.NoError(t, errors.Join(err, many))
			continue
		}
		require.ErrorIs(t, err, session.ErrMalformed)
		require.ErrorIs(t, many, session.ErrMalformed)
	}
	m := &session.Message{Type: session.TypeSignal, Bytes: make([]byte, wire.MaxSealed)}
	_, err := s.Seal(pair(t, 0x44).Public(), m, 0, nil)
	require.ErrorIs(t, err, session.ErrTooLarge)

	// A certificate is of use only to whom it is about.
	var mismatch *session.IdentityMismatchError
	_, err = sealed.NewSender(pair(t, 0x44), parsed(t, vectors(t, "main").get(t, "sender_cert_string")), nil)
	require.ErrorAs(t, err, &mismatch)
	require.Equal(t, pair(t, 0x33).Public(), mismatch.Expected)
	require.Equal(t, session.Address{User: aliceUUID, Device: 1}, mismatch.Address)
}

// Of an envelope's bits four mean nothing: the low nibble of its version.
func TestSS_07_EnvelopeBits(t *testing.T) {
	l := letterOf(t, session.TypeSignal, 1, []byte("group"))
	o := l.opener(nil)
	cached := l.opener(&sealed.Options{Cache: 5})
	for name, b := range l.envelope {
		_, err := cached.Open(b, expires)
		require.NoError(t, err)
		flips(b, func(bit int, changed []byte) {
			m, err := o.Open(changed, expires)
			if bit < 4 {
				require.NoError(t, err)
				require.Equal(t, l.message, m)
				return
			}
			require.Error(t, err, "%s, bit %d", name, bit)
			require.True(t, isOpenError(err), "%v", err)
			require.Nil(t, m)
			_, err = cached.Open(changed, expires)
			require.Error(t, err, "%s, bit %d", name, bit)
		})
	}
}

func TestSS_07_EnvelopeLengths(t *testing.T) {
	l := letterOf(t, session.TypeSignal, 1, []byte("group"))
	o, step := l.opener(nil), 1
	if testing.Short() {
		step = 13
	}
	for _, b := range l.envelope {
		for n := 0; n < len(b); n += step {
			_, err := o.Open(b[:n:n], expires)
			require.Error(t, err, "%d", n)
			require.True(t, isOpenError(err), "%v", err)
		}
		for n := 1; n <= 100; n += step {
			_, err := o.Open(append(bytes.Clone(b), make([]byte, n)...), expires)
			require.Error(t, err)
			require.True(t, isOpenError(err), "%v", err)
		}
	}
}

// Unknown fields of an envelope of version 1 are skipped; what is behind one of
// version 2 is its body.
func TestPRS_08_Trailing(t *testing.T) {
	l := letterOf(t, session.TypeSignal, 1, nil)
	m, err := l.opener(nil).Open(append(bytes.Clone(l.v1), 0xFA, 0x07, 1, 0), expires)
	require.NoError(t, err)
	require.Equal(t, l.message, m)
	_, err = l.opener(nil).Open(append(bytes.Clone(l.v2), 0xFA, 0x07, 1, 0), expires)
	require.ErrorIs(t, err, session.ErrAuth)
}

func TestSS_08_Versions(t *testing.T) {
	l := letterOf(t, session.TypeSignal, 0, nil)
	strict, lax := l.opener(nil), l.opener(&sealed.Options{VersionZero: true})
	for v := range 256 {
		one, two := bytes.Clone(l.v1), bytes.Clone(l.v2)
		one[0], two[0] = byte(v), byte(v)
		_, err := strict.Open(one, expires)
		_, laxly := lax.Open(one, expires)
		_, second := strict.Open(two, expires)
		switch v >> 4 {
		case 0:
			require.ErrorIs(t, err, session.ErrVersion)
			require.ErrorIs(t, second, session.ErrVersion)
			require.NoError(t, laxly)
		case 1:
			require.NoError(t, err)
			require.NoError(t, laxly)
			require.ErrorIs(t, second, session.ErrMalformed)
		case 2:
			require.Error(t, err)
			require.NoError(t, second)
		default:
			for _, err := range []error{err, laxly, second} {
				require.ErrorIs(t, err, session.ErrVersion)
			}
		}
	}
	_, err := strict.Open(nil, expires)
	require.ErrorIs(t, err, session.ErrMalformed)
	_, err = strict.Open(make([]byte, wire.MaxSealed+1), expires)
	require.ErrorIs(t, err, session.ErrTooLarge)
}

// Another E that gives the same agreement is another E.
func TestSS_09_DerivedKey(t *testing.T) {
	l := letterOf(t, session.TypeSignal, 0, nil)
	o := l.opener(nil)
	high := bytes.Clone(l.v2)
	high[80] ^= 0x80
	_, err := o.Open(high, expires)
	require.ErrorIs(t, err, session.ErrAuth)

	// M is whatever the agreement and the changed E make of C; its E is another.
	_, torsioned := testutil.TorsionedKeys()
	for _, e := range append(torsioned, testutil.OutOfRangeKeys()[2:]...) {
		b := bytes.Clone(l.v2)
		copy(b[49:], e[1:])
		_, err := o.Open(b, expires)
		require.ErrorIs(t, err, session.ErrAuth)
	}
	// So does C decide on E.
	c := bytes.Clone(l.v2)
	c[1] ^= 1
	_, err = o.Open(c, expires)
	require.ErrorIs(t, err, session.ErrAuth)
	// And a wrong recipient finds out there.
	_, err = sealed.NewOpener(pair(t, 0x66), l.issuer.trust(), nil).Open(l.v2, expires)
	require.ErrorIs(t, err, session.ErrAuth)
	_, err = sealed.NewOpener(pair(t, 0x66), l.issuer.trust(), nil).Open(l.v1, expires)
	require.ErrorIs(t, err, session.ErrAuth)
}

// A sender who makes an envelope with another E than that of M, all else in
// order: the same E in another encoding, plus a point of small order, or any.
func TestSS_09_SenderTweaks(t *testing.T) {
	i, alice, bob := newIssuer(1), pair(t, 0x33), pair(t, 0x44)
	o, c := sealed.NewOpener(bob, i.trust(), nil), i.issue(t, nil)
	open := func(private *keys.PrivateKey, public []byte) error {
		e, err := keys.ParsePublicKey(public)
		require.NoError(t, err)
		_, err = o.Open(sealed.SealTweaked(t, alice, private, e, c, bob.Public()), expires)
		return err
	}
	right := sealed.EphemeralV2().Bytes()
	require.NoError(t, open(nil, right))
	require.ErrorIs(t, open(nil, testutil.TopBit(right)), session.ErrAuth)
	b, torsioned := testutil.TorsionedKeys()
	private, err := keys.NewPrivateKey(b)
	require.NoError(t, err)
	for _, e := range append(torsioned, private.PublicKey().Bytes()) {
		require.ErrorIs(t, open(private, e), session.ErrAuth)
	}
}

// Low-order keys: the ephemeral one, the sender's, the recipient's.
func TestKA_01_SealedLowOrder(t *testing.T) {
	l := letterOf(t, session.TypeSignal, 0, nil)
	s := sender(t, "sender_cert_string")
	m := &session.Message{Type: session.TypeSignal}
	for _, key := range testutil.SmallOrderKeys() {
		two := bytes.Clone(l.v2)
		copy(two[49:], key[1:])
		_, err := l.opener(nil).Open(two, expires)
		require.ErrorIs(t, err, keys.ErrZeroAgreement)
		w, err := wire.ParseSealedMessage(l.v1)
		require.NoError(t, err)
		one := slices.Replace(bytes.Clone(l.v1), 3, 3+33, key...)
		require.Equal(t, key, one[3:36])
		require.NotEqual(t, key, w.Ephemeral)
		_, err = l.opener(nil).Open(one, expires)
		require.ErrorIs(t, err, keys.ErrZeroAgreement)

		to, err := keys.ParseIdentityKey(key)
		require.NoError(t, err)
		_, err = s.Seal(to, m, 0, nil)
		require.ErrorIs(t, err, keys.ErrZeroAgreement)
		bob, bad := toBob(t), toBob(t)
		bad.User, bad.Identity = outUUID, to
		out, err := s.SealMany([]sealed.Recipient{bob, bad}, nil, m, 0, nil)
		if to.IsZero() {
			require.ErrorIs(t, err, session.ErrNoSession)
		} else {
			require.ErrorIs(t, err, keys.ErrZeroAgreement)
		}
		require.Nil(t, out)
		var e *sealed.RecipientError
		require.ErrorAs(t, err, &e)
		require.Equal(t, session.Address{User: outUUID}, e.Address)

		// A sender of whom nobody knows the private key.
		for _, b := range sealed.SealAs(t, to, l.issuer.issue(t, func(c *sealed.Claims) {
			if c.Identity = to; to.IsZero() {
				c.Identity = pair(t, 0x33).Public()
			}
		}), l.to.Public()) {
			_, err := l.opener(nil).Open(b, expires)
			require.ErrorIs(t, err, keys.ErrZeroAgreement)
		}
	}
}

// Carol has a certificate of alice's, and says that she is alice.
func TestSS_06_CertificateOfAnother(t *testing.T) {
	l := letterOf(t, session.TypeSignal, 0, nil)
	carol := pair(t, 0x66)
	c := l.issuer.issue(t, nil)
	for version, b := range sealed.SealBy(t, carol, carol.Public(), c, l.to.Public()) {
		_, err := l.opener(nil).Open(b, expires)
		require.ErrorIs(t, err, session.ErrAuth, version)
	}
	for version, b := range sealed.SealBy(t, carol, pair(t, 0x33).Public(), c, l.to.Public()) {
		_, err := l.opener(nil).Open(b, expires)
		require.ErrorIs(t, err, session.ErrAuth, version)
	}
}

func TestOpenVerifies(t *testing.T) {
	l := letterOf(t, session.TypeSignal, 0, nil)
	for _, b := range l.envelope {
		for _, o := range []*sealed.Opener{sealed.NewOpener(l.to, nil, nil), sealed.NewOpener(l.to, newIssuer(1).trust(), nil)} {
			var e *sealed.CertificateError
			m, err := o.Open(b, expires)
			require.ErrorAs(t, err, &e)
			require.Equal(t, "untrusted", e.Reason)
			require.Nil(t, m)
		}
		_, err := l.opener(nil).Open(b, expires.Add(time.Second))
		require.Error(t, err)
	}
}

// What is in an envelope was made by whoever has some key, and may be anything.
func TestMalformedContent(t *testing.T) {
	l := letterOf(t, session.TypeSignal, 0, nil)
	good := l.issuer.issue(t, nil).Bytes()
	for name, c := range map[string]struct {
		content []byte
		want    error
	}{
		"empty":          {nil, session.ErrMalformed},
		"no protobuf":    {[]byte{0xFF}, session.ErrMalformed},
		"type 0":         {[]byte{8, 0, 0x12, 0, 0x1a, 0}, session.ErrMalformed},
		"no certificate": {[]byte{8, 2, 0x12, 0, 0x1a, 0}, session.ErrMalformed},
		"no content":     {append([]byte{8, 2, 0x12, byte(len(good)), byte(len(good) >> 7)}, good...), session.ErrMalformed},
		"bad key": {wire.AppendSealedContent(nil, &wire.SealedContent{Type: wire.TypeSignal, Certificate: signed(wire.AppendSenderCertificate(nil,
			&wire.SenderCertificate{Device: 1, Identity: make([]byte, 32)}), nil)}), keys.ErrKey},
	} {
		for version, b := range sealed.SealContent(t, pair(t, 0x33), l.to.Public(), c.content) {
			_, err := l.opener(nil).Open(b, expires)
			require.ErrorIs(t, err, c.want, "%s %s", name, version)
		}
	}
}
