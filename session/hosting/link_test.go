package hosting_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/hosting"
)

// A shopfloor is where toko's first device, which has the account key, links the
// seventh.
type shopfloor struct {
	*town
	*side
}

func newShopfloor(t *testing.T) shopfloor {
	t.Helper()
	w := newTown()
	return shopfloor{w, w.add(t, at(toko, 1), deviceKey(1))}
}

// states is what toko states of its first device, and of others.
func (o shopfloor) states(t *testing.T, last *hosting.Manifest, others ...hosting.Endpoint) *hosting.Manifest {
	t.Helper()
	return signed(t, after(last, append([]hosting.Endpoint{own(1, hosting.OwnerDevice)}, others...)...), deviceKey(1))
}

// holds has the first device hold a manifest.
func (o shopfloor) holds(t *testing.T, m *hosting.Manifest) {
	t.Helper()
	require.NoError(t, o.gate.Publish(ctx, o.Device, m.Bytes()))
}

// shows has the server show a manifest, nil for none.
func (o shopfloor) shows(m *hosting.Manifest) {
	delete(o.manifests, toko)
	if m != nil {
		o.manifests[toko] = m.Bytes()
	}
}

// link has device 7 be linked, which works if want is nil.
func (o shopfloor) link(t *testing.T, want error, name string) {
	t.Helper()
	l, err := session.GenerateLink(at(toko, 7), o.opts)
	require.NoError(t, err)
	before := testutil.StoreDigest(t, o.store)
	sealed, err := o.Link(ctx, l.Code(), l.PublicKey())
	if want != nil {
		require.ErrorIs(t, err, want, name)
		require.Nil(t, sealed, name)
		require.Equal(t, before, testutil.StoreDigest(t, o.store), name)
		return
	}
	require.NoError(t, err, name)
	account, err := l.Open(sealed)
	require.NoError(t, err, name)
	require.Equal(t, deviceKey(1).Public(), account.Identity.Public(), name)
}

// seventh is device 7 under a controller.
func seventh(c hosting.Controller) hosting.Endpoint {
	if !c.Hosted() {
		return own(7, c)
	}
	e := hosted(7, awan())
	e.Controller = c
	return e
}

// A device that somebody else operates never gets the account's own key, whether
// the server shows the manifest that says so or it is the one held here.
func TestLinkHosted(t *testing.T) {
	for c := hosting.Person; c <= hosting.HostedByPlatform; c++ {
		var shown, held error
		if c.Hosted() {
			shown, held = session.ErrHosted, hosting.ErrControllerChangedForKey
		}
		o := newShopfloor(t)
		m := o.states(t, nil, seventh(c))
		o.shows(m)
		o.link(t, shown, "shown")
		o.holds(t, m)
		o.shows(nil)
		o.link(t, held, "held")
	}
}

// Nor does it where the manifest says that it has that key already, and leaves out
// the device that does.
func TestLinkHostedUnderOwnKey(t *testing.T) {
	o := newShopfloor(t)
	e := seventh(hosting.HostedByProvider)
	e.Identity = deviceKey(1).Public()
	o.holds(t, signed(t, after(nil, e), deviceKey(1)))
	o.link(t, hosting.ErrControllerChangedForKey, "the account's key")
}

// An older manifest, or none, does not help a server that wants the key; that
// another device is hosted does not stand in the way.
func TestLinkByNewest(t *testing.T) {
	o := newShopfloor(t)
	m1 := o.states(t, nil)
	m2 := o.states(t, m1, seventh(hosting.HostedByProvider))
	m3 := o.states(t, m2, hosted(8, awan()))
	o.link(t, nil, "nothing stated")
	o.holds(t, m1)
	o.shows(m1)
	o.link(t, nil, "not listed")
	o.holds(t, m2)
	o.link(t, hosting.ErrControllerChangedForKey, "an older one shown")
	o.shows(nil)
	o.link(t, hosting.ErrControllerChangedForKey, "none shown")
	o.shows(m2)
	o.link(t, session.ErrHosted, "shown")
	o.holds(t, m3)
	o.link(t, session.ErrHosted, "the newer one not shown yet")
	o.shows(m3)
	o.link(t, nil, "another device")
	o.broken = errors.New("down")
	var directory *session.DirectoryError
	l, err := session.GenerateLink(at(toko, 7), o.opts)
	require.NoError(t, err)
	_, err = o.Link(ctx, l.Code(), l.PublicKey())
	require.ErrorAs(t, err, &directory)
}

// With the record of the own manifest damaged nothing is linked.
func TestLinkDamaged(t *testing.T) {
	o := newShopfloor(t)
	o.holds(t, o.states(t, nil))
	require.NoError(t, o.Update(ctx, nil, func(tx *session.Tx) error {
		return tx.Put(keystore.Key{Kind: "hosting", Owner: toko}, []byte("damaged"))
	}))
	o.link(t, session.ErrCorrupt, "damaged")
}
