package relay

import (
	"encoding/json"
	"time"

	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/examples/chat/post"
	"github.com/gembok-e2ee/gembok/session/sealed"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// A notary certifies who people are, so that they can say it to each other and
// need not say it to the relay: to whoever it hands mail to, the relay asks
// nothing. The root is a key that a real service keeps away from its servers, and
// that is in its apps. That of this demo is made when the relay starts, and told
// to whoever asks: it is the relay that people believe here, in that as in who
// they are. Safety numbers do not depend on it.
type notary struct {
	root, key *keys.SigningKey
	server    *sealed.ServerCertificate
}

func newNotary() notary {
	n := notary{root: keys.GenerateSigningKey(), key: keys.GenerateSigningKey()}
	n.server = sealed.IssueServerCertificate(n.root, 1, n.key.Public())
	return n
}

func (r *Relay) certify(a session.Address, identity keys.IdentityKey, now time.Time) ([]byte, error) {
	c, err := sealed.IssueSenderCertificate(r.notary.server, r.notary.key, sealed.Claims{
		User: a.User, Device: a.Device, Identity: identity, Expires: now.Add(post.GoodFor),
	})
	if err != nil {
		return nil, err
	}
	r.sees(post.Label(a) + " gets a certificate")
	return json.Marshal(post.Passport{Root: r.notary.root.Public().Bytes(), Certificate: c.Bytes()})
}
