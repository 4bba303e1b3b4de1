package ratchet_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/ratchet"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// Beginning draws a ratchet key, and so does each DH step. Sending draws what
// the post-quantum ratchet needs: the 64 bytes of a key pair or the 32 of an
// encapsulation, each once an epoch.
func TestRNG_01_Coins(t *testing.T) {
	signed, id := keys.GeneratePrivateKey(), keys.GenerateIdentityKeyPair().Public()
	secret := [96]byte{1, 2, 3}
	p := &ratchet.Params{Local: id, Remote: id, BaseKey: signed.PublicKey()}
	require.Equal(t, []int{32}, testutil.Coins(t, func() []byte {
		s, err := ratchet.Initiate(&secret, p, signed.PublicKey(), &ratchet.Pending{})
		require.NoError(t, err)
		return s.Append(nil)
	}))
	require.Empty(t, testutil.Coins(t, func() []byte {
		return ratchet.Accept(&secret, p, signed, signed.PublicKey()).Append(nil)
	}))

	from, to := newPair(t)
	drawn := map[string]int{}
	for i := range 60 {
		sender := from.Append(nil)
		draws := testutil.Coins(t, func() []byte {
			s := parse(t, sender)
			return append(send(t, s, nil), s.Append(nil)...)
		})
		drawn[fmt.Sprint("send ", draws)]++
		m, receiver := send(t, from, nil), to.Append(nil)
		draws = testutil.Coins(t, func() []byte {
			s := parse(t, receiver)
			read(t, s, m)
			return s.Append(nil)
		})
		drawn[fmt.Sprint("read ", draws)]++
		read(t, to, m)
		if i%2 == 1 {
			from, to = to, from
		}
	}
	require.Equal(t, map[string]int{"send []": 58, "send [64]": 1, "send [32]": 1, "read [32]": 30, "read []": 30}, drawn)
}
