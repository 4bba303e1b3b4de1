package wire_test

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"slices"
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

// groupVectors are the parts of sealed-groups-fingerprint-vectors.json, of which
// only what is a string.
func groupVectors(t testing.TB) map[string]map[string]string {
	t.Helper()
	file, err := os.ReadFile("../../testdata/sealed-groups-fingerprint/sealed-groups-fingerprint-vectors.json")
	require.NoError(t, err)
	var parts map[string]map[string]any
	require.NoError(t, json.Unmarshal(file, &parts))
	out := map[string]map[string]string{}
	for part, v := range parts {
		out[part] = map[string]string{}
		for name, v := range v {
			if s, ok := v.(string); ok {
				out[part][name] = s
			}
		}
	}
	return out
}

// The messages of groups, and the records that come of them (sealed-groups-
// fingerprint, Section 10.6), too.
func TestPRS_13_GroupVectors(t *testing.T) {
	main, edge := groupVectors(t)["main"], groupVectors(t)["sender_key_edge_cases"]
	same := func(round func([]byte) ([]byte, error), s string) {
		b := unhex(t, s)
		out, err := round(b)
		require.NoError(t, err)
		require.Equal(t, b, out)
	}
	same(roundDistribution, main["skdm"])
	for _, name := range []string{"skm_0", "skm_1", "skm_2", "skm_3"} {
		same(roundGroupMessage, main[name])
	}
	malformed := []string{"uuid15", "nodist", "noct", "noiter", "nochain"}
	versions := []string{"v23", "v43"}
	for name, s := range edge {
		b, err := hex.DecodeString(s)
		if err != nil || len(b) <= 32 {
			continue // a number, or a key
		}
		out, err := roundGroupMessage(b)
		switch {
		case slices.Contains(malformed, name):
			require.ErrorIs(t, err, wire.ErrMalformed, name)
		case slices.Contains(versions, name):
			require.ErrorIs(t, err, wire.ErrVersion, name)
		default:
			require.NoError(t, err, name)
			if name != "unknownfield" {
				require.Equal(t, b[1:], out[1:], name) // the low nibble is not kept
			}
		}
	}
	for _, record := range []string{
		"0a5108cdd7d291011222122099999999999999999999999999999999999999999999999999999999999999991a230a210514ca9e4d387bccf35746e0407daaacc6b28a4f8445ef5a5158894db983e240702803",
		"0a9d0108cdd7d291011224080312209d84e0dc583a30aea2a8df60e848d6a4de3cc09cd772ad71d14d19253aba10321a230a210514ca9e4d387bccf35746e0407daaacc6b28a4f8445ef5a5158894db983e240702222122040b9abb316ce4c33ce9107109a759c0a4d7da39aed9ae12614f6dd3850814c21222408011220d529b414ae4ff3cc141ef8513408deaf4cfe478e227d4302a689a503cbabdd512803",
		"0a7908cdd7d291011224080312209d84e0dc583a30aea2a8df60e848d6a4de3cc09cd772ad71d14d19253aba10321a230a210514ca9e4d387bccf35746e0407daaacc6b28a4f8445ef5a5158894db983e24070222408011220d529b414ae4ff3cc141ef8513408deaf4cfe478e227d4302a689a503cbabdd512803",
	} {
		same(roundSenderKey, record)
	}
}
