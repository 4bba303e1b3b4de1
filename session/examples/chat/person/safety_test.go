package person

import (
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/keystore"
)

// Both sides see the same digits, and each accepts the other's code; with another
// key in between neither does.
func TestSafetyNumbers(t *testing.T) {
	r, ani, budi := twoFriends(t)
	shows := func(p *testPerson, name string) (digits, code string) {
		require.NoError(t, p.Number(t.Context(), name))
		e := p.next(t, NumberEvent)
		return e.Text, hex.EncodeToString(e.Code)
	}
	verified := func() bool {
		id, err := ani.device.PeerIdentity(t.Context(), budi1)
		require.NoError(t, err)
		return id.Verified
	}
	anis, code := shows(ani, "budi")
	budis, other := shows(budi, "ani")
	require.Equal(t, anis, budis)
	require.ErrorContains(t, ani.Verify(t.Context(), "budi", code), "does not match", "his own")
	require.ErrorContains(t, ani.Verify(t.Context(), "budi", "1"+budis[1:]+"x"), "not the 60 digits")
	require.ErrorContains(t, ani.Verify(t.Context(), "budi", "x"+budis[1:]), "differ")
	require.Error(t, ani.Verify(t.Context(), "budi", ""))
	require.ErrorContains(t, ani.Verify(t.Context(), "citra", budis), "nothing is known")
	require.False(t, verified())
	require.NoError(t, ani.Verify(t.Context(), "budi", other))
	ani.next(t, VerifiedEvent)
	require.True(t, verified())
	require.NoError(t, budi.Verify(t.Context(), "ani", anis))
	budi.next(t, VerifiedEvent)

	budi = newTestPerson(t, budi1, r, keystore.NewMemory())
	budi.arrives(t)
	budi.sends(t, "ani", "another phone")
	budis, other = shows(budi, "ani")
	require.ErrorContains(t, ani.Verify(t.Context(), "budi", budis), "differ")
	require.ErrorContains(t, ani.Verify(t.Context(), "budi", other), "theirs differ")
}

// The number is the same on both sides, and that it was compared is shown from then on.
func TestSafetyNumberStays(t *testing.T) {
	_, ani, budi := twoFriends(t)
	digits, code, verified, err := ani.SafetyNumber(t.Context(), "budi")
	require.NoError(t, err)
	require.False(t, verified)
	theirs, other, _, err := budi.SafetyNumber(t.Context(), "ani")
	require.NoError(t, err)
	require.Equal(t, digits, theirs)
	require.NotEqual(t, code, other)
	require.False(t, ani.with(t, "budi").Verified)
	require.NoError(t, ani.Verify(t.Context(), "budi", hex.EncodeToString(other)))
	require.True(t, ani.with(t, "budi").Verified)
	_, _, verified, err = ani.reloaded(t).SafetyNumber(t.Context(), "budi")
	require.NoError(t, err)
	require.True(t, verified)
	require.Contains(t, ani.history(t, "budi"), "<verified>")
	_, _, _, err = ani.SafetyNumber(t.Context(), "citra")
	name, _ := ani.Plain(err)
	require.Equal(t, "nothing", name)
}
