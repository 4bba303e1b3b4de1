package group

import (
	"bytes"
	"fmt"
	"sync"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// maxSigning is how many signing keys are kept in memory, of one's own and of
// others each.
const maxSigning = 256

// A signing keeps signing keys ready, which are read from records in a form that
// has to be computed with: to get a private key ready takes as long as to sign, a
// public one a seventh of a verification. Of both, any goes when there are too many.
// The zero value has none.
type signing struct {
	wire.Secret

	mu     sync.Mutex
	keys   map[DistributionID]*keys.SigningKey
	verify map[[33]byte]func(sig, message []byte) error
}

// key returns the own signing key of a state. The error is ErrCorrupt for a state
// without one.
func (c *signing) key(id DistributionID, s *wire.SenderKeyState) (*keys.SigningKey, error) {
	var public [33]byte
	c.mu.Lock()
	defer c.mu.Unlock()
	if k := c.keys[id]; k != nil && bytes.Equal(k.Public().Append(public[:0]), s.SigningPublic) {
		return k, nil
	}
	k, err := keys.NewSigningKey(s.SigningPrivate)
	if err != nil || !bytes.Equal(k.Public().Append(public[:0]), s.SigningPublic) {
		return nil, fmt.Errorf("%w: signing key", session.ErrCorrupt)
	}
	keep(&c.keys, id, k)
	return k, nil
}

// verifier returns what verifies with the public key of a state. The error is
// ErrCorrupt for a state without one.
func (c *signing) verifier(s *wire.SenderKeyState) (verify func(sig, message []byte) error, err error) {
	k, err := keys.ParseVerifyKey(s.SigningPublic)
	if err != nil {
		return nil, fmt.Errorf("%w: signing key", session.ErrCorrupt)
	}
	public := [33]byte(s.SigningPublic)
	c.mu.Lock()
	defer c.mu.Unlock()
	if verify = c.verify[public]; verify == nil {
		verify = k.Verifier()
		keep(&c.verify, public, verify)
	}
	return verify, nil
}

// keep takes a key into m, of which any other goes if there are too many.
func keep[K comparable, V any](m *map[K]V, name K, key V) {
	if *m == nil {
		*m = make(map[K]V)
	}
	if _, known := (*m)[name]; !known && len(*m) >= maxSigning {
		for other := range *m {
			delete(*m, other)
			break
		}
	}
	(*m)[name] = key
}
