package interop_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/interop"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/sealed"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// An office issues certificates, by either library.
type office struct {
	t            *testing.T
	p            *interop.Peer
	root, server *keys.SigningKey
	ours, theirs []byte // the server's certificate
	expires      time.Time
}

func newOffice(t *testing.T, p *interop.Peer) *office {
	o := &office{t: t, p: p, root: keys.GenerateSigningKey(), server: keys.GenerateSigningKey(), expires: time.UnixMilli(1_900_000_000_000)}
	o.ours = sealed.IssueServerCertificate(o.root, 5, o.server.Public()).Bytes()
	var err error
	o.theirs, err = p.ServerCertificate(5, o.server.Public().Bytes(), o.root.PrivateBytes())
	require.NoError(t, err)
	return o
}

func (o *office) trust() *sealed.Trust {
	return &sealed.Trust{Roots: []keys.VerifyKey{o.root.Public()}}
}

// certify certifies a device, by the official library or by gembok.
func (o *office) certify(a session.Address, identity keys.IdentityKey, official bool) []byte {
	if official {
		c, err := o.p.SenderCertificate(interop.Claims{User: a.User, Device: a.Device, Identity: identity.Bytes(),
			Expires: uint64(o.expires.UnixMilli())}, o.theirs, o.server.PrivateBytes())
		require.NoError(o.t, err)
		return c
	}
	server, err := sealed.ParseServerCertificate(o.ours)
	require.NoError(o.t, err)
	c, err := sealed.IssueSenderCertificate(server, o.server, sealed.Claims{User: a.User, Device: a.Device, Identity: identity, Expires: o.expires})
	require.NoError(o.t, err)
	return c.Bytes()
}

// verifyOurs is the verdict of gembok on a certificate.
func verifyOurs(certificate []byte, trust *sealed.Trust, at time.Time) error {
	c, err := sealed.ParseSenderCertificate(certificate)
	if err != nil {
		return err
	}
	return trust.Verify(c, at)
}

func address(user string) session.Address { return session.Address{User: user, Device: 1} }
