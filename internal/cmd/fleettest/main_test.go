package main

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRun(t *testing.T) {
	var out strings.Builder
	require.NoError(t, run(context.Background(), &out, []string{"-steps", "100", "-seed", "1", "-v"}))
	require.Regexp(t, `(?s)^100 steps.*\nnothing was wrong\n$`, out.String())

	out.Reset()
	require.NoError(t, run(context.Background(), &out, []string{"-groups", "-steps", "100", "-v"}))
	require.Regexp(t, `(?s)^100 steps.*\nnothing was wrong\n$`, out.String())

	out.Reset()
	require.NoError(t, run(context.Background(), &out, []string{"-labels", "-steps", "100", "-v"}))
	require.Regexp(t, `(?s)^100 steps.*\nnothing was wrong\n$`, out.String())

	ended, end := context.WithCancel(context.Background())
	end()
	require.ErrorIs(t, run(ended, &out, nil), context.Canceled)
	require.ErrorIs(t, run(ended, &out, []string{"-groups"}), context.Canceled)
	require.ErrorIs(t, run(ended, &out, []string{"-labels"}), context.Canceled)
	require.Error(t, run(ended, &out, []string{"-no"}))
}
