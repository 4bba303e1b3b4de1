package hosting_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/hosting"
)

// FuzzF25Manifest: what is read has one encoding, nobody but the account signs it,
// and all that is shown can be.
func FuzzF25Manifest(f *testing.F) {
	m := follow(f, nil, own(1, hosting.OwnerServer), hosted(2, awan()))
	next := follow(f, m, hosted(3, bumi()))
	inner := hosting.Signed(next)
	f.Add(m.Bytes())
	f.Add(next.Bytes())
	f.Add(evidence(m, next))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 32<<10 {
			return
		}
		before := bytes.Clone(b)
		r := rules()
		if r.Restore(b) == nil {
			_ = r.Label(start)
			_ = r.May(toko, 1, deviceKey(1).Public(), start)
			r.See(toko, next, start)
			require.NoError(t, rules().Restore(r.Stored()))
		}
		if e, err := hosting.ParseEvidence(b); err == nil {
			_, err = hosting.ParseEvidence(e.Bytes())
			require.NoError(t, err)
		}
		got, err := hosting.Parse(b)
		require.Equal(t, before, b)
		if err != nil {
			require.True(t, errors.Is(err, session.ErrMalformed) || errors.Is(err, session.ErrTooLarge))
			require.Nil(t, got)
			return
		}
		again, err := hosting.Parse(got.Bytes())
		require.NoError(t, err)
		require.Equal(t, got, again)
		l := hosting.LabelOf(nil, got)
		require.NotEmpty(t, l.Lines("id"))
		if got.Verify(start) == nil { // one that nobody else could sign
			signed := hosting.Signed(got)
			require.True(t, bytes.Equal(signed, hosting.Signed(m)) || bytes.Equal(signed, inner))
		}
	})
}
