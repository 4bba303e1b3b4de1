package person

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/hosting"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// newTestMember is newTestPerson for one with a role.
func newTestMember(t *testing.T, me session.Address, to http.Handler, r Role) *testPerson {
	t.Helper()
	p := newTestPerson(t, me, to, keystore.NewMemory())
	p.role = r
	return p
}

// devicesOf are the devices that the relay's manifest of an account lists.
func (r *testRelay) devicesOf(t *testing.T, user string) (m *hosting.Manifest, devices []uint32) {
	t.Helper()
	signed, err := r.Manifest(t.Context(), user)
	require.NoError(t, err)
	m, err = hosting.Parse(signed)
	require.NoError(t, err)
	require.NoError(t, m.Verify(time.Now()))
	for _, e := range m.Endpoints {
		devices = append(devices, e.Device)
	}
	return m, devices
}

// Each device states that it has the key of its owner before anybody hears of it,
// and who removes one says so.
func TestDeclare(t *testing.T) {
	r, ani, _ := twoPeople(t)
	m, devices := r.devicesOf(t, ani1.User)
	require.Equal(t, []uint32{1}, devices)
	require.Equal(t, uint64(1), m.Epoch)
	require.Equal(t, hosting.KindPerson, m.Kind)
	require.Equal(t, hosting.Person, m.Endpoints[0].Controller)
	require.True(t, m.Key.Equal(ani.device.Identity()))
	require.NoError(t, ani.publish(t.Context()), "again, and nothing new")
	again, _ := r.devicesOf(t, ani1.User)
	require.Equal(t, m.Bytes(), again.Bytes())

	laptop := ani.linked(t, r)
	laptop.arrives(t)
	m, devices = r.devicesOf(t, ani1.User)
	require.Equal(t, []uint32{1, 2}, devices)
	require.NoError(t, ani.Remove(t.Context(), 2))
	next, devices := r.devicesOf(t, ani1.User)
	require.Equal(t, []uint32{1}, devices)
	require.Equal(t, m.Hash(), next.Previous)

	// The relay starts anew, and has the same again.
	r.forgets()
	require.NoError(t, ani.publish(t.Context()))
	again, _ = r.devicesOf(t, ani1.User)
	require.Equal(t, next.Bytes(), again.Bytes())

	// Another installation goes on counting, under its own key.
	other := newTestPerson(t, ani1, r, keystore.NewMemory())
	other.arrives(t)
	m, _ = r.devicesOf(t, ani1.User)
	require.Equal(t, next.Epoch+1, m.Epoch)
	require.True(t, m.Key.Equal(other.device.Identity()))
}

// A manifest is followed by the next before it ends, and the signature of a device
// in it, too.
func TestDeclareRenews(t *testing.T) {
	_, ani, _ := twoPeople(t)
	account, err := ani.accountKey()
	require.NoError(t, err)
	last, err := ani.stated(t.Context())
	require.NoError(t, err)
	same, err := ani.successor(last, account, ani.withMe)
	require.NoError(t, err)
	require.Equal(t, last, same)
	soon := *last
	soon.NotAfter = time.Now().Add(renewBefore - time.Minute)
	next, err := ani.successor(&soon, account, ani.withMe)
	require.NoError(t, err)
	require.Equal(t, last.Epoch+1, next.Epoch)

	soon = *last
	soon.Endpoints = []hosting.Endpoint{last.Endpoints[0]}
	soon.Endpoints[0].NotAfter = time.Now().Add(statedFor)
	next, err = ani.successor(&soon, account, ani.withMe)
	require.NoError(t, err)
	require.Equal(t, last.Epoch+1, next.Epoch)
	require.Greater(t, time.Until(next.Endpoints[0].NotAfter), acceptedFor-time.Hour)
}

// A role stays what it was made as.
func TestRole(t *testing.T) {
	notes := notesOf(keystore.NewMemory(), ani1)
	_, err := notes.role(t.Context(), Hosted("PT Awan", "awan.example"), true)
	require.NoError(t, err)
	first, err := notes.role(t.Context(), Business(), true) // that was never a device
	require.NoError(t, err)
	require.True(t, first.business())
	require.Equal(t, hosting.KindBusiness, first.kind())
	again, err := notes.role(t.Context(), Role{}, false)
	require.NoError(t, err)
	require.Equal(t, first, again)
	for want, r := range map[string]Role{"person": {}, "business": Business(), "provider": Hosted("PT Awan", "awan.example")} {
		require.Equal(t, want, (&Person{role: r}).Role())
	}
}

// manifestOf makes a manifest of one device, under the key of the account.
func manifestOf(t *testing.T, a session.Address, epoch uint64, key *keys.IdentityKeyPair) *hosting.Manifest {
	t.Helper()
	now := time.Now().Truncate(time.Second)
	m := &hosting.Manifest{
		Account: a.User, Kind: hosting.KindPerson, Epoch: epoch, NotBefore: now, NotAfter: now.Add(statedFor),
		Endpoints: []hosting.Endpoint{{
			Device: a.Device, Identity: key.Public(), Controller: hosting.Person, Storage: hosting.StorageNone, NotAfter: now.Add(acceptedFor),
		}},
	}
	if epoch > 1 {
		m.Previous[0] = 1
	}
	require.NoError(t, m.Endpoints[0].Accept(a.User, key.Public(), key))
	_, err := m.Sign(key)
	require.NoError(t, err)
	return m
}
