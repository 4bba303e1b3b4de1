package braid_test

import (
	"bytes"
	"crypto/sha3"
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/ratchet/internal/braid"
	"github.com/gembok-e2ee/gembok/ratchet/internal/erasure"
)

// A hexBytes is a byte string that JSON holds as hex.
type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.AppendDecode(nil, text)
	return err
}

func fill(n int, b byte) []byte { return bytes.Repeat([]byte{b}, n) }

// edit returns the machine whose stored form change has changed; parts are
// copies.
func edit(t testing.TB, m braid.Machine, change func(*wire.SPQRMachine)) braid.Machine {
	t.Helper()
	w := m.Stored()
	for i := range w.Parts {
		w.Parts[i] = bytes.Clone(w.Parts[i])
	}
	change(w)
	got, err := braid.Parse(w)
	require.NoError(t, err)
	return got
}

// TestSPQR_07_WrongHeader: an owner whose header, or whose MAC of it, is wrong.
func TestSPQR_07_WrongHeader(t *testing.T) {
	r := secondEpoch(t)
	m, good := r.late[wire.SPQRNoHeaderReceived], r.message[wire.SPQRHdr]
	for i := range 32 {
		bad := good
		bad.Chunk[i] ^= 0x40
		requireRefused(t, m, bad, wire.ErrAuth)
	}
	_, msgs, _ := send(t, m, 1) // the session still talks
	require.Equal(t, byte(wire.SPQRNone), msgs[0].Kind)
	next, _ := recv(t, m, good) // and goes on with the right one
	require.Equal(t, byte(wire.SPQRHeaderReceived), next.Tag())
}

// TestSPQR_07_WrongCiphertext: an encapsulator whose ct2, ct1 or MAC is wrong.
func TestSPQR_07_WrongCiphertext(t *testing.T) {
	r := secondEpoch(t)
	m, good := r.late[wire.SPQREkSentCt1Received], r.message[wire.SPQRCt2]
	for i := range 32 { // the MAC
		bad := good
		bad.Chunk[i] ^= 1
		requireRefused(t, m, bad, wire.ErrAuth)
	}
	again := good // a chunk of ct2 replaced, then the rest
	again.ChunkIndex, again.Chunk = 0, [32]byte(fill(32, 9))
	bad, _ := recv(t, m, again)
	requireRefused(t, bad, good, wire.ErrAuth)
	wrong := edit(t, m, func(w *wire.SPQRMachine) { w.Parts[1][17] ^= 1 }) // ct1
	requireRefused(t, wrong, good, wire.ErrAuth)
	next, secret := recv(t, m, good)
	require.Equal(t, byte(wire.SPQRNoHeaderReceived), next.Tag())
	require.Equal(t, r.secret, *secret)
}

// TestKEM_11_KeyOfAnother: the ek of another key under an authentic header.
func TestKEM_11_KeyOfAnother(t *testing.T) {
	r := secondEpoch(t)
	other, _, _ := firstEpoch(t).enc.Send(coins("another"))
	ek := erasure.NewEncoder(other.Stored().Parts[0])
	for _, state := range []byte{wire.SPQRCt1Sampled, wire.SPQRCt1Acknowledged} {
		m := edit(t, r.early[state], func(w *wire.SPQRMachine) {
			erasure.NewDecoder(1152).Store(&w.Decoder)
		})
		feed(t, m, ek, []byte{wire.SPQREk, wire.SPQREkCt1Ack}, wire.ErrAuth)
	}
}

// feed gives m all chunks of an ek, and requires that the last is refused if it
// is of any of the kinds.
func feed(t *testing.T, m braid.Machine, ek erasure.Encoder, kinds []byte, class error) {
	t.Helper()
	for i := range 36 {
		msg := wire.SPQRMessage{Epoch: m.Epoch(), Kind: wire.SPQREk}
		ek, msg.ChunkIndex, msg.Chunk = ek.Next()
		if i < 35 {
			m, _ = recv(t, m, msg)
			continue
		}
		for _, kind := range kinds {
			msg.Kind = kind
			requireRefused(t, m, msg, class)
		}
	}
	next, msgs, _ := send(t, m, 1) // the session still talks
	require.True(t, next.Exists())
	require.Equal(t, m.Epoch(), msgs[0].Epoch)
}

// TestKEM_11_KeyNotReduced: an authentic header over an ek with a coefficient
// that is not reduced.
func TestKEM_11_KeyNotReduced(t *testing.T) {
	r := secondEpoch(t)
	owner := r.late[wire.SPQRKeysSampled].Stored()
	ek, rho := bytes.Clone(owner.Parts[0]), owner.Parts[1][2304:2336]
	ek[0], ek[1] = 0x01, ek[1]&0xF0|0x0D // 3329
	h := sha3.Sum256(append(bytes.Clone(ek), rho...))
	m := edit(t, r.early[wire.SPQRCt1Sampled], func(w *wire.SPQRMachine) {
		copy(w.Parts[0][32:], h[:])
		erasure.NewDecoder(1152).Store(&w.Decoder)
	})
	feed(t, m, erasure.NewEncoder(ek), []byte{wire.SPQREk, wire.SPQREkCt1Ack}, wire.ErrAuth)
}

// TestKEM_10_ByteOrder: states written with the 16-bit values of es in the other
// byte order go on to the same ciphertext.
func TestKEM_10_ByteOrder(t *testing.T) {
	r := secondEpoch(t)
	for state, kind := range map[byte]byte{
		wire.SPQRCt1Sampled:           wire.SPQREkCt1Ack,
		wire.SPQREkReceivedCt1Sampled: wire.SPQRCt1Ack,
		wire.SPQRCt1Acknowledged:      wire.SPQREk,
	} {
		m := r.late[state]
		swapped := edit(t, m, func(w *wire.SPQRMachine) {
			es := w.Parts[1]
			if state == wire.SPQREkReceivedCt1Sampled {
				es = w.Parts[0]
			}
			for i := 0; i < 2048; i += 2 {
				es[i], es[i+1] = es[i+1], es[i]
			}
		})
		require.NotEqual(t, m.Bytes(), swapped.Bytes())
		want, _ := recv(t, m, r.message[kind])
		got, _ := recv(t, swapped, r.message[kind])
		require.Equal(t, byte(wire.SPQRCt2Sampled), got.Tag())
		require.Equal(t, want.Bytes(), got.Bytes())
	}
}

func TestParseRefuses(t *testing.T) {
	r := secondEpoch(t)
	for state := byte(1); state <= wire.SPQRCt2Sampled; state++ {
		m := r.late[state]
		refuse := func(what string, change func(*wire.SPQRMachine)) {
			w := m.Stored()
			change(w)
			_, err := braid.Parse(w)
			require.ErrorIs(t, err, braid.ErrCorrupt, "%s: %s", stateNames[state], what)
		}
		refuse("state 0", func(w *wire.SPQRMachine) { w.State = 0 })
		refuse("state 12", func(w *wire.SPQRMachine) { w.State = 12 })
		refuse("epoch", func(w *wire.SPQRMachine) { w.Epoch = 0 })
		refuse("root", func(w *wire.SPQRMachine) { w.RootKey = w.RootKey[:31] })
		refuse("no root", func(w *wire.SPQRMachine) { w.RootKey = nil })
		refuse("mac", func(w *wire.SPQRMachine) { w.MACKey = fill(33, 1) })
		for i := range 3 {
			if len(m.Stored().Parts[i]) == 0 {
				continue
			}
			refuse("short part", func(w *wire.SPQRMachine) { w.Parts[i] = w.Parts[i][1:] })
			refuse("long part", func(w *wire.SPQRMachine) { w.Parts[i] = append(bytes.Clone(w.Parts[i]), 0) })
			refuse("no part", func(w *wire.SPQRMachine) { w.Parts[i] = nil })
		}
		w := m.Stored()
		if w.Encoder.Points.Present() || w.Encoder.Coefficients.Present() {
			refuse("no encoder", func(w *wire.SPQRMachine) { w.Encoder = wire.SPQREncoder{} })
			refuse("encoder of another object", func(w *wire.SPQRMachine) {
				w.Encoder = wire.SPQREncoder{}
				erasure.NewEncoder(fill(64, 1)).Store(&w.Encoder)
			})
		}
		if w.Decoder.Points.Present() {
			refuse("no decoder", func(w *wire.SPQRMachine) { w.Decoder = wire.SPQRDecoder{} })
			refuse("decoder of another object", func(w *wire.SPQRMachine) { w.Decoder.Words++ })
			refuse("complete", func(w *wire.SPQRMachine) { w.Decoder.Complete = true })
		}
	}
}
