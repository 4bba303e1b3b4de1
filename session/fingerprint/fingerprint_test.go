package fingerprint_test

import (
	"bytes"
	"crypto/sha512"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
	"pgregory.net/rapid"

	"github.com/gembok-e2ee/gembok/session/fingerprint"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// quick has as few rounds as there may be, where they do not matter.
var quick = &fingerprint.Options{Rounds: 2}

func mustNew(t require.TestingT, local, remote fingerprint.Party, o *fingerprint.Options) *fingerprint.Fingerprint {
	f, err := fingerprint.New(local, remote, o)
	require.NoError(t, err)
	return f
}

// party is somebody with a new key.
func party(id string) fingerprint.Party {
	return fingerprint.Party{ID: []byte(id), Key: keys.GenerateIdentityKeyPair().Public()}
}

func requireResult(t require.TestingT, want fingerprint.Result, ours *fingerprint.Fingerprint, scanned []byte) {
	before := *ours
	got, err := ours.Compare(scanned)
	require.NoError(t, err)
	require.Equal(t, want, got, "%s, not %s", got, want)
	require.Equal(t, before, *ours)
}

func requireError(t require.TestingT, want error, ours *fingerprint.Fingerprint, scanned []byte) {
	before := *ours
	got, err := ours.Compare(scanned)
	require.ErrorIs(t, err, want)
	require.Zero(t, got)
	require.Equal(t, before, *ours)
}

func TestFP_01_Versions(t *testing.T) {
	alice, bob := party("alice"), party("bob")
	one := mustNew(t, alice, bob, &fingerprint.Options{Version: 1, Rounds: 2})
	two := mustNew(t, bob, alice, &fingerprint.Options{Version: 2, Rounds: 2})
	require.Equal(t, one.String(), two.String())

	var mismatch *fingerprint.VersionError
	_, err := one.Compare(two.Bytes())
	require.ErrorAs(t, err, &mismatch)
	require.Equal(t, fingerprint.VersionError{Ours: 1, Theirs: 2}, *mismatch)
	require.EqualError(t, err, "fingerprint: scanned version 2, ours is 1")
	_, err = two.Compare(one.Bytes())
	require.ErrorAs(t, err, &mismatch)
	require.Equal(t, fingerprint.VersionError{Ours: 2, Theirs: 1}, *mismatch)
	requireError(t, fingerprint.ErrVersion, two, one.Bytes())

	// The version comes first, an absent one is 0, and counts its low 32 bits.
	for theirs, code := range map[uint32][]byte{0: {}, 3: {8, 3}, 128: {8, 0x80, 1}, math.MaxUint32: {8, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F}} {
		_, err = two.Compare(code)
		require.ErrorAs(t, err, &mismatch)
		require.Equal(t, fingerprint.VersionError{Ours: 2, Theirs: theirs}, *mismatch)
	}
	wide := append(protowire.AppendVarint([]byte{8}, 1<<32+2), one.Bytes()[2:]...)
	requireResult(t, fingerprint.Match, two, wide)

	for _, version := range []uint32{3, 127, 129, 256, math.MaxUint32} {
		f, err := fingerprint.New(alice, bob, &fingerprint.Options{Version: version})
		require.ErrorIs(t, err, fingerprint.ErrVersion)
		require.Nil(t, f)
	}
	// What nobody computed matches nothing, not even itself.
	var none fingerprint.Fingerprint
	requireError(t, fingerprint.ErrVersion, &none, none.Bytes())
}

func TestFP_02_Compare(t *testing.T) {
	alice, bob, mallory, carol := party("alice"), party("bob"), party("mallory"), party("carol")
	as := func(p fingerprint.Party, key keys.IdentityKey) fingerprint.Party {
		return fingerprint.Party{ID: p.ID, Key: key}
	}
	ours := mustNew(t, alice, bob, quick)
	for _, c := range []struct {
		name          string
		want          fingerprint.Result
		local, remote fingerprint.Party
	}{
		{"as it should be", fingerprint.Match, bob, alice},
		{"our own code", fingerprint.Own, alice, bob},
		{"bob has a new key", fingerprint.TheirsDiffer, as(bob, carol.Key), alice},
		{"bob has another id", fingerprint.TheirsDiffer, as(carol, bob.Key), alice},
		{"carol, to alice", fingerprint.TheirsDiffer, carol, alice},
		{"alice had another key", fingerprint.OursDiffer, bob, as(alice, carol.Key)},
		{"alice had another id", fingerprint.OursDiffer, bob, as(carol, alice.Key)},
		{"bob, to carol", fingerprint.OursDiffer, bob, carol},
		{"others", fingerprint.BothDiffer, carol, mallory},
		{"the other way round, with a new key", fingerprint.BothDiffer, as(alice, carol.Key), bob},
		{"alice to herself", fingerprint.TheirsDiffer, alice, alice},
		{"bob to himself", fingerprint.OursDiffer, bob, bob},
	} {
		t.Run(c.name, func(t *testing.T) {
			requireResult(t, c.want, ours, mustNew(t, c.local, c.remote, quick).Bytes())
		})
	}

	// In the middle, each side is shown mallory's key as the other's.
	a, b := mustNew(t, alice, as(bob, mallory.Key), quick), mustNew(t, bob, as(alice, mallory.Key), quick)
	requireResult(t, fingerprint.BothDiffer, a, b.Bytes())
	requireResult(t, fingerprint.BothDiffer, b, a.Bytes())
	require.NotEqual(t, a.String(), b.String())

	// Of a party with itself the own code is the other's, too.
	self := mustNew(t, alice, alice, quick)
	requireResult(t, fingerprint.Match, self, self.Bytes())
}

// Each bit of the digests counts, and so do their lengths.
func TestFP_02_EveryBit(t *testing.T) {
	alice, bob := party("alice"), party("bob")
	ours, theirs := mustNew(t, alice, bob, quick), mustNew(t, bob, alice, quick).Bytes()
	require.Len(t, theirs, 74)
	for i := range 32 * 8 {
		for at, want := range map[int]fingerprint.Result{6: fingerprint.TheirsDiffer, 42: fingerprint.OursDiffer} {
			code := slices.Clone(theirs)
			code[at+i/8] ^= 1 << (i % 8)
			requireResult(t, want, ours, code)
		}
	}
	local, remote := theirs[6:38], theirs[42:]
	for _, n := range []int{0, 1, 31} {
		requireResult(t, fingerprint.TheirsDiffer, ours, code(2, local[:n], remote))
		requireResult(t, fingerprint.OursDiffer, ours, code(2, local, remote[:n]))
	}
	requireResult(t, fingerprint.TheirsDiffer, ours, code(2, append(slices.Clone(local), 0), remote))
	requireResult(t, fingerprint.OursDiffer, ours, code(2, local, append(slices.Clone(remote), 0)))
	requireResult(t, fingerprint.BothDiffer, ours, code(2, nil, nil))
	requireResult(t, fingerprint.Match, ours, code(2, local, remote))
}

// code writes a scannable form.
func code(version uint64, local, remote []byte) []byte {
	half := func(b []byte) []byte { return protowire.AppendBytes([]byte{0x0A}, b) }
	c := protowire.AppendVarint([]byte{0x08}, version)
	c = protowire.AppendBytes(append(c, 0x12), half(local))
	return protowire.AppendBytes(append(c, 0x1A), half(remote))
}

func TestFP_03_Rounds(t *testing.T) {
	alice, bob := party("alice"), party("bob")
	for _, rounds := range []uint32{1, 1_000_001, math.MaxUint32} {
		f, err := fingerprint.New(alice, bob, &fingerprint.Options{Rounds: rounds})
		require.ErrorIs(t, err, fingerprint.ErrRounds)
		require.Nil(t, f)
	}
	for _, o := range []*fingerprint.Options{nil, {}, {Version: 2}, {Rounds: 5200}} {
		require.Equal(t, mustNew(t, alice, bob, nil), mustNew(t, alice, bob, o))
	}
	two, three := mustNew(t, alice, bob, quick), mustNew(t, bob, alice, &fingerprint.Options{Rounds: 3})
	requireResult(t, fingerprint.BothDiffer, two, three.Bytes())
	if !testing.Short() {
		mustNew(t, alice, bob, &fingerprint.Options{Rounds: 1_000_000})
	}
}

func TestFP_04_Malformed(t *testing.T) {
	alice, bob := party("alice"), party("bob")
	ours, theirs := mustNew(t, alice, bob, quick), mustNew(t, bob, alice, quick).Bytes()
	for n := range theirs {
		got, err := ours.Compare(theirs[:n:n])
		require.Error(t, err, n)
		require.Zero(t, got)
		require.True(t, errors.Is(err, fingerprint.ErrMalformed) || n == 0 && errors.Is(err, fingerprint.ErrVersion), n)
	}
	requireError(t, fingerprint.ErrMalformed, ours, append(slices.Clone(theirs), 0))
	requireError(t, fingerprint.ErrMalformed, ours, theirs[:38])                                         // without remote
	requireError(t, fingerprint.ErrMalformed, ours, append(theirs[:2:2], theirs[38:]...))                // without local
	requireError(t, fingerprint.ErrMalformed, ours, append(theirs[:38:38], 0x1A, 0))                     // without its content
	requireError(t, fingerprint.ErrMalformed, ours, []byte("https://example.org/"))                      // another QR code
	requireError(t, fingerprint.ErrMalformed, ours, []byte(strings.ReplaceAll(ours.String(), " ", "")))  // the digits
	requireError(t, fingerprint.ErrTooLarge, ours, bytes.Repeat([]byte{0x08, 0x02}, 2049))               // two bytes over
	requireResult(t, fingerprint.Match, ours, append([]byte{0x78, 0x05}, theirs...))                     // a field of the future
	requireResult(t, fingerprint.Match, ours, append(theirs[38:74:74], theirs[:38]...))                  // in another order
	requireResult(t, fingerprint.Match, ours, append(bytes.Repeat([]byte{0x08, 0x02}, 2011), theirs...)) // 4 KiB
}

func TestFP_05_Display(t *testing.T) {
	require.Regexp(t, `^(\d{5} ){11}\d{5}$`, mustNew(t, party("a"), party("b"), nil).String())
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.SliceOfN(rapid.Byte(), 1, 300)
		key := rapid.Custom(func(t *rapid.T) keys.IdentityKey {
			k, err := keys.ParseIdentityKey(append([]byte{5}, rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "u")...))
			require.NoError(t, err)
			return k
		})
		a := fingerprint.Party{ID: id.Draw(t, "id"), Key: key.Draw(t, "key")}
		b := fingerprint.Party{ID: id.Draw(t, "id"), Key: key.Draw(t, "key")}
		o := &fingerprint.Options{Version: rapid.Uint32Range(1, 2).Draw(t, "version"), Rounds: rapid.Uint32Range(2, 40).Draw(t, "rounds")}

		alice, bob := mustNew(t, a, b, o), mustNew(t, b, a, o)
		require.Equal(t, slowDisplay(a, b, o.Rounds), alice.String())
		require.Equal(t, alice.String(), bob.String())
		one, other := slowDigest(a, o.Rounds), slowDigest(b, o.Rounds)
		require.Equal(t, code(uint64(o.Version), one[:32], other[:32]), alice.Bytes())
		require.Equal(t, code(uint64(o.Version), other[:32], one[:32]), bob.Bytes())
		requireResult(t, fingerprint.Match, alice, bob.Bytes())
		requireResult(t, fingerprint.Match, bob, alice.Bytes())
	})
}

// slowDigest and slowDisplay are Sections 6.1 and 6.2 written down a second
// time.
func slowDigest(p fingerprint.Party, rounds uint32) []byte {
	sum := slices.Concat([]byte{0, 0}, p.Key.Bytes(), p.ID)
	for range rounds {
		h := sha512.New()
		h.Write(sum)
		h.Write(p.Key.Bytes())
		sum = h.Sum(nil)
	}
	return sum
}

func slowDisplay(a, b fingerprint.Party, rounds uint32) string {
	groups := func(p fingerprint.Party) (s []string) {
		for five := range slices.Chunk(slowDigest(p, rounds)[:30], 5) {
			s = append(s, fmt.Sprintf("%05d", new(big.Int).Mod(new(big.Int).SetBytes(five), big.NewInt(100_000))))
		}
		return s
	}
	all := [][]string{groups(a), groups(b)}
	slices.SortFunc(all, slices.Compare)
	return strings.Join(slices.Concat(all...), " ")
}

func TestFP_06_StableID(t *testing.T) {
	require.Equal(t, unhex(t, "9d0652a3dcc34d11975f74d61598733f"), fingerprint.StableID(aliceACI))
	require.Equal(t, fingerprint.StableID(aliceACI), fingerprint.StableID(strings.ToUpper(aliceACI)))
	require.Equal(t, unhex(t, "019d0652a3dcc34d11975f74d61598733f"), fingerprint.StableID("PNI:"+aliceACI))
	for _, name := range []string{"bøb", aliceNumber, "ACI:" + aliceACI, "pni:" + aliceACI, strings.ReplaceAll(aliceACI, "-", "")} {
		require.Equal(t, []byte(name), fingerprint.StableID(name))
	}

	// One id by the account, the other by the number: they differ.
	v2, v1 := load(t)
	alice := mustNew(t, v2.alice, v2.bob, quick)
	requireResult(t, fingerprint.BothDiffer, alice, mustNew(t, v1.bob, v1.alice, quick).Bytes())
	requireResult(t, fingerprint.OursDiffer, alice, mustNew(t, v2.bob, v1.alice, quick).Bytes())
	requireResult(t, fingerprint.TheirsDiffer, alice, mustNew(t, v1.bob, v2.alice, quick).Bytes())
	require.NotEqual(t, alice.String(), mustNew(t, v1.bob, v1.alice, quick).String())
}

// The id that was handed in may change afterwards.
func TestParties(t *testing.T) {
	alice, bob := party("alice"), party("bob")
	want := mustNew(t, alice, bob, quick)
	got := mustNew(t, alice, bob, quick)
	alice.ID[0]++
	require.Equal(t, want, got)
	got.Bytes()[10]++
	require.Equal(t, want, got)

	for _, p := range []fingerprint.Party{{}, {ID: bob.ID}, {ID: []byte{}, Key: bob.Key}, {Key: bob.Key}} {
		for _, pair := range [][2]fingerprint.Party{{p, alice}, {alice, p}} {
			f, err := fingerprint.New(pair[0], pair[1], nil)
			require.ErrorIs(t, err, fingerprint.ErrParty)
			require.Nil(t, f)
		}
	}
}

func TestResultNames(t *testing.T) {
	names := map[string]bool{}
	for r := fingerprint.Result(0); r <= fingerprint.Own; r++ {
		names[r.String()] = true
	}
	require.Len(t, names, 6)
	require.Equal(t, "no result", fingerprint.Result(-1).String())
	require.Equal(t, "no result", (fingerprint.Own + 1).String())
}

// A round allocates nothing.
func TestRoundsAllocateNothing(t *testing.T) {
	alice, bob := party("alice"), party("bob")
	cost := func(rounds uint32) float64 {
		return testing.AllocsPerRun(5, func() { _, _ = fingerprint.New(alice, bob, &fingerprint.Options{Rounds: rounds}) })
	}
	require.Equal(t, cost(2), cost(2000))
}

func FuzzF14Compare(f *testing.F) {
	v2, _ := load(f)
	ours := make(map[*fingerprint.Fingerprint][]byte) // and the code that fits
	for _, o := range []*fingerprint.Options{nil, labels} {
		alice, bob := v2.of(f, o)
		ours[alice] = bob.Bytes()
		f.Add(alice.Bytes())
		f.Add(bob.Bytes())
	}
	for _, b := range [][]byte{unhex(f, fixed.Main.FP_scan_alice_v1), {}, {8, 2}, {8, 0x80, 1}} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, scanned []byte) {
		for alice, theirs := range ours {
			requireSensible(t, alice, theirs, scanned)
		}
	})
}

// requireSensible compares with any bytes, where theirs is the code that fits.
func requireSensible(t *testing.T, alice *fingerprint.Fingerprint, theirs, scanned []byte) {
	halves := func(b []byte) [][]byte { return [][]byte{b[len(b)-68 : len(b)-36], b[len(b)-32:]} }
	got, err := alice.Compare(scanned)
	var version *fingerprint.VersionError
	switch {
	case err != nil:
		require.Zero(t, got)
		require.True(t, errors.Is(err, fingerprint.ErrMalformed) || errors.Is(err, fingerprint.ErrTooLarge) || errors.As(err, &version), "%v", err)
	case got == fingerprint.Match || got == fingerprint.Own:
		if got == fingerprint.Own {
			theirs = alice.Bytes()
		}
		for _, half := range halves(theirs) {
			require.True(t, bytes.Contains(scanned, half))
		}
	default:
		require.Contains(t, []fingerprint.Result{fingerprint.TheirsDiffer, fingerprint.OursDiffer, fingerprint.BothDiffer}, got)
	}
}
