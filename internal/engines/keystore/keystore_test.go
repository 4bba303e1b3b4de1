package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/cmd/keystore/storetool"
	"github.com/gembok-e2ee/gembok/internal/engines/engine"
	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/testutil/rich"
	"github.com/gembok-e2ee/gembok/keystore"
)

var ctx = context.Background()

// run runs the command, which must end with a code.
func run(t testing.TB, want int, args ...string) string {
	t.Helper()
	return runOver(t, engine.Open, want, args...)
}

func runOver(t testing.TB, open func(context.Context, string, string) (keystore.Store, error), want int, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	tool := storetool.Tool{Command: "keystore", Engines: []string{"bolt", "sqlite", "postgres"}, Open: open, Check: check,
		In: strings.NewReader(""), Out: &out, Err: &errs}
	require.Equal(t, want, tool.Run(ctx, args), "%s%s", out.String(), errs.String())
	return out.String() + errs.String()
}

// in opens a store for as long as f runs.
func in(t testing.TB, name string, f func(keystore.Store)) {
	t.Helper()
	kind, place, _ := strings.Cut(name, ":")
	s, err := engine.Open(ctx, kind, place)
	require.NoError(t, err)
	f(s)
	require.NoError(t, s.Close())
}

func values(t testing.TB, name string) map[keystore.Key]string {
	t.Helper()
	out := map[keystore.Key]string{}
	in(t, name, func(s keystore.Store) {
		for _, r := range testutil.Records(t, s) {
			out[r.Key] = string(r.Value)
		}
	})
	return out
}

// places returns a store of each engine that is to be made; PostgreSQL's if
// there is a server.
func places(t testing.TB, postgres bool) []string {
	t.Helper()
	dir := t.TempDir()
	out := []string{"bolt:" + filepath.Join(dir, "bolt"), "sqlite:" + filepath.Join(dir, "sqlite")}
	if postgres {
		dsn, err := engine.ForTest(t).Fresh(ctx)
		require.NoError(t, err)
		out = append(out, "postgres:"+dsn)
	}
	return out
}

// From engine to engine and back, a store stays what it is, and its devices go
// on.
func TestMove(t *testing.T) {
	for name, postgres := range map[string]bool{"SQLite": false, "PostgreSQL": true} {
		t.Run(name, func(t *testing.T) {
			stores := places(t, postgres)
			stores = append(stores, places(t, false)...)
			var w *rich.World
			in(t, stores[0], func(s keystore.Store) { w = rich.Fill(t, s) })
			want := values(t, stores[0])
			for i := range stores[1:] {
				run(t, 0, "move", stores[i], stores[i+1])
				require.Equal(t, want, values(t, stores[i+1]))
				require.Contains(t, run(t, 0, "verify", stores[i+1]), "no damage found")
				require.Contains(t, run(t, 0, "inspect", stores[i+1]), "\nrecords     51, ")
				require.Contains(t, run(t, 1, "move", stores[i], stores[i+1]), "the target has records already")
			}
			in(t, stores[len(stores)-1], func(s keystore.Store) {
				own, err := w.Open(s, rich.Own[0])
				require.NoError(t, err)
				for _, p := range w.Peers[:3] {
					rich.Talk(t, p, own)
				}
			})
		})
	}
}

// A killed store fails from a Commit on.
type killed struct {
	keystore.Store
	left int
}

func (k *killed) Commit(ctx context.Context, changes ...keystore.Change) (uint64, error) {
	if k.left--; k.left < 0 {
		return 0, errors.New("killed")
	}
	return k.Store.Commit(ctx, changes...)
}

// A move that was interrupted goes on, and nothing is opened before.
func TestMoveInterrupted(t *testing.T) {
	from := places(t, false)[0]
	var w *rich.World
	in(t, from, func(s keystore.Store) { w = rich.Fill(t, s) })
	want := values(t, from)
	for _, to := range places(t, true)[1:] {
		runOver(t, func(ctx context.Context, name, place string) (keystore.Store, error) {
			s, err := engine.Open(ctx, name, place)
			if err == nil && name != "bolt" {
				s = &killed{s, 2}
			}
			return s, err
		}, 1, "move", from, to)
		in(t, to, func(s keystore.Store) {
			_, err := w.Open(s, rich.Own[0])
			require.ErrorIs(t, err, keystore.ErrNewerFormat)
		})
		require.Contains(t, run(t, 1, "verify", to), "the copy is not finished")
		run(t, 0, "move", from, to)
		require.Equal(t, want, values(t, to))
	}
}

// Encrypted, through all engines, and out again.
func TestMoveEncrypted(t *testing.T) {
	stores := append(places(t, true), places(t, false)...)
	in(t, stores[0], func(s keystore.Store) { rich.Fill(t, s) })
	key := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(key, []byte(strings.Repeat("5c", 32)), 0o600))
	run(t, 0, "move", "-to-key", key, "-to-blind", stores[0], stores[1])
	run(t, 0, "move", stores[1], stores[2]) // as it is
	run(t, 0, "verify", "-key", key, stores[2])
	run(t, 0, "move", "-key", key, "-to-key", key, stores[2], stores[3])
	run(t, 0, "move", "-key", key, stores[3], stores[4])
	require.Equal(t, values(t, stores[0]), values(t, stores[4]))
}

// A damaged database is told from one in order.
func TestCheckSQLite(t *testing.T) {
	place := places(t, false)[1]
	in(t, place, func(s keystore.Store) { rich.Fill(t, s) })
	_, file, _ := strings.Cut(place, ":")
	whole, err := os.ReadFile(file)
	require.NoError(t, err)
	run(t, 0, "verify", place)
	for at := 4096; at < len(whole); at += 4096 {
		harmed := bytes.Clone(whole)
		copy(harmed[at:], bytes.Repeat([]byte{0xff}, 512))
		require.NoError(t, os.WriteFile(file, harmed, 0o600))
		run(t, 1, "verify", place)
	}
	require.NoError(t, os.WriteFile(file, whole[:len(whole)/2], 0o600))
	run(t, 1, "verify", place)
	require.NoError(t, os.WriteFile(file, []byte(strings.Repeat("no database ", 1000)), 0o600))
	require.Contains(t, run(t, 1, "verify", place), "corrupt")
}

// A database that has no store gets none when one is to be read.
func TestNoStore(t *testing.T) {
	stores := places(t, true)
	_, file, _ := strings.Cut(stores[1], ":")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for _, s := range stores[1:] {
		for _, args := range [][]string{{"inspect", s}, {"verify", s}, {"move", s, stores[0]}} {
			require.Contains(t, run(t, 1, args...), "the database has no store")
		}
	}
	require.NoFileExists(t, stores[0][len("bolt:"):])
}
