package engines_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/engines/engine"
	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/keystore"
)

const damagedRecords = 20

func damagedKey(i int) keystore.Key { return key(fmt.Sprint("record ", i)) }

func damagedValue(i int) string { return strings.Repeat(fmt.Sprint("value ", i, ","), 10+30*i) }

// written are a file's bytes, of a store with 20 records.
func written(t testing.TB, encrypt bool) []byte {
	path := filepath.Join(t.TempDir(), "store")
	s, err := openMaybe(path, encrypt)
	require.NoError(t, err)
	for i := range damagedRecords {
		testutil.Commit(t, s, testutil.Put(damagedKey(i), 0, damagedValue(i)))
	}
	require.NoError(t, s.Close())
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return b
}

func openMaybe(path string, encrypt bool) (keystore.Store, error) {
	s, err := engine.Open(ctx, "sqlite", path)
	if encrypt {
		return encrypted(s, err)
	}
	return s, err
}

// use does all that can be done to a damaged file, and returns how often there
// was an error. What it reads without an error is as it was written, or not
// there, if it is encrypted.
func use(t *testing.T, file []byte, encrypt bool) (failures int) {
	path := filepath.Join(t.TempDir(), "store")
	require.NoError(t, os.WriteFile(path, file, 0o600))
	typed := func(err error) bool {
		if err == nil {
			return true
		}
		failures++
		if !errors.Is(err, keystore.ErrCorrupt) && !errors.Is(err, keystore.ErrNewerFormat) {
			t.Errorf("an error of another kind: %v", err)
		}
		return false
	}
	s, err := openMaybe(path, encrypt)
	if !typed(err) {
		return failures
	}
	defer s.Close()
	changes := []keystore.Change{testutil.Put(key("new"), 0, "new")}
	for i := range damagedRecords {
		r, err := s.Load(ctx, damagedKey(i))
		if typed(err) && r[0].Version != 0 {
			require.True(t, !encrypt || string(r[0].Value) == damagedValue(i), "a damaged record was read")
			changes = append(changes, testutil.Put(damagedKey(i), r[0].Version, "again"))
		}
	}
	for _, err := range s.List(ctx, "", "", "") {
		typed(err)
	}
	_, err = s.Generation(ctx)
	typed(err)
	if _, err = s.Commit(ctx, changes...); !errors.As(err, new(*keystore.ConflictError)) {
		typed(err)
	}
	return failures
}

// A byte of the file is another one, anywhere.
func TestSTO_07_SQLiteFlippedBytes(t *testing.T) {
	for name, encrypt := range map[string]bool{"plain": false, "encrypted": true} {
		t.Run(name, func(t *testing.T) {
			good := written(t, encrypt)
			require.Zero(t, use(t, good, encrypt))
			step, found, tried := len(good)/60, 0, 0
			if *long {
				step = 1
			}
			for at := 0; at < len(good); at += 1 + step {
				bad := append([]byte(nil), good...)
				bad[at] ^= byte(1 << (at % 8))
				if use(t, bad, encrypt) > 0 {
					found++
				}
				tried++
			}
			t.Logf("%d of %d found", found, tried)
			require.Positive(t, found)
		})
	}
}

// The file's end is missing, or is zeros.
func TestSTO_08_SQLiteTruncated(t *testing.T) {
	good := written(t, true)
	for size := 100; size < len(good); size += len(good)/30 + 1 {
		require.Positive(t, use(t, good[:size], true), size)
		use(t, append(append([]byte(nil), good[:size]...), make([]byte, len(good)-size)...), true)
	}
}

// What a loss of power leaves of the log, cut anywhere or damaged anywhere, is
// the store as it was after one of the Commits.
func TestSTO_08_SQLiteTornLog(t *testing.T) {
	dir := t.TempDir()
	s := openSQLite(t, filepath.Join(dir, "store"))
	const commits = 12
	v := uint64(0)
	for i := range commits {
		changes := []keystore.Change{testutil.Put(key("counter"), v, fmt.Sprint(i+1)), testutil.Put(damagedKey(i), 0, damagedValue(i))}
		v = testutil.Commit(t, s, changes...)
	}
	file, err := os.ReadFile(filepath.Join(dir, "store"))
	require.NoError(t, err)
	log, err := os.ReadFile(filepath.Join(dir, "store-wal"))
	require.NoError(t, err)
	found := map[uint64]bool{}
	try := func(log []byte) {
		path := filepath.Join(t.TempDir(), "store")
		require.NoError(t, os.WriteFile(path, file, 0o600))
		require.NoError(t, os.WriteFile(path+"-wal", log, 0o600))
		s := openSQLite(t, path)
		defer s.Close()
		g := testutil.Generation(t, s)
		found[g] = true
		require.Equal(t, g, number(testutil.Load(t, s, key("counter")).Value))
		for i := range uint64(commits) {
			r := testutil.Load(t, s, damagedKey(int(i)))
			require.Equal(t, i < g, r.Version == i+1)
			require.True(t, r.Version == 0 || string(r.Value) == damagedValue(int(i)))
		}
	}
	for size := 0; size <= len(log); size += len(log)/35 + 1 {
		try(log[:size])
		bad := append([]byte(nil), log...)
		if size < len(bad) {
			bad[size] ^= 0x10
		}
		try(bad)
	}
	require.Greater(t, len(found), commits/2)
}
