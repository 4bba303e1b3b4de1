package interop_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/interop"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/sealed"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// Certificates of servers and senders that either library issued: both say the
// same of them, at all times, under all roots.
func TestInteropCertificates(t *testing.T) {
	p := interop.Share(t)
	o, other := newOffice(t, p), keys.GenerateSigningKey().Public()
	identity := keys.GenerateIdentityKeyPair().Public()
	for _, c := range []struct {
		late  time.Duration
		roots []keys.VerifyKey
		want  bool
	}{
		{-time.Millisecond, []keys.VerifyKey{o.root.Public()}, true},
		{0, []keys.VerifyKey{o.root.Public()}, true},
		{0, []keys.VerifyKey{other, o.root.Public()}, true},
		{0, []keys.VerifyKey{o.root.Public(), other, other}, true},
		{time.Millisecond, []keys.VerifyKey{o.root.Public()}, false},
		{0, []keys.VerifyKey{other}, false},
		{0, nil, false},
	} {
		for _, official := range []bool{true, false} {
			for _, server := range [][]byte{o.ours, o.theirs} {
				o := *o
				o.ours, o.theirs = server, server
				certificate := o.certify(session.Address{User: aliceName, Device: 3}, identity, official)
				requireGood(t, p, certificate, &sealed.Trust{Roots: c.roots}, o.expires.Add(c.late), c.want)
			}
		}
	}
}

// requireGood requires that both libraries say whether a certificate is valid.
func requireGood(t *testing.T, p *interop.Peer, certificate []byte, trust *sealed.Trust, at time.Time, want bool) {
	t.Helper()
	var roots [][]byte
	for _, root := range trust.Roots {
		roots = append(roots, root.Bytes())
	}
	theirs, err := p.ValidCertificate(certificate, at, roots...)
	require.NoError(t, err)
	require.Equal(t, want, theirs)
	if err := verifyOurs(certificate, trust, at); want {
		require.NoError(t, err)
	} else {
		var ce *sealed.CertificateError
		require.ErrorAs(t, err, &ce)
	}
}

// A certificate by reference, to the one of which the official library knows the
// keys; one to a certificate that nobody knows is valid for neither.
func TestInterop_SS_04_ByReference(t *testing.T) {
	p := interop.Share(t)
	root, err := keys.NewSigningKey(make([]byte, 32))
	require.NoError(t, err)
	key, err := keys.NewSigningKey(bytes.Repeat([]byte{0xff}, 32))
	require.NoError(t, err)
	for _, id := range []uint32{0x7357C357, 99} {
		server := sealed.IssueServerCertificate(root, id, key.Public())
		certificate, err := sealed.IssueSenderCertificate(server, key, sealed.Claims{User: aliceName, Device: 1,
			Identity: keys.GenerateIdentityKeyPair().Public(), Expires: time.UnixMilli(vectorExpires), Compact: true})
		require.NoError(t, err)
		trust := &sealed.Trust{Roots: []keys.VerifyKey{root.Public()}}
		if id == 0x7357C357 {
			trust.Servers = map[uint32]*sealed.ServerCertificate{id: server}
		}
		for late, want := range map[int64]bool{0: id != 99, 1: false} {
			requireGood(t, p, certificate.Bytes(), trust, time.UnixMilli(vectorExpires+late), want)
		}
		parsed, err := p.Parse(interop.KindSenderCertificate, certificate.Bytes())
		require.NoError(t, err)
		require.Equal(t, aliceName, parsed.Fields.UUID)
	}
}
