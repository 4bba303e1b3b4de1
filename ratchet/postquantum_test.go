package ratchet_test

import (
	"bytes"
	"encoding/hex"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/ratchet"
)

// requireRefusesPart has bob refuse a message of alice's whose post-quantum part
// is pq, under a MAC that holds, be it keyed with the post-quantum key or
// without.
func requireRefusesPart(t *testing.T, alice, bob *ratchet.Session, pq []byte) {
	t.Helper()
	d := draft(t, alice, "text")
	d.PQRatchet = pq
	require.Equal(t, ratchet.ErrAuth, refuse(t, bob, d.Seal(), nil, ratchet.ErrAuth), "%x", pq)
	d.Salt = nil
	d.Encrypt([]byte("text"))
	require.Equal(t, ratchet.ErrAuth, refuse(t, bob, d.Seal(), nil, ratchet.ErrAuth), "%x, no key", pq)
}

// withVersion returns the post-quantum part with another version byte.
func withVersion(pq []byte, version byte) []byte {
	return append([]byte{version}, pq[1:]...)
}

func TestSPQR_01_Version(t *testing.T) {
	alice, bob := newTalk(t)
	honest := draft(t, alice, "text").PQRatchet
	for _, version := range []byte{0, 2, 3, 0x7F, 0xFF} {
		requireRefusesPart(t, alice, bob, withVersion(honest, version))
		requireRefusesPart(t, alice, bob, []byte{version, 1, 1, 0})
	}
	for _, part := range []string{"", "00", "02", "ff", "01", "0101", "010101", "000101"} {
		b, err := hex.DecodeString(part)
		require.NoError(t, err)
		requireRefusesPart(t, alice, bob, b)
	}
	say(t, alice, bob, "on")
}

func TestSPQR_01_VersionOfTheFirstMessage(t *testing.T) {
	alice, bob := newPair(t)
	for _, part := range []string{"", "00", "02", "ff", "00010100", "01"} {
		b, err := hex.DecodeString(part)
		require.NoError(t, err)
		requireRefusesPart(t, alice, bob, b)
	}
	// Changed under way: the MAC covers it.
	d := draft(t, alice, "text")
	body := wire.AppendSignalMessage(nil, &d.SignalMessage)
	msg := d.SealBody(body)
	at := bytes.Index(msg, d.PQRatchet)
	for _, version := range []byte{0, 2, 0xFF} {
		msg[at] = version
		refuse(t, bob, msg, nil, ratchet.ErrAuth)
	}
	msg[at] = 1
	require.Equal(t, "text", read(t, bob, msg))
	require.True(t, bob.PostQuantum())
}

func TestSPQR_01_EveryMessageAndStateHasIt(t *testing.T) {
	alice, bob := newPair(t)
	for range 100 {
		msg := send(t, alice, nil)
		require.NotEmpty(t, message(t, msg).PQRatchet)
		require.NotEmpty(t, stored(t, alice).PQRatchet)
		read(t, bob, msg)
		require.NotEmpty(t, stored(t, bob).PQRatchet)
		alice, bob = bob, alice
	}
}

func TestSPQR_02_IndexZero(t *testing.T) {
	alice, bob := newTalk(t)
	for epoch := range byte(8) {
		for _, more := range [][]byte{nil, {0}, make([]byte, 40)} {
			requireRefusesPart(t, alice, bob, append([]byte{1, epoch, 0, 0}, more...))
			requireRefusesPart(t, alice, bob, append([]byte{1, epoch, 0x80, 0, 4}, more...))
		}
	}
	alice, bob = newPair(t)
	requireRefusesPart(t, alice, bob, []byte{1, 1, 0, 0})
	say(t, alice, bob, "on")
}

func TestSPQR_03_Epoch(t *testing.T) {
	alice, bob := newTalk(t)
	for header(t, send(t, alice, nil)).Epoch < 3 {
		say(t, alice, bob, "ping")
		say(t, bob, alice, "pong")
	}
	for _, epoch := range []uint64{0, 1, 5, 6, 1 << 63, math.MaxUint64} {
		m := wire.SPQRMessage{Version: 1, Epoch: epoch, Index: 1}
		requireRefusesPart(t, alice, bob, m.Append(nil))
	}
	for _, varint := range []string{
		"8080808080808080808001",   // eleven bytes
		"80808080808080808000",     // zero, in ten
		"ffffffffffffffffff7f",     // bits beyond the 64th
		"ffffffffffffffffffffff01", // longer yet
		"ff",                       // unfinished
	} {
		b, err := hex.DecodeString("01" + varint + "0100")
		require.NoError(t, err)
		requireRefusesPart(t, alice, bob, b)
	}
	say(t, alice, bob, "on")
}

func TestSPQR_04_Index(t *testing.T) {
	alice, bob := newTalk(t)
	say(t, alice, bob, "hello")
	now := header(t, send(t, alice, nil))
	for _, index := range []uint32{1, now.Index - 1, now.Index + 25_000, math.MaxUint32} {
		m := wire.SPQRMessage{Version: 1, Epoch: now.Epoch, Index: index}
		requireRefusesPart(t, alice, bob, m.Append(nil))
	}
	say(t, alice, bob, "on")
}

func TestSPQR_08_GarbageAroundAGoodPart(t *testing.T) {
	alice, bob := newTalk(t)
	for _, edit := range []func(d *ratchet.Draft){
		func(d *ratchet.Draft) { d.MACed[0] ^= 1 },
		func(d *ratchet.Draft) { d.Blocks(make([]byte, 32)) },
		func(d *ratchet.Draft) { d.Ciphertext = nil },
		func(d *ratchet.Draft) { d.Ciphertext = []byte("a body of random characters") },
		func(d *ratchet.Draft) { d.Addresses = make([]byte, 36) },
	} {
		d := draft(t, alice, "text")
		edit(d)
		refuse(t, bob, d.Seal(), nil, ratchet.ErrAuth)
	}
	say(t, alice, bob, "on")
}

func TestSPQR_10_TrailingBytes(t *testing.T) {
	for _, n := range []int{1, 100} {
		alice, bob := newTalk(t)
		for range 3 {
			d := draft(t, alice, "text")
			d.PQRatchet = append(bytes.Clone(d.PQRatchet), make([]byte, n)...)
			require.Equal(t, "text", read(t, bob, d.Seal()))
			send(t, alice, nil)
		}
		say(t, bob, alice, "on")
		say(t, alice, bob, "and on")
	}
}

// imported returns a new pair as releases of minimum version 0 made it.
func imported(t *testing.T) (alice, bob *ratchet.Session) {
	alice, bob = newPair(t)
	old := func(w *wire.Session) {
		var pq wire.SPQRState
		require.NoError(t, pq.Parse(w.PQRatchet))
		pq.Negotiation.MinVersion = 0
		w.PQRatchet = pq.Append(nil)
	}
	return edited(t, alice, old), edited(t, bob, old)
}

func TestImportedMinimumVersion0(t *testing.T) {
	alice, bob := imported(t)
	msg := send(t, alice, []byte("no key yet"))
	require.Zero(t, header(t, msg).Index)
	require.Equal(t, "no key yet", read(t, bob, msg))
	late := send(t, alice, []byte("late"))
	say(t, bob, alice, "a key")
	msg = send(t, alice, []byte("a key too"))
	require.NotZero(t, header(t, msg).Index)
	require.Equal(t, "a key too", read(t, bob, msg))
	// What has no key is refused from now on.
	refuse(t, bob, late, nil, ratchet.ErrAuth)
	requireRefusesPart(t, alice, bob, []byte{1, 1, 0, 0})
	requireRefusesPart(t, alice, bob, nil)
}

func TestImportedFallsBackToVersion0(t *testing.T) {
	alice, bob := imported(t)
	d := draft(t, alice, "text")
	require.Nil(t, d.Salt)
	d.PQRatchet = nil
	require.True(t, bob.PostQuantum())
	require.Equal(t, "text", read(t, bob, d.Seal()))
	require.False(t, bob.PostQuantum())
	require.Empty(t, stored(t, bob).PQRatchet)
	require.Empty(t, message(t, send(t, bob, nil)).PQRatchet)
	require.Empty(t, message(t, send(t, again(t, bob), nil)).PQRatchet)
	require.Equal(t, "text", read(t, alice, send(t, again(t, bob), []byte("text"))))
	require.False(t, alice.PostQuantum())
}

// A session without the post-quantum ratchet ignores a part that is well formed
// (wire-core, Section 8.5), and its messages have none.
func TestDisabled(t *testing.T) {
	alice, bob := newPlain(t)
	require.False(t, alice.PostQuantum())
	msg := send(t, alice, []byte("text"))
	require.Empty(t, message(t, msg).PQRatchet)
	for part, ok := range map[string]bool{"01010100": true, "07010100": true, "01000100": false, "01": false, "0101": false} {
		d := draft(t, alice, "text")
		d.PQRatchet, _ = hex.DecodeString(part)
		if ok {
			require.Equal(t, "text", read(t, again(t, bob), d.Seal()))
		} else {
			refuse(t, bob, d.Seal(), nil, ratchet.ErrAuth)
		}
	}
	require.Equal(t, "text", read(t, bob, msg))
	say(t, bob, alice, "on")
}
