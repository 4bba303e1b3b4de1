package keystore_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/keystore"
)

func TestPendingGivesOutInTurnAndOnce(t *testing.T) {
	require.Nil(t, keystore.PendingIn(ctx))
	var p, other keystore.Pending
	require.Same(t, &p, keystore.PendingIn(p.In(ctx)))
	require.Same(t, &p, keystore.PendingIn(p.In(other.In(ctx))))
	var got []int
	p.Hold(func() { got = append(got, 1) })
	p.Hold(func() { got = append(got, 2) })
	require.Empty(t, got)
	other.Committed()
	require.Empty(t, got)
	p.Committed()
	p.Committed()
	require.Equal(t, []int{1, 2}, got)
	p.Hold(func() { got = append(got, 3) })
	p.Committed()
	require.Equal(t, []int{1, 2, 3}, got)
}
