//go:build !wasm

package main

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil/crash"
)

func TestMain(m *testing.M) {
	crash.Child(open)
	os.Exit(m.Run())
}

func TestRun(t *testing.T) {
	var out strings.Builder
	require.NoError(t, run(context.Background(), &out, []string{"-kills", "5", "-seed", "1"}))
	require.Regexp(t, `(?s)^5 kills.*\nnothing was lost\n$`, out.String())

	ended, end := context.WithCancel(context.Background())
	end()
	require.ErrorContains(t, run(ended, &out, nil), "seed 0: context canceled")
	require.Error(t, run(ended, &out, []string{"-no"}))
}
