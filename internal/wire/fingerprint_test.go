package wire_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/wire"
)

var roundFingerprint = value(wire.ParseFingerprint, wire.AppendFingerprint)

func fingerprintFields() []fld {
	return []fld{num32(1, 2), sub(2, []fld{raw(1, seq(32))}), sub(3, []fld{raw(1, seqFrom(32, 0xC0))})}
}

// What is missing is nil, what is empty is not, and a half that comes twice is
// merged.
func TestPRS_04_FingerprintHalves(t *testing.T) {
	whole := wire.Fingerprint{Version: 2, Local: seq(32), Remote: seqFrom(32, 0xC0)}
	none := sub(2, nil).append(nil)
	for _, c := range []struct {
		b    []byte
		want wire.Fingerprint
	}{
		{nil, wire.Fingerprint{}},
		{none, wire.Fingerprint{}},
		{encode([]fld{sub(3, []fld{raw(2, seq(3))})}), wire.Fingerprint{}},
		{encode([]fld{sub(2, []fld{raw(1, nil)})}), wire.Fingerprint{Local: []byte{}}},
		{slices.Concat(encode(fingerprintFields()), none), whole},
		{slices.Concat(sub(2, []fld{raw(1, seq(5))}).append(nil), encode(fingerprintFields())), whole},
	} {
		got, err := wire.ParseFingerprint(c.b)
		require.NoError(t, err)
		require.Equal(t, c.want, got, "%x", c.b)
	}
}

func FuzzF14Fingerprint(f *testing.F) { fuzz(f, nil, roundFingerprint) }
