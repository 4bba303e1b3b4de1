package wire_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/wire"
)

const aciText = "9d0652a3-dcc3-4d11-975f-74d61598733f"

func TestSES_10_OneCanonicalString(t *testing.T) {
	aci, err := wire.ParseServiceID(aciText)
	require.NoError(t, err)
	pni, err := wire.ParseServiceID("PNI:" + aciText)
	require.NoError(t, err)
	require.NotEqual(t, aci, pni)
	require.Equal(t, aciText, aci.String())
	require.Equal(t, "PNI:"+aciText, pni.String())
	for _, s := range []string{aciText, strings.ToUpper(aciText), "9D0652a3-dcc3-4D11-975f-74d61598733F"} {
		got, err := wire.ParseServiceID(s)
		require.NoError(t, err)
		require.Equal(t, aci, got)
		got, err = wire.ParseServiceID("PNI:" + s)
		require.NoError(t, err)
		require.Equal(t, pni, got)
	}
	for _, s := range []string{"00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"} {
		got, err := wire.ParseServiceID(s)
		require.NoError(t, err)
		require.Equal(t, s, got.String())
	}
	for _, i := range []int{8, 13, 18, 23} {
		_, err := wire.ParseServiceID(aciText[:i] + "0" + aciText[i+1:])
		require.ErrorIs(t, err, wire.ErrMalformed)
	}
	plain := strings.ReplaceAll(aciText, "-", "")
	for _, s := range []string{
		"", "PNI:", "ACI:" + aciText, "aci:" + aciText, "pni:" + aciText, "Pni:" + aciText, "PNI" + aciText,
		"PNI:PNI:" + aciText, "PNI: " + aciText, " " + aciText, aciText + " ", aciText + "\x00", plain, "PNI:" + plain,
		"{" + aciText + "}", "{" + plain + "}ab", "urn:uuid:" + aciText, aciText[1:], aciText + "0",
		"9d0652a3dcc3-4d11-975f-74d61598733f0", "9d0652a3-dcc3-4d11-975f+74d61598733f", "9d0652a3-dcc3-4d11-975f-74d61598733g",
		"9d0652a3-dcc3-4d11-975f--4d61598733f", "９d0652a3-dcc3-4d11-975f-74d615987", "alice", "+15551234567",
	} {
		got, err := wire.ParseServiceID(s)
		require.ErrorIs(t, err, wire.ErrMalformed, "%q", s)
		require.Equal(t, wire.ServiceID{}, got)
	}
}

func TestServiceIDBinary(t *testing.T) {
	uuid := unhex(t, strings.ReplaceAll(aciText, "-", ""))
	aci := wire.ServiceID{UUID: [16]byte(uuid)}
	pni := wire.ServiceID{PNI: true, UUID: [16]byte(uuid)}
	require.Equal(t, uuid, aci.Binary())
	require.Equal(t, append([]byte{1}, uuid...), pni.Binary())
	require.Equal(t, [17]byte(append([]byte{0}, uuid...)), aci.Fixed())
	require.Equal(t, [17]byte(append([]byte{1}, uuid...)), pni.Fixed())
	for _, id := range []wire.ServiceID{aci, pni} {
		got, err := wire.ParseBinaryServiceID(id.Binary())
		require.NoError(t, err)
		require.Equal(t, id, got)
		fixed := id.Fixed()
		got, err = wire.ParseFixedServiceID(fixed[:])
		require.NoError(t, err)
		require.Equal(t, id, got)
	}
	for n := range 20 {
		for _, first := range []byte{0, 1, 2, 0xFF} {
			b := append([]byte{first}, uuid...)
			b = append(b, 0, 0)[:n]
			got, err := wire.ParseBinaryServiceID(b)
			if n == 16 || n == 17 && first == 1 {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, wire.ErrMalformed)
				require.Equal(t, wire.ServiceID{}, got)
			}
			got, err = wire.ParseFixedServiceID(b)
			if n == 17 && first <= 1 {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, wire.ErrMalformed)
				require.Equal(t, wire.ServiceID{}, got)
			}
		}
	}
}

func TestServiceIDOrder(t *testing.T) {
	ordered := []wire.ServiceID{{}, {UUID: [16]byte{15: 1}}, {UUID: [16]byte{1}}, {UUID: [16]byte{0xFF}},
		{PNI: true}, {PNI: true, UUID: [16]byte{15: 1}}}
	for i, a := range ordered {
		for j, b := range ordered {
			require.Equal(t, sign(i-j), a.Compare(b))
		}
	}
}

func sign(n int) int { return min(1, max(-1, n)) }

func TestAddressBinding(t *testing.T) {
	alice, err := wire.ParseServiceID("796ABEDB-ca4e-4f18-8803-1fde5b921f9f")
	require.NoError(t, err)
	bob, err := wire.ParseServiceID(aciText)
	require.NoError(t, err)
	got := wire.AppendAddressBinding([]byte{0xEE}, alice, 2, bob, 1)
	var v struct{ Addresses string }
	vectors(t, "pqxdh", &v)
	require.Equal(t, append([]byte{0xEE}, unhex(t, v.Addresses)...), got)
}
