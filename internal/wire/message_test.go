package wire_test

import (
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/wire"
)

func TestKA_18_Versions(t *testing.T) {
	signal, full := encode(signalFields()), preKeyFields()
	noKEM := encode(full[:6])
	for v := range 16 {
		for low := range 16 { // ignored
			b := slices.Concat([]byte{byte(v<<4 | low)}, signal, mac)
			m, err := wire.ParseSignalMessage(b)
			if v != 3 && v != 4 {
				require.ErrorIs(t, err, wire.ErrVersion)
				require.Equal(t, wire.SignalMessage{}, m)
				continue
			}
			require.NoError(t, err)
			require.Equal(t, byte(v), m.Version)
			require.Equal(t, b[0], m.Body[0])
		}
	}
	// The outer version decides whether a KEM prekey must be there. The inner
	// one is judged by its own rule, and not compared here.
	inner := func(version byte, fs []fld) []byte {
		fs = slices.Clone(fs)
		fs[3].b = slices.Concat([]byte{version}, signal, mac)
		return encode(fs)
	}
	for _, c := range []struct {
		name  string
		bytes []byte
		want  error
	}{
		{"outer 3 with KEM", append([]byte{0x34}, encode(full)...), nil},
		{"outer 3 without KEM", append([]byte{0x34}, noKEM...), nil},
		{"outer 3, as older peers write it", append([]byte{0x33}, noKEM...), nil},
		{"outer 4 without KEM", append([]byte{0x44}, noKEM...), wire.ErrMalformed},
		{"outer 4, inner 3", append([]byte{0x44}, inner(0x34, full)...), nil},
		{"outer 3, inner 4", append([]byte{0x34}, inner(0x44, full[:6])...), nil},
		{"outer 4, inner 2", append([]byte{0x44}, inner(0x24, full)...), wire.ErrVersion},
		{"outer 4, inner 5", append([]byte{0x44}, inner(0x54, full)...), wire.ErrVersion},
		{"outer 2", append([]byte{0x24}, encode(full)...), wire.ErrVersion},
		{"outer 5", append([]byte{0x54}, encode(full)...), wire.ErrVersion},
		{"outer 0", append([]byte{0x04}, encode(full)...), wire.ErrVersion},
		{"empty", nil, wire.ErrMalformed},
		{"version alone", []byte{0x44}, wire.ErrMalformed},
		{"bad version alone", []byte{0x54}, wire.ErrVersion},
	} {
		m, err := wire.ParsePreKeySignalMessage(c.bytes)
		if c.want != nil {
			require.ErrorIs(t, err, c.want, c.name)
			require.Equal(t, wire.PreKeySignalMessage{}, m, c.name)
			continue
		}
		require.NoError(t, err, c.name)
		require.Equal(t, c.bytes[0]>>4, m.Version, c.name)
	}
	m, err := wire.ParsePreKeySignalMessage(append([]byte{0x44}, inner(0x34, full)...))
	require.NoError(t, err)
	require.Equal(t, byte(4), m.Version)
	require.Equal(t, byte(3), m.Message.Version)
}

func TestKA_19_HalfAKEMPreKey(t *testing.T) {
	full := preKeyFields()
	for _, version := range []byte{0x33, 0x34, 0x44} {
		for _, i := range []int{6, 7} {
			_, err := wire.ParsePreKeySignalMessage(append([]byte{version}, without(full, i)...))
			require.ErrorIs(t, err, wire.ErrMalformed)
		}
		m, err := wire.ParsePreKeySignalMessage(append([]byte{version}, encode(full)...))
		require.NoError(t, err)
		require.True(t, m.HasKEM)
		m, err = wire.ParsePreKeySignalMessage(append([]byte{version}, encode(full[:6])...))
		if version == 0x44 {
			require.ErrorIs(t, err, wire.ErrMalformed)
			continue
		}
		require.NoError(t, err)
		require.False(t, m.HasKEM)
		require.Equal(t, append([]byte{0x34}, encode(full[:6])...), wire.AppendPreKeySignalMessage(nil, &m))
	}
}

// Id 0 is an id like any other, and not the same as none.
func TestPreKeyID(t *testing.T) {
	fs := preKeyFields()
	fs[0].u = 0
	m, err := wire.ParsePreKeySignalMessage(framePreKey(encode(fs)))
	require.NoError(t, err)
	require.True(t, m.HasPreKeyID)
	require.Equal(t, framePreKey(encode(fs)), wire.AppendPreKeySignalMessage(nil, &m))
	m, err = wire.ParsePreKeySignalMessage(framePreKey(encode(fs[1:])))
	require.NoError(t, err)
	require.False(t, m.HasPreKeyID)
	require.Equal(t, framePreKey(encode(fs[1:])), wire.AppendPreKeySignalMessage(nil, &m))
}

func TestRAT_02_Length(t *testing.T) {
	whole := frameSignal(encode(signalFields()))
	for n := range 10 {
		for _, b := range [][]byte{whole[:n], append([]byte{0x44}, make([]byte, 9)...)[:n]} {
			m, err := wire.ParseSignalMessage(b)
			require.ErrorIs(t, err, wire.ErrMalformed)
			require.Equal(t, wire.SignalMessage{}, m)
		}
	}
	// A MAC is the last 8 bytes, whatever they are; with some of them gone or
	// added it is another one, over another body.
	for n := 1; n <= 8; n++ {
		m, err := wire.ParseSignalMessage(whole[:len(whole)-n])
		if err == nil {
			require.NotEqual(t, mac, m.MAC)
			require.NotEqual(t, whole[:len(whole)-8], m.Body)
		} else {
			require.ErrorIs(t, err, wire.ErrMalformed)
		}
		m, err = wire.ParseSignalMessage(append(slices.Clone(whole), mac[:n]...))
		if err == nil {
			require.NotEqual(t, whole[:len(whole)-8], m.Body)
		} else {
			require.ErrorIs(t, err, wire.ErrMalformed)
		}
	}
	m, err := wire.ParseSignalMessage(whole)
	require.NoError(t, err)
	require.Equal(t, mac, m.MAC)
	require.Equal(t, whole[:len(whole)-8], m.Body)
}

func TestRAT_09_PreviousCounter(t *testing.T) {
	fs := signalFields()
	want, err := wire.ParseSignalMessage(frameSignal(encode(fs)))
	require.NoError(t, err)
	for _, previous := range []uint64{0, 1, math.MaxUint32} {
		fs[2].u = previous
		b := frameSignal(encode(fs))
		var got wire.SignalMessage
		n := allocated(func() { got, err = wire.ParseSignalMessage(b) })
		require.NoError(t, err)
		require.LessOrEqual(t, n, uint64(1<<10))
		require.Equal(t, uint32(previous), got.Previous)
		got.Previous, got.Body = want.Previous, want.Body
		require.Equal(t, want, got)
	}
	got, err := wire.ParseSignalMessage(frameSignal(without(fs, 2)))
	require.NoError(t, err)
	require.Zero(t, got.Previous)
}

// Parsed fields cannot be appended to over what follows them in the input.
func TestFieldsAreFenced(t *testing.T) {
	b := framePreKey(encode(preKeyFields()))
	before := slices.Clone(b)
	m, err := wire.ParsePreKeySignalMessage(b)
	require.NoError(t, err)
	for _, f := range [][]byte{m.BaseKey, m.IdentityKey, m.MessageBytes, m.KEMCiphertext, m.Message.RatchetKey,
		m.Message.Ciphertext, m.Message.PQRatchet, m.Message.Addresses, m.Message.Body, m.Message.MAC} {
		_ = append(f, 0xEE)                   // over what follows
		_ = append(f, "longer than a MAC"...) // and over more of it
	}
	require.Equal(t, before, b)
}

func TestAppendGrowsOnce(t *testing.T) {
	m, err := wire.ParsePreKeySignalMessage(framePreKey(encode(preKeyFields())))
	require.NoError(t, err)
	s, err := wire.ParseSession(encode(sessionFields()))
	require.NoError(t, err)
	c, err := wire.ParseContent(encode(contentFields()))
	require.NoError(t, err)
	x, err := wire.ParseSessionIndex(encode([]fld{raw(1, seq(9)), sub(2, noteFields()), sub(2, noteFields())}))
	require.NoError(t, err)
	g, err := wire.ParseSenderKeyMessage(frameGroup(encode(senderKeyFields())))
	require.NoError(t, err)
	d, err := wire.ParseSenderKeyDistributionMessage(frameDistribution(encode(distributionFields())))
	require.NoError(t, err)
	k, err := wire.ParseSenderKeyRecord(sub(1, senderStateFields()).append(nil))
	require.NoError(t, err)
	y, err := wire.ParseSenderKeyIndex(sub(1, senderEntryFields()).append(nil))
	require.NoError(t, err)
	for name, write := range map[string]func(){
		"SignalMessage":       func() { _ = append(wire.AppendSignalMessage(nil, &m.Message), mac...) },
		"PreKeySignalMessage": func() { _ = wire.AppendPreKeySignalMessage(nil, &m) },
		"Session":             func() { _ = wire.AppendSession(nil, s) },
		"SenderKeyMessage":    func() { _ = append(wire.AppendSenderKeyMessage(nil, &g), signature...) },
		"Distribution":        func() { _ = wire.AppendSenderKeyDistributionMessage(nil, &d) },
		"SenderKeyRecord":     func() { _ = wire.AppendSenderKeyRecord(nil, k) },
		"SenderKeyIndex":      func() { _ = wire.AppendSenderKeyIndex(nil, &y) },
		"Content":             func() { _ = wire.AppendContent(nil, c) },
		"SessionIndex":        func() { _ = wire.AppendSessionIndex(nil, &x) },
	} {
		// One; with the race detector slices.Grow makes two.
		require.LessOrEqual(t, testing.AllocsPerRun(10, write), 2.0, name)
	}
}

// The caller finds room for the MAC.
func TestRoomForTheMAC(t *testing.T) {
	m, err := wire.ParseSignalMessage(frameSignal(encode(signalFields())))
	require.NoError(t, err)
	for n := range 40 {
		m.Ciphertext = seq(n)
		b := wire.AppendSignalMessage(nil, &m)
		require.GreaterOrEqual(t, cap(b)-len(b), wire.MACSize)
	}
}

func TestDecryptionErrorMessage(t *testing.T) {
	signal, preKey := frameSignal(encode(signalFields())), framePreKey(encode(preKeyFields()))
	for _, c := range []struct {
		original []byte
		typ      wire.MessageType
		key      []byte
	}{
		{signal, wire.TypeSignal, key33(1)},
		{preKey, wire.TypePreKey, key33(1)},
		{nil, wire.TypeSenderKey, nil},
		{[]byte("anything"), wire.TypeSenderKey, nil},
	} {
		m, err := wire.NewDecryptionErrorMessage(c.original, c.typ, 5, 7)
		require.NoError(t, err)
		require.Equal(t, wire.DecryptionErrorMessage{RatchetKey: c.key, Timestamp: 5, Device: 7}, m)
		got, err := wire.ParsePlaintextContent(wire.AppendPlaintextContent(nil, &m))
		require.NoError(t, err)
		require.Equal(t, m, got)
	}
	for _, c := range []struct {
		original []byte
		typ      wire.MessageType
		want     error
	}{
		{signal, wire.TypePlaintext, wire.ErrMalformed},
		{signal, 0, wire.ErrMalformed},
		{signal, 4, wire.ErrMalformed},
		{signal[:8], wire.TypeSignal, wire.ErrMalformed},
		{append([]byte{0x54}, signal[1:]...), wire.TypeSignal, wire.ErrVersion},
		{preKey[:100], wire.TypePreKey, wire.ErrMalformed},
		{signal, wire.TypePreKey, wire.ErrMalformed},
	} {
		m, err := wire.NewDecryptionErrorMessage(c.original, c.typ, 5, 7)
		require.ErrorIs(t, err, c.want)
		require.Equal(t, wire.DecryptionErrorMessage{}, m)
	}
	// Those of spec/wire-core.md, Section 11.
	m := wire.DecryptionErrorMessage{Timestamp: 5, Device: 7}
	require.Equal(t, unhex(t, "10051807"), wire.AppendDecryptionErrorMessage(nil, &m))
	require.Equal(t, unhex(t, "c042041005180780"), wire.AppendPlaintextContent(nil, &m))
	zero := wire.DecryptionErrorMessage{}
	require.Equal(t, unhex(t, "10001800"), wire.AppendDecryptionErrorMessage(nil, &zero))
	// Those of sealed-groups-fingerprint, Section 10.9.
	m = wire.DecryptionErrorMessage{Timestamp: 1700000000123, Device: 5}
	require.Equal(t, unhex(t, "10fbd095ffbc311805"), wire.AppendDecryptionErrorMessage(nil, &m))
	m.RatchetKey = unhex(t, "0538ab664bd86f77d7e66bdd9ae0792913a94fd8b33a1260027e4b46c1f4884c67")
	dem := "0a210538ab664bd86f77d7e66bdd9ae0792913a94fd8b33a1260027e4b46c1f4884c6710fbd095ffbc311805"
	require.Equal(t, unhex(t, dem), wire.AppendDecryptionErrorMessage(nil, &m))
	require.Equal(t, unhex(t, "c0422c"+dem+"80"), wire.AppendPlaintextContent(nil, &m))
}

func TestPlaintextContent(t *testing.T) {
	for _, c := range []struct {
		name, hex string
		want      error
	}{
		{"good", "c042041005180780", nil},
		{"empty", "", wire.ErrMalformed},
		{"marker alone", "c0", wire.ErrMalformed},
		{"padding that is the marker", "80", wire.ErrVersion},
		{"another marker", "c142041005180780", wire.ErrVersion},
		{"a message of a session", "44420410051807800000", wire.ErrVersion},
		{"no content", "c080", wire.ErrMalformed},
		{"no padding", "c0420410051807", wire.ErrMalformed},
		{"zeros behind the padding", "c0420410051807800000", wire.ErrMalformed},
		{"padding twice", "c04204100518078080", wire.ErrMalformed},
		{"a body beside it", "c00a0168" + "420410051807" + "80", wire.ErrMalformed},
		{"a body behind it", "c0420410051807" + "0a0168" + "80", wire.ErrMalformed},
		{"an unknown field beside it", "c0420410051807" + "f80101" + "80", wire.ErrMalformed},
		{"a body alone", "c00a016880", wire.ErrMalformed},
		{"no timestamp", "c04202180780", wire.ErrMalformed},
		{"empty request", "c0420080", wire.ErrMalformed},
		{"not a message", "c04201ff80", wire.ErrMalformed},
	} {
		m, err := wire.ParsePlaintextContent(unhex(t, c.hex))
		if c.want != nil {
			require.ErrorIs(t, err, c.want, c.name)
			require.Equal(t, wire.DecryptionErrorMessage{}, m, c.name)
			continue
		}
		require.NoError(t, err, c.name)
		require.Equal(t, wire.DecryptionErrorMessage{Timestamp: 5, Device: 7}, m)
	}
}
