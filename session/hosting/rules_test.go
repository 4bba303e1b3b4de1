package hosting_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/session/hosting"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// Each test below is a row of the table of states.

func TestStateUnattested(t *testing.T) {
	r := rules()
	inState(t, r, start, "UNATTESTED")
	require.True(t, r.Label(start).Unknown)
	e := asked(t, r, start)
	require.Equal(t, [2][32]byte{}, [2][32]byte{e.From, e.To})
	unchanged(t, r, func() { require.NoError(t, r.See(toko, nil, start).Err) }) // nothing was ever there
	agree(t, r, start)
	require.NoError(t, r.May(toko, 1, pair(77).Public(), start.Add(1000*day))) // once
	inState(t, r, start, "UNATTESTED")
	require.True(t, r.Label(start).Unknown)

	require.NoError(t, hosting.NewRules(true, false, nil).May(toko, 1, keys.IdentityKey{}, start))
}

func TestStateCurrent(t *testing.T) {
	for _, c := range []hosting.Controller{hosting.Person, hosting.OwnerDevice, hosting.OwnerServer} {
		r := rules()
		n := r.See(toko, follow(t, nil, own(1, c)), start)
		require.NoError(t, n.Err)
		require.True(t, n.Diff.IsWider())
		require.Equal(t, []hosting.State{"UNATTESTED", "CURRENT"}, []hosting.State{n.Was, n.State})
		inState(t, r, start, "CURRENT")
		require.NoError(t, r.May(toko, 1, deviceKey(1).Public(), start))
		l := r.Label(start)
		require.False(t, l.Hosted() || l.Unknown)
		require.Equal(t, c, l.Class())
	}
	for _, c := range []hosting.Controller{hosting.HostedByProvider, hosting.HostedByPlatform} {
		e := hosted(1, awan())
		e.Controller = c
		r := rules()
		r.See(toko, follow(t, nil, e), start)
		inState(t, r, start, "PENDING")
		l := r.Label(start)
		require.True(t, l.Hosted())
		require.Equal(t, [32]byte{}, asked(t, r, start).From)
		agree(t, r, start)
		inState(t, r, start, "CURRENT")
		require.NoError(t, r.May(toko, 1, deviceKey(1).Public(), start))
	}
}

func TestStatePending(t *testing.T) {
	m1 := follow(t, nil, own(1, hosting.OwnerServer))
	m2 := follow(t, m1, own(1, hosting.OwnerServer), hosted(2, awan()))
	r := rules()
	r.See(toko, m1, start)
	n := r.See(toko, m2, start.Add(day))
	require.NoError(t, n.Err)
	require.Equal(t, []hosting.State{"CURRENT", "PENDING"}, []hosting.State{n.Was, n.State})
	inState(t, r, start.Add(day), "PENDING")
	_, since := r.State(start.Add(2 * day))
	require.Equal(t, start.Add(day), since)
	e := asked(t, r, start)
	require.Equal(t, [][32]byte{m1.Hash(), m2.Hash()}, [][32]byte{e.From, e.To})
	require.Equal(t, "PT Awan", e.Diff.Wider.Parties[0].Name)
	require.True(t, e.Diff.Wider.Readers.Staff && e.Diff.Wider.Uses.Service)
	require.Equal(t, []hosting.Storage{hosting.StorageProvider}, e.Diff.Wider.Storage)
	require.Equal(t, []hosting.Controller{hosting.HostedByProvider}, e.Diff.Wider.Controllers)
	l := r.Label(start)
	require.True(t, l.Hosted()) // both are shown until the user decides
	require.Equal(t, hosting.OwnerServer, l.Controllers[0])
	agree(t, r, start)
	inState(t, r, start, "CURRENT")

	// One that takes it back asks nothing.
	r = rules()
	r.See(toko, m1, start)
	r.See(toko, m2, start)
	r.See(toko, follow(t, m2, own(1, hosting.OwnerServer)), start)
	inState(t, r, start, "CURRENT")
	require.NoError(t, r.May(toko, 1, deviceKey(1).Public(), start))
}

// A yes to what is out of date meanwhile is none.
func TestPendingExpires(t *testing.T) {
	m := follow(t, nil, hosted(1, awan()))
	r := rules()
	r.See(toko, m, start)
	late := start.Add(31 * day)
	require.ErrorIs(t, r.May(toko, 1, keys.IdentityKey{}, late), hosting.ErrManifestExpired)
	require.True(t, r.Label(late).Unknown)
	unchanged(t, r, func() {
		require.ErrorIs(t, r.Decide(toko, hosting.Token(toko, [32]byte{}, m.Hash()), true, late), hosting.ErrManifestExpired)
	})
}

func TestStateNarrower(t *testing.T) {
	m1 := follow(t, nil, own(1, hosting.OwnerServer), hosted(2, awan()))
	m2 := follow(t, m1, own(1, hosting.OwnerServer))
	r := rules()
	r.See(toko, m1, start)
	agree(t, r, start)
	n := r.See(toko, m2, start)
	require.Equal(t, hosting.State("NARROWER"), n.State)
	require.True(t, n.Diff.IsNarrower())
	require.Equal(t, "PT Awan", n.Diff.Narrower.Parties[0].Name)
	inState(t, r, start, "NARROWER")
	require.NoError(t, r.May(toko, 1, deviceKey(1).Public(), start))
	l := r.Label(start)
	require.False(t, l.Hosted())
	// Back again is wider again: the old consent was for another change.
	r.See(toko, follow(t, m2, own(1, hosting.OwnerServer), hosted(2, awan())), start)
	inState(t, r, start, "PENDING")
	require.ErrorIs(t, r.Decide(toko, hosting.Token(toko, [32]byte{}, m1.Hash()), true, start), hosting.ErrLabelStale)
}

func TestStateExpired(t *testing.T) {
	m := follow(t, nil, hosted(1, awan()))
	r := rules()
	r.See(toko, m, start)
	agree(t, r, start)
	late := start.Add(31 * day)
	inState(t, r, late, "EXPIRED")
	e := asked(t, r, late)
	require.ErrorIs(t, e, hosting.ErrManifestExpired)
	require.Equal(t, [][32]byte{m.Hash(), m.Hash()}, [][32]byte{e.From, e.To})
	agree(t, r, late)
	inState(t, r, late, "EXPIRED")
	require.NoError(t, r.May(toko, 1, deviceKey(1).Public(), late.Add(30*day)))
	require.ErrorIs(t, r.May(toko, 1, deviceKey(2).Public(), late), hosting.ErrLabelMismatch)
	asked(t, r, late.Add(30*day+time.Second))
	asked(t, r, late.Add(-skew-time.Second)) // the clock went back
	// A renewal needs no consent.
	renewed := after(m, hosted(1, awan()))
	renewed.NotBefore, renewed.NotAfter = late, late.Add(30*day)
	n := r.See(toko, signed(t, renewed, accountKey), late)
	require.NoError(t, n.Err)
	require.False(t, n.Diff.IsWider() || n.Diff.IsNarrower())
	inState(t, r, late, "CURRENT")
}

func TestStateConflict(t *testing.T) {
	m1 := follow(t, nil, own(1, hosting.OwnerServer))
	fork := follow(t, nil, own(1, hosting.OwnerServer), own(2, hosting.OwnerServer))
	m2 := follow(t, m1, own(1, hosting.OwnerServer))
	unlinked := follow(t, fork, own(1, hosting.OwnerServer))
	stranger := signed(t, after(m1, own(1, hosting.OwnerServer)), pair(99))
	otherOne := signed(t, after(nil, own(2, hosting.OwnerServer)), pair(99))
	moved := hosted(1, awan())
	switched := follow(t, m1, moved)
	for name, c := range map[string]struct {
		do       func(r *hosting.Rules) hosting.Told
		want     error
		evidence bool
		asks     bool // whether consent can end it at once
	}{
		"fork":        {func(r *hosting.Rules) hosting.Told { return r.See(toko, fork, start) }, hosting.ErrLabelStale, true, false},
		"previous":    {func(r *hosting.Rules) hosting.Told { return r.See(toko, unlinked, start) }, hosting.ErrLabelMismatch, true, false},
		"in band":     {func(r *hosting.Rules) hosting.Told { return r.Claims(1, fork.Hash(), start) }, hosting.ErrLabelMismatch, false, false},
		"account key": {func(r *hosting.Rules) hosting.Told { return r.See(toko, stranger, start) }, hosting.ErrLabelMismatch, false, true},
		"key, epoch":  {func(r *hosting.Rules) hosting.Told { return r.See(toko, otherOne, start) }, hosting.ErrLabelStale, false, false},
		"controller":  {func(r *hosting.Rules) hosting.Told { return r.See(toko, switched, start) }, hosting.ErrControllerChangedForKey, false, false},
		"arrived": {func(r *hosting.Rules) hosting.Told {
			require.ErrorIs(t, r.Claims(2, fork.Hash(), start).Err, hosting.ErrLabelStale)
			return r.See(toko, m2, start)
		}, hosting.ErrLabelMismatch, false, false},
	} {
		r := rules()
		r.See(toko, m1, start)
		n := c.do(r)
		require.ErrorIs(t, n.Err, c.want, name)
		require.Equal(t, hosting.State("CONFLICT"), n.State, name)
		require.Equal(t, c.evidence, n.Evidence != nil, name)
		inState(t, r, start, "CONFLICT")
		inState(t, r, start.Add(100*day), "CONFLICT")
		require.True(t, r.Label(start).Unknown, name)
		require.Equal(t, name == "controller", hostedLabel(r), name)
		if !c.asks {
			require.ErrorIs(t, r.May(toko, 1, deviceKey(1).Public(), start), hosting.ErrLabelMismatch, name)
			for _, from := range [][32]byte{{}, m1.Hash()} {
				for _, to := range [][32]byte{{}, m1.Hash(), fork.Hash(), m2.Hash()} {
					require.Error(t, r.Decide(toko, hosting.Token(toko, from, to), true, start), name)
				}
			}
		} else {
			require.True(t, asked(t, r, start).Diff.KeyChanged)
		}
		unchanged(t, r, func() { r.See(toko, m1, start) })
		// A higher epoch alone does not end it, nor does a no.
		next := after(m2, own(2, hosting.OwnerServer))
		next.Epoch = 9
		r.See(toko, signed(t, next, accountKey), start)
		inState(t, r, start, "CONFLICT")
		e := asked(t, r, start)
		unchanged(t, r, func() { require.NoError(t, r.Decide(toko, e.Token, false, start)) })
		agree(t, r, start)
		inState(t, r, start, "CURRENT")
		require.False(t, r.Label(start).Unknown, name)
		require.False(t, hostedLabel(r), name) // what it was about is settled
		require.NoError(t, r.May(toko, 2, deviceKey(2).Public(), start), name)
	}
}

func hostedLabel(r *hosting.Rules) bool {
	l := r.Label(start)
	return l.Hosted()
}

func TestStateDeclined(t *testing.T) {
	m1 := follow(t, nil, own(1, hosting.OwnerServer))
	m2 := follow(t, m1, own(1, hosting.OwnerServer), hosted(2, awan()))
	r := rules()
	r.See(toko, m1, start)
	r.See(toko, m2, start)
	require.NoError(t, r.Decide(toko, asked(t, r, start).Token, false, start))
	inState(t, r, start, "DECLINED")
	old := asked(t, r, start)
	m3 := follow(t, m2, own(1, hosting.OwnerServer))
	r.See(toko, m3, start) // narrower, but the user said no
	inState(t, r, start, "DECLINED")
	require.ErrorIs(t, r.Decide(toko, old.Token, true, start), hosting.ErrLabelStale)
	agree(t, r, start)
	inState(t, r, start, "CURRENT")

	r = rules() // also without any manifest
	require.NoError(t, r.Decide(toko, asked(t, r, start).Token, false, start))
	inState(t, r, start, "DECLINED")
	asked(t, r, start)
	agree(t, r, start)
	inState(t, r, start, "UNATTESTED")
	require.NoError(t, r.May(toko, 1, keys.IdentityKey{}, start))
}

// The policy that asks for every widening.
func TestStrict(t *testing.T) {
	r := hosting.NewRules(false, true, known())
	m1 := follow(t, nil, own(1, hosting.OwnerDevice))
	r.See(toko, m1, start)
	agree(t, r, start)
	r.See(toko, follow(t, m1, own(2, hosting.OwnerServer)), start)
	inState(t, r, start, "PENDING")

	r = rules()
	r.See(toko, m1, start)
	n := r.See(toko, follow(t, m1, own(2, hosting.OwnerServer)), start)
	require.True(t, n.Diff.IsWider()) // the app is told
	inState(t, r, start, "CURRENT")
}

// A message speaks of a manifest that has not arrived.
func TestAwaited(t *testing.T) {
	m1 := follow(t, nil, own(1, hosting.OwnerServer))
	m2 := follow(t, m1, own(1, hosting.OwnerServer))
	for _, known := range []bool{false, true} {
		r := rules()
		if known {
			r.See(toko, m1, start)
		}
		require.ErrorIs(t, r.Claims(2, m2.Hash(), start).Err, hosting.ErrLabelStale)
		inState(t, r, start, "PENDING")
		require.True(t, r.Label(start).Unknown)
		require.ErrorIs(t, r.May(toko, 1, deviceKey(1).Public(), start), hosting.ErrLabelStale)
		require.ErrorIs(t, r.See(toko, m1, start).Err, hosting.ErrLabelStale) // the server has an old one
		require.ErrorIs(t, r.See(toko, nil, start).Err, hosting.ErrLabelStripped)
		inState(t, r, start, "PENDING")
		require.NoError(t, r.See(toko, m2, start).Err)
		inState(t, r, start, "CURRENT")
		require.NoError(t, r.May(toko, 1, deviceKey(1).Public(), start))
		unchanged(t, r, func() { require.NoError(t, r.Claims(2, m2.Hash(), start).Err) })
	}
	// Consent does not help while a newer one is awaited.
	r := rules()
	h := follow(t, nil, hosted(1, awan()))
	r.See(toko, h, start)
	e := asked(t, r, start)
	r.Claims(2, m2.Hash(), start)
	unchanged(t, r, func() { require.ErrorIs(t, r.Decide(toko, e.Token, true, start), hosting.ErrLabelStale) })
}

func TestGap(t *testing.T) {
	m1 := follow(t, nil, own(1, hosting.OwnerServer))
	m2 := follow(t, m1, own(1, hosting.OwnerServer))
	m3 := follow(t, m2, own(1, hosting.OwnerServer))
	r := rules()
	require.False(t, r.See(toko, m1, start).Gap)
	n := r.See(toko, m3, start)
	require.NoError(t, n.Err)
	require.True(t, n.Gap)
	inState(t, r, start, "CURRENT")
}

func TestRecordDamage(t *testing.T) {
	r := rules()
	require.NoError(t, r.Restore(nil))
	inState(t, r, start, "UNATTESTED")
	for _, b := range [][]byte{{0xFF}, {8, 0}, {8, 8}, {8, 2}, {8, 1, 0x12, 1, 0}, {8, 1, 0x42, 1, 0}} {
		require.Error(t, r.Restore(b), "%x", b)
	}
}

// What was agreed to without a manifest, or without one in force, ends with one.
func TestConsentEnds(t *testing.T) {
	short := after(nil, own(1, hosting.OwnerServer))
	short.NotAfter = start.Add(day)
	r := rules()
	agree(t, r, start)
	r.See(toko, signed(t, short, accountKey), start)
	inState(t, r, start, "CURRENT")
	require.ErrorIs(t, r.May(toko, 1, deviceKey(1).Public(), start.Add(2*day)), hosting.ErrManifestExpired)
}

// A clock that was wrong leaves nothing behind.
func TestClockRepaired(t *testing.T) {
	r := rules()
	r.See(toko, follow(t, nil, own(1, hosting.OwnerServer)), start)
	require.ErrorIs(t, r.See(toko, nil, start.Add(100*day)).Err, hosting.ErrLabelStripped)
	inState(t, r, start.Add(100*day), "EXPIRED") // as it is stored now
	inState(t, r, start.Add(day), "CURRENT")
	require.NoError(t, r.May(toko, 1, deviceKey(1).Public(), start.Add(day)))
}

// A message that speaks of another manifest than the one that waits for consent
// stops that, and what it spoke of is evidence once it is there.
func TestClaimAgainstPending(t *testing.T) {
	m1 := follow(t, nil, own(1, hosting.OwnerServer))
	m2 := follow(t, m1, own(1, hosting.OwnerServer), hosted(2, awan()))
	other := follow(t, m1, own(1, hosting.OwnerServer), hosted(3, bumi()))
	r := rules()
	r.See(toko, m1, start)
	r.See(toko, m2, start)
	yes := asked(t, r, start).Token
	require.ErrorIs(t, r.Claims(2, other.Hash(), start).Err, hosting.ErrLabelMismatch)
	for range 2 {
		inState(t, r, start, "CONFLICT")
		require.ErrorIs(t, r.May(toko, 1, deviceKey(1).Public(), start), hosting.ErrLabelMismatch)
		unchanged(t, r, func() { require.ErrorIs(t, r.Decide(toko, yes, true, start), hosting.ErrLabelStale) })
		r.See(toko, other, start)
	}
	r.See(toko, follow(t, m2, own(1, hosting.OwnerServer)), start)
	agree(t, r, start)
	inState(t, r, start, "CURRENT")
}

// An account key that changed does not let a key move.
func TestKeyMovesWithAccountKey(t *testing.T) {
	m1 := follow(t, nil, own(1, hosting.OwnerServer))
	r := rules()
	r.See(toko, m1, start)
	n := r.See(toko, signed(t, after(m1, hosted(1, awan())), pair(99)), start)
	require.ErrorIs(t, n.Err, hosting.ErrControllerChangedForKey)
	require.ErrorIs(t, r.May(toko, 1, deviceKey(1).Public(), start), hosting.ErrLabelMismatch)
}
