//go:build !wasm

package boltstore_test

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/keystore/boltstore"
)

const pageSize = 4096 // of most systems; the tests only aim by it

// sample is the file of a store of 300 records, some of them large, and their
// keys.
func sample(t *testing.T) (file []byte, keys []keystore.Key) {
	path := filepath.Join(t.TempDir(), "store")
	s := reopen(t, path)
	var changes []keystore.Change
	for i := range 300 {
		size := 50
		if i%100 == 99 {
			size = boltstore.InlineMax + 1
		}
		keys = append(keys, key(i))
		changes = append(changes, testutil.Put(key(i), 0, strings.Repeat("v", size)))
	}
	v := testutil.Commit(t, s, changes...)
	for i := range 20 { // leaves free pages
		testutil.Commit(t, s, testutil.Put(key(i), v, "w"))
	}
	require.NoError(t, s.Close())
	file, err := os.ReadFile(path)
	require.NoError(t, err)
	return file, keys
}

// use does all that can be done with a store in a file. Its errors are those
// of damage; that it returns is the test.
func use(t *testing.T, path string, keys []keystore.Key) (failed bool) {
	t.Helper()
	var errs []error
	s, err := boltstore.Open(path, nil)
	if err != nil {
		errs = append(errs, err)
	} else {
		errs = append(errs, useOpen(s, keys)...)
	}
	for _, err := range errs {
		_, lost := errors.AsType[*keystore.ConflictError](err)
		if err != nil && !lost {
			failed = true
			if !errors.Is(err, keystore.ErrCorrupt) && !errors.Is(err, keystore.ErrNewerFormat) {
				t.Errorf("error that is not of damage: %v", err)
			}
		}
	}
	return failed
}

func useOpen(s *boltstore.Store, keys []keystore.Key) (errs []error) {
	_, err := s.Generation(ctx)
	errs = append(errs, err)
	_, err = s.Load(ctx, keys...)
	errs = append(errs, err)
	for _, k := range keys[:10] {
		_, err = s.Load(ctx, k)
		errs = append(errs, err)
	}
	for r, err := range s.List(ctx, "", "", "") {
		errs = append(errs, err)
		if r.Key == keys[40] {
			_, err = s.Commit(ctx, testutil.Delete(r.Key, r.Version), testutil.Put(testutil.Key("new", "", ""), 0, "v"))
			errs = append(errs, err)
		}
	}
	_, err = s.Commit(ctx, testutil.Delete(keys[99], 1), testutil.Put(keys[100], 1, "v"))
	return append(errs, err, s.Close())
}

// Any bit of what pages say may be wrong, short of two things that bbolt
// believes without end: how long a page is, and where a branch leads.
func TestSTO_08_FlippedBits(t *testing.T) {
	file, keys := sample(t)
	path := filepath.Join(t.TempDir(), "store")
	rounds, failed := 400, 0
	if testing.Short() {
		rounds = 100
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range rounds {
		page, at := random.IntN(len(file)/pageSize)*pageSize, random.IntN(300)
		branch := file[page+8] == 1 && file[page+9] == 0
		if at >= 12 && at < 16 && page >= 2*pageSize || at >= 16 && branch {
			continue
		}
		damaged := slices.Clone(file)
		damaged[page+at] ^= 1 << random.IntN(8)
		require.NoError(t, os.WriteFile(path, damaged, 0o600))
		if use(t, path, keys) {
			failed++
		}
	}
	require.NotZero(t, failed)
	t.Logf("%d of %d noticed", failed, rounds)
}

// Whole pages are zeros, or of something else.
func TestSTO_08_LostPages(t *testing.T) {
	file, keys := sample(t)
	path := filepath.Join(t.TempDir(), "store")
	for _, filler := range []byte{0, 0xFF, 'x'} {
		for at := 0; at < len(file); at += pageSize {
			damaged := slices.Clone(file)
			for i := range pageSize {
				damaged[at+i] = filler
			}
			require.NoError(t, os.WriteFile(path, damaged, 0o600))
			use(t, path, keys)
		}
	}
}

// The last Commit's page that says which pages count was torn: the store is as
// before it, and counts on from there.
func TestSTO_08_TornCommit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	s := reopen(t, path)
	v1 := testutil.Commit(t, s, testutil.Put(key(0), 0, "old"), testutil.Put(key(1), 0, "old"))
	testutil.Commit(t, s, testutil.Put(key(0), v1, "new"), testutil.Delete(key(1), v1))
	require.NoError(t, s.Close())

	file, err := os.ReadFile(path)
	require.NoError(t, err)
	transaction := func(at int) uint64 { return binary.NativeEndian.Uint64(file[at+64:]) }
	newer := 0
	if size := int(binary.NativeEndian.Uint32(file[24:])); transaction(size) > transaction(0) {
		newer = size
	}
	for _, torn := range []int{16, 20, 24, 40, 64, 72} {
		damaged := slices.Clone(file)
		clear(damaged[newer+torn : newer+80])
		torn := filepath.Join(t.TempDir(), strconv.Itoa(torn))
		require.NoError(t, os.WriteFile(torn, damaged, 0o600))
		s := reopen(t, torn)
		require.Equal(t, v1, testutil.Generation(t, s))
		require.Equal(t, "old", string(testutil.Load(t, s, key(0)).Value))
		require.Equal(t, "old", string(testutil.Load(t, s, key(1)).Value))
		require.Equal(t, v1+1, testutil.Commit(t, s, testutil.Put(key(0), v1, "other")))
		require.NoError(t, s.Close())
	}
}

// A record that nobody can have written is ErrCorrupt; the others are read.
func TestDamagedRecords(t *testing.T) {
	k := key(0)
	large := strings.Repeat("x", boltstore.InlineMax+1)
	for name, c := range map[string]struct {
		value  string
		damage func(tx *bbolt.Tx) error
	}{
		"short":        {"v", put(k, func(v []byte) []byte { return v[:16] })},
		"empty":        {"v", put(k, func([]byte) []byte { return nil })},
		"version 0":    {"v", put(k, func(v []byte) []byte { clear(v[:8]); return v })},
		"value":        {"v", put(k, func(v []byte) []byte { v[len(v)-1] ^= 1; return v })},
		"checksum":     {"v", put(k, func(v []byte) []byte { v[17] ^= 1; return v })},
		"of another":   {"v", put(k, func([]byte) []byte { return []byte(boltstore.StoredValue(key(2), 1, "v")) })},
		"newer origin": {"v", put(k, func(v []byte) []byte { v[8] = 1; return v })},
		"form":         {"v", put(k, func(v []byte) []byte { v[16] = 2; return v })},
		"no reference": {"v", put(k, func(v []byte) []byte { v[16] = 1; return v })},
		"length":       {large, put(k, func(v []byte) []byte { v[len(v)-1]++; return v })},
		"less":         {large, put(k, func(v []byte) []byte { v[len(v)-1]--; return v })},
		"huge":         {large, put(k, func(v []byte) []byte { v[len(v)-6]++; return v })},
		"number":       {large, put(k, func(v []byte) []byte { v[len(v)-9]++; return v })},
		"a piece": {large, func(tx *bbolt.Tx) error {
			b := tx.Bucket([]byte("large")).Bucket(binary.BigEndian.AppendUint64(nil, 1))
			piece := slices.Clone(b.Get(make([]byte, 4)))
			piece[0] ^= 1
			return b.Put(make([]byte, 4), piece)
		}},
		"value gone": {large, func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte("large")).DeleteBucket(binary.BigEndian.AppendUint64(nil, 1))
		}},
		"bucket": {"v", func(tx *bbolt.Tx) error {
			b := tx.Bucket([]byte("records"))
			err := b.Delete(boltstore.StoredKey(k))
			_, err2 := b.CreateBucket(boltstore.StoredKey(k))
			return errors.Join(err, err2)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "store")
			s := reopen(t, path)
			v := testutil.Commit(t, s, testutil.Put(k, 0, c.value), testutil.Put(key(1), 0, "other"))
			require.NoError(t, s.Close())
			edit(t, path, c.damage)

			require.ErrorIs(t, boltstore.Check(ctx, path), keystore.ErrCorrupt)
			s = reopen(t, path)
			requireDamaged(t, s, k, key(1))
			testutil.Commit(t, s, testutil.Put(key(1), v, "new"))

			// It can be replaced, and all is well again.
			r, _ := s.Load(ctx, k)
			if name == "bucket" { // bbolt refuses
				_, err := s.Commit(ctx, testutil.Put(k, r[0].Version, "new"))
				require.Error(t, err)
				return
			}
			testutil.Commit(t, s, testutil.Put(k, r[0].Version, "new"))
			require.Equal(t, "new", string(testutil.Load(t, s, k).Value))
			require.NoError(t, s.Check(ctx))
		})
	}
}

// requireDamaged requires that one record is damaged, and that the other one is
// there beside it.
func requireDamaged(t *testing.T, s keystore.Store, damaged, other keystore.Key) {
	t.Helper()
	r, err := s.Load(ctx, damaged, other)
	corrupt, ok := errors.AsType[*keystore.CorruptError](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, []keystore.Key{damaged}, corrupt.Keys)
	require.Len(t, r, 2)
	require.Nil(t, r[0].Value)
	require.Equal(t, damaged, r[0].Key)
	require.Equal(t, "other", string(r[1].Value))
	var bad, good int
	for r, err := range s.List(ctx, damaged.Scope, damaged.Kind, "") {
		switch _, ok := errors.AsType[*keystore.CorruptError](err); {
		case ok:
			bad++
			require.Equal(t, damaged, r.Key)
			require.Nil(t, r.Value)
		default:
			good++
			require.NoError(t, err)
			require.Equal(t, other, r.Key)
		}
	}
	require.Equal(t, []int{1, 1}, []int{bad, good})
}

// The Key of a damaged record may be known in part only.
func TestDamagedLongKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	k := testutil.Key("k", strings.Repeat("o", 300), "n")
	s := reopen(t, path)
	testutil.Commit(t, s, testutil.Put(k, 0, "v"), testutil.Put(key(1), 0, "other"))
	require.NoError(t, s.Close())
	edit(t, path, put(k, func(v []byte) []byte { return v[:30] }))
	s = reopen(t, path)
	found := 0
	for r, err := range s.List(ctx, "scope", "", k.Owner) {
		require.ErrorIs(t, err, keystore.ErrCorrupt)
		require.Equal(t, keystore.Key{Scope: "scope", Kind: "k"}, r.Key)
		found++
	}
	require.Equal(t, 1, found)
	require.NoError(t, s.Close())
}

// put is damage to the stored value of k.
func put(k keystore.Key, change func([]byte) []byte) func(*bbolt.Tx) error {
	return func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte("records"))
		return b.Put(boltstore.StoredKey(k), change(slices.Clone(b.Get(boltstore.StoredKey(k)))))
	}
}
