package ratchet_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/ratchet"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// refusals are the errors that a message which was changed on its way may meet.
var refusals = []error{ratchet.ErrAuth, ratchet.ErrMalformed, ratchet.ErrVersion, ratchet.ErrDuplicate,
	ratchet.ErrTooFar, ratchet.ErrExhausted, keys.ErrKey, keys.ErrZeroAgreement}

// requireTampered has s refuse msg; the state is for the caller to compare.
func requireTampered(t *testing.T, s *ratchet.Session, msg []byte, what string, i int) {
	plaintext, err := s.Decrypt(msg, nil)
	for _, want := range refusals {
		if plaintext == nil && errors.Is(err, want) {
			return
		}
	}
	require.Failf(t, "not refused as it should be", "%s %d: %v", what, i, err)
}

// tries tells whether to flip bit i of a message: always, but for a large one,
// of which it takes one bit a byte inside the ciphertext, or few of all in short
// mode.
func tries(i, size int) bool {
	inside := i > 8*100 && i < 8*(size-60)
	switch {
	case size < 2000 || *whole:
		return true
	case testing.Short():
		return i%10007 == 0 || !inside && i%29 == 0
	}
	return !inside || i%8 == i/8%8
}

func TestRAT_01_Tampering(t *testing.T) {
	for _, n := range []int{0, 1, 15, 16, 17, 1000, 65535} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			alice, bob := newTalk(t)
			if n > 100 { // else each try is a DH step
				say(t, alice, bob, "hello")
			}
			msg := send(t, alice, bytes.Repeat([]byte{'x'}, n))
			before := bob.Append(nil)
			for i := range 8 * len(msg) {
				if !tries(i, len(msg)) {
					continue
				}
				msg[i/8] ^= 1 << (i % 8)
				requireTampered(t, bob, msg, "bit", i)
				msg[i/8] ^= 1 << (i % 8)
			}
			require.True(t, bytes.Equal(before, bob.Append(nil)))
			require.Len(t, read(t, bob, msg), n)
			say(t, bob, alice, "answer")
		})
	}
}

func TestRAT_02_LengthOfTheMAC(t *testing.T) {
	alice, bob := newTalk(t)
	msg := send(t, alice, []byte("text"))
	for n := range 10 {
		refuse(t, bob, msg[:n], nil, ratchet.ErrMalformed)
	}
	for n := range len(msg) { // MAC shortened by 1 to 8, and everything shorter
		requireTampered(t, bob, msg[:n], "length", n)
	}
	for n := 1; n <= 100; n++ {
		requireTampered(t, bob, append(bytes.Clone(msg), make([]byte, n)...), "bytes more:", n)
	}
	m := message(t, msg)
	refuse(t, bob, append(bytes.Clone(m.Body), append([]byte{0}, m.MAC...)...), nil, ratchet.ErrMalformed)
	require.Equal(t, "text", read(t, bob, msg))
}

func TestRAT_07_Reflection(t *testing.T) {
	alice, bob := newTalk(t)
	msg := send(t, alice, []byte("text"))
	refuse(t, alice, msg, nil, ratchet.ErrAuth)
	require.Equal(t, "text", read(t, bob, msg))

	// Bob's own ratchet key comes back as hers, under a MAC that holds.
	d := draft(t, alice, "text")
	d.RatchetKey = bob.SenderKey()
	refuse(t, bob, d.Seal(), nil, ratchet.ErrAuth)
	say(t, alice, bob, "more")
	say(t, bob, alice, "more")
}

func TestRAT_11_Padding(t *testing.T) {
	alice, bob := newTalk(t)
	block := func(last ...byte) []byte {
		b := bytes.Repeat([]byte{'x'}, 32)
		copy(b[32-len(last):], last)
		return b
	}
	for name, blocks := range map[string][]byte{
		"zero":           block(0),
		"17":             block(17),
		"255":            block(255),
		"wrong fill":     block(3, 2, 3),
		"whole but one":  append(bytes.Repeat([]byte{'x'}, 16), append([]byte{15}, bytes.Repeat([]byte{16}, 15)...)...),
		"no whole block": nil,
	} {
		d := draft(t, alice, "text")
		d.Blocks(blocks)
		require.Equal(t, ratchet.ErrAuth, refuse(t, bob, d.Seal(), nil, ratchet.ErrAuth), name)
		d.MACed[0] ^= 1
		require.Equal(t, ratchet.ErrAuth, refuse(t, bob, d.Seal(), nil, ratchet.ErrAuth), name)
	}
	for n := 1; n < 48; n++ {
		if n%16 != 0 {
			d := draft(t, alice, "text")
			d.Ciphertext = make([]byte, n)
			require.Equal(t, ratchet.ErrAuth, refuse(t, bob, d.Seal(), nil, ratchet.ErrAuth), n)
		}
	}
	d := draft(t, alice, "")
	d.Blocks(bytes.Repeat([]byte{16}, 16))
	require.Empty(t, read(t, bob, d.Seal()))
}

func TestKA_10_IdentitiesInTheMAC(t *testing.T) {
	alice, bob := newTalk(t)
	mallory := keys.GenerateIdentityKeyPair().Public().Bytes()
	for name, edit := range map[string]func(d *ratchet.Draft){
		"swapped":          func(d *ratchet.Draft) { d.From, d.To = d.To, d.From },
		"another sender":   func(d *ratchet.Draft) { d.From = mallory },
		"another receiver": func(d *ratchet.Draft) { d.To = mallory },
		"no sender":        func(d *ratchet.Draft) { d.From = nil },
		"no receiver":      func(d *ratchet.Draft) { d.To = nil },
		"neither":          func(d *ratchet.Draft) { d.From, d.To = nil, nil },
		"raw":              func(d *ratchet.Draft) { d.From, d.To = d.From[1:], d.To[1:] },
	} {
		d := draft(t, alice, "text")
		edit(d)
		require.Equal(t, ratchet.ErrAuth, refuse(t, bob, d.Seal(), nil, ratchet.ErrAuth), name)
	}
	d := draft(t, alice, "text")
	require.Equal(t, "text", read(t, bob, d.Seal()))
}

func TestKA_11_Addresses(t *testing.T) {
	binding := func(sender string, senderDevice byte, recipient string, recipientDevice byte) []byte {
		b := append([]byte{0}, sender...)
		b = append(append(b, senderDevice, 0), recipient...)
		return append(b, recipientDevice)
	}
	const a, b, c = "alice-alice-alic", "bob-bob-bob-bob-", "carol-carol-caro"
	right := binding(a, 2, b, 1)
	pni := binding(a, 2, b, 1)
	pni[0] = 1
	alice, bob := newTalk(t)
	cases := map[string]struct {
		carried, expected []byte
		ok                bool
	}{
		"right":               {right, right, true},
		"absent":              {nil, right, true},
		"absent, none either": {nil, nil, true},
		"sender":              {binding(c, 2, b, 1), right, false},
		"sender's device":     {binding(a, 3, b, 1), right, false},
		"recipient":           {binding(a, 2, c, 1), right, false},
		"recipient's device":  {binding(a, 2, b, 2), right, false},
		"swapped":             {binding(b, 1, a, 2), right, false},
		"kind":                {pni, right, false},
		"35 bytes":            {right[:35], right, false},
		"37 bytes":            {append(bytes.Clone(right), 0), right, false},
		"zero":                {make([]byte, 36), right, false},
		"empty":               {[]byte{}, right, false},
		"none can hold":       {right, nil, false},
		"zero, none can hold": {make([]byte, 36), nil, false},
		"empty, none":         {[]byte{}, nil, false},
		"both empty":          {[]byte{}, []byte{}, false},
		"both short":          {right[:35], right[:35], false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			a, b := again(t, alice), again(t, bob)
			msg, err := a.Encrypt([]byte("text"), c.carried)
			require.NoError(t, err)
			require.Equal(t, c.carried, message(t, msg).Addresses)
			o := &ratchet.DecryptOptions{Addresses: c.expected}
			if !c.ok {
				require.Equal(t, ratchet.ErrAuth, refuse(t, b, msg, o, ratchet.ErrAuth))
				say(t, a, b, "next")
				return
			}
			got, err := b.Decrypt(msg, o)
			require.NoError(t, err)
			require.Equal(t, "text", string(got))
		})
	}
}

func TestKA_11_AddressesOfAnotherMAC(t *testing.T) {
	alice, bob := newTalk(t)
	right := make([]byte, 36)
	d := draft(t, alice, "text")
	d.Addresses = right
	msg := d.Seal()
	d.Addresses = nil // taken out under way: the MAC covers it
	stripped := d.Seal()
	copy(stripped[len(stripped)-8:], msg[len(msg)-8:])
	refuse(t, bob, stripped, &ratchet.DecryptOptions{Addresses: right}, ratchet.ErrAuth)
	got, err := bob.Decrypt(msg, &ratchet.DecryptOptions{Addresses: right})
	require.NoError(t, err)
	require.Equal(t, "text", string(got))
}
