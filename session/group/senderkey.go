package group

import (
	"context"
	"errors"

	"github.com/gembok-e2ee/gembok/session"
)

var errSoon = errors.New("group: internal error: not written yet")

// Distribution returns the message that gives others the own sender key of id,
// from its next message on. It goes in Content.Distribution. The first call makes
// the key.
func (g *Groups) Distribution(ctx context.Context, id DistributionID) ([]byte, error) {
	return nil, errSoon
}

// Encrypt encrypts plaintext with the own sender key of id.
func (g *Groups) Encrypt(ctx context.Context, id DistributionID, plaintext []byte) (*session.Message, error) {
	return nil, errSoon
}

// Decrypt decrypts a message of any type that came from a device.
func (g *Groups) Decrypt(ctx context.Context, from session.Address, m *session.Message, o *session.DecryptOptions) (*session.Received, error) {
	return nil, errSoon
}

// distribution is Distribution within an operation.
func (g *Groups) distribution(t *session.Tx, id DistributionID) ([]byte, error) {
	return nil, errSoon
}

// encrypt is Encrypt within an operation, of a plaintext with its padding.
func (g *Groups) encrypt(t *session.Tx, id DistributionID, padded []byte) (*session.Message, error) {
	return nil, errSoon
}

// rotate replaces the own sender key of id within an operation, or makes the
// first: another chain id, another signing key.
func (g *Groups) rotate(t *session.Tx, id DistributionID) error {
	return errSoon
}

// current tells where the own sender key of id is; ok is false where there is
// none. The outcome of the operation does not depend on it.
func (g *Groups) current(t *session.Tx, id DistributionID) (chainID, iteration uint32, ok bool, err error) {
	return 0, 0, false, errSoon
}
