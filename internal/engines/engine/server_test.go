package engine_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/engines/engine"
)

var ctx = context.Background()

func TestServer(t *testing.T) {
	engine.ForTest(t)
	s, err := engine.Start()
	require.NoError(t, err)
	require.NoError(t, s.Exec(ctx, "CREATE TABLE t (n int)"))
	for range 2 {
		require.NoError(t, s.Crash())
		require.NoError(t, s.Exec(ctx, "SELECT * FROM t"))
	}
	require.NoError(t, s.Close())
	_, err = os.Stat(filepath.Dir(s.Socket()))
	require.ErrorIs(t, err, os.ErrNotExist)
}
