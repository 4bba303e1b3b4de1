package spqr_test

import (
	"crypto/sha256"
	"crypto/sha3"
	"encoding/hex"
	"encoding/json"
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/ratchet/spqr"
)

// A hexBytes is a byte string that JSON holds as hex.
type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.AppendDecode(nil, text)
	return err
}

type vectorRound struct {
	N            int
	A2B          hexBytes `json:"a2b"`
	A2BKey       hexBytes `json:"a2b_key"`
	B2A          hexBytes `json:"b2a"`
	B2AKey       hexBytes `json:"b2a_key"`
	AStateSHA256 hexBytes `json:"a_state_sha256"`
	BStateSHA256 hexBytes `json:"b_state_sha256"`
	A, B         string
	AState       hexBytes `json:"a_state"`
	BState       hexBytes `json:"b_state"`
}

type vectorFile struct {
	Chain struct {
		AuthKey   hexBytes   `json:"auth_key"`
		A2BEpoch0 []hexBytes `json:"a2b_epoch0_keys"`
		B2AEpoch0 []hexBytes `json:"b2a_epoch0_keys"`
		Secret    hexBytes   `json:"epoch1_secret"`
		A2BEpoch1 []hexBytes `json:"a2b_epoch1_keys"`
		B2AEpoch1 []hexBytes `json:"b2a_epoch1_keys"`
		StoredA   hexBytes   `json:"chain_pb_a"`
		StoredB   hexBytes   `json:"chain_pb_b"`
	}
	Conversation struct {
		AuthKey  hexBytes `json:"auth_key"`
		InitialA hexBytes `json:"initial_a"`
		InitialB hexBytes `json:"initial_b"`
		Rounds   []vectorRound
	}
	Official []officialRow `json:"official_0_103_transcript"`
}

type officialRow struct {
	Round, From   string
	Type, Chunk   string
	Epoch, Index  string
	Message       hexBytes `json:"pq_ratchet"`
	Length        string   `json:"len"`
	SenderBefore  string   `json:"sender_before"`
	SenderAfter   string   `json:"sender_after"`
	ReceiverAfter string   `json:"receiver_after"`
}

func readVectors(t testing.TB) *vectorFile {
	t.Helper()
	b, err := os.ReadFile("../../testdata/spqr/spqr-vectors.json")
	require.NoError(t, err)
	v := new(vectorFile)
	require.NoError(t, json.Unmarshal(b, v))
	return v
}

// stream draws coins from SHAKE256(name), one after the other.
func stream(name string) func(n int) []byte {
	h := sha3.NewSHAKE256()
	h.Write([]byte(name))
	return func(n int) []byte {
		b := make([]byte, n)
		h.Read(b)
		return b
	}
}

// A party holds its state in stored form between any two steps.
type party struct {
	t      testing.TB
	stored []byte
	draw   func(int) []byte
}

func (p *party) send() (msg, key []byte) {
	p.t.Helper()
	s, err := spqr.Parse(p.stored)
	require.NoError(p.t, err)
	next, msg, k, err := s.SendWith(p.draw)
	require.NoError(p.t, err)
	require.Equal(p.t, p.stored, s.Append(nil), "Send leaves its receiver alone")
	p.stored = next.Append(nil)
	return msg, k[:]
}

func (p *party) recv(msg []byte) (key []byte) {
	p.t.Helper()
	s, err := spqr.Parse(p.stored)
	require.NoError(p.t, err)
	next, k, err := s.Recv(msg)
	require.NoError(p.t, err)
	require.Equal(p.t, p.stored, s.Append(nil), "Recv leaves its receiver alone")
	p.stored = next.Append(nil)
	return k[:]
}

func TestConversationVector(t *testing.T) {
	v := readVectors(t).Conversation
	auth := (*[32]byte)(v.AuthKey)
	a := &party{t, spqr.New(auth, true, 0).Append(nil), stream("spqr-vector-A")}
	b := &party{t, spqr.New(auth, false, 0).Append(nil), stream("spqr-vector-B")}
	require.Equal(t, []byte(v.InitialA), a.stored)
	require.Equal(t, []byte(v.InitialB), b.stored)
	require.Len(t, v.Rounds, 200)
	for _, r := range v.Rounds {
		msg, key := a.send()
		require.Equal(t, []byte(r.A2B), msg, "round %d", r.N)
		require.Equal(t, []byte(r.A2BKey), key)
		require.Equal(t, key, b.recv(msg))
		msg, key = b.send()
		require.Equal(t, []byte(r.B2A), msg, "round %d", r.N)
		require.Equal(t, []byte(r.B2AKey), key)
		require.Equal(t, key, a.recv(msg))
		if r.AState != nil {
			require.Equal(t, []byte(r.AState), a.stored)
			require.Equal(t, []byte(r.BState), b.stored)
		}
		require.Equal(t, r.A, a.state())
		require.Equal(t, r.B, b.state())
		require.Equal(t, [32]byte(r.AStateSHA256), sha256.Sum256(a.stored))
		require.Equal(t, [32]byte(r.BStateSHA256), sha256.Sum256(b.stored))
	}
}

// TestOfficialTranscript reads the messages of a conversation of the official
// library and lets both sides of one here live through the same.
func TestOfficialTranscript(t *testing.T) {
	v := readVectors(t)
	require.Len(t, v.Official, 22)
	auth := &[32]byte{1}
	sides := map[string]*party{
		"A": {t, spqr.New(auth, true, 0).Append(nil), stream("A")},
		"B": {t, spqr.New(auth, false, 0).Append(nil), stream("B")},
	}
	for _, row := range v.Official {
		sender, receiver := sides[row.From], sides["B"]
		if row.From == "B" {
			receiver = sides["A"]
		}
		require.Equal(t, row.Length, strconv.Itoa(len(row.Message)))
		m := parseMessage(t, row.Message)
		requireRow(t, row, m)
		require.Equal(t, []byte(row.Message), m.Append(nil))
		if row.SenderBefore != "(none)" {
			require.Equal(t, row.SenderBefore, sender.state())
		}
		msg, key := sender.send()
		requireRow(t, row, parseMessage(t, msg))
		require.Equal(t, key, receiver.recv(msg))
		require.Equal(t, row.SenderAfter, sender.state())
		require.Equal(t, row.ReceiverAfter, receiver.state())
	}
}

func parseMessage(t testing.TB, b []byte) (m wire.SPQRMessage) {
	t.Helper()
	rest, err := m.ParsePreamble(b)
	require.NoError(t, err)
	require.NoError(t, m.ParsePayload(rest))
	return m
}

func requireRow(t testing.TB, row officialRow, m wire.SPQRMessage) {
	t.Helper()
	require.Equal(t, row.Epoch, strconv.FormatUint(m.Epoch, 10))
	require.Equal(t, row.Index, strconv.FormatUint(uint64(m.Index), 10))
	require.Equal(t, row.Type, []string{"None", "Hdr", "Ek", "EkCt1Ack", "Ct1Ack", "Ct1", "Ct2"}[m.Kind])
	if row.Chunk != "-" {
		require.Equal(t, row.Chunk, strconv.Itoa(int(m.ChunkIndex)))
	}
}

// state returns the name of the machine's state.
func (p *party) state() string {
	p.t.Helper()
	var w wire.SPQRState
	require.NoError(p.t, w.Parse(p.stored))
	return stateNames[w.Machine.State]
}

var stateNames = [12]string{
	"", "KeysUnsampled", "KeysSampled", "HeaderSent", "Ct1Received", "EkSentCt1Received",
	"NoHeaderReceived", "HeaderReceived", "Ct1Sampled", "EkReceivedCt1Sampled", "Ct1Acknowledged", "Ct2Sampled",
}
