package interop_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/interop"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session/fingerprint"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// A pairing is two parties, and what either
// library makes of their fingerprint, in the order of sides.
type pairing struct {
	options fingerprint.Options
	parties [2]fingerprint.Party
	ours    [2]*fingerprint.Fingerprint
	theirs  [2]interop.Fingerprinting
}

func randomPairing(r *rand.Rand, version, rounds uint32) pairing {
	c := pairing{options: fingerprint.Options{Version: version, Rounds: rounds}}
	for i := range c.parties {
		name := fmt.Sprintf("+%d", 1_000_000_000+r.Uint64N(1e12))
		if version == 2 {
			name = wire.ServiceID{UUID: [16]byte(randomBytes(r, 16))}.String()
		}
		c.parties[i] = fingerprint.Party{ID: fingerprint.StableID(name), Key: randomIdentity(r)}
	}
	return c
}

// randomIdentity is any u, as official keys may be.
func randomIdentity(r *rand.Rand) keys.IdentityKey {
	k, err := keys.ParseIdentityKey(append([]byte{5}, randomBytes(r, 32)...))
	if err != nil {
		panic(err)
	}
	return k
}

// compute has both libraries compute both sides.
func (c *pairing) compute(t *testing.T, p *interop.Peer) {
	t.Helper()
	for i := range c.parties {
		local, remote := c.parties[i], c.parties[1-i]
		var err error
		c.ours[i], err = fingerprint.New(local, remote, &c.options)
		require.NoError(t, err)
		c.theirs[i] = p.SendFingerprint(c.options.Rounds, c.options.Version, partyOfficial(local), partyOfficial(remote))
	}
}

func partyOfficial(p fingerprint.Party) interop.FingerprintParty {
	return interop.FingerprintParty{ID: p.ID, Key: p.Key.Bytes()}
}

// check holds what the libraries made against each other.
func (c *pairing) check(t *testing.T) {
	t.Helper()
	for i, f := range c.ours {
		theirs, err := c.theirs[i].Fingerprint()
		require.NoError(t, err)
		require.Equal(t, theirs.Displayable, strings.ReplaceAll(f.String(), " ", ""))
		require.Equal(t, theirs.Scannable, interop.Hex(f.Bytes()))
	}
}

// A scan is one side's fingerprint and the code that it scanned.
type scan struct {
	ours *fingerprint.Fingerprint
	code []byte
	want fingerprint.Result // 0: whatever both say
}

// scans are those of one pairing: the other's code, the own one, codes where a
// key was exchanged, and mutated ones.
func (c *pairing) scans(t *testing.T, r *rand.Rand) []scan {
	t.Helper()
	changed := func(local, remote fingerprint.Party) []byte {
		f, err := fingerprint.New(local, remote, &c.options)
		require.NoError(t, err)
		return f.Bytes()
	}
	with := func(p fingerprint.Party) fingerprint.Party { p.Key = randomIdentity(r); return p }
	a, b := c.parties[0], c.parties[1]
	all := []scan{
		{c.ours[0], c.ours[1].Bytes(), fingerprint.Match}, {c.ours[1], c.ours[0].Bytes(), fingerprint.Match},
		{c.ours[0], c.ours[0].Bytes(), fingerprint.Own},
		{c.ours[0], changed(with(b), a), fingerprint.TheirsDiffer},
		{c.ours[0], changed(b, with(a)), fingerprint.OursDiffer},
		{c.ours[0], changed(with(b), with(a)), fingerprint.BothDiffer},
	}
	for range 3 {
		all = append(all, scan{c.ours[0], mutate(r, c.ours[1].Bytes()), 0})
	}
	return all
}

// compare requires the same of both libraries for every scan.
func compare(t *testing.T, p *interop.Peer, scans []scan) (matches, refused int) {
	t.Helper()
	sent := make([]interop.Verdict, len(scans))
	for i, s := range scans {
		sent[i] = p.SendCompareFingerprints(s.ours.Bytes(), s.code)
	}
	for i, s := range scans {
		theirs, theirErr := sent[i].Valid()
		got, err := s.ours.Compare(s.code)
		if theirErr != nil {
			requirePeerError(t, theirErr)
			requireRefused(t, err)
			require.Zero(t, s.want)
			refused++
			continue
		}
		require.NoError(t, err, "%x", s.code)
		require.Equal(t, theirs, got == fingerprint.Match, "%x", s.code)
		if s.want != 0 {
			require.Equal(t, s.want, got)
		}
		if theirs {
			matches++
		}
	}
	return matches, refused
}

func requireRefused(t *testing.T, err error) {
	t.Helper()
	var version *fingerprint.VersionError
	require.True(t, errors.Is(err, fingerprint.ErrMalformed) || errors.As(err, &version), "%v", err)
}

// Fingerprints of random pairs, in both versions, are the same in both
// libraries, and so is what they say about codes that are scanned. A few have
// as many rounds as in use.
func TestInteropFingerprints(t *testing.T) {
	p, r := interop.Share(t), random(t)
	matches, refused, total := 0, 0, 0
	for n := range cases(1000) {
		rounds := 2 + r.Uint32N(100)
		if n%50 == 0 {
			rounds = 5200
		}
		pairings := []pairing{randomPairing(r, 1, rounds), randomPairing(r, 2, rounds)}
		var scans []scan
		for i := range pairings {
			pairings[i].compute(t, p)
			scans = append(scans, pairings[i].scans(t, r)...)
		}
		other := pairings[0].ours[0].Bytes() // of another version
		scans = append(scans, scan{pairings[1].ours[0], other, 0})
		m, f := compare(t, p, scans)
		matches, refused, total = matches+m, refused+f, total+len(scans)
		for i := range pairings {
			pairings[i].check(t)
		}
	}
	t.Logf("%d codes scanned: %d match, %d are refused", total, matches, refused)
	require.GreaterOrEqual(t, matches, 4*cases(1000))
	require.Greater(t, refused, cases(1000))
}

// What has another number of rounds than there may be, neither computes.
func TestInteropFingerprintRounds(t *testing.T) {
	p, c := interop.Share(t), randomPairing(random(t), 2, 0)
	for rounds, ok := range map[uint32]bool{1: false, 2: true, 1_000_001: false} {
		_, theirs := p.SendFingerprint(rounds, 2, partyOfficial(c.parties[0]), partyOfficial(c.parties[1])).Fingerprint()
		_, err := fingerprint.New(c.parties[0], c.parties[1], &fingerprint.Options{Rounds: rounds})
		require.Equal(t, ok, theirs == nil, "%d: %v", rounds, theirs)
		require.Equal(t, ok, err == nil, "%d: %v", rounds, err)
	}
}
