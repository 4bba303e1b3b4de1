//go:build !wasm

package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/cmd/keystore/storetool"
	"github.com/gembok-e2ee/gembok/internal/testutil/rich"
)

func run(t testing.TB, args ...string) (code int, out string) {
	t.Helper()
	var b bytes.Buffer
	tool := storetool.Tool{Command: "keystore", Engines: []string{"bolt"}, Open: open, Check: check, In: strings.NewReader(""), Out: &b, Err: &b}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return tool.Run(ctx, args), b.String()
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	place := "bolt:" + filepath.Join(dir, "own")
	s, err := open(t.Context(), "bolt", filepath.Join(dir, "own"))
	require.NoError(t, err)
	rich.Fill(t, s)
	code, out := run(t, "verify", place)
	require.Equal(t, 1, code)
	require.Contains(t, out, "locked")
	require.NoError(t, s.Close())
	for _, args := range [][]string{{"verify", place}, {"inspect", place}, {"move", place, place + "2"}, {"verify", place + "2"}} {
		code, out := run(t, args...)
		require.Zero(t, code, out)
	}
	code, _ = run(t, "move", place, place+"2")
	require.Equal(t, 1, code)
}

// A file is damaged anywhere: no command goes round in circles, and verify says
// what is wrong.
func TestSTO_08_DamagedFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "own")
	s, err := open(t.Context(), "bolt", file)
	require.NoError(t, err)
	rich.Fill(t, s)
	require.NoError(t, s.Close())
	whole, err := os.ReadFile(file)
	require.NoError(t, err)
	kinds := map[string]bool{}
	problem := regexp.MustCompile(`(?m)^(\S+) +(the store cannot read it|its structure is damaged.*) +\d+$`)
	var places []int
	step := 2039
	if testing.Short() {
		step *= 8
	}
	for at := 0; at < len(whole); at += step {
		places = append(places, at)
	}
	for page := range 16 {
		places = append(places, page*os.Getpagesize()+8) // what kind of page it is
	}
	for _, at := range places {
		harmed := bytes.Clone(whole)
		harmed[at] ^= 1 << (at % 8)
		require.NoError(t, os.WriteFile(file, harmed, 0o600))
		code, out := run(t, "verify", "bolt:"+file)
		if code == 0 || strings.HasPrefix(out, "keystore: ") {
			continue // of no page that counts, or a head, without which it is no store
		}
		found := problem.FindStringSubmatch(out)
		require.NotNil(t, found, out)
		kinds[found[1]] = true
		code, _ = run(t, "move", "bolt:"+file, "bolt:"+file+".new")
		require.Equal(t, 1, code)
	}
	require.Contains(t, kinds, "(store)")
	require.Greater(t, len(kinds), 1)
}
