package fingerprint_test

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/session/fingerprint"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

const (
	aliceACI = "9d0652a3-dcc3-4d11-975f-74d61598733f"
	bobACI   = "796abedb-ca4e-4f18-8803-1fde5b921f9f"

	aliceNumber, bobNumber = "+14151111111", "+14152222222"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}

func identity(t testing.TB, s string) keys.IdentityKey {
	t.Helper()
	k, err := keys.ParseIdentityKey(unhex(t, s))
	require.NoError(t, err)
	return k
}

// A pair is alice and bob of the vectors, with the ids of one version.
type pair struct{ alice, bob fingerprint.Party }

func (p pair) of(t testing.TB, o *fingerprint.Options) (alice, bob *fingerprint.Fingerprint) {
	t.Helper()
	alice, err := fingerprint.New(p.alice, p.bob, o)
	require.NoError(t, err)
	bob, err = fingerprint.New(p.bob, p.alice, o)
	require.NoError(t, err)
	return alice, bob
}

var fixed struct {
	Main struct {
		Alice_pub, Bob_pub, FP_alice, FP_bob, FP_display_v2, FP_display_v1 string
		FP_scan_alice_v2, FP_scan_bob_v2, FP_scan_alice_v1                 string
	}
	Compact struct{ FP_iter2 string } `json:"compact_sealed_sender"`
}

// load reads the vectors, and returns the pairs of versions 2 and 1.
func load(t testing.TB) (v2, v1 pair) {
	t.Helper()
	file, err := os.ReadFile("../../testdata/sealed-groups-fingerprint/sealed-groups-fingerprint-vectors.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(file, &fixed))
	alice, bob := identity(t, fixed.Main.Alice_pub), identity(t, fixed.Main.Bob_pub)
	named := func(a, b string) pair {
		return pair{
			fingerprint.Party{ID: fingerprint.StableID(a), Key: alice},
			fingerprint.Party{ID: fingerprint.StableID(b), Key: bob},
		}
	}
	return named(aliceACI, bobACI), named(aliceNumber, bobNumber)
}

// spec/sealed-groups-fingerprint.md, Section 10.8.
func TestFP_05_Vectors(t *testing.T) {
	v2, v1 := load(t)
	digits := func(f *fingerprint.Fingerprint) string { return strings.ReplaceAll(f.String(), " ", "") }

	alice, bob := v2.of(t, nil)
	require.Equal(t, unhex(t, fixed.Main.FP_alice), fingerprint.Digest(t, 2, v2.alice, 5200))
	require.Equal(t, unhex(t, fixed.Main.FP_bob), fingerprint.Digest(t, 2, v2.bob, 5200))
	require.Equal(t, "695346616770166944370195682026818250411987289331302487152780", digits(alice))
	require.Equal(t, fixed.Main.FP_display_v2, digits(alice))
	require.Equal(t, fixed.Main.FP_display_v2, digits(bob))
	require.Equal(t, unhex(t, fixed.Main.FP_scan_alice_v2), alice.Bytes())
	require.Equal(t, unhex(t, fixed.Main.FP_scan_bob_v2), bob.Bytes())

	// The number does not depend on the version.
	first, second := v2.of(t, &fingerprint.Options{Version: 1, Rounds: 5200})
	require.Equal(t, fixed.Main.FP_display_v2, digits(first))
	require.Equal(t, fixed.Main.FP_display_v2, digits(second))

	alice, bob = v1.of(t, &fingerprint.Options{Version: 1})
	require.Equal(t, fixed.Main.FP_display_v1, digits(alice))
	require.Equal(t, fixed.Main.FP_display_v1, digits(bob))
	require.Equal(t, unhex(t, fixed.Main.FP_scan_alice_v1), alice.Bytes())

	short := fingerprint.Party{ID: []byte("a"), Key: v2.alice.Key}
	require.Equal(t, unhex(t, fixed.Compact.FP_iter2), fingerprint.Digest(t, 2, short, 2))
}

// The pair of numbers that deployed libraries test with.
func TestFP_05_PublicVector(t *testing.T) {
	p := pair{
		fingerprint.Party{ID: []byte("+14152222222"), Key: identity(t, "0506863bc66d02b40d27b8d49ca7c09e9239236f9d7d25d6fcca5ce13c7064d868")},
		fingerprint.Party{ID: []byte("+14153333333"), Key: identity(t, "05f781b6fb32fed9ba1cf2de978d4d5da28dc34046ae814402b5c0dbd96fda907b")},
	}
	for _, version := range []uint32{1, 2} {
		alice, bob := p.of(t, &fingerprint.Options{Version: version})
		require.Equal(t, "30035 44776 92869 39689 28698 76765 45825 75691 62576 84344 09180 79131", alice.String())
		require.Equal(t, alice.String(), bob.String())
	}
}
