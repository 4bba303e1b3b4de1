package wire_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/gembok-e2ee/gembok/internal/wire"
)

func roundCertificate(b []byte) ([]byte, error) {
	c, err := wire.ParseCertificate(b)
	if err != nil {
		return nil, err
	}
	return wire.AppendCertificate(nil, &c), nil
}

func roundServerCertificate(b []byte) ([]byte, error) {
	c, err := wire.ParseServerCertificate(b)
	if err != nil {
		return nil, err
	}
	return wire.AppendServerCertificate(nil, &c), nil
}

func roundSenderCertificate(b []byte) ([]byte, error) {
	c, err := wire.ParseSenderCertificate(b)
	if err != nil {
		return nil, err
	}
	return wire.AppendSenderCertificate(nil, &c), nil
}

func roundSealedContent(b []byte) ([]byte, error) {
	c, err := wire.ParseSealedContent(b)
	if err != nil {
		return nil, err
	}
	return wire.AppendSealedContent(nil, &c), nil
}

// roundSealed also gives the version, which is not the parser's.
func roundSealed(b []byte) ([]byte, error) {
	if _, err := wire.SealedVersion(b); err != nil {
		return nil, err
	}
	m, err := wire.ParseSealedMessage(b)
	if err != nil {
		return nil, err
	}
	return append(wire.AppendSealedHead(nil, &m, len(m.Message)), m.Message...), nil
}

func frameSealed(p []byte) []byte { return append([]byte{wire.SealedV1}, p...) }

func senderCertificateFields() []fld {
	return []fld{raw(1, []byte("+14151111111")), num32(2, 5).must(), fixed(3, 1700000000000).must(), raw(4, key33(1)).must()}
}

func sealedContentFields() []fld {
	return []fld{num32(1, 7).must(), raw(2, seq(9)).must(), raw(3, seq(8)).must(), num32(4, 200), raw(5, seq(32))}
}

func sealedCodecs() []codec {
	head := senderCertificateFields()
	return []codec{
		{name: "Certificate", fields: []fld{raw(1, seq(40)).must(), raw(2, seq(64)).must()}, round: roundCertificate, limit: wire.MaxCertificate},
		{name: "ServerCertificate", fields: []fld{num32(1, 5).must(), raw(2, key33(1)).must()}, round: roundServerCertificate, limit: wire.MaxCertificate},
		{name: "SenderCertificate", fields: slices.Concat(head, []fld{raw(5, seq(105)).must(), raw(6, []byte("user")).must()}),
			round: roundSenderCertificate, limit: wire.MaxCertificate},
		{name: "SenderCertificate (compact)", fields: slices.Concat(head, []fld{raw(7, seq(16)).must(), num32(8, 5).must()}),
			round: roundSenderCertificate, limit: wire.MaxCertificate},
		{name: "SealedContent", fields: sealedContentFields(), round: roundSealedContent},
		{name: "SealedMessage", fields: []fld{raw(1, key33(1)).must(), raw(2, seq(43)).must(), raw(3, seq(20)).must()},
			frame: frameSealed, round: roundSealed},
	}
}

// Large ones are not made for this: those of TestSIZ_01_Caps are enough.
func TestSIZ_01_Sealed(t *testing.T) {
	big := make([]byte, wire.MaxSealed+1)
	_, err := wire.SealedVersion(big)
	require.ErrorIs(t, err, wire.ErrTooLarge)
	_, err = wire.ParseSealedContent(big)
	require.ErrorIs(t, err, wire.ErrTooLarge)
	big[0] = wire.SealedSent
	_, err = wire.ParseSealedUpload(append(big, make([]byte, wire.MaxSealedSent-wire.MaxSealed)...))
	require.ErrorIs(t, err, wire.ErrTooLarge)
	c := wire.SealedContent{Type: wire.TypeSignal, Content: big}
	require.ErrorIs(t, wire.CheckSealedContent(&c), wire.ErrTooLarge)
}

// Of the two fields for a server, and of those for a user, the later one counts.
func TestPRS_04_SealedPairs(t *testing.T) {
	head := encode(senderCertificateFields())
	server, id := raw(5, seq(105)).append(nil), num32(8, 77).append(nil)
	text, uuid := raw(6, []byte("user")).append(nil), raw(7, seq(16)).append(nil)
	parse := func(tail ...[]byte) wire.SenderCertificate {
		c, err := wire.ParseSenderCertificate(slices.Concat(append([][]byte{head}, tail...)...))
		require.NoError(t, err)
		return c
	}
	c := parse(server, id, uuid, text)
	require.Nil(t, c.Server)
	require.Equal(t, uint32(77), c.ServerID)
	require.Nil(t, c.UUID)
	require.Equal(t, "user", c.User)
	c = parse(text, id, uuid, server)
	require.Equal(t, seq(105), c.Server)
	require.Zero(t, c.ServerID)
	require.Equal(t, seq(16), c.UUID)
	require.Empty(t, c.User)

	// What does not count may be wrong, but not in its encoding.
	require.Equal(t, "user", parse(id, raw(7, seq(3)).append(nil), text).User)
	require.Equal(t, "", parse(id, raw(6, nil).append(nil)).User)
	_, err := wire.ParseSenderCertificate(slices.Concat(head, id, raw(6, []byte{0xFF}).append(nil), uuid))
	require.ErrorIs(t, err, wire.ErrMalformed)
}

func TestSenderCertificateValues(t *testing.T) {
	rest := slices.Concat(raw(6, []byte("user")).append(nil), num32(8, 77).append(nil))
	parse := func(fs ...fld) error {
		_, err := wire.ParseSenderCertificate(slices.Concat(encode(fs), rest))
		return err
	}
	for device, good := range map[uint64]bool{0: false, 1: true, 127: true, 128: false, 255: false, 1 << 32: false, 1<<32 + 1: true, math.MaxUint64: false} {
		err := parse(num32(2, device), fixed(3, 0), raw(4, nil))
		require.Equal(t, good, err == nil, "%d", device)
	}
	for _, n := range []int{0, 1, 15, 17, 33} {
		_, err := wire.ParseSenderCertificate(slices.Concat(encode(senderCertificateFields()), rest, raw(7, seq(n)).append(nil)))
		require.ErrorIs(t, err, wire.ErrMalformed)
	}
	// An empty phone number stays one.
	c, err := wire.ParseSenderCertificate(slices.Concat(raw(1, nil).append(nil), encode(senderCertificateFields()[1:]), rest))
	require.NoError(t, err)
	require.True(t, c.HasE164)
	require.True(t, strings.HasPrefix(string(wire.AppendSenderCertificate(nil, &c)), "\x0a\x00"))
}

func TestPRS_10_SealedUTF8(t *testing.T) {
	for _, c := range sealedCodecs()[2:3] {
		for _, i := range []int{0, 5} {
			malformed(t, c, replace(c, i, protowire.BytesType, protowire.AppendString(nil, "a\xff")))
		}
	}
}

// The types of a content are few, and numbered otherwise than messages.
func TestSS_15_SealedTypes(t *testing.T) {
	want := map[uint64]wire.MessageType{1: wire.TypePreKey, 2: wire.TypeSignal, 7: wire.TypeSenderKey, 8: wire.TypePlaintext}
	for n := range uint64(300) {
		c, err := wire.ParseSealedContent(encode([]fld{num32(1, n), raw(2, nil), raw(3, nil)}))
		if want[n] == 0 {
			require.ErrorIs(t, err, wire.ErrMalformed, "%d", n)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, want[n], c.Type)
		require.NoError(t, wire.CheckSealedContent(&c))
	}
	for typ := range 256 {
		c := wire.SealedContent{Type: wire.MessageType(typ)}
		err := wire.CheckSealedContent(&c)
		if c.Type == wire.TypeSignal || c.Type == wire.TypePreKey || c.Type == wire.TypeSenderKey || c.Type == wire.TypePlaintext {
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, wire.ErrMalformed)
		}
	}
	// The last one counts, as everywhere.
	c, err := wire.ParseSealedContent(encode([]fld{num32(1, 5), num32(1, 2), raw(2, nil), raw(3, nil)}))
	require.NoError(t, err)
	require.Equal(t, wire.TypeSignal, c.Type)
}

func TestPRS_11_SealedContent(t *testing.T) {
	parse := func(fs ...fld) wire.SealedContent {
		c, err := wire.ParseSealedContent(encode(append([]fld{num32(1, 2), raw(2, nil), raw(3, nil)}, fs...)))
		require.NoError(t, err)
		return c
	}
	require.Nil(t, parse().Group)
	require.Equal(t, []byte{}, parse().Content)
	empty := parse(raw(5, nil))
	require.NotNil(t, empty.Group)
	require.Empty(t, empty.Group)
	absent := parse()
	require.Equal(t, wire.AppendSealedContent(nil, &absent), wire.AppendSealedContent(nil, &empty))

	require.Equal(t, uint32(math.MaxUint32), parse(num32(4, math.MaxUint64)).Hint) // −1
	zero := parse(num32(4, 0))
	require.Equal(t, wire.AppendSealedContent(nil, &absent), wire.AppendSealedContent(nil, &zero))
}

// sentForm is one with the given number of entries and what follows.
func sentForm(version byte, count uint64, parts ...[]byte) []byte {
	return slices.Concat(append([][]byte{binary.AppendUvarint([]byte{version}, count)}, parts...)...)
}

func TestSealedUpload(t *testing.T) {
	var key [wire.SealedKeySize]byte
	copy(key[:], seqFrom(48, 1))
	shared := seqFrom(40, 99)
	a, b := wire.ServiceID{UUID: [16]byte(seq(16))}, wire.ServiceID{PNI: true, UUID: [16]byte(seq(16))}
	out := wire.AppendSealedUpload(nil, 3, 200)
	out = append(wire.AppendSealedDevice(wire.AppendSealedDevice(wire.AppendSealedUser(out, a), 1, 0x1234, true), 127, 0x3FFF, false), key[:]...)
	out = wire.AppendSealedExcluded(out, b)
	out = append(wire.AppendSealedDevice(wire.AppendSealedUser(out, a), 2, 0xFFFF_C001, false), key[:]...)
	out = append(out, shared...)

	u, err := wire.ParseSealedUpload(out)
	require.NoError(t, err)
	require.Equal(t, uint32(3), u.Count)
	require.Equal(t, shared, out[u.Shared:])
	entries := slices.Collect(u.All())
	require.Len(t, entries, 3)
	require.Equal(t, []wire.ServiceID{a, b, a}, []wire.ServiceID{entries[0].User, entries[1].User, entries[2].User})
	require.Equal(t, key[:], out[entries[0].Key:][:48])
	require.Empty(t, entries[1].Devices)
	require.Zero(t, entries[1].Key)
	devices := map[uint32]uint32{}
	for id, registration := range entries[0].Devices.All() {
		devices[id] = registration
	}
	require.Equal(t, map[uint32]uint32{1: 0x1234, 127: 0x3FFF}, devices)
	for id, registration := range entries[2].Devices.All() {
		require.Equal(t, []uint32{2, 1}, []uint32{id, registration}) // 14 bits are written
	}
	for range u.All() {
		break
	}
	for range entries[0].Devices.All() {
		break
	}

	m, err := wire.ParseSealedShared(wire.AppendSealedReceived(nil, &key, shared))
	require.NoError(t, err)
	require.Equal(t, key, *m.Key)
	require.Equal(t, shared, append(m.Ephemeral[:], m.Body...))
}

func TestPRS_07_SealedShared(t *testing.T) {
	for n := range 81 {
		_, err := wire.ParseSealedShared(append([]byte{0x22}, make([]byte, 80)...)[:n])
		require.ErrorIs(t, err, wire.ErrMalformed)
	}
	m, err := wire.ParseSealedShared(make([]byte, 81))
	require.NoError(t, err)
	require.Empty(t, m.Body)
	_, err = wire.SealedVersion(nil)
	require.ErrorIs(t, err, wire.ErrMalformed)
}

// A number of recipients is a varint in its shortest form, of 32 bits, and
// nothing is allocated for it.
func TestSS_10_Count(t *testing.T) {
	shared := make([]byte, 32)
	u, err := wire.ParseSealedUpload(sentForm(0x23, 0, shared))
	require.NoError(t, err)
	require.Equal(t, 2, u.Shared)
	for _, count := range [][]byte{{0x80, 0}, {0x81, 0}, {0x80, 0x80, 0x80, 0x80, 0}, {0x80, 0x80, 0x80, 0x80, 0x10},
		{0xFF, 0xFF, 0xFF, 0xFF, 0x1F}, bytes.Repeat([]byte{0x80}, 10), {0x80}} {
		_, err := wire.ParseSealedUpload(slices.Concat([]byte{0x23}, count, shared))
		require.ErrorIs(t, err, wire.ErrMalformed, "%x", count)
	}
	for _, count := range []uint64{1, 2, 127, 128, math.MaxInt32, math.MaxUint32} {
		b := sentForm(0x23, count, shared)
		_, err := wire.ParseSealedUpload(b)
		require.ErrorIs(t, err, wire.ErrMalformed)
		require.LessOrEqual(t, allocated(func() { _, _ = wire.ParseSealedUpload(b) }), uint64(4<<10))
	}
	_, err = wire.ParseSealedUpload(sentForm(0x23, 0, shared[1:]))
	require.ErrorIs(t, err, wire.ErrMalformed)
}

func TestSS_08_SentVersions(t *testing.T) {
	for v := range 256 {
		_, err := wire.ParseSealedUpload(sentForm(byte(v), 0, make([]byte, 32)))
		if v == 0x22 || v == 0x23 {
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, wire.ErrVersion)
		}
	}
	_, err := wire.ParseSealedUpload(nil)
	require.ErrorIs(t, err, wire.ErrMalformed)
}
