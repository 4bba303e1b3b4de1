package wire_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/wire"
)

func round[T any](parse func([]byte) (T, error), encode func([]byte, T) []byte) func([]byte) ([]byte, error) {
	return func(b []byte) ([]byte, error) {
		v, err := parse(b)
		if err != nil {
			return nil, err
		}
		return encode(nil, v), nil
	}
}

func partyFields() []fld {
	return []fld{raw(1, []byte("PT Awan")), raw(2, []byte("awan.example")), raw(3, key33(1)), num32(4, 4), num32(5, 1), num32(6, 1)}
}

func labelFields() []fld {
	return []fld{num32(1, 3), num32(2, 1), raw(3, []byte{1, 4}), sub(4, partyFields()), sub(4, partyFields()[2:3]), raw(5, []byte{3}), num32(6, 15), num32(7, 9)}
}

// noteCodecs are the notes of a gate, and the ledger.
var noteCodecs = []struct {
	name   string
	fields []fld
	limit  int
	round  func([]byte) ([]byte, error)
}{
	{"Receipt", []fld{sub(1, labelFields()), sub(2, labelFields()), num64(3, 1<<40), raw(4, seq(32)), num32(5, 1)}, 8 * wire.MaxManifest,
		round(wire.ParseReceipt, wire.AppendReceipt)},
	{"LabelNotice", []fld{num32(1, 1), num32(2, 3), raw(3, seq(5)), raw(4, seq(6)), num32(5, 1), sub(6, timerFields()), raw(7, seq(7)), num32(8, 9), num32(9, 1)},
		4*wire.MaxManifest + 256, round(wire.ParseLabelNotice, wire.AppendLabelNotice)},
	{"Consent", []fld{raw(1, seq(32)), raw(2, seq(32)), num64(3, 1<<40), num32(4, 2), num32(5, 1)}, 128, round(wire.ParseConsent, wire.AppendConsent)},
}

func TestNotes(t *testing.T) {
	for _, c := range noteCodecs {
		in := encode(c.fields)
		got, err := c.round(in)
		require.NoError(t, err, c.name)
		require.Equal(t, in, got, c.name)
		_, err = c.round(in[:len(in)-1])
		require.ErrorIs(t, err, wire.ErrMalformed, c.name)
		_, err = c.round(make([]byte, c.limit+1))
		require.ErrorIs(t, err, wire.ErrTooLarge, c.name)
	}
	r, err := wire.ParseReceipt(encode(noteCodecs[0].fields))
	require.NoError(t, err)
	want := wire.Label{State: 3, Unknown: true, Controllers: []byte{1, 4}, Storage: []byte{3}, Readers: 15, Uses: 9, Parties: []wire.Party{
		{Name: "PT Awan", Domain: "awan.example", Key: key33(1), Controller: 4, Known: true, Mixed: true}, {Key: key33(1)}}}
	require.Equal(t, &wire.Receipt{Label: want, Claimed: &want, Epoch: 1 << 40, Hash: seq(32), Listed: true}, r)
	for name, b := range map[string][]byte{
		"hash": encode([]fld{raw(4, seq(31))}), "party": encode([]fld{sub(1, []fld{sub(4, nil)})}), "text": encode([]fld{sub(1, []fld{sub(4, []fld{raw(1, []byte{0xFF})})})}),
	} {
		_, err := wire.ParseReceipt(b)
		require.ErrorIs(t, err, wire.ErrMalformed, name)
	}
	for i := range noteCodecs[2].fields { // each is needed but the time
		fields := append(append([]fld(nil), noteCodecs[2].fields[:i]...), noteCodecs[2].fields[i+1:]...)
		_, err := wire.ParseConsent(encode(fields))
		require.Equal(t, i == 2, err == nil, i)
	}
}
