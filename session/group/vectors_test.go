package group_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/group"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// vector reads a part of the vectors (sealed-groups-fingerprint, Section 10).
func vector(t testing.TB, part, name string, into any) {
	t.Helper()
	var parts map[string]map[string]json.RawMessage
	testutil.ReadJSON(t, "sealed-groups-fingerprint/sealed-groups-fingerprint-vectors.json", &parts)
	require.NoError(t, json.Unmarshal(parts[part][name], into))
}

func bytesOf(t testing.TB, part, name string) []byte {
	t.Helper()
	var b testutil.Hex
	vector(t, part, name, &b)
	return b
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}

// given is the state that the distribution message of the vectors brings.
func given(t testing.TB) *wire.SenderKeyState {
	t.Helper()
	m, err := wire.ParseSenderKeyDistributionMessage(bytesOf(t, "main", "skdm"))
	require.NoError(t, err)
	require.Equal(t, room[:], m.Distribution)
	s, err := group.Distributed(&m, nil)
	require.NoError(t, err)
	return &s
}

// Section 10.5.
func TestChainVectors(t *testing.T) {
	ck := [32]byte(bytes.Repeat([]byte{0x99}, 32))
	check := func(chain, seed, iv, key []byte) {
		require.Equal(t, chain, ck[:])
		gotSeed := group.ChainSeed(&ck)
		require.Equal(t, seed, gotSeed[:])
		gotIV, gotKey := group.MessageKeys(gotSeed)
		require.Equal(t, iv, gotIV[:])
		require.Equal(t, key, gotKey[:])
	}
	for i := range 25001 {
		switch {
		case i < 4:
			var v struct{ Chain, Seed, IV, Key testutil.Hex }
			vector(t, "main", fmt.Sprintf("sk_%d", i), &v)
			check(v.Chain, v.Seed, v.IV, v.Key)
		case i == 4:
			require.Equal(t, bytesOf(t, "main", "sk_chain_after4"), ck[:])
		case i == 25000:
			check(unhex(t, "ced4cf91ec98b2cdb1e5bcda050ad90a54f975b031cb57033dccd35eeecd61c2"),
				unhex(t, "30a136af1b3e982bb144cf12cad7ecd275ea558474158132bf53ac753ca5ee44"),
				unhex(t, "771192786025a6d8fc276f0ca482862e"),
				unhex(t, "2b1f164704dcc4731c1489d706e14a80862256353d74704ea2de5433e935fcc5"))
		}
		ck = group.ChainNext(&ck)
	}
}

// Section 10.6: what is made of the coins of the vectors has their bytes, and
// reads.
func TestMessageVectors(t *testing.T) {
	signing, err := keys.NewSigningKey(bytesOf(t, "sender_key_edge_cases", "sign_priv"))
	require.NoError(t, err)
	own := group.NewState(0x1234abcd, (*[32]byte)(bytes.Repeat([]byte{0x99}, 32)), signing)
	distribution, err := group.Tell(&own, room)
	require.NoError(t, err)
	require.Equal(t, bytesOf(t, "main", "skdm"), distribution)
	theirs := *given(t)
	for i := range 4 {
		text := fmt.Sprintf("group message %d", i)
		restore := testutil.ScriptRand(t, bytes.Repeat([]byte{0x77}, 64))
		m, next, err := group.Seal(&own, room, []byte(text), signing)
		restore()
		require.NoError(t, err)
		require.Equal(t, bytesOf(t, "main", fmt.Sprintf("skm_%d", i)), m)
		require.Equal(t, uint32(i), own.Iteration)
		own = next
		plaintext, after, err := group.Open(&theirs, m)
		require.NoError(t, err)
		require.Equal(t, text, string(plaintext))
		theirs = after
	}
	require.Equal(t, own.ChainKey, theirs.ChainKey)
}

func TestRecordVectors(t *testing.T) {
	s := given(t)
	record := func() string {
		return hex.EncodeToString(wire.AppendSenderKeyRecord(nil, &wire.SenderKeyRecord{States: []wire.SenderKeyState{*s}}))
	}
	require.Equal(t, "0a5108cdd7d291011222122099999999999999999999999999999999999999999999999999999999999999991a230a210514ca9e4d387bccf35746e0407daaacc6b28a4f8445ef5a5158894db983e240702803", record())
	for name, want := range map[string]string{
		"skm_2": "0a9d0108cdd7d291011224080312209d84e0dc583a30aea2a8df60e848d6a4de3cc09cd772ad71d14d19253aba10321a230a210514ca9e4d387bccf35746e0407daaacc6b28a4f8445ef5a5158894db983e240702222122040b9abb316ce4c33ce9107109a759c0a4d7da39aed9ae12614f6dd3850814c21222408011220d529b414ae4ff3cc141ef8513408deaf4cfe478e227d4302a689a503cbabdd512803",
	} {
		_, next, err := group.Open(s, bytesOf(t, "main", name))
		require.NoError(t, err)
		s = &next
		require.Equal(t, want, record())
	}
	_, next, err := group.Open(s, bytesOf(t, "main", "skm_0"))
	require.NoError(t, err)
	s = &next
	require.Equal(t, "0a7908cdd7d291011224080312209d84e0dc583a30aea2a8df60e848d6a4de3cc09cd772ad71d14d19253aba10321a230a210514ca9e4d387bccf35746e0407daaacc6b28a4f8445ef5a5158894db983e24070222408011220d529b414ae4ff3cc141ef8513408deaf4cfe478e227d4302a689a503cbabdd512803", record())
}

// The edge cases, each on a state that was just given: what is read, and what
// is refused and why. A name that stands in neither list fails.
func TestEdgeCaseVectors(t *testing.T) {
	texts := map[string]string{"ok0": "msg0", "ok1": "msg1", "ok5": "msg5", "ok25000": "msg25000", "v30": "msg0", "v3f": "msg0",
		"unknownfield": "msg0", "empty_pt": "", "n2000": "msg2000", "n2001": "msg2001", "n2002": "msg2002"}
	refused := map[string]error{"ok25001": session.ErrTooFar, "v43": session.ErrVersion, "v23": session.ErrVersion,
		"badsig": keys.ErrSignature, "uuid15": session.ErrMalformed, "nodist": session.ErrMalformed,
		"noct": session.ErrMalformed, "noiter": session.ErrMalformed, "nochain": session.ErrMalformed,
		"badpad": session.ErrAuth, "ct15": session.ErrAuth, "ct0": session.ErrAuth, "pad17": session.ErrAuth,
		"padincons": session.ErrAuth, "s_plus_L": keys.ErrSignature}
	var all map[string]json.RawMessage
	testutil.ReadJSON(t, "sealed-groups-fingerprint/sealed-groups-fingerprint-vectors.json", &all)
	var edge map[string]string
	require.NoError(t, json.Unmarshal(all["sender_key_edge_cases"], &edge))
	for name, s := range edge {
		switch name {
		case "sign_priv", "s_plus_L_topbits":
			continue // no messages
		case "chain_other": // of another chain: see TestGRP_10
			m, err := wire.ParseSenderKeyMessage(unhex(t, s))
			require.NoError(t, err)
			require.NotEqual(t, given(t).ChainID, m.ChainID)
			continue
		}
		plaintext, next, err := group.Open(given(t), unhex(t, s))
		if want, bad := refused[name]; bad {
			require.ErrorIs(t, err, want, name)
			require.Nil(t, plaintext)
			require.Equal(t, wire.SenderKeyState{}, next)
			continue
		}
		require.NoError(t, err, name)
		require.Contains(t, texts, name)
		require.Equal(t, texts[name], string(plaintext), name)
	}
}

// Section 10.6, "Limits".
func TestLimitVectors(t *testing.T) {
	edge := func(name string) []byte { return bytesOf(t, "sender_key_edge_cases", name) }
	read := func(s *wire.SenderKeyState, name string) *wire.SenderKeyState {
		_, next, err := group.Open(s, edge(name))
		require.NoError(t, err)
		return &next
	}
	at2000 := read(given(t), "n2000")
	read(at2000, "ok0")
	at2001 := read(given(t), "n2001")
	_, _, err := group.Open(at2001, edge("ok0"))
	require.ErrorIs(t, err, session.ErrDuplicate)
	_, _, err = group.Open(read(at2001, "ok1"), edge("ok1"))
	require.ErrorIs(t, err, session.ErrDuplicate)
	_, _, err = group.Open(given(t), edge("ok25001"))
	require.ErrorIs(t, err, session.ErrTooFar)
	far := read(given(t), "ok25000")
	require.Equal(t, uint32(25001), far.Iteration)
	require.Equal(t, uint32(25002), read(far, "ok25001").Iteration)
}

// Section 10.6, "State order".
func TestStateOrderVectors(t *testing.T) {
	state := func(chain uint32, key, data byte) *wire.SenderKeyState {
		return &wire.SenderKeyState{ChainID: chain, ChainKey: []byte{data}, SigningPublic: []byte{key}}
	}
	var states []wire.SenderKeyState
	add := func(s *wire.SenderKeyState) (chains []uint32) {
		var ok bool
		states, ok = group.Add(states, s, nil)
		require.True(t, ok)
		for _, s := range states {
			chains = append(chains, s.ChainID)
		}
		return chains
	}
	for chain := range uint32(5) {
		add(state(chain+1, 1, 1))
	}
	require.Equal(t, []uint32{6, 5, 4, 3, 2}, add(state(6, 1, 1)))
	require.Equal(t, []uint32{3, 6, 5, 4, 2}, add(state(3, 1, 2)))
	require.Equal(t, []byte{1}, states[0].ChainKey)
	require.Equal(t, []uint32{4, 3, 6, 5, 2}, add(state(4, 2, 2)))
	require.Equal(t, []byte{2}, states[0].ChainKey)
	require.Equal(t, []byte{2}, states[0].SigningPublic)
}

// A chain id of one's own fits a signed number, which deployed peers read.
func TestChainIDIsShort(t *testing.T) {
	s := group.NewState(math.MaxUint32, new([32]byte), keys.GenerateSigningKey())
	require.Equal(t, uint32(math.MaxInt32), s.ChainID)
}
