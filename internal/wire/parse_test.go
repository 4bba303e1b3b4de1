package wire_test

import (
	"bytes"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/gembok-e2ee/gembok/internal/wire"
)

// varint10 is v in ten bytes.
func varint10(v uint64) []byte {
	b := make([]byte, 10)
	for i := range b {
		b[i] = byte(v>>(7*i)) | 0x80
	}
	b[9] &= 0x7f
	return b
}

// replace puts value, with the tag of the field at i, in its place.
func replace(c codec, i int, typ protowire.Type, value []byte) []byte {
	f := c.fields[i]
	p := protowire.AppendTag(encode(c.fields[:i]), f.num, typ)
	return c.put(slices.Concat(p, value, encode(c.fields[i+1:])))
}

func TestPRS_01_HugeLengths(t *testing.T) {
	lengths := []uint64{1<<31 - 1, 1 << 31, 1<<32 - 1, 1 << 32, 1<<32 + 5, 1 << 63, 1<<64 - 1}
	each(t, func(t *testing.T, c codec) {
		for i, f := range c.fields {
			if f.typ != protowire.BytesType {
				continue
			}
			for _, n := range lengths {
				b := replace(c, i, f.typ, protowire.AppendVarint(nil, n))
				malformed(t, c, b)
				require.LessOrEqual(t, allocated(func() { _, _ = c.round(b) }), uint64(4<<10))
			}
		}
	})
}

func TestPRS_02_Varints(t *testing.T) {
	eleven := slices.Concat(bytes.Repeat([]byte{0x80}, 10), []byte{0})
	over := slices.Concat(bytes.Repeat([]byte{0x80}, 9), []byte{2}) // 2^64
	each(t, func(t *testing.T, c codec) {
		for i, f := range c.fields {
			if f.typ != protowire.VarintType {
				continue
			}
			malformed(t, c, replace(c, i, f.typ, eleven))
			malformed(t, c, replace(c, i, f.typ, over))
			same(t, c, replace(c, i, f.typ, varint10(f.u)))
			if !f.wide {
				same(t, c, replace(c, i, f.typ, protowire.AppendVarint(nil, f.u+1<<32)))
				same(t, c, replace(c, i, f.typ, protowire.AppendVarint(nil, f.u|math.MaxUint32<<32)))
			}
		}
	})
}

// Every number but 0 is true.
func TestPRS_02_Bool(t *testing.T) {
	fs := bundleFields()
	for v, want := range map[uint64]bool{0: false, 1: true, 2: true, 1 << 32: true, 1 << 63: true} {
		fs[11].u = v
		m, err := wire.ParseBundle(encode(fs))
		require.NoError(t, err)
		require.Equal(t, want, m.LastResort, "%d", v)
	}
}

func TestPRS_02_LowBits(t *testing.T) {
	c := codecs()[0]
	m, err := wire.ParseSignalMessage(replace(c, 1, protowire.VarintType, protowire.AppendVarint(nil, 1<<32+5)))
	require.NoError(t, err)
	require.Equal(t, uint32(5), m.Counter)
}

// unknown are fields that no message knows, of every wire type.
func unknown() [][]byte {
	tag := func(num protowire.Number, typ protowire.Type, rest ...byte) []byte {
		return append(protowire.AppendTag(nil, num, typ), rest...)
	}
	group := func(num protowire.Number, inside ...byte) []byte {
		b := append(tag(num, protowire.StartGroupType), inside...)
		return append(b, tag(num, protowire.EndGroupType)...)
	}
	return [][]byte{
		tag(99, protowire.VarintType, 0x80, 1), tag(99, protowire.VarintType, varint10(1<<63)...),
		tag(16, protowire.Fixed32Type, 1, 2, 3, 4), tag(32, protowire.Fixed64Type, 1, 2, 3, 4, 5, 6, 7, 8),
		tag(protowire.MaxValidNumber, protowire.BytesType, 3, 0xFF, 0, 0xFF), tag(19500, protowire.BytesType, 0),
		group(99), group(31, group(32, tag(1, protowire.BytesType, 1, 7)...)...),
		group(1000, tag(1, protowire.VarintType, 1)...),
	}
}

func TestPRS_03_UnknownFields(t *testing.T) {
	each(t, func(t *testing.T, c codec) {
		for _, u := range unknown() {
			for i := range len(c.fields) + 1 {
				b := c.put(slices.Concat(encode(c.fields[:i]), u, encode(c.fields[i:])))
				if c.strict {
					malformed(t, c, b)
				} else {
					same(t, c, b)
				}
			}
		}
	})
}

// What the MAC covers is what was received, unknown fields included.
func TestPRS_03_BodyAsReceived(t *testing.T) {
	for _, u := range unknown() {
		body := slices.Concat([]byte{0x40}, u, encode(signalFields()), u)
		m, err := wire.ParseSignalMessage(slices.Concat(body, mac))
		require.NoError(t, err)
		require.Equal(t, body, m.Body)
		require.Equal(t, mac, m.MAC)
	}
}

func TestPRS_04_LastOneCounts(t *testing.T) {
	each(t, func(t *testing.T, c codec) {
		for i, f := range c.fields {
			other := f
			switch {
			case f.list:
				continue
			case f.message:
				other.b = nil // messages merge, and nothing changes nothing
			case f.typ == protowire.BytesType:
				other.b = append(slices.Clone(f.b), 'x')
			default:
				other.u = f.u + 1
			}
			same(t, c, c.put(slices.Concat(other.append(nil), encode(c.fields))))
			same(t, c, c.put(slices.Concat(encode(c.fields[:i]), other.append(nil), encode(c.fields[i:]))))
		}
	})
}

// Nested messages that come twice are merged, field by field.
func TestPRS_04_Merge(t *testing.T) {
	split := func(num protowire.Number, fs []fld) []byte {
		var b []byte
		for _, f := range fs {
			b = raw(num, encode([]fld{f})).append(b)
		}
		return b
	}
	for _, c := range []struct {
		name  string
		num   protowire.Number
		nest  []fld
		round func([]byte) ([]byte, error)
	}{
		{"record", 1, sessionFields(), roundRecord},
		{"sender", 6, chainFields(), roundSession},
		{"pending", 9, pendingFields(), roundSession},
		{"pending KEM", 14, pendingKEMFields(), roundSession},
		{"hosting", 2, hostingFields(), roundContent},
		{"timer", 3, timerFields(), roundContent},
		{"sync", 9, syncFields(), roundContent},
	} {
		out, err := c.round(split(c.num, c.nest))
		require.NoError(t, err, c.name)
		require.Equal(t, encode([]fld{sub(c.num, c.nest)}), out, c.name)
	}
	out, err := roundSession(raw(6, split(3, chainKeyFields())).append(nil))
	require.NoError(t, err)
	require.Equal(t, encode([]fld{sub(6, []fld{sub(3, chainKeyFields())})}), out)
}

func TestPRS_05_WireTypes(t *testing.T) {
	values := map[protowire.Type][]byte{
		protowire.VarintType: {1}, protowire.Fixed64Type: make([]byte, 8), protowire.BytesType: {0},
		protowire.StartGroupType: nil, protowire.EndGroupType: nil, protowire.Fixed32Type: make([]byte, 4),
		6: nil, 7: nil,
	}
	each(t, func(t *testing.T, c codec) {
		for i, f := range c.fields {
			for typ, v := range values {
				if typ == f.typ {
					continue
				}
				if typ == protowire.StartGroupType {
					v = protowire.AppendTag(nil, f.num, protowire.EndGroupType)
				}
				malformed(t, c, replace(c, i, typ, v))
				p := append(protowire.AppendTag(nil, f.num, typ), v...)
				malformed(t, c, c.put(slices.Concat(p, encode(c.fields))))
			}
		}
	})
}

func TestPRS_06_MissingFields(t *testing.T) {
	each(t, func(t *testing.T, c codec) {
		for i, f := range c.fields {
			b := c.put(without(c.fields, i))
			if f.required {
				malformed(t, c, b)
			} else {
				_, err := c.round(b)
				require.NoError(t, err)
			}
		}
	})
}

// A prefix that ends between two fields may be a message too, but never reads
// as the whole one; every other prefix is malformed.
func TestPRS_07_Truncation(t *testing.T) {
	each(t, func(t *testing.T, c codec) {
		b := c.sample()
		for n := range b {
			out, err := c.round(b[:n:n])
			if err != nil {
				require.ErrorIs(t, err, wire.ErrMalformed, "%d", n)
				continue
			}
			require.NotEqual(t, b, out)
			require.LessOrEqual(t, len(out), n+8)
		}
	})
}

// So does a nested message that ends early in a whole one.
func TestPRS_07_NestedTruncation(t *testing.T) {
	each(t, func(t *testing.T, c codec) {
		p := encode(c.fields)
		for n := range p {
			b := c.put(p[:n:n])
			out, err := c.round(b)
			if err != nil {
				require.ErrorIs(t, err, wire.ErrMalformed, "%d", n)
				continue
			}
			require.NotEqual(t, c.sample(), out)
			require.LessOrEqual(t, len(out), len(b)+8)
		}
	})
}

func TestPRS_08_TrailingBytes(t *testing.T) {
	each(t, func(t *testing.T, c codec) {
		b := c.sample()
		for n := 1; n <= 100; n++ {
			for _, x := range []byte{0, 0xFF, 0x08} {
				out, err := c.round(append(slices.Clone(b), bytes.Repeat([]byte{x}, n)...))
				if err != nil {
					require.ErrorIs(t, err, wire.ErrMalformed)
					continue
				}
				// 08 08 is a field of its own, another value of field 1, or one
				// that is not known.
				require.Equal(t, byte(0x08), x)
				require.Equal(t, c.fields[0].num != 1, bytes.Equal(b, out))
			}
		}
	})
}

// Bytes behind the MAC shift it, so that it does not hold any more.
func TestPRS_08_ShiftedMAC(t *testing.T) {
	b := frameSignal(encode(signalFields()))
	for n := 1; n <= 100; n++ {
		m, err := wire.ParseSignalMessage(append(slices.Clone(b), make([]byte, n)...))
		if err == nil {
			require.NotEqual(t, mac, m.MAC)
			continue
		}
		require.ErrorIs(t, err, wire.ErrMalformed)
	}
}

// So do they behind a signature.
func TestPRS_08_ShiftedSignature(t *testing.T) {
	b := frameGroup(encode(senderKeyFields()))
	for n := 1; n <= 100; n++ {
		m, err := wire.ParseSenderKeyMessage(append(slices.Clone(b), make([]byte, n)...))
		if err == nil {
			require.NotEqual(t, signature, m.Signature)
			continue
		}
		require.ErrorIs(t, err, wire.ErrMalformed)
	}
}

func TestPRS_09_Depth(t *testing.T) {
	groups := func(n int) []byte {
		start := protowire.AppendTag(nil, 99, protowire.StartGroupType)
		end := protowire.AppendTag(nil, 99, protowire.EndGroupType)
		return append(bytes.Repeat(start, n), bytes.Repeat(end, n)...)
	}
	nested := func(n int) (b []byte) { // in the manner of messages
		for range n {
			b = raw(99, b).append(nil)
		}
		return b
	}
	each(t, func(t *testing.T, c codec) {
		if c.strict {
			return
		}
		p := encode(c.fields)
		if c.limit > 0 { // not nested
			innermost := groups(100)
			same(t, c, c.put(slices.Concat(p, innermost)))
			malformed(t, c, c.put(slices.Concat(p, slices.Insert(innermost, 200, 8, 1))))
			same(t, c, c.put(slices.Concat(p, slices.Insert(groups(99), 198, 8, 1))))
		}
		same(t, c, c.put(slices.Concat(p, groups(10))))
		same(t, c, c.put(slices.Concat(p, nested(100))))
		for _, n := range []int{101, 10_000, 100_000} {
			if b := c.put(slices.Concat(p, groups(n))); c.limit == 0 || len(b) <= c.limit {
				_, err := c.round(b)
				require.Error(t, err)
				require.True(t, errorsIsAny(err, wire.ErrMalformed, wire.ErrTooLarge))
				require.LessOrEqual(t, allocated(func() { _, _ = c.round(b) }), uint64(64<<10+4*len(b)))
			}
		}
		malformed(t, c, c.put(slices.Concat(p, groups(1)[:2])))                                                  // no end
		malformed(t, c, c.put(slices.Concat(p, groups(1)[2:])))                                                  // no start
		malformed(t, c, c.put(protowire.AppendTag(slices.Concat(p, groups(1)[:2]), 98, protowire.EndGroupType))) // another's end
	})
}

func TestPRS_10_UTF8(t *testing.T) {
	at := map[string][]int{"Content/HostingContext": {0, 2}, "Content/Sync": {0}, "Self": {2}}
	for _, c := range codecs() {
		for _, i := range at[c.name] {
			for _, bad := range []string{"\xff", "a\xc3", "\xed\xa0\x80", "\xc0\x80", "\xf4\x90\x80\x80"} {
				malformed(t, c, replace(c, i, protowire.BytesType, protowire.AppendString(nil, bad)))
				// Also when a good one follows.
				p := raw(c.fields[i].num, []byte(bad)).append(nil)
				malformed(t, c, c.put(slices.Concat(p, encode(c.fields))))
			}
		}
		delete(at, c.name)
	}
	require.Empty(t, at)
}

func TestPRS_11_EmptyOrAbsent(t *testing.T) {
	parse := func(fs ...fld) wire.SignalMessage {
		m, err := wire.ParseSignalMessage(frameSignal(encode(fs)))
		require.NoError(t, err)
		return m
	}
	m := parse(raw(1, nil), num32(2, 0), raw(4, nil))
	require.Equal(t, []byte{}, m.RatchetKey) // its length is judged by its user
	require.Equal(t, []byte{}, m.Ciphertext)
	require.Nil(t, m.PQRatchet)
	require.Nil(t, m.Addresses)
	m = parse(raw(1, nil), num32(2, 0), raw(4, nil), raw(5, nil), raw(6, nil))
	require.Empty(t, m.PQRatchet)
	require.Equal(t, []byte{}, m.Addresses)
	require.True(t, bytes.HasSuffix(wire.AppendSignalMessage(nil, &m), []byte{6<<3 | 2, 0}))

	d, err := wire.ParseDecryptionErrorMessage(encode([]fld{raw(1, nil), num64(2, 0)}))
	require.NoError(t, err)
	require.Equal(t, []byte{}, d.RatchetKey)
	require.Equal(t, uint32(0), d.Device)
	require.Equal(t, encode([]fld{raw(1, nil), num64(2, 0), num32(3, 0)}), wire.AppendDecryptionErrorMessage(nil, &d))

	for _, empty := range [][]byte{
		raw(1, nil).append(nil),
		sub(1, []fld{raw(6, nil), raw(7, nil), raw(9, nil), raw(14, nil)}).append(nil),
		sub(1, []fld{sub(6, []fld{raw(3, nil), raw(4, nil)})}).append(nil),
	} {
		out, err := roundRecord(empty)
		require.NoError(t, err)
		require.Equal(t, empty, out)
	}
	rec, err := wire.ParseSessionRecord(nil)
	require.NoError(t, err)
	require.Nil(t, rec.Current)
	require.Empty(t, wire.AppendSessionRecord(nil, &rec))
}

func TestPRS_12_FieldNumbers(t *testing.T) {
	bad := [][]byte{
		{0, 0}, {2, 0}, // 0
		append(protowire.AppendVarint(nil, (1<<29)<<3), 0),   // 2^29
		append(protowire.AppendVarint(nil, (1<<32)<<3|8), 0), // 2^32 + 1
		append(protowire.AppendVarint(nil, math.MaxUint64&^7), 0),
		slices.Concat(bytes.Repeat([]byte{0x80}, 10), []byte{0, 0}), // no varint
	}
	each(t, func(t *testing.T, c codec) {
		for _, b := range bad {
			malformed(t, c, c.put(slices.Concat(b, encode(c.fields))))
			malformed(t, c, c.put(slices.Concat(encode(c.fields), b)))
		}
	})
}

func TestSIZ_01_Caps(t *testing.T) {
	each(t, func(t *testing.T, c codec) {
		if c.limit == 0 {
			return
		}
		out, err := c.round(make([]byte, c.limit+1))
		require.ErrorIs(t, err, wire.ErrTooLarge)
		require.Nil(t, out)
		if testing.Short() && c.limit > 1<<20 {
			return
		}
		filled := func(n int) []byte { return c.put(raw(99, make([]byte, n)).append(encode(c.fields))) }
		n := 2*c.limit - len(filled(c.limit))
		for len(filled(n+1)) <= c.limit {
			n++
		}
		b := filled(n)
		require.InDelta(t, c.limit, len(b), 8) // lengths of lengths
		same(t, c, b)
		_, err = c.round(filled(n + 1))
		require.ErrorIs(t, err, wire.ErrTooLarge)
	})
}

// The length of a bytes field is compared as it stands, not cut to an int.
func TestOVF_03_LengthsOn32Bits(t *testing.T) {
	each(t, func(t *testing.T, c codec) {
		for i, f := range c.fields {
			if f.typ == protowire.BytesType {
				n := uint64(len(f.b))
				for _, wrap := range []uint64{1 << 31, 1 << 32, 1 << 63} {
					malformed(t, c, replace(c, i, f.typ, append(protowire.AppendVarint(nil, n+wrap), f.b...)))
				}
			}
		}
	})
}

func TestOVF_04_Timestamps(t *testing.T) {
	for _, at := range []uint64{0, 1, 1 << 53, 1<<63 - 1, 1 << 63, math.MaxUint64,
		math.MaxUint64 - 11644473600000 + 1} {
		d := wire.DecryptionErrorMessage{Timestamp: at}
		gotDEM, err := wire.ParseDecryptionErrorMessage(wire.AppendDecryptionErrorMessage(nil, &d))
		require.NoError(t, err)
		require.Equal(t, at, gotDEM.Timestamp)

		c, err := wire.ParseContent(wire.AppendContent(nil, &wire.Content{SentAt: at}))
		require.NoError(t, err)
		require.Equal(t, at, c.SentAt)

		k, err := wire.ParseSignedPreKeyRecord(wire.AppendSignedPreKeyRecord(nil, &wire.SignedPreKeyRecord{Created: at}))
		require.NoError(t, err)
		require.Equal(t, at, k.Created)

		s, err := wire.ParseSession(wire.AppendSession(nil, &wire.Session{Pending: &wire.PendingPreKey{Created: at}}))
		require.NoError(t, err)
		require.Equal(t, at, s.Pending.Created)
	}
}
