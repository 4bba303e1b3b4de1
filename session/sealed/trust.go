package sealed

import (
	"crypto/sha256"
	"slices"
	"sync"
	"time"

	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// A CertificateError reports a sender certificate that is not good.
type CertificateError struct {
	// Reason is "untrusted" for a signature that is not there: of no trust root
	// on the server's, or not of the server on the sender's; "expired"; "revoked",
	// the server's; or "unknown server certificate".
	Reason string
	Server uint32 // the number of the server's certificate
}

func (e *CertificateError) Error() string { return "sealed: sender certificate: " + e.Reason }

// A Trust says whose certificates are good. Its fields are set before it is
// used, and left alone then; it may be used from several goroutines, and is not
// copied. The zero value, like nil, trusts nobody.
type Trust struct {
	// Roots are the keys that sign the certificates of servers. While one takes
	// over from another there are two.
	Roots []keys.VerifyKey
	// Revoked are the numbers of certificates of servers that are good no more.
	// Deployed libraries have 0xDEADC357 there, a number for tests.
	Revoked []uint32
	// Servers are the certificates that senders name by their numbers. They are
	// verified like others.
	Servers map[uint32]*ServerCertificate
	// Cache is how many certificates are remembered whose signatures were
	// verified; 0 is none. Each saves two verifications, and one of a new sender
	// under the same server one. Expiry and revocation are looked at each time.
	Cache int

	mu       sync.Mutex
	verified recent[[sha256.Size]byte, struct{}]
}

// Verify returns a CertificateError unless c is good at a time: the server's
// certificate known and not revoked, signed by one of the roots, and having
// signed c; and the time not after c's expiry, in milliseconds.
//
// All roots are tried, whichever it is, so that the time it takes does not tell.
func (t *Trust) Verify(c *SenderCertificate, at time.Time) error {
	fail := func(reason string) error { return &CertificateError{Reason: reason, Server: c.serverID} }
	if t == nil {
		return fail("untrusted")
	}
	server := c.server
	if server == nil {
		server = t.Servers[c.serverID]
	}
	ms, sayable := milliseconds(at)
	switch {
	case server == nil:
		return fail("unknown server certificate")
	case slices.Contains(t.Revoked, server.id):
		return fail("revoked")
	case !t.signed(c, server):
		return fail("untrusted")
	case !sayable || ms > c.expires:
		return fail("expired")
	}
	return nil
}

// signed reports whether the signatures are good: that of a root on the server's
// certificate, and that of the server on c.
func (t *Trust) signed(c *SenderCertificate, server *ServerCertificate) bool {
	if t.Cache <= 0 {
		return t.rooted(server) && server.key.Verify(c.signature, c.body) == nil
	}
	// By reference, which certificate it is that signed is t's alone to say.
	sender, root := sha256.Sum256(c.raw), sha256.Sum256(server.raw)
	if t.has(sender) {
		return true
	}
	if !t.has(root) {
		if !t.rooted(server) {
			return false
		}
		t.keep(root)
	}
	if server.key.Verify(c.signature, c.body) != nil {
		return false
	}
	t.keep(sender)
	return true
}

// rooted reports whether one of the roots signed. It tries all of them.
func (t *Trust) rooted(server *ServerCertificate) bool {
	good := 0
	for _, root := range t.Roots {
		good |= bit(root.Verify(server.signature, server.body) == nil)
	}
	return good == 1
}

// bit is 1 for true, without a branch.
func bit(b bool) (n int) {
	if b { // compiled to a move
		n = 1
	}
	return n
}

func (t *Trust) has(sum [sha256.Size]byte) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.verified.get(sum) != nil
}

func (t *Trust) keep(sum [sha256.Size]byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.verified.put(t.Cache, sum, struct{}{})
}
