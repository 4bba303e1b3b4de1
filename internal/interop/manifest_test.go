package interop_test

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/interop"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session/hosting"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// An awan is a provider.
type awan struct{ key *keys.IdentityKeyPair }

func newAwan() awan { return awan{keys.GenerateIdentityKeyPair()} }

// states is a signed manifest of an account whose devices are numbered from 1:
// keys are theirs, and the last hosted ones are at the provider.
func (a awan) states(t *testing.T, user string, account *keys.IdentityKeyPair, last *hosting.Manifest, hosted int, devices ...*keys.IdentityKeyPair) *hosting.Manifest {
	t.Helper()
	now := time.Now().UTC().Truncate(time.Second)
	m := &hosting.Manifest{Account: user, Kind: hosting.KindBusiness, Epoch: 1, NotBefore: now, NotAfter: now.AddDate(0, 0, 30)}
	if last != nil {
		m.Epoch, m.Previous = last.Epoch+1, last.Hash()
	}
	for i, key := range devices {
		e := hosting.Endpoint{Device: uint32(i) + 1, Identity: key.Public(), Controller: hosting.OwnerServer, Storage: hosting.StorageNone, NotAfter: now.AddDate(1, 0, 0)}
		if i >= len(devices)-hosted {
			e.Controller, e.Storage, e.Readers = hosting.HostedByProvider, hosting.StorageProvider, hosting.Readers{Staff: true}
			e.Provider = &hosting.Provider{Name: "PT Awan", Domain: "awan.example", Key: a.key.Public()}
			require.NoError(t, e.Operate(user, account.Public(), a.key))
		}
		require.NoError(t, e.Accept(user, account.Public(), key))
		m.Endpoints = append(m.Endpoints, e)
	}
	_, err := m.Sign(account)
	require.NoError(t, err)
	return m
}

// labelled is what is signed under a label (spec/gembok.md, Section 4).
func labelled(label string, message []byte) []byte {
	return slices.Concat(bytes.Repeat([]byte{0xFF}, 32), []byte("gembok/hosting/1/"+label), []byte{0}, message)
}

// A signing is one signature of a manifest, and where it stands there.
type signing struct {
	key     *keys.IdentityKeyPair
	message []byte
	at      *[]byte
}

// signings are all the signatures of a manifest whose first device has the account
// key, and whose second is at a provider.
func signings(t *testing.T, m *hosting.Manifest, account, second, provider *keys.IdentityKeyPair) []signing {
	t.Helper()
	signed, parsed, err := wire.ParseSignedManifest(m.Bytes())
	require.NoError(t, err)
	statement := func(i int) []byte {
		sum := sha256.Sum256(wire.AppendManifestEndpoint(nil, &parsed.Endpoints[i]))
		return slices.Concat(sum[:], account.Public().Bytes(), []byte(m.Account))
	}
	return []signing{
		{account, labelled("account", signed.Manifest), &m.Signature},
		{account, labelled("endpoint", statement(0)), &m.Endpoints[0].Signature},
		{second, labelled("endpoint", statement(1)), &m.Endpoints[1].Signature},
		{provider, labelled("provider", statement(1)), &m.Endpoints[1].ProviderSignature},
	}
}

// A manifest takes no library of its own: the official one verifies gembok's
// signatures, and gembok a manifest that it signed.
func TestInteropManifestSignatures(t *testing.T) {
	p, a := interop.Share(t), newAwan()
	for range cases(100) {
		account, second := keys.GenerateIdentityKeyPair(), keys.GenerateIdentityKeyPair()
		m := a.states(t, "toko", account, nil, 1, account, second)
		for _, s := range signings(t, m, account, second, a.key) {
			requireValid(t, p.SendVerify(s.key.Public().Bytes(), s.message, *s.at), true)
			sig, err := p.SendSign(s.key.PrivateBytes(), s.message).Bytes()
			require.NoError(t, err)
			require.NotEqual(t, sig, *s.at)
			*s.at = sig
		}
		theirs, err := hosting.Parse(m.Bytes())
		require.NoError(t, err)
		require.NoError(t, theirs.Verify(time.Now()))
		require.Equal(t, m.Hash(), theirs.Hash())
	}
}
