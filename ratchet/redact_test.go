package ratchet_test

import (
	"bytes"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/ratchet"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// marked are the bytes of every secret in the session of MEM-03.
var marked = bytes.Repeat([]byte{0xC7, 0x3B, 0x91, 0x2E}, 24)

func TestMEM_03_SecretsPrintRedacted(t *testing.T) {
	own, err := keys.NewPrivateKey(marked[:32])
	require.NoError(t, err)
	s := ratchet.Accept((*[96]byte)(marked), &ratchet.Params{}, own, own.PublicKey())
	require.True(t, bytes.Contains(s.Append(nil), marked[:32]))
	testutil.RequireRedacted(t, s, marked)

	alice, bob := newTalk(t)
	send(t, alice, nil)
	say(t, alice, bob, "later") // with a skipped key
	testutil.RequireRedacted(t, bob, append(long(bob.Parts()), bob.Append(nil)[200:])...)

	// The others hold nothing secret.
	require.ElementsMatch(t, []string{"Session", "Params", "Pending", "Budget", "DecryptOptions"}, testutil.ExportedTypes(t))
}

func long(parts [][]byte) (all [][]byte) {
	for _, p := range parts {
		if len(p) >= 16 {
			all = append(all, p)
		}
	}
	return all
}

var hexadecimal = regexp.MustCompile(`[0-9a-fA-F]{16}`)

func TestMEM_02_ErrorsHaveNoSecrets(t *testing.T) {
	alice, bob := newTalk(t)
	say(t, alice, bob, "hello")
	text := []byte("nobody sees this in an error, ever")
	msg := send(t, alice, text)
	secrets := append(long(bob.Parts()), text, msg[40:])
	seen := map[string]bool{}
	check := func(err error) {
		require.Error(t, err)
		require.Less(t, len(err.Error()), 120)
		require.NotRegexp(t, hexadecimal, err.Error())
		testutil.NoTrace(t, err.Error(), secrets...)
		seen[err.Error()] = true
	}
	for i := range 8 * len(msg) {
		bad := bytes.Clone(msg)
		bad[i/8] ^= 1 << (i % 8)
		_, err := bob.Decrypt(bad, nil)
		check(err)
		_, err = bob.Decrypt(bad[:i/8], nil)
		check(err)
	}
	for _, d := range damages {
		s := edited(t, bob, d.edit)
		if _, err := s.Encrypt(text, nil); err != nil {
			check(err)
		}
		if _, err := s.Decrypt(msg, nil); err != nil {
			check(err)
		}
	}
	require.Greater(t, len(seen), 10)
}
