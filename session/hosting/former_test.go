package hosting_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/session/hosting"
)

// A key that was a provider's does not become the owner's by being left out of a
// manifest in between, nor does it go to another provider.
func TestAttackSameKeyAfterAWhile(t *testing.T) {
	h := follow(t, nil, hosted(2, awan()))
	without := follow(t, h, own(1, hosting.OwnerServer))
	for name, back := range map[string]hosting.Endpoint{"own": own(2, hosting.OwnerServer), "other's": hosted(2, bumi())} {
		for _, agreed := range []bool{true, false} {
			r := rules()
			r.See(toko, h, start)
			if agreed {
				agree(t, r, start)
			}
			r.See(toko, without, start)
			require.Contains(t, []hosting.State{"NARROWER", "CURRENT"}, r.Label(start).State)
			r = restarted(t, r)
			n := r.See(toko, follow(t, without, own(1, hosting.OwnerServer), back), start)
			require.ErrorIs(t, n.Err, hosting.ErrControllerChangedForKey, name)
			inState(t, r, start, "CONFLICT")
			require.ErrorIs(t, r.May(toko, 2, deviceKey(2).Public(), start), hosting.ErrLabelMismatch)
		}
	}
	r := rules() // the same provider may have it again
	r.See(toko, h, start)
	r.See(toko, without, start)
	r.See(toko, follow(t, without, hosted(2, awan())), start)
	inState(t, r, start, "PENDING")
}

// The keys that are remembered are bounded.
func TestFormerKeys(t *testing.T) {
	r, last := rules(), follow(t, nil, own(1, hosting.OwnerServer))
	r.See(toko, last, start)
	size := 0
	for i := range 8 {
		var es []hosting.Endpoint
		for d := range uint32(20) {
			e := own(d+1, hosting.OwnerServer)
			e.Identity = pair(byte(int(d) + 20*(i+1))).Public()
			es = append(es, e)
		}
		m := after(last, es...)
		for j := range m.Endpoints {
			require.NoError(t, m.Endpoints[j].Accept(toko, accountKey.Public(), pair(byte(j+20*(i+1)))))
		}
		_, err := m.Sign(accountKey)
		require.NoError(t, err)
		require.NoError(t, r.See(toko, m, start).Err)
		inState(t, r, start, "CURRENT")
		last, size = m, len(r.Stored())
	}
	require.Less(t, size, 9<<10)
	require.Error(t, rules().Restore(append(r.Stored(), 15<<3|2, 1, 0)))
}
