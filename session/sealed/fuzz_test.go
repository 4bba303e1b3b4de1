package sealed_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/sealed"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// maxFuzz is the cap on the size of inputs.
const maxFuzz = 1 << 16

// fuzzOpen opens envelopes, which only a good one survives.
func fuzzOpen(f *testing.F, version string) {
	l := theIssuer(f).letter(f, session.TypeSignal, 1, []byte("group"))
	v, compact := vectors(f, "main"), vectors(f, "compact_sealed_sender")
	for _, b := range [][]byte{l.envelope[version], v.get(f, "ss1_message"), compact.get(f, "v1"), v.get(f, "ss2_received_bob"),
		compact.get(f, "v2_recv"), {}, {0x11}, {0x22}, make([]byte, 81)} {
		f.Add(b)
	}
	o := l.opener(&sealed.Options{VersionZero: true})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > maxFuzz {
			return
		}
		before := bytes.Clone(b)
		m, err := o.Open(b, expires)
		require.Equal(t, before, b)
		if err != nil {
			require.True(t, isOpenError(err), "%v", err)
			require.Nil(t, m)
			return
		}
		require.Equal(t, aliceUUID, m.Sender.Claims().User)
		require.Contains(t, []int{20, 32}, len(m.Bytes)) // as in the seeds: nobody else has the keys
	})
}

// theIssuer is that of Section 10, the same in all processes.
func theIssuer(t testing.TB) *issuer {
	i := &issuer{root: signing(t, 0x11), key: signing(t, 0x22)}
	i.server = sealed.IssueServerCertificate(i.root, 1, i.key.Public())
	return i
}

func FuzzF08SealedV1(f *testing.F) { fuzzOpen(f, "v1") }

func FuzzF09SealedV2(f *testing.F) { fuzzOpen(f, "v2") }

// FuzzF10SealedUpload splits sent forms: what comes out has all of it, once, and
// costs little.
func FuzzF10SealedUpload(f *testing.F) {
	v, compact := vectors(f, "main"), vectors(f, "compact_sealed_sender")
	for _, b := range [][]byte{v.get(f, "ss2_sent"), compact.get(f, "v2_sent"), compact.get(f, "v2_sent22"), sent(0),
		sent(2, to(0, 7, 1, 1, 0, 5), to(0, 7, 1, 2, 0, 5)), {0x23, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F}} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > maxFuzz {
			return
		}
		up, err := sealed.Split(b)
		if err != nil {
			require.True(t, isAny(err, session.ErrMalformed, session.ErrVersion), "%v", err)
			require.Nil(t, up)
			return
		}
		users := slices.Clone(up.Excluded)
		n := 0
		for i := range up.Deliveries {
			d := &up.Deliveries[i]
			users, n = append(users, d.User), n+len(d.Devices)
			require.NotEmpty(t, d.Devices)
			for _, device := range d.Devices {
				require.True(t, 1 <= device.ID && device.ID <= 127 && device.RegistrationID < 1<<14)
			}
			received := up.Received(d)
			require.Equal(t, byte(0x22), received[0])
			require.Len(t, received, 49+len(b)-up.Shared)
			if i > 20 {
				break
			}
		}
		slices.Sort(users)
		require.Equal(t, len(users), len(slices.Compact(users)))
		require.LessOrEqual(t, 3*n, len(b))
		require.GreaterOrEqual(t, len(b)-up.Shared, 32)
	})
}

func FuzzF11ServerCertificate(f *testing.F) {
	i := theIssuer(f)
	f.Add(i.server.Bytes())
	f.Add(vectors(f, "main").get(f, "server_cert"))
	c := i.issue(f, func(c *sealed.Claims) { c.Compact = true })
	f.Fuzz(func(t *testing.T, b []byte) {
		server, err := sealed.ParseServerCertificate(b)
		if err != nil {
			require.True(t, isAny(err, session.ErrMalformed, session.ErrTooLarge, keys.ErrKey), "%v", err)
			require.Nil(t, server)
			return
		}
		require.Equal(t, b, server.Bytes())
		trust := i.trust()
		trust.Servers = map[uint32]*sealed.ServerCertificate{1: server}
		if trust.Verify(c, expires) == nil { // then it says the same
			require.Equal(t, i.server.ID(), server.ID())
		}
	})
}

func FuzzF12SenderCertificate(f *testing.F) {
	i := theIssuer(f)
	f.Add(i.issue(f, nil).Bytes())
	v := vectors(f, "main")
	f.Add(v.get(f, "sender_cert_string"))
	f.Add(v.get(f, "sender_cert_byid"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := sealed.ParseSenderCertificate(b)
		if err != nil {
			require.True(t, isAny(err, session.ErrMalformed, session.ErrTooLarge, keys.ErrKey), "%v", err)
			require.Nil(t, c)
			return
		}
		require.Equal(t, b, c.Bytes())
		if i.trust().Verify(c, expires) == nil {
			require.Equal(t, aliceUUID, c.Claims().User)
			require.Equal(t, expires.UnixMilli(), c.Claims().Expires.UnixMilli())
		}
	})
}
