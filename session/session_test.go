package session_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
)

var (
	aliceAddress = session.Address{User: "796abedb-ca4e-4f18-8803-1fde5b921f9f", Device: 2}
	bobAddress   = session.Address{User: "9d0652a3-dcc3-4d11-975f-74d61598733f", Device: 1}
)

func newDevice(t testing.TB, a session.Address, o *session.Options) (*session.Device, keystore.Store) {
	t.Helper()
	store := keystore.NewMemory()
	d, err := session.Create(context.Background(), store, session.Account{Address: a}, o)
	require.NoError(t, err)
	return d, store
}

func begin(t testing.TB, from, to *session.Device) {
	t.Helper()
	b, err := to.Bundle(context.Background())
	require.NoError(t, err)
	require.NoError(t, from.Begin(context.Background(), to.Address(), b))
}

func send(t testing.TB, from, to *session.Device, text string) *session.Message {
	t.Helper()
	m, err := from.Encrypt(context.Background(), to.Address(), []byte(text))
	require.NoError(t, err)
	return m
}

func read(t testing.TB, to, from *session.Device, m *session.Message) string {
	t.Helper()
	r, err := to.Decrypt(context.Background(), from.Address(), m, nil)
	require.NoError(t, err)
	require.Equal(t, from.Identity(), r.Identity)
	require.NoError(t, to.Acknowledge(context.Background(), r))
	return string(r.Plaintext)
}

func TestConversation(t *testing.T) {
	alice, _ := newDevice(t, aliceAddress, nil)
	bob, _ := newDevice(t, bobAddress, nil)
	begin(t, alice, bob)
	m := send(t, alice, bob, "hello")
	require.Equal(t, session.TypePreKey, m.Type)
	require.Equal(t, "hello", read(t, bob, alice, m))
	for range 150 {
		m = send(t, bob, alice, "pong")
		require.Equal(t, session.TypeSignal, m.Type)
		require.Equal(t, "pong", read(t, alice, bob, m))
		m = send(t, alice, bob, "ping")
		require.Equal(t, session.TypeSignal, m.Type)
		require.Equal(t, "ping", read(t, bob, alice, m))
	}
	_, err := bob.Decrypt(context.Background(), alice.Address(), m, nil)
	require.ErrorIs(t, err, session.ErrDuplicate)
}

func TestReopen(t *testing.T) {
	ctx := context.Background()
	alice, _ := newDevice(t, aliceAddress, nil)
	bob, store := newDevice(t, bobAddress, nil)
	begin(t, alice, bob)
	require.Equal(t, "1", read(t, bob, alice, send(t, alice, bob, "1")))
	again, err := session.Open(ctx, store, bobAddress, nil)
	require.NoError(t, err)
	require.Equal(t, bob.Identity(), again.Identity())
	require.Equal(t, bob.RegistrationID(), again.RegistrationID())
	require.Equal(t, "2", read(t, again, alice, send(t, alice, bob, "2")))
	require.Equal(t, "3", read(t, alice, again, send(t, again, alice, "3")))
	_, err = session.Create(ctx, store, session.Account{Address: bobAddress}, nil)
	require.ErrorIs(t, err, session.ErrExists)
	_, err = session.Open(ctx, store, aliceAddress, nil)
	require.ErrorIs(t, err, session.ErrNoDevice)
}

func TestPublish(t *testing.T) {
	ctx := context.Background()
	alice, _ := newDevice(t, aliceAddress, nil)
	bob, _ := newDevice(t, bobAddress, nil)
	p, err := bob.Publish(ctx)
	require.NoError(t, err)
	require.NoError(t, p.Verify())
	require.Len(t, p.PreKeys, 100)
	require.Len(t, p.KEMPreKeys, 100)
	again, err := bob.Publish(ctx)
	require.NoError(t, err)
	require.Equal(t, p.Bytes(), again.Bytes())
	require.ErrorIs(t, bob.MarkPublished(ctx, nil), session.ErrMalformed)
	require.NoError(t, bob.MarkPublished(ctx, p))
	again, err = bob.Publish(ctx)
	require.NoError(t, err)
	require.Empty(t, again.PreKeys)
	require.Empty(t, again.KEMPreKeys)
	require.Equal(t, p.SignedPreKey, again.SignedPreKey)

	require.NoError(t, alice.Begin(ctx, bob.Address(), p.Take()))
	require.Equal(t, "hello", read(t, bob, alice, send(t, alice, bob, "hello")))
	again, err = bob.Publish(ctx)
	require.NoError(t, err)
	require.Len(t, again.PreKeys, 1)
	require.Len(t, again.KEMPreKeys, 1)
	require.NoError(t, alice.Begin(ctx, bob.Address(), again.Take()))
	require.Equal(t, "one-time keys are new", read(t, bob, alice, send(t, alice, bob, "one-time keys are new")))
	last := again.Take()
	require.Nil(t, last.PreKey)
	require.True(t, last.LastResort)
	require.NoError(t, alice.Begin(ctx, bob.Address(), last))
	require.Equal(t, "last resort", read(t, bob, alice, send(t, alice, bob, "last resort")))
}
