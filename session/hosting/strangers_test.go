package hosting_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/session/hosting"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// Anybody can make a manifest under an account key of his own, and a server can
// show it. The tests here are about what it can do with one: stop a conversation
// until the user or the account says otherwise, and no more.

// stranger is a manifest that somebody else made, under a key of his own.
func stranger(t *testing.T, epoch uint64, es ...hosting.Endpoint) *hosting.Manifest {
	t.Helper()
	m := after(nil, es...)
	m.Epoch = epoch
	return signed(t, m, pair(99))
}

// restarted is what is read again from what is stored.
func restarted(t *testing.T, r *hosting.Rules) *hosting.Rules {
	t.Helper()
	again := rules()
	require.NoError(t, again.Restore(r.Stored()))
	return again
}

// Another account key can be accepted after a restart, too.
func TestStrangerAfterRestart(t *testing.T) {
	m1 := follow(t, nil, own(1, hosting.OwnerServer))
	other := signed(t, after(m1, own(2, hosting.OwnerServer)), pair(99))
	r := rules()
	r.See(toko, m1, start)
	r.See(toko, other, start)
	r = restarted(t, r)
	e := asked(t, r, start)
	require.True(t, e.Diff.KeyChanged)
	require.Equal(t, [][32]byte{m1.Hash(), other.Hash()}, [][32]byte{e.From, e.To})
	require.NoError(t, r.Decide(toko, e.Token, true, start))
	inState(t, restarted(t, r), start, "CURRENT")
	require.NoError(t, r.May(toko, 2, deviceKey(2).Public(), start))
	// From here on the new key counts, and the old one is a stranger's.
	m2 := follow(t, m1, own(1, hosting.OwnerServer))
	require.Error(t, r.See(toko, m2, start).Err)
	next := after(other, own(2, hosting.OwnerServer))
	r.See(toko, signed(t, next, pair(99)), start)
	require.NotEqual(t, hosting.ErrLabelStale, r.May(toko, 2, deviceKey(2).Public(), start))
}

// A stranger's epoch, however high, keeps out nothing that the account says next.
func TestStrangerEpoch(t *testing.T) {
	m1 := follow(t, nil, own(1, hosting.OwnerServer))
	m2 := follow(t, m1, own(1, hosting.OwnerServer))
	m3 := follow(t, m2, own(1, hosting.OwnerServer))
	for _, epoch := range []uint64{1, 2, 3, math.MaxUint64} {
		for _, before := range []bool{false, true} { // also where something else is in dispute
			r := rules()
			r.See(toko, m1, start)
			if before {
				r.Claims(1, m3.Hash(), start)
			}
			require.Error(t, r.See(toko, stranger(t, epoch, own(2, hosting.OwnerServer)), start).Err)
			inState(t, r, start, "CONFLICT")
			r = restarted(t, r)
			r.See(toko, m2, start)
			r = restarted(t, r)
			e := asked(t, r, start)
			require.Equal(t, [][32]byte{m1.Hash(), m2.Hash()}, [][32]byte{e.From, e.To}, epoch)
			require.False(t, e.Diff.KeyChanged)
			require.NoError(t, r.Decide(toko, e.Token, true, start))
			inState(t, r, start, "CURRENT")
			require.NoError(t, r.See(toko, m3, start).Err)
			require.NoError(t, r.May(toko, 1, deviceKey(1).Public(), start))
		}
	}
}

// A stranger hides neither what waits for consent nor who contradicted himself.
func TestStrangerHidesNothing(t *testing.T) {
	h := follow(t, nil, hosted(1, awan()))
	fork := follow(t, nil, hosted(1, awan()), own(2, hosting.OwnerServer))
	for _, forked := range []bool{false, true} {
		for _, epoch := range []uint64{1, 2, 9} {
			r := rules()
			r.See(toko, h, start)
			if forked {
				require.NotNil(t, r.See(toko, fork, start).Evidence)
			}
			r.See(toko, stranger(t, epoch, own(7, hosting.OwnerDevice)), start)
			r = restarted(t, r)
			inState(t, r, start, "CONFLICT")
			require.True(t, hostedLabel(r))
			if forked { // still the same evidence
				require.ErrorIs(t, r.May(toko, 1, keys.IdentityKey{}, start), hosting.ErrLabelMismatch)
				unchanged(t, r, func() { r.See(toko, fork, start) })
			}
		}
	}
}

// The last stranger is the one that is asked about; a yes to one before it is none.
func TestStrangersInTurn(t *testing.T) {
	m1 := follow(t, nil, own(1, hosting.OwnerServer))
	a, b := stranger(t, 2, own(2, hosting.OwnerServer)), stranger(t, 9, own(3, hosting.OwnerServer))
	r := rules()
	r.See(toko, m1, start)
	r.See(toko, a, start)
	old := asked(t, r, start)
	r.See(toko, b, start)
	e := asked(t, r, start)
	require.Equal(t, b.Hash(), e.To)
	unchanged(t, r, func() {
		require.ErrorIs(t, r.Decide(toko, old.Token, true, start), hosting.ErrLabelStale)
		require.ErrorIs(t, r.See(toko, a, start).Err, hosting.ErrLabelStale) // the stranger's own, replayed
	})
	agree(t, r, start)
	require.NoError(t, r.May(toko, 3, deviceKey(3).Public(), start))
	require.ErrorIs(t, r.May(toko, 1, deviceKey(1).Public(), start), hosting.ErrLabelMismatch)
}

// What a key holder signs for a stranger's account says nothing against the account.
func TestStrangerMovesNoKey(t *testing.T) {
	m1 := follow(t, nil, own(1, hosting.OwnerServer), hosted(2, awan()))
	r := rules()
	r.See(toko, m1, start)
	agree(t, r, start)
	require.ErrorIs(t, r.See(toko, stranger(t, 2, own(2, hosting.OwnerServer)), start).Err, hosting.ErrControllerChangedForKey)
	require.ErrorIs(t, r.May(toko, 2, deviceKey(2).Public(), start), hosting.ErrLabelMismatch)
	require.True(t, hostedLabel(r))
	r = restarted(t, r)
	r.See(toko, follow(t, m1, own(1, hosting.OwnerServer), hosted(2, awan())), start)
	agree(t, r, start)
	require.NoError(t, r.May(toko, 2, deviceKey(2).Public(), start))
}

// What was in dispute before a yes stands in the way of nothing after it.
func TestStrangerAfterConflict(t *testing.T) {
	m1 := follow(t, nil, own(1, hosting.OwnerServer))
	m2 := follow(t, m1, own(1, hosting.OwnerServer))
	r := rules()
	r.See(toko, m1, start)
	r.See(toko, follow(t, nil, own(2, hosting.OwnerServer)), start) // another one of epoch 1
	r.See(toko, m2, start)
	agree(t, r, start)
	last := stranger(t, 9, own(3, hosting.OwnerServer))
	r.See(toko, last, start)
	require.Equal(t, last.Hash(), asked(t, r, start).To)
}
