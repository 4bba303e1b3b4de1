package session_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/session"
)

// Whether a message that fails was acknowledged is not known while the store
// fails: the error is the store's, and the message may be tried again.
func TestMarksNotLoaded(t *testing.T) {
	p := friends(t)
	m := p.alice.send(t, p.bob, "text")
	p.bob.saves(t, p.alice, m, "text")
	p.bob.forget(t, aliceAddress.User)
	bob, watch := p.bob.spied(t)
	broken := errors.New("broken")
	watch.fail = func(_ string, n int) error {
		if n == 2 {
			return broken
		}
		return nil
	}
	err := bob.decrypt(p.alice, m)
	require.ErrorIs(t, err, broken)
	watch.fail = nil
	refused(t, bob.decrypt(p.alice, m), session.ErrDuplicate)
}
