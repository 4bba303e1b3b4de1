package session_test

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
)

const nilUUID = "00000000-0000-0000-0000-000000000000"

// TestSES_10_OneSpelling looks at the keys of the store: however an address is
// written, there is one.
func TestSES_10_OneSpelling(t *testing.T) {
	p := friends(t)
	for _, user := range []string{aliceAddress.User, strings.ToUpper(aliceAddress.User), "796AbEdB-ca4e-4F18-8803-1fdE5b921f9f"} {
		a := session.Address{User: user, Device: 2}
		m := p.alice.send(t, p.bob, user)
		r, err := p.bob.Decrypt(ctx, a, m, nil)
		require.NoError(t, err)
		require.Equal(t, aliceAddress, r.From)
		m, err = p.bob.Encrypt(ctx, a, []byte(user))
		require.NoError(t, err)
		p.alice.reads(t, p.bob, m, user)
		id, err := p.bob.PeerIdentity(ctx, a)
		require.NoError(t, err)
		require.Equal(t, p.alice.Identity(), id.Accepted)
	}
	for _, r := range p.bob.list(t, "", "") {
		require.Contains(t, []string{"-", aliceAddress.User}, r.Key.Owner, r.Key.Kind)
	}
	// These are others.
	for _, user := range []string{"PNI:" + aliceAddress.User, "ACI:" + aliceAddress.User, "pni:" + aliceAddress.User,
		"{" + aliceAddress.User + "}", strings.ReplaceAll(aliceAddress.User, "-", ""), aliceAddress.User + " ", nilUUID, "alice", "Alice"} {
		_, err := p.bob.Encrypt(ctx, session.Address{User: user, Device: 2}, nil)
		refused(t, err, session.ErrNoSession)
	}
	require.Equal(t, "alice.7", session.Address{User: "alice", Device: 7}.String())
}

// TestSES_10_OwnAddress opens a device under any spelling of its own address.
func TestSES_10_OwnAddress(t *testing.T) {
	for _, user := range []string{nilUUID, "PNI:" + aliceAddress.User, "PNI:" + strings.ToUpper(aliceAddress.User), strings.ToUpper(aliceAddress.User), "ACI:" + strings.ToUpper(aliceAddress.User)} {
		store := keystore.NewMemory()
		d, err := session.Create(ctx, store, session.Account{Address: session.Address{User: user, Device: 1}}, nil)
		require.NoError(t, err)
		again, err := session.Open(ctx, store, session.Address{User: user, Device: 1}, nil)
		require.NoError(t, err)
		require.Equal(t, d.Identity(), again.Identity())
		lower := strings.ToLower(user)
		if strings.HasPrefix(user, "PNI:") {
			lower = "PNI:" + lower[4:]
		}
		again, err = session.Open(ctx, store, session.Address{User: lower, Device: 1}, nil)
		if strings.HasPrefix(user, "ACI:") { // is no service id, so that its case counts
			refused(t, err, session.ErrNoDevice)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, lower, again.Address().User)
	}
}

// TestSES_10_NoAddress is also the part of SES-07 that is about addresses.
func TestSES_10_NoAddress(t *testing.T) {
	p := friends(t)
	b := bundleOf(t, p.alice)
	m := p.alice.send(t, p.bob, "hello")
	record, err := p.bob.ExportSession(ctx, aliceAddress)
	require.NoError(t, err)
	for _, bad := range []session.Address{{}, {User: "", Device: 1}, {User: "alice"}, {User: aliceAddress.User, Device: 128}, {User: aliceAddress.User, Device: 258},
		{User: aliceAddress.User, Device: math.MaxUint32}, {User: strings.Repeat("a", 1025), Device: 1}, {User: "al\xFFice", Device: 1}} {
		p.unharmedStores(t, func() {
			refused(t, p.bob.Begin(ctx, bad, b), session.ErrMalformed)
			_, err := p.bob.Encrypt(ctx, bad, nil)
			refused(t, err, session.ErrMalformed)
			_, err = p.bob.Decrypt(ctx, bad, m, nil)
			refused(t, err, session.ErrMalformed)
			_, err = p.bob.PeerIdentity(ctx, bad)
			refused(t, err, session.ErrMalformed)
			refused(t, p.bob.AcceptIdentity(ctx, bad, p.alice.Identity()), session.ErrMalformed)
			refused(t, p.bob.Archive(ctx, bad), session.ErrMalformed)
			_, err = p.bob.ExportSession(ctx, bad)
			refused(t, err, session.ErrMalformed)
			refused(t, p.bob.ImportSession(ctx, bad, record), session.ErrMalformed)
		})
		store := keystore.NewMemory()
		before := testutil.StoreDigest(t, store)
		_, err := session.Create(ctx, store, session.Account{Address: bad}, nil)
		refused(t, err, session.ErrMalformed)
		_, err = session.Open(ctx, store, bad, nil)
		refused(t, err, session.ErrMalformed)
		require.Equal(t, before, testutil.StoreDigest(t, store))
	}
	// A bundle is for the device it names.
	p.unharmed(t, func() {
		refused(t, p.bob.Begin(ctx, session.Address{User: aliceAddress.User, Device: 3}, b), session.ErrMalformed)
	})
	for _, good := range []session.Address{{User: "a", Device: 1}, {User: strings.Repeat("a", 1024), Device: 127}, {User: "Ånî ☃", Device: 2}, {User: "a.b-c/d\x00", Device: 1}} {
		d, store := newDevice(t, good, nil)
		again, err := session.Open(ctx, store, good, nil)
		require.NoError(t, err)
		require.Equal(t, d.Identity(), again.Identity())
		require.Equal(t, good, again.Address())
	}
}

// Names with dots and digits do not run into each other.
func TestSES_10_ScopesAreApart(t *testing.T) {
	store := keystore.NewMemory()
	seen := map[string]bool{}
	for _, a := range []session.Address{{User: "a", Device: 11}, {User: "a", Device: 1}, {User: "a.1", Device: 1}, {User: "a.11", Device: 1}, {User: "a.1.1", Device: 1}} {
		d, err := session.Create(ctx, store, session.Account{Address: a}, nil)
		require.NoError(t, err)
		require.False(t, seen[string(d.Identity().Bytes())])
		seen[string(d.Identity().Bytes())] = true
		again, err := session.Open(ctx, store, a, nil)
		require.NoError(t, err)
		require.Equal(t, d.Identity(), again.Identity())
	}
}
