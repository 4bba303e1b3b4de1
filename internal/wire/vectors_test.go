package wire_test

import (
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/wire"
)

// Every message and record of the vectors reads, and is written again with
// the same bytes. Most were made by the official library.
func TestPRS_13_Vectors(t *testing.T) {
	rounds := map[string]func([]byte) ([]byte, error){
		"message": roundAny, "record": roundRecord,
	}
	found := map[string]int{}
	var walk func(key string, v any)
	walk = func(key string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for k, v := range v {
				if k == "messages" {
					k = "message"
				}
				walk(k, v)
			}
		case []any:
			for _, v := range v {
				walk(key, v)
			}
		case string:
			b, err := hex.DecodeString(v)
			for kind, round := range rounds {
				if err != nil || !strings.Contains(key, kind) || strings.Contains(key, "keys") || strings.HasSuffix(key, "sha256") {
					continue
				}
				found[kind]++
				out, err := round(b)
				require.NoError(t, err, key)
				require.Equal(t, again(b), hex.EncodeToString(out), key)
			}
		}
	}
	for _, part := range []string{"pqxdh", "pqxdh_no_opk", "x3dh_v3", "official_first_flight", "official_decrypt_steps", "plain_ratchet"} {
		var v any
		vectors(t, part, &v)
		walk("", v)
	}
	require.Equal(t, map[string]int{"message": 54, "record": 47}, found)
}

// roundAny tells a PreKeySignalMessage by its KEM ciphertext or identity key.
func roundAny(b []byte) ([]byte, error) {
	if out, err := roundPreKeySignal(b); err == nil {
		return out, nil
	}
	return roundSignal(b)
}

// again is what b is when written. Libraries whose newest version is 3 have
// that in the low nibble.
func again(b []byte) string {
	if b[0] == 0x33 {
		return "34" + hex.EncodeToString(b[1:])
	}
	return hex.EncodeToString(b)
}

// What the records of the official library hold (spec/storage.md, Section 9, 8).
func TestOfficialRecord(t *testing.T) {
	var v struct{ Alice_record_after_two_sends string }
	vectors(t, "official_first_flight", &v)
	rec, err := wire.ParseSessionRecord(unhex(t, v.Alice_record_after_two_sends))
	require.NoError(t, err)
	require.Empty(t, rec.Previous)
	s, err := wire.ParseSession(rec.Current)
	require.NoError(t, err)
	require.Equal(t, uint32(4), s.Version)
	require.Equal(t, uint32(5678), s.RemoteRegistrationID)
	require.Equal(t, uint32(1234), s.LocalRegistrationID)
	require.Equal(t, uint64(1700000000), s.Pending.Created)
	require.Equal(t, uint32(22), s.Pending.SignedPreKeyID)
	require.True(t, s.Pending.HasPreKeyID)
	require.Equal(t, uint32(31337), s.Pending.PreKeyID)
	require.Equal(t, s.BaseKey, s.Pending.BaseKey)
	require.Equal(t, uint32(33), s.PendingKEM.PreKeyID)
	require.Len(t, s.PendingKEM.Ciphertext, 1569)
	require.Len(t, s.Receivers, 1)
	require.Zero(t, s.Receivers[0].Index)
	require.Equal(t, uint32(2), s.Sender.Index)
	require.NotEmpty(t, s.PQRatchet)
}

// What the deterministic first message holds (spec/wire-core.md, Section 15.2).
func TestFirstMessage(t *testing.T) {
	var v struct{ Prekey_message, Signal_message, Addresses string }
	vectors(t, "pqxdh", &v)
	var keys map[string]json.RawMessage
	vectors(t, "keys", &keys)
	key := func(name string) []byte {
		var s string
		require.NoError(t, json.Unmarshal(keys[name], &s))
		return unhex(t, s)
	}
	m, err := wire.ParsePreKeySignalMessage(unhex(t, v.Prekey_message))
	require.NoError(t, err)
	require.Equal(t, byte(4), m.Version)
	require.Equal(t, uint32(1234), m.RegistrationID)
	require.True(t, m.HasPreKeyID)
	require.Equal(t, uint32(31337), m.PreKeyID)
	require.Equal(t, uint32(22), m.SignedPreKeyID)
	require.Equal(t, uint32(33), m.KEMPreKeyID)
	require.Len(t, m.KEMCiphertext, 1569)
	require.Equal(t, key("alice_base_public"), m.BaseKey)
	require.Equal(t, key("alice_identity_public"), m.IdentityKey)
	require.Equal(t, unhex(t, v.Signal_message), m.MessageBytes)
	require.Equal(t, key("alice_ratchet_public"), m.Message.RatchetKey)
	require.Equal(t, unhex(t, v.Addresses), m.Message.Addresses)
	require.Equal(t, []byte{1, 1, 1, 0}, m.Message.PQRatchet)
	require.Zero(t, m.Message.Counter)

	var old struct{ Prekey_message string }
	vectors(t, "x3dh_v3", &old)
	m, err = wire.ParsePreKeySignalMessage(unhex(t, old.Prekey_message))
	require.NoError(t, err)
	require.Equal(t, byte(3), m.Version)
	require.False(t, m.HasKEM)
	require.Nil(t, m.Message.Addresses)
}
