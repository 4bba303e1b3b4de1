package hosting_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/hosting"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

func evidence(a, b *hosting.Manifest) []byte {
	return wire.AppendEvidence(nil, &wire.Evidence{First: a.Bytes(), Second: b.Bytes()})
}

// Only two manifests that contradict each other, both signed, are evidence.
func TestEvidence(t *testing.T) {
	a := follow(t, nil, own(1, hosting.OwnerServer))
	b := follow(t, nil, hosted(2, awan()))
	broken := follow(t, b, own(1, hosting.OwnerServer))
	third := follow(t, broken, own(1, hosting.OwnerServer))
	stranger := signed(t, after(nil, own(1, hosting.OwnerServer)), pair(99))
	other := after(nil, own(1, hosting.OwnerServer))
	other.Account = "warung"
	warung := signed(t, other, accountKey)
	forged, err := hosting.Parse(changed(b, func(n *hosting.Manifest) { n.Kind = hosting.KindService }))
	require.NoError(t, err)
	for name, c := range map[string]struct {
		first, second *hosting.Manifest
		want          error
	}{
		"fork": {a, b, nil}, "fork, turned": {b, a, nil}, "chain": {a, broken, nil}, "chain, turned": {broken, a, nil},
		"the same": {a, a, hosting.ErrLabelMismatch}, "in order": {b, broken, hosting.ErrLabelMismatch}, "gap": {a, third, hosting.ErrLabelMismatch},
		"other key": {a, stranger, hosting.ErrLabelMismatch}, "other account": {a, warung, hosting.ErrLabelMismatch},
		"forged": {a, forged, keys.ErrSignature}, "forged, turned": {forged, a, keys.ErrSignature},
	} {
		e, err := hosting.ParseEvidence(evidence(c.first, c.second))
		require.ErrorIs(t, err, c.want, name)
		if c.want != nil {
			require.Nil(t, e, name)
			continue
		}
		again, err := hosting.ParseEvidence(e.Bytes())
		require.NoError(t, err, name)
		require.Equal(t, e, again, name)
	}
	one, err := hosting.ParseEvidence(evidence(a, b))
	require.NoError(t, err)
	two, err := hosting.ParseEvidence(evidence(b, a))
	require.NoError(t, err)
	require.Equal(t, one.Bytes(), two.Bytes())
	whole := one.Bytes()
	for i := range whole {
		_, err := hosting.ParseEvidence(whole[:i])
		require.ErrorIs(t, err, session.ErrMalformed, "%d", i)
	}
	_, err = hosting.ParseEvidence(make([]byte, 17<<10))
	require.ErrorIs(t, err, session.ErrTooLarge)
}
