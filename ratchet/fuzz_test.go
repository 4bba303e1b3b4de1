package ratchet_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/ratchet"
)

// FuzzF18Session has any stored form meet any message.
func FuzzF18Session(f *testing.F) {
	alice, bob := newPair(f)
	for range 12 {
		msg := send(f, alice, []byte("text"))
		skipped := send(f, alice, []byte("skipped"))
		f.Add(bob.Append(nil), msg)
		read(f, bob, send(f, alice, []byte("later")))
		f.Add(bob.Append(nil), skipped)
		f.Add(alice.Append(nil), skipped)
		read(f, bob, msg)
		alice, bob = bob, alice
	}
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, state, msg []byte) {
		s, err := ratchet.Parse(state)
		if err != nil {
			require.Nil(t, s)
			return
		}
		before := s.Append(nil)
		plaintext, err := s.Decrypt(msg, &ratchet.DecryptOptions{Budget: &ratchet.Budget{Left: 5000}})
		if err != nil {
			require.Nil(t, plaintext)
			require.True(t, bytes.Equal(before, s.Append(nil)))
		} else if refused, err := s.Decrypt(msg, nil); err == nil {
			require.Fail(t, "read twice", "%q", refused)
		}
		before = s.Append(nil)
		if msg, err := s.Encrypt(plaintext, nil); err != nil {
			require.Nil(t, msg)
			require.True(t, bytes.Equal(before, s.Append(nil)))
		} else {
			require.False(t, bytes.Equal(before, s.Append(nil)))
		}
		_, err = ratchet.Parse(s.Append(nil))
		require.NoError(t, err)
	})
}

// FuzzF27Message has a session in mid-conversation meet any message.
func FuzzF27Message(f *testing.F) {
	alice, bob := newTalk(f)
	f.Add(send(f, alice, []byte("skipped")))
	say(f, alice, bob, "text")
	f.Add(send(f, alice, []byte("text")))
	state, next := bob.Append(nil), send(f, alice, []byte("next"))
	f.Fuzz(func(t *testing.T, msg []byte) {
		s := parse(t, state)
		if got, err := s.Decrypt(msg, &ratchet.DecryptOptions{Budget: &ratchet.Budget{Left: 5000}}); err == nil {
			require.Contains(t, []string{"skipped", "text"}, string(got))
			return
		}
		require.True(t, bytes.Equal(state, s.Append(nil)))
		require.Equal(t, "next", read(t, s, next))
	})
}

// FuzzF37Schedule has its bytes say what happens in a conversation.
func FuzzF37Schedule(f *testing.F) {
	f.Add([]byte("a conversation of some length, with whatever these letters stand for"))
	f.Add(bytes.Repeat([]byte{0, 5, 1, 4}, 100))
	f.Fuzz(func(t *testing.T, ops []byte) {
		s := newSchedule(t)
		for _, op := range ops[:min(len(ops), 2000)] {
			s.step(t, op)
		}
	})
}
