package group_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/gembok-e2ee/gembok/internal/etm"
	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session/group"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// An older message has numbers in place of an id (Section 4.10).
type older struct {
	id, iteration                 uint64
	ciphertext, signed, signature []byte
}

func parseOlder(t testing.TB, b []byte) (m older) {
	t.Helper()
	m.signed, m.signature = b[:len(b)-64], b[len(b)-64:]
	for rest := m.signed[1:]; len(rest) > 0; {
		num, typ, n := protowire.ConsumeTag(rest)
		require.Positive(t, n)
		rest = rest[n:]
		switch {
		case num == 1 && typ == protowire.VarintType:
			m.id, n = protowire.ConsumeVarint(rest)
		case num == 2 && typ == protowire.VarintType:
			m.iteration, n = protowire.ConsumeVarint(rest)
		case num == 3 && typ == protowire.BytesType:
			m.ciphertext, n = protowire.ConsumeBytes(rest)
		default:
			n = protowire.ConsumeFieldValue(num, typ, rest)
		}
		require.Positive(t, n)
		rest = rest[n:]
	}
	return m
}

// Section 10.7: the older format has the same chain, keys, cipher and signature,
// which is all that this package has for it yet. Its messages are none here.
func TestOlderVectors(t *testing.T) {
	var all map[string]json.RawMessage
	testutil.ReadJSON(t, "sealed-groups-fingerprint/sealed-groups-fingerprint-vectors.json", &all)
	var vectors map[string]string
	require.NoError(t, json.Unmarshal(all["whatsapp_v3"], &vectors))
	sign, err := keys.ParseVerifyKey(given(t).SigningPublic)
	require.NoError(t, err)
	_, err = wire.ParseSenderKeyDistributionMessage(unhex(t, vectors["skdm"]))
	require.ErrorIs(t, err, wire.ErrMalformed)

	texts := map[string]uint64{"m0": 0, "m1": 1, "m2": 2, "m_noncanon": 3, "m3_unknown": 3, "m2003": 2003, "m2004": 2004, "nib2": 1}
	for name, s := range vectors {
		if name == "skdm" {
			continue
		}
		_, err := wire.ParseSenderKeyMessage(unhex(t, s))
		require.Error(t, err, name)
		m := parseOlder(t, unhex(t, s))
		require.EqualValues(t, 0x1234abcd, m.id, name)
		err = sign.Verify(m.signature, m.signed)
		if name == "sL" {
			require.ErrorIs(t, err, keys.ErrSignature)
			continue
		}
		require.NoError(t, err, name)
		require.Contains(t, texts, name)
		require.Equal(t, texts[name], m.iteration, name)
		ck := [32]byte(given(t).ChainKey)
		for range m.iteration {
			ck = group.ChainNext(&ck)
		}
		iv, key := group.MessageKeys(group.ChainSeed(&ck))
		text, ok := etm.DecryptCBC(nil, &key, &iv, m.ciphertext)
		require.True(t, ok, name)
		t.Log(name, string(text))
		if name == "m0" || name == "m1" || name == "m2" {
			require.Equal(t, fmt.Sprint("wa message ", m.iteration), string(text))
		}
	}
}
