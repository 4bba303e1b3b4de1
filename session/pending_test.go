package session_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh"
)

// In a transaction of the app's nothing that was made is there before the app
// says that it was committed.
func TestPendingIsEmptyUntilCommitted(t *testing.T) {
	p := friends(t)
	var pending keystore.Pending
	tx := pending.In(ctx)

	first, err := p.alice.Encrypt(tx, bobAddress, []byte("first"))
	require.NoError(t, err)
	var second *session.Message
	require.NoError(t, p.alice.Update(tx, []session.Address{bobAddress}, func(t *session.Tx) (err error) {
		second, err = t.Encrypt(bobAddress, []byte("second"))
		return err
	}))
	bundle, err := p.alice.Bundle(tx)
	require.NoError(t, err)
	published, err := p.alice.Publish(tx)
	require.NoError(t, err)
	require.Equal(t, &session.Message{}, first)
	require.Equal(t, &session.Message{}, second)
	require.Equal(t, &x3dh.Bundle{}, bundle)
	require.Equal(t, &x3dh.Publication{}, published)

	m := p.bob.send(t, p.alice, "inward")
	r, err := p.alice.Decrypt(tx, bobAddress, m, nil)
	require.NoError(t, err)
	require.Equal(t, "inward", string(r.Plaintext))

	pending.Committed()
	p.bob.reads(t, p.alice, second, "second")
	p.bob.reads(t, p.alice, first, "first")
	require.Equal(t, p.alice.Identity(), bundle.IdentityKey)
	require.NotEmpty(t, published.PreKeys)
	p.goesOn(t)
}

// A rolled back transaction takes the counter back: its ciphertext is never
// seen, and the next one has it.
func TestPendingIsThrownAwayOnRollback(t *testing.T) {
	p := friends(t)
	var rolledBack keystore.Pending
	before := p.alice.reopen(t)
	lost, err := p.alice.Encrypt(rolledBack.In(ctx), bobAddress, []byte("lost"))
	require.NoError(t, err)

	m := before.send(t, p.bob, "said instead")
	require.Empty(t, lost.Bytes)
	p.bob.reads(t, p.alice, m, "said instead")
}

// Where the store sees that another was faster, the operation is not run again,
// and nothing of it comes out, whatever becomes of the transaction.
func TestPendingIsNotRerun(t *testing.T) {
	p := friends(t)
	alice, watch := p.alice.spied(t)
	var pending keystore.Pending
	tx := pending.In(ctx)
	for _, lost := range []error{&keystore.ConflictError{}, keystore.ErrCommitUnknown} {
		watch.reset()
		watch.fail = func(call string, _ int) error {
			if call == "commit" {
				return lost
			}
			return nil
		}
		_, err := alice.Encrypt(tx, bobAddress, nil)
		require.ErrorIs(t, err, lost)
		runs := 0
		var m *session.Message
		require.ErrorIs(t, alice.Update(tx, nil, func(t *session.Tx) (err error) {
			runs++
			m, err = t.Encrypt(bobAddress, nil)
			return err
		}), lost)
		require.Equal(t, 1, runs)
		pending.Committed()
		require.Empty(t, m.Bytes)
	}
}

// A transaction may hold what others wait for who hold a peer's lock: it waits
// for no lock.
func TestPendingTakesNoLock(t *testing.T) {
	p := friends(t)
	alice, watch := p.alice.spied(t)
	var pending keystore.Pending
	inside, leave := make(chan struct{}), make(chan struct{})
	watch.fail = func(call string, _ int) error {
		if call == "commit" {
			watch.fail = nil
			close(inside)
			<-leave
		}
		return nil
	}
	done := make(chan error)
	go func() { _, err := alice.Encrypt(ctx, bobAddress, nil); done <- err }()
	<-inside
	m, err := alice.Encrypt(pending.In(ctx), bobAddress, []byte("meanwhile"))
	require.NoError(t, err)
	pending.Committed()
	close(leave)
	require.NoError(t, <-done) // it lost, and ran again
	p.bob.reads(t, alice, m, "meanwhile")
}
