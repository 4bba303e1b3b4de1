package relay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/examples/chat/post"
	"github.com/gembok-e2ee/gembok/session/hosting"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// manifestOf makes a manifest of one device, under the key of the account.
func manifestOf(t *testing.T, a session.Address, epoch uint64, key *keys.IdentityKeyPair) *hosting.Manifest {
	t.Helper()
	now := time.Now().Truncate(time.Second)
	m := &hosting.Manifest{
		Account: a.User, Kind: hosting.KindPerson, Epoch: epoch, NotBefore: now, NotAfter: now.Add(30 * 24 * time.Hour),
		Endpoints: []hosting.Endpoint{{
			Device: a.Device, Identity: key.Public(), Controller: hosting.Person, Storage: hosting.StorageNone, NotAfter: now.Add(365 * 24 * time.Hour),
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

func (r *testRelay) declare(ctx context.Context, user string, signed []byte) error {
	return r.put(ctx, signed, "label", user)
}

func (r *testRelay) manifest(ctx context.Context, user string) ([]byte, error) {
	b, err := r.do(ctx, "GET", nil, "label", user)
	if errors.Is(err, post.ErrUnknown) {
		return nil, nil
	}
	return b, err
}

func TestRegister(t *testing.T) {
	r, key := newTestRelay(t), keys.GenerateIdentityKeyPair()
	signed, err := r.manifest(t.Context(), ani1.User)
	require.NoError(t, err)
	require.Nil(t, signed)
	first, second := manifestOf(t, ani1, 1, key), manifestOf(t, ani1, 2, key)
	for range 2 { // the answer was lost
		require.NoError(t, r.declare(t.Context(), ani1.User, first.Bytes()))
	}
	require.NoError(t, r.declare(t.Context(), ani1.User, second.Bytes()))
	for _, old := range []*hosting.Manifest{first, manifestOf(t, deviceOf("ani", 2), 2, key), manifestOf(t, ani1, 1, keys.GenerateIdentityKeyPair())} {
		require.ErrorIs(t, r.declare(t.Context(), ani1.User, old.Bytes()), post.ErrDiffers)
	}
	signed, err = r.manifest(t.Context(), ani1.User)
	require.NoError(t, err)
	require.Equal(t, second.Bytes(), signed)

	// Beside each bundle, too, and whatever a device published there itself.
	p := publication(t, ani1)
	p.Manifest = []byte("another")
	require.NoError(t, r.publish(t.Context(), ani1, p))
	b, err := r.bundle(t.Context(), ani1)
	require.NoError(t, err)
	require.Equal(t, second.Bytes(), b.Manifest)
	require.NoError(t, r.publish(t.Context(), budi1, publication(t, budi1)))
	b, err = r.bundle(t.Context(), budi1)
	require.NoError(t, err)
	require.Empty(t, b.Manifest)
}

func TestRegisterBadInput(t *testing.T) {
	r, key := newTestRelay(t), keys.GenerateIdentityKeyPair()
	good := manifestOf(t, ani1, 1, key).Bytes()
	forged := bytes.Clone(good)
	forged[len(forged)-1] ^= 1
	for _, bad := range [][]byte{nil, []byte("no manifest"), forged, good[:len(good)-1], bytes.Repeat([]byte{8}, maxManifest+1)} {
		require.ErrorIs(t, r.declare(t.Context(), ani1.User, bad), post.ErrRejected)
	}
	require.ErrorIs(t, r.declare(t.Context(), budi1.User, good), post.ErrRejected, "of another account")
	_, err := r.do(t.Context(), http.MethodPut, good, "label", "ani")
	require.ErrorIs(t, err, post.ErrRejected)
	require.Empty(t, r.register.newest)

	old := manifestOf(t, ani1, 1, key)
	require.ErrorIs(t, r.register.put(ani1.User, old, time.Now().Add(31*24*time.Hour)), post.ErrBad, "out of date")
	for len(r.register.newest) < maxPeople {
		r.register.newest[fmt.Sprint(len(r.register.newest))] = old
	}
	require.ErrorIs(t, r.declare(t.Context(), ani1.User, good), post.ErrFull)
}
