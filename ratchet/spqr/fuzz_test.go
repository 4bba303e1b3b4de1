package spqr_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/ratchet/spqr"
)

// FuzzF17SPQRStateMessage gives any message to any stored state. Nothing panics;
// what Check refuses Recv refuses; states never change; and what a step returns
// can be stored and read again.
func FuzzF17SPQRStateMessage(f *testing.F) {
	for _, rounds := range []int{0, 1, 2, 3, 20, 32, 33, 38, 39, 42, 43, 44} {
		a, b := storedAt(f, rounds)
		msgA, _ := a.send()
		msgB, _ := b.send()
		f.Add(a.stored, msgB)
		f.Add(b.stored, msgA)
		f.Add(b.stored, []byte{2, 1, 1})
	}
	a, _ := storedAt(f, 0)
	f.Add(minimumZero(f, a.stored), []byte{1, 1, 0, 0})
	f.Add([]byte{}, []byte{})
	f.Add([]byte{0x1A, 0x00}, []byte{1, 1, 1, 0})
	f.Fuzz(func(t *testing.T, stored, msg []byte) {
		kept := bytes.Clone(stored)
		s, err := spqr.Parse(stored)
		if err != nil {
			require.ErrorIs(t, err, spqr.ErrCorrupt)
			require.Nil(t, s)
			return
		}
		form := s.Append(nil)
		requireStorable(t, s)
		steps, checked := s.Check(msg)
		if checked == nil && steps > 5000 {
			return // as many derivations as the state's own limit allows
		}
		next, _, err := s.Recv(msg)
		if checked != nil {
			require.Equal(t, checked, err)
		}
		if err == nil {
			requireStorable(t, next)
		} else {
			require.Nil(t, next)
		}
		next, _, _, err = s.Send()
		if err == nil {
			requireStorable(t, next)
		} else {
			require.ErrorIs(t, err, spqr.ErrExhausted, "what Parse took can send")
		}
		require.Equal(t, form, s.Append(nil))
		require.Equal(t, kept, stored)
	})
}

// requireStorable requires that s can be stored, and read again as the same.
func requireStorable(t *testing.T, s *spqr.State) {
	t.Helper()
	b := s.Append(nil)
	again, err := spqr.Parse(b)
	require.NoError(t, err)
	require.Equal(t, b, again.Append(nil))
}
