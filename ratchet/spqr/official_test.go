package spqr_test

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/gembok-e2ee/gembok/ratchet/spqr"
)

// fieldOf returns the last bytes field of that number in a protobuf message.
func fieldOf(t testing.TB, b []byte, num protowire.Number) (v []byte) {
	t.Helper()
	for len(b) > 0 {
		n, typ, tag := protowire.ConsumeTag(b)
		require.Positive(t, tag)
		size := protowire.ConsumeFieldValue(n, typ, b[tag:])
		require.Positive(t, size)
		if n == num {
			v, _ = protowire.ConsumeBytes(b[tag:])
		}
		b = b[tag+size:]
	}
	return v
}

// TestOfficialStates reads the states in session records of the official
// library, writes them as they were, and gives them the messages that they got.
func TestOfficialStates(t *testing.T) {
	b, err := os.ReadFile("../../testdata/wire/wire-core-vectors.json")
	require.NoError(t, err)
	var file struct {
		Steps []struct {
			Type    int
			Record  hexBytes `json:"record_before"`
			Message hexBytes
		} `json:"official_decrypt_steps"`
	}
	require.NoError(t, json.Unmarshal(b, &file))
	require.Len(t, file.Steps, 40)
	states, taken := 0, 0
	for _, step := range file.Steps {
		stored := fieldOf(t, fieldOf(t, step.Record, 1), 15)
		if len(stored) == 0 {
			continue
		}
		states++
		s, err := spqr.Parse(stored)
		require.NoError(t, err)
		require.Equal(t, stored, s.Append(nil))
		msg := step.Message
		if step.Type == 3 { // a prekey message around it
			msg = fieldOf(t, msg[1:], 4)
		}
		next, key, err := s.Recv(fieldOf(t, msg[1:len(msg)-8], 5))
		require.NoError(t, err)
		require.NotNil(t, key)
		requireStorable(t, next)
		taken++
	}
	require.Greater(t, states, 20)
	require.Equal(t, states, taken)
}

// TestSPQR_05_FlippedBits changes one bit anywhere in stored states. What is
// still a state works, or refuses, and does not panic.
func TestSPQR_05_FlippedBits(t *testing.T) {
	for _, rounds := range []int{0, 1, 33, 42} {
		a, b := storedAt(t, rounds)
		msg, _ := a.send()
		reply, _ := b.send()
		for _, c := range []struct{ stored, msg []byte }{{a.stored, reply}, {b.stored, msg}} {
			corrupt := 0
			for i := range c.stored {
				c.stored[i] ^= 1 << (i % 8)
				if s, err := spqr.Parse(c.stored); err != nil {
					require.ErrorIs(t, err, spqr.ErrCorrupt)
					corrupt++
				} else {
					requireStorable(t, s)
					s.Recv(c.msg)
					s.Send()
				}
				c.stored[i] ^= 1 << (i % 8)
			}
			require.NotZero(t, corrupt)
		}
	}
}
