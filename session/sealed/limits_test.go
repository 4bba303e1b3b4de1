package sealed_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/sealed"
)

// The largest message that is sealed can be opened; one byte more is refused
// before it is sent.
func TestSealedLimit(t *testing.T) {
	i := newIssuer(1)
	c, to := i.issue(t, nil), pair(t, 0x44)
	s, err := sealed.NewSender(pair(t, 0x33), c, nil)
	require.NoError(t, err)
	m := &session.Message{Type: session.TypeSignal, Bytes: make([]byte, wire.MaxSealed)}
	around := (&wire.SealedContent{Type: wire.TypeSignal, Certificate: c.Bytes(), Content: m.Bytes}).Size() - wire.MaxSealed
	m.Bytes = m.Bytes[:wire.MaxSealed-around-97+1]
	bob := []sealed.Recipient{toBob(t)}
	_, err = s.Seal(to.Public(), m, sealed.HintDefault, nil)
	require.ErrorIs(t, err, session.ErrTooLarge)
	_, err = s.SealMany(bob, nil, m, sealed.HintDefault, nil)
	require.ErrorIs(t, err, session.ErrTooLarge)

	m.Bytes = m.Bytes[1:] // as long as may be
	one, err := s.Seal(to.Public(), m, sealed.HintDefault, nil)
	require.NoError(t, err)
	sent, err := s.SealMany(bob, nil, m, sealed.HintDefault, nil)
	require.NoError(t, err)
	up, err := sealed.Split(sent)
	require.NoError(t, err)
	two := up.Received(&up.Deliveries[0])
	require.Len(t, two, wire.MaxSealed)
	for _, e := range [][]byte{one.Bytes, two} {
		_, err := sealed.NewOpener(to, i.trust(), nil).Open(e, expires)
		require.NoError(t, err)
	}
}

// A time beyond what milliseconds can say is past every expiry, and is none.
func TestSS_02_FarTimes(t *testing.T) {
	i := newIssuer(1)
	c := i.issue(t, nil)
	for _, s := range []int64{
		math.MaxInt64, math.MinInt64, math.MaxInt64/1000 + 1, math.MinInt64/1000 - 1, 1 << 54, 1 << 61, 1<<62 - 1,
		1<<61 + expires.Unix() - 1, -1<<61 + expires.Unix() - 1, // whose milliseconds wrap to before the expiry
	} {
		at := time.Unix(s, 0)
		refused(t, i.trust(), c, at, "expired")
		claims := aliceClaims(t)
		claims.Expires = at
		_, err := sealed.IssueSenderCertificate(i.server, i.key, claims)
		require.ErrorIs(t, err, session.ErrMalformed, s)
	}
	require.Equal(t, int64(math.MaxInt64), i.issue(t, func(c *sealed.Claims) { c.Expires = time.UnixMilli(math.MaxInt64) }).Claims().Expires.UnixMilli())
}
