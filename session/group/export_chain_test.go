package group

import (
	"context"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

var (
	NewState, Distributed, Tell, Seal, Add, Enter = newState, distributed, tell, seal, add, enter
	ChainSeed, ChainNext, Body                    = chainSeed, chainNext, body
)

const MaxIDs, MaxSigning = maxIDs, maxSigning

// MessageKeys are the keys of a message.
func MessageKeys(seed [32]byte) (iv [16]byte, cipher [32]byte) {
	var k messageKeys
	k.expand(&seed)
	return k.iv, k.cipher
}

// Open reads a message with a state, and returns the state after it.
func Open(s *wire.SenderKeyState, message []byte) ([]byte, wire.SenderKeyState, error) {
	m, err := wire.ParseSenderKeyMessage(message)
	if err != nil {
		return nil, wire.SenderKeyState{}, err
	}
	return open(new(receipt), new(signing), s, &m)
}

// Sign completes what is signed of a message.
func Sign(body, private []byte) []byte {
	k, err := keys.NewSigningKey(private)
	if err != nil {
		panic(err)
	}
	return append(body, k.Sign(body)...)
}

// Rotate replaces an own sender key.
func (g *Groups) Rotate(ctx context.Context, id DistributionID) error {
	return g.d.Update(ctx, nil, func(t *session.Tx) error { return g.rotate(t, id) })
}

// Signing counts the signing keys in memory, of one's own and of others.
func (g *Groups) Signing() (own, others int) {
	g.signing.mu.Lock()
	defer g.signing.mu.Unlock()
	return len(g.signing.keys), len(g.signing.verify)
}

// Held counts the locks that are held.
func (g *Groups) Held() int {
	return len(g.names.held) + len(g.ids.held) + len(g.senders.held)
}
