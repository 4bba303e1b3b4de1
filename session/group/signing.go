package group

import (
	"fmt"
	"sync"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// maxSigning is how many signing keys are kept in memory.
const maxSigning = 256

// A signing keeps the own signing keys ready, one for each distribution id: to
// compute one from a record takes as long as to sign. The zero value has none.
type signing struct {
	wire.Secret

	mu   sync.Mutex
	keys map[DistributionID]*keys.SigningKey
}

// key returns the signing key of a state. The error is ErrCorrupt for a state
// without one.
func (c *signing) key(id DistributionID, s *wire.SenderKeyState) (*keys.SigningKey, error) {
	public, err := keys.ParseVerifyKey(s.SigningPublic)
	if err != nil {
		return nil, fmt.Errorf("%w: signing key", session.ErrCorrupt)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if k := c.keys[id]; k != nil && k.Public() == public {
		return k, nil
	}
	k, err := keys.NewSigningKey(s.SigningPrivate)
	if err != nil || k.Public() != public {
		return nil, fmt.Errorf("%w: signing key", session.ErrCorrupt)
	}
	if c.keys == nil {
		c.keys = make(map[DistributionID]*keys.SigningKey)
	}
	if _, known := c.keys[id]; !known && len(c.keys) >= maxSigning {
		for other := range c.keys { // any
			delete(c.keys, other)
			break
		}
	}
	c.keys[id] = k
	return k, nil
}
