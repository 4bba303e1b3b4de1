package wire_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/gembok-e2ee/gembok/internal/wire"
)

// spec/storage.md, Sections 1 and 3.
func TestKeyRecordExamples(t *testing.T) {
	const public = "058f40c5adb68f25624ae5b214ea767a6ec94d829d3d7b5e1ad1ba6f3e2138285f"
	const private = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e5f"
	pair := unhex(t, "0a21"+public+"1220"+private)
	rec, err := wire.ParseIdentityKeyPairRecord(pair)
	require.NoError(t, err)
	require.Equal(t, unhex(t, public), rec.Public)
	require.Equal(t, unhex(t, private), rec.Private)
	require.Equal(t, pair, wire.AppendIdentityKeyPairRecord(nil, &rec))

	signed := unhex(t, "08051221"+public+"1a20"+private+"2203010203297b68e5cf8b010000")
	s, err := wire.ParseSignedPreKeyRecord(signed)
	require.NoError(t, err)
	require.Equal(t, uint32(5), s.ID)
	require.Equal(t, []byte{1, 2, 3}, s.Signature)
	require.Equal(t, uint64(1700000000123), s.Created)
	require.Equal(t, signed, wire.AppendSignedPreKeyRecord(nil, &s))
}

// An empty record decodes, with id 0; keys are judged by their user.
func TestEmptyRecords(t *testing.T) {
	pair, err := wire.ParseIdentityKeyPairRecord(nil)
	require.NoError(t, err)
	require.Empty(t, wire.AppendIdentityKeyPairRecord(nil, &pair))
	p, err := wire.ParsePreKeyRecord(nil)
	require.NoError(t, err)
	require.Empty(t, wire.AppendPreKeyRecord(nil, &p))
	s, err := wire.ParseSignedPreKeyRecord(nil)
	require.NoError(t, err)
	require.Empty(t, wire.AppendSignedPreKeyRecord(nil, &s))
	k, err := wire.ParseSenderKeyRecord(nil)
	require.NoError(t, err)
	require.Empty(t, wire.AppendSenderKeyRecord(nil, k))
}

// spec/storage.md, Section 4.7 and Section 9, 1.
func TestWorkedRecord(t *testing.T) {
	var v struct {
		Root, Chain_a, Chain_b                                  string
		Alice_identity_public, Bob_identity_public              string
		Alice_ratchet_public, Bob_ratchet_public                string
		Bob_ratchet_private, Bob_record, Bob_record_after_2     string
		Bob_record_after_2_0, Alice_record, Bob_record_archived string
	}
	vectors(t, "plain_ratchet", &v)
	s := wire.Session{
		Version: 4, LocalIdentity: unhex(t, v.Bob_identity_public), RemoteIdentity: unhex(t, v.Alice_identity_public),
		RootKey:              unhex(t, v.Root),
		Sender:               &wire.Chain{PublicKey: unhex(t, v.Bob_ratchet_public), PrivateKey: unhex(t, v.Bob_ratchet_private), Key: unhex(t, v.Chain_b)},
		Receivers:            []wire.Chain{{PublicKey: unhex(t, v.Alice_ratchet_public), Key: unhex(t, v.Chain_a)}},
		RemoteRegistrationID: 7, LocalRegistrationID: 8, BaseKey: unhex(t, v.Alice_identity_public),
	}
	record := func() string {
		rec := wire.SessionRecord{Current: wire.AppendSession(nil, &s)}
		return fmt.Sprintf("%x", wire.AppendSessionRecord(nil, &rec))
	}
	require.Equal(t, v.Bob_record, record())

	// Message 2 came first, then message 0.
	chain := &s.Receivers[0]
	seeds := [][32]byte{
		[32]byte(unhex(t, "bef26ea3a0c75d3231e03f3a7b45065b74f7e393c9e06c94f518176514e24640")),
		[32]byte(unhex(t, "d09b18ac2d18c0996dffe7781882c2a0a3521a06192a8d99a718b92b078bcd0b")),
	}
	after, err := wire.ParseSessionRecord(unhex(t, v.Bob_record_after_2))
	require.NoError(t, err)
	want, err := wire.ParseSession(after.Current)
	require.NoError(t, err)
	require.Equal(t, uint32(3), want.Receivers[0].Index)
	chain.Index, chain.Key = 3, want.Receivers[0].Key
	chain.Skipped = chain.Skipped.Prepend(0, seeds)
	require.Equal(t, v.Bob_record_after_2, record())
	k, at := chain.Skipped.Find(0)
	require.Equal(t, seeds[0][:], k.Seed)
	chain.Skipped = chain.Skipped.Remove(at)
	require.Equal(t, v.Bob_record_after_2_0, record())

	archived := wire.SessionRecord{Previous: [][]byte{wire.AppendSession(nil, &s)}}
	require.Equal(t, v.Bob_record_archived, fmt.Sprintf("%x", wire.AppendSessionRecord(nil, &archived)))
}

// spec/storage.md, Section 9, 6.
func TestPendingPreKey(t *testing.T) {
	key := key33(1)
	want := slices.Concat(unhex(t, "08ffffffff0f1221"), key, unhex(t, "18ffffffffffffffffff0120"), []byte{0x80, 0xe2, 0xcf, 0xaa, 6})
	p := wire.PendingPreKey{HasPreKeyID: true, PreKeyID: math.MaxUint32, BaseKey: key, SignedPreKeyID: math.MaxUint32, Created: 1700000000}
	b := wire.AppendSession(nil, &wire.Session{Pending: &p})
	require.Equal(t, encode([]fld{raw(9, want)}), b)
	for _, id := range []uint32{0, 1, 1<<31 - 1, 1 << 31, math.MaxUint32} {
		for _, has := range []bool{false, true} {
			p := wire.PendingPreKey{HasPreKeyID: has, SignedPreKeyID: id}
			if has {
				p.PreKeyID = id
			}
			s, err := wire.ParseSession(wire.AppendSession(nil, &wire.Session{Pending: &p}))
			require.NoError(t, err)
			require.Equal(t, p, *s.Pending)
		}
	}
}

// spec/storage.md, Section 9, 7.
func TestUnknownFieldsOfSessions(t *testing.T) {
	in := unhex(t, "0a100804120105280042020809600198060312060803420208091203ffffff3a0101")
	rec, err := wire.ParseSessionRecord(in)
	require.NoError(t, err)
	s, err := wire.ParseSession(rec.Current)
	require.NoError(t, err)
	rec.Current = wire.AppendSession(nil, s)
	require.Equal(t, unhex(t, "0a05080412010512060803420208091203ffffff"), wire.AppendSessionRecord(nil, &rec))
	rec.Current, rec.Previous = nil, append([][]byte{rec.Current}, rec.Previous...)
	require.Equal(t, unhex(t, "1205080412010512060803420208091203ffffff"), wire.AppendSessionRecord(nil, &rec))
}

// spec/storage.md, Section 9, 10.
func TestArchivedSessionsAreForty(t *testing.T) {
	var all [][]byte
	for i := range 45 {
		all = append(all, wire.AppendSession(nil, &wire.Session{Version: uint32(i) + 1}))
	}
	var fs []fld
	for _, s := range all {
		fs = append(fs, raw(2, s))
	}
	rec := wire.SessionRecord{Previous: all}
	require.Equal(t, encode(fs[:40]), wire.AppendSessionRecord(nil, &rec))
	rec, err := wire.ParseSessionRecord(encode(fs))
	require.NoError(t, err)
	require.Equal(t, all[:40], rec.Previous)
}

func TestReceiverChainsAreFive(t *testing.T) {
	var fs []fld
	for i := range 8 {
		fs = append(fs, sub(7, []fld{raw(1, key33(byte(i)))}))
	}
	s, err := wire.ParseSession(encode(fs))
	require.NoError(t, err)
	require.Len(t, s.Receivers, 5)
	require.Equal(t, encode(fs[3:]), wire.AppendSession(nil, s))
}

func TestSenderKeyStatesAreFive(t *testing.T) {
	var fs []fld
	for i := range 8 {
		fs = append(fs, sub(1, []fld{num32(1, uint64(i)+1)}))
	}
	rec, err := wire.ParseSenderKeyRecord(encode(fs))
	require.NoError(t, err)
	require.Len(t, rec.States, 5)
	require.Equal(t, encode(fs[:5]), wire.AppendSenderKeyRecord(nil, rec))
	rec.States = append(rec.States, wire.SenderKeyState{ChainID: 99})
	require.Equal(t, encode(fs[:5]), wire.AppendSenderKeyRecord(nil, rec))
}

func TestSenderSkipped(t *testing.T) {
	rec, err := wire.ParseSenderKeyRecord(encode([]fld{sub(1, senderStateFields())}))
	require.NoError(t, err)
	var got []wire.SenderMessageKey
	for k := range rec.States[0].Skipped.All() {
		got = append(got, k)
	}
	require.Equal(t, []wire.SenderMessageKey{{Iteration: 301, Seed: seq(32)}, {}}, got)
	for _, garbage := range []wire.SenderSkipped{{0x22, 5, 1}, {0x22, 2, 8}, {0x22, 1, 0xFF}, {0x20, 1}, {0x2A, 0}, {0x22}} {
		for range garbage.All() {
			t.Fatal("an entry out of garbage")
		}
	}
}

// A nested message that is there stays there, be it empty or known by one of
// its fields only.
func TestPresence(t *testing.T) {
	empty := encode([]fld{sub(1, []fld{sub(2, nil), sub(3, nil)})})
	out, err := roundSenderKey(empty)
	require.NoError(t, err)
	require.Equal(t, empty, out)

	rec := wire.SenderKeyRecord{States: []wire.SenderKeyState{{Iteration: 7, SigningPrivate: seq(32)}}}
	require.Equal(t, encode([]fld{sub(1, []fld{sub(2, []fld{num32(1, 7)}), sub(3, []fld{raw(2, seq(32))})})}),
		wire.AppendSenderKeyRecord(nil, &rec))
	s := wire.Session{Sender: &wire.Chain{Index: 7}}
	require.Equal(t, encode([]fld{sub(6, []fld{sub(3, []fld{num32(1, 7)})})}), wire.AppendSession(nil, &s))
	require.Empty(t, wire.AppendBundle(nil, &wire.Bundle{}))

	x := wire.SessionIndex{Current: []byte{}}
	require.Equal(t, []byte{1<<3 | 2, 0}, wire.AppendSessionIndex(nil, &x))
	x, err = wire.ParseSessionIndex(nil)
	require.NoError(t, err)
	require.Nil(t, x.Current)
}

func TestPublicationIsBounded(t *testing.T) {
	for _, entry := range []fld{sub(6, signedFields()[:2]), sub(7, signedFields())} {
		fs := append(publicationHead(), slices.Repeat([]fld{entry}, wire.MaxPublishedPreKeys)...)
		same(t, codec{fields: fs, round: roundPublication}, encode(fs))
		_, err := wire.ParsePublication(encode(append(fs, fs[len(fs)-1])))
		require.ErrorIs(t, err, wire.ErrTooLarge)
	}
	// Entries that are none make no room for keys.
	for _, entry := range []fld{raw(6, nil), raw(7, nil), raw(6, []byte{8}), raw(7, []byte{8, 1})} {
		b := encode(slices.Repeat([]fld{entry}, wire.MaxPublishedPreKeys))
		require.LessOrEqual(t, allocated(func() { _, _ = wire.ParsePublication(b) }), uint64(4<<10))
	}
}

// Hints are whole.
func TestArchivedNoteHints(t *testing.T) {
	fs := noteFields()
	for n := range 33 {
		fs[2].b = seq(n)
		_, err := wire.ParseSessionIndex(encode([]fld{sub(2, fs)}))
		require.Equal(t, n%wire.HintSize == 0, err == nil, "%d", n)
	}
}

// A prekey of a publication has all of its parts or none.
func TestPublicationPreKeys(t *testing.T) {
	for _, num := range []protowire.Number{4, 5} {
		for i, ok := range map[int]bool{0b000: true, 0b001: false, 0b010: false, 0b011: false, 0b100: false, 0b101: false, 0b110: true, 0b111: true} {
			var parts []fld
			for j, f := range signedFields() {
				if i>>j&1 == 1 {
					parts = append(parts, f)
				}
			}
			_, err := wire.ParsePublication(encode(append(publicationHead(), sub(num, parts))))
			require.Equal(t, ok, err == nil, "%d: %03b", num, i)
		}
	}
}

func TestBundleRanges(t *testing.T) {
	for i, values := range map[int]map[uint64]bool{
		0: {0: false, 1: true, 16380: true, 16381: false, 1 << 14: false, math.MaxUint32: false, 1 << 32: false, 1<<32 + 1: true},
		1: {0: false, 1: true, 127: true, 128: false, 256: false, math.MaxUint32: false, 1 << 32: false},
	} {
		for v, ok := range values {
			bundle, publication := bundleFields(), publicationFields()
			bundle[i].u, publication[i].u = v, v
			_, err := wire.ParseBundle(encode(bundle))
			_, err2 := wire.ParsePublication(encode(publication))
			if ok {
				require.NoError(t, err)
				require.NoError(t, err2)
			} else {
				require.ErrorIs(t, err, wire.ErrMalformed)
				require.ErrorIs(t, err2, wire.ErrMalformed)
			}
		}
	}
}

// A bundle without a one-time prekey has neither of its fields.
func TestBundleWithoutPreKey(t *testing.T) {
	fs := slices.Delete(bundleFields(), 6, 8)
	m, err := wire.ParseBundle(encode(fs))
	require.NoError(t, err)
	require.False(t, m.HasPreKey)
	require.Equal(t, encode(fs), wire.AppendBundle(nil, &m))
	fs = bundleFields()
	fs[7].b = nil // an empty key is none
	_, err = wire.ParseBundle(encode(fs))
	require.ErrorIs(t, err, wire.ErrMalformed)
}

// Nothing that holds a secret prints it.
func TestRedaction(t *testing.T) {
	secret := []byte("secret-secret-secret-secret-secr")
	chain := wire.Chain{PrivateKey: secret, Key: secret, Skipped: wire.Skipped(nil).Prepend(0, [][32]byte{[32]byte(secret)})}
	state := wire.SenderKeyState{ChainKey: secret, SigningPrivate: secret, Skipped: wire.SenderSkipped(secret)}
	for _, v := range []any{
		wire.SessionRecord{Current: secret, Previous: [][]byte{secret}}, wire.Session{RootKey: secret, Sender: &chain, PQRatchet: secret},
		chain, chain.Skipped, wire.MessageKey{Seed: secret, CipherKey: secret, MACKey: secret}, state, state.Skipped,
		wire.SenderKeyRecord{States: []wire.SenderKeyState{state}}, wire.SenderMessageKey{Seed: secret},
		wire.IdentityKeyPairRecord{Private: secret}, wire.Self{Identity: secret}, wire.StoredPreKey{Record: secret},
		wire.SessionIndex{Current: secret},
		wire.Content{Body: secret, Distribution: secret}, wire.Sync{Content: secret}, wire.SPQRMachine{RootKey: secret},
		wire.SPQRState{Negotiation: wire.SPQRNegotiation{AuthKey: secret}}, wire.SPQRHalf{Next: secret, History: secret},
		wire.PreKeyRecord{Private: secret}, wire.SignedPreKeyRecord{Private: secret},
	} {
		var text strings.Builder
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%b", "%o"} {
			fmt.Fprintf(&text, verb, v)
			fmt.Fprintf(&text, verb, []any{&v})
		}
		slog.New(slog.NewTextHandler(&text, nil)).Info("", "v", v)
		b, err := json.Marshal(v)
		require.NoError(t, err)
		text.Write(b)
		for _, leak := range []string{"secret-", fmt.Sprintf("%x", secret[:6]), fmt.Sprintf("%X", secret[:6]), "115 101 99", "0x73, 0x65", "c2VjcmV0"} {
			require.NotContains(t, text.String(), leak, "%T", v)
		}
	}
}

// Errors say what was wrong and show none of it.
func TestErrorsAreSilent(t *testing.T) {
	each(t, func(t *testing.T, c codec) {
		for i := range c.fields {
			marked := slices.Clone(c.fields)
			marked[i].b = []byte("marked-marked-marked")
			_, err := c.round(append(c.put(encode(marked)), 0))
			if err != nil {
				require.NotContains(t, err.Error(), "marked")
			}
		}
	})
}

// Two current sessions merge, empty ones too.
func TestCurrentSessionsMerge(t *testing.T) {
	out, err := roundRecord(unhex(t, "0a000a00"))
	require.NoError(t, err)
	require.Equal(t, unhex(t, "0a00"), out)
	in := slices.Repeat(unhex(t, "0a020804"), 1<<16)
	before := slices.Clone(in)
	require.LessOrEqual(t, allocated(func() { out, err = roundRecord(in) }), uint64(64<<10+8*len(in)))
	require.NoError(t, err)
	require.Equal(t, unhex(t, "0a020804"), out)
	require.Equal(t, before, in)
}
