package hosting

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// The labels of the three kinds of signature.
const (
	labelAccount  = "gembok/hosting/1/account"
	labelEndpoint = "gembok/hosting/1/endpoint"
	labelProvider = "gembok/hosting/1/provider"
)

// maxStatement is how long an endpoint's signatures may hold.
const maxStatement = 400 * 24 * time.Hour

// Accept sets e.Signature: whoever holds the key of e says so, towards the
// account of that name and key. It is called where that key is, on an Endpoint
// whose other fields are complete. The error is ErrLabelMismatch for another key
// than e.Identity.
func (e *Endpoint) Accept(account string, accountKey keys.IdentityKey, key *keys.IdentityKeyPair) error {
	if !key.Public().Equal(e.Identity) {
		return fmt.Errorf("%w: key of another endpoint", ErrLabelMismatch)
	}
	e.Signature = key.Sign(labelEndpoint, e.statement(account, accountKey))
	return nil
}

// Operate sets e.ProviderSignature: the provider says that it operates e, for the
// account of that name and key. The error is ErrLabelMismatch for another key
// than e.Provider.Key.
func (e *Endpoint) Operate(account string, accountKey keys.IdentityKey, key *keys.IdentityKeyPair) error {
	if e.Provider == nil || !key.Public().Equal(e.Provider.Key) {
		return fmt.Errorf("%w: key of another provider", ErrLabelMismatch)
	}
	e.ProviderSignature = key.Sign(labelProvider, e.statement(account, accountKey))
	return nil
}

// statement is what the endpoint and the provider sign:
//
//	SHA-256(endpoint bytes) ‖ account key (33) ‖ account id
func (e *Endpoint) statement(account string, accountKey keys.IdentityKey) []byte {
	sum := sha256.Sum256(e.signed())
	return slices.Concat(sum[:], accountKey.Bytes(), []byte(account))
}

// Sign sets the Key and the Signature of m, whose endpoints have theirs, and
// returns its Bytes; m is then as Parse returns it. The errors, after which m is
// as it was, are those of Parse and Verify, but for the time.
func (m *Manifest) Sign(account *keys.IdentityKeyPair) ([]byte, error) {
	next := *m
	next.Key = account.Public()
	next.Signature = account.Sign(labelAccount, next.signed())
	out := next.Bytes()
	parsed, err := Parse(out)
	if err == nil {
		err = parsed.Verify(m.NotBefore)
	}
	if err != nil {
		return nil, err
	}
	*m = *parsed
	return out, nil
}
