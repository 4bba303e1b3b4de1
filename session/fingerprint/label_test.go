package fingerprint_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/gembok-e2ee/gembok/session/fingerprint"
	"github.com/gembok-e2ee/gembok/session/hosting"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// labels asks for fingerprints that cover manifests.
var labels = &fingerprint.Options{Version: 128}

// showing is a party of which a manifest is held.
func showing(p fingerprint.Party, manifest [32]byte) fingerprint.Party {
	p.Manifest = manifest
	return p
}

// tokos are two manifests of one account that say the opposite: that it has its
// key itself, and that a provider has.
func tokos(t *testing.T) (party fingerprint.Party, itself, hosted [32]byte) {
	t.Helper()
	key, provider := keys.GenerateIdentityKeyPair(), keys.GenerateIdentityKeyPair()
	start := time.Unix(1_700_000_000, 0)
	e := hosting.Endpoint{Device: 1, Identity: key.Public(), Controller: hosting.OwnerServer, Storage: hosting.StorageNone, NotAfter: start.AddDate(1, 0, 0)}
	at := e
	at.Controller, at.Provider = hosting.HostedByProvider, &hosting.Provider{Name: "PT Awan", Domain: "awan.example", Key: provider.Public()}
	require.NoError(t, at.Operate("toko", key.Public(), provider))
	var hashes [][32]byte
	for _, e := range []hosting.Endpoint{e, at} {
		require.NoError(t, e.Accept("toko", key.Public(), key))
		m := &hosting.Manifest{Account: "toko", Kind: hosting.KindBusiness, Epoch: 1, NotBefore: start, NotAfter: start.AddDate(0, 0, 30), Endpoints: []hosting.Endpoint{e}}
		_, err := m.Sign(key)
		require.NoError(t, err)
		require.NoError(t, m.Verify(start))
		hashes = append(hashes, m.Hash())
	}
	return fingerprint.Party{ID: fingerprint.StableID("toko"), Key: key.Public()}, hashes[0], hashes[1]
}

// A server shows one person that a provider has the key, and another one that
// it is the business itself. Keys are the same for all.
func TestLBL_10_Numbers(t *testing.T) {
	toko, itself, hosted := tokos(t)
	ani, budi := party("ani"), party("budi")
	for _, c := range []struct {
		name            string
		held, published [32]byte
		match           bool
	}{
		{"hosted", hosted, hosted, true},
		{"not hosted", itself, itself, true},
		{"hosted, and shown as not", itself, hosted, false},
		{"not hosted, and shown as such", hosted, itself, false},
		{"stripped", [32]byte{}, hosted, false},
		{"made up", hosted, [32]byte{}, false},
		{"none", [32]byte{}, [32]byte{}, true},
	} {
		onAnis := mustNew(t, ani, showing(toko, c.held), labels)
		onTokos := mustNew(t, showing(toko, c.published), ani, labels)
		require.Equal(t, c.match, onAnis.String() == onTokos.String(), c.name)
		want := [2]fingerprint.Result{fingerprint.TheirsDiffer, fingerprint.OursDiffer}
		if c.match {
			want = [2]fingerprint.Result{fingerprint.Match, fingerprint.Match}
		}
		requireResult(t, want[0], onAnis, onTokos.Bytes())
		requireResult(t, want[1], onTokos, onAnis.Bytes())
		// In version 2 nobody sees it.
		two := mustNew(t, ani, toko, quick)
		requireResult(t, fingerprint.Match, two, mustNew(t, toko, ani, quick).Bytes())
	}
	// Manifests of both sides count, each for its own account.
	ours, theirs := showing(ani, itself), showing(budi, hosted)
	f := mustNew(t, ours, theirs, labels)
	require.Equal(t, f.String(), mustNew(t, theirs, ours, labels).String())
	swapped := mustNew(t, showing(budi, itself), showing(ani, hosted), labels)
	require.NotEqual(t, f.String(), swapped.String())
	requireResult(t, fingerprint.BothDiffer, f, swapped.Bytes())
}

// slowLabels is spec/gembok.md, Section 7, written down a second time.
func slowLabels(p fingerprint.Party, rounds int) []byte {
	var in bytes.Buffer
	in.Write([]byte{0x00, 0x80})
	in.Write(p.Key.Bytes())
	in.WriteByte(byte(len(p.ID)))
	in.Write(p.ID)
	in.Write(p.Manifest[:]) // zero bytes for none
	in.Write(p.Key.Bytes())
	h := sha512.Sum512(in.Bytes())
	for n := 1; n < rounds; n++ {
		h = sha512.Sum512(append(h[:], p.Key.Bytes()...))
	}
	return h[:]
}

func TestLBL_10_KnownAnswer(t *testing.T) {
	v2, _ := load(t)
	alice, bob := showing(v2.alice, sha256.Sum256([]byte("manifest"))), v2.bob
	one, other := slowLabels(alice, 5200), slowLabels(bob, 5200)
	require.Equal(t, "99d761126ddbfff22cafcda40c68b6506a29514dac9956ec79cab45a5acbc80d", hex.EncodeToString(one[:32]))
	require.Equal(t, "4be646c4a899dfe0b4f92bb0543f23a2a9a7acce21f88b9353bd78ac7e43b2a1", hex.EncodeToString(other[:32]))
	f := mustNew(t, alice, bob, labels)
	require.Equal(t, "44744 41849 04931 40206 17555 89379 59437 99055 72342 76365 85593 14155", f.String())
	require.Equal(t, code(128, one[:32], other[:32]), f.Bytes())
	require.Len(t, f.Bytes(), 75)
	require.Equal(t, f, mustNew(t, alice, bob, &fingerprint.Options{Version: 128, Rounds: 5200}))

	// Of other parties, with few rounds.
	rapid.Check(t, func(r *rapid.T) {
		k, err := keys.ParseIdentityKey(append([]byte{5}, rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(r, "u")...))
		require.NoError(r, err)
		p := fingerprint.Party{ID: rapid.SliceOfN(rapid.Byte(), 1, 255).Draw(r, "id"), Key: k}
		copy(p.Manifest[:], rapid.SliceOfN(rapid.Byte(), 0, 32).Draw(r, "manifest"))
		rounds := rapid.IntRange(2, 40).Draw(r, "rounds")
		require.Equal(r, slowLabels(p, rounds), fingerprint.Digest(t, 128, p, uint32(rounds)))
	})
}

// Each bit of a manifest's hash counts, and none can be taken for one of the id.
func TestLBL_10_EveryBit(t *testing.T) {
	p := showing(party("toko"), sha256.Sum256([]byte("manifest")))
	seen := map[string]bool{string(fingerprint.Digest(t, 128, p, 2)): true}
	differs := func(p fingerprint.Party) {
		t.Helper()
		d := string(fingerprint.Digest(t, 128, p, 2))
		require.False(t, seen[d])
		seen[d] = true
	}
	for i := range 256 {
		q := p
		q.Manifest[i/8] ^= 1 << (i % 8)
		differs(q)
	}
	differs(showing(p, [32]byte{}))
	longer := p
	longer.ID = append(slices.Clone(p.ID), p.Manifest[0])
	copy(longer.Manifest[:], p.Manifest[1:])
	differs(longer)
	require.False(t, seen[string(fingerprint.Digest(t, 2, showing(p, [32]byte{}), 2))])
}

// Versions do not match each other, whatever the parties are.
func TestFP_01_LabelVersion(t *testing.T) {
	alice, bob := party("alice"), party("bob")
	labelled := mustNew(t, alice, bob, labels)
	for _, version := range []uint32{1, 2} {
		plain := mustNew(t, bob, alice, &fingerprint.Options{Version: version})
		require.NotEqual(t, labelled.String(), plain.String())
		for ours, theirs := range map[*fingerprint.Fingerprint]*fingerprint.Fingerprint{labelled: plain, plain: labelled} {
			var mismatch *fingerprint.VersionError
			got, err := ours.Compare(theirs.Bytes())
			require.ErrorAs(t, err, &mismatch)
			require.Zero(t, got)
			require.Equal(t, ours == labelled, mismatch.Ours == 128)
			require.Equal(t, theirs == labelled, mismatch.Theirs == 128)
		}
		// The number of one, in a code of the other.
		local, remote := plain.Bytes()[6:38], plain.Bytes()[42:]
		requireResult(t, fingerprint.BothDiffer, labelled, code(128, local, remote))
	}
}

// What the version has no place for is not left out in silence.
func TestFP_02_LabelParties(t *testing.T) {
	alice, bob := party("alice"), party("bob")
	shown := showing(bob, [32]byte{31: 1})
	long := party(strings.Repeat("b", 256))
	for _, c := range []struct {
		p fingerprint.Party
		o *fingerprint.Options
	}{
		{shown, nil}, {shown, &fingerprint.Options{Version: 1}}, {shown, &fingerprint.Options{Version: 2}},
		{long, labels}, {fingerprint.Party{Key: bob.Key}, labels}, {fingerprint.Party{ID: bob.ID}, labels},
	} {
		for _, pair := range [][2]fingerprint.Party{{c.p, alice}, {alice, c.p}} {
			f, err := fingerprint.New(pair[0], pair[1], c.o)
			require.ErrorIs(t, err, fingerprint.ErrParty)
			require.Nil(t, f)
		}
	}
	long.ID = long.ID[:255]
	mustNew(t, alice, long, labels)
	for _, rounds := range []uint32{1, 2, 5199, 5201, 1_000_000} {
		f, err := fingerprint.New(alice, shown, &fingerprint.Options{Version: 128, Rounds: rounds})
		require.ErrorIs(t, err, fingerprint.ErrRounds)
		require.Nil(t, f)
	}
}
