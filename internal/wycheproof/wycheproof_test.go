// Package wycheproof_test runs the test vectors of Project Wycheproof against
// gembok's primitives. It is a module of its own because the vectors are large:
//
//	cd internal/wycheproof && go test ./...
//
// Every test counts what it ran, so that vectors that vanish are noticed. A
// vector that does not apply is listed with its reason.
package wycheproof_test

import (
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"testing"

	"github.com/c2sp/wycheproof"
	"github.com/stretchr/testify/require"
)

// A group is a test group, with the union of the fields that the tests use.
type group struct {
	KeySize      int    `json:"keySize"`
	ParameterSet string `json:"parameterSet"`
	PublicKey    struct {
		PK hexBytes `json:"pk"`
	} `json:"publicKey"`
	Tests []vector `json:"tests"`
}

type vector struct {
	ID      int      `json:"tcId"`
	Comment string   `json:"comment"`
	Flags   []string `json:"flags"`
	Result  string   `json:"result"`

	Public, Private, Shared hexBytes // X25519
	Msg, Sig                hexBytes // Ed25519
	Key, IV, CT             hexBytes // AES-CBC, AES-GCM-SIV
	AAD, Tag                hexBytes // AES-GCM-SIV
	Seed, EK, DK, M, C, K   hexBytes // ML-KEM
}

func (v *vector) valid() bool { return v.Result == "valid" }

type hexBytes []byte

func (b *hexBytes) UnmarshalText(text []byte) (err error) {
	*b, err = hex.DecodeString(string(text))
	return err
}

// run calls f for every vector of the file, and requires as many as total.
func run(t *testing.T, file string, total int, f func(t *testing.T, g *group, v *vector)) {
	b, err := fs.ReadFile(wycheproof.TestVectors, file)
	require.NoError(t, err)
	var all struct{ TestGroups []group }
	require.NoError(t, json.Unmarshal(b, &all))
	n := 0
	for i := range all.TestGroups {
		g := &all.TestGroups[i]
		for j := range g.Tests {
			n++
			f(t, g, &g.Tests[j])
			if t.Failed() {
				t.Fatalf("%s: test %d: %s %v", file, g.Tests[j].ID, g.Tests[j].Comment, g.Tests[j].Flags)
			}
		}
	}
	require.Equal(t, total, n)
}
