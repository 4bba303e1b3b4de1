package sealed

import (
	"sync"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// agreements makes key agreements between an identity key and those of others,
// and remembers a bounded number of them. It is safe for concurrent use.
type agreements struct {
	wire.Secret
	identity *keys.IdentityKeyPair
	limit    int // 0: none is kept

	mu   sync.Mutex
	kept recent[keys.IdentityKey, [32]byte]
}

// agree returns the agreement with peer. Fresh is true if it was not kept: keep
// does, once it is known that peer is worth it. The error is
// keys.ErrZeroAgreement.
func (a *agreements) agree(peer keys.IdentityKey) (shared [32]byte, fresh bool, err error) {
	if shared, ok := a.find(peer); ok {
		return shared, false, nil
	}
	shared, err = a.identity.Agree(peer.PublicKey())
	return shared, true, err
}

func (a *agreements) find(peer keys.IdentityKey) (shared [32]byte, ok bool) {
	if a.limit <= 0 {
		return shared, false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if kept := a.kept.get(peer); kept != nil {
		return *kept, true
	}
	return shared, false
}

func (a *agreements) keep(peer keys.IdentityKey, shared *[32]byte) {
	if a.limit <= 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.kept.put(a.limit, peer, *shared)
}
