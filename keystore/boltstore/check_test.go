//go:build !wasm

package boltstore_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/keystore/boltstore"
)

// grown changes a store at random, and looks at it now and then.
func grown(t *testing.T, s *boltstore.Store, random *rand.Rand, commits int, look func()) {
	versions := map[int]uint64{}
	for i := range commits {
		var changes []keystore.Change
		at := random.IntN(2000)
		for range 1 + random.IntN(50) {
			at++
			switch size := random.IntN(100); {
			case versions[at] != 0 && size < 40:
				changes = append(changes, testutil.Delete(key(at), versions[at]))
				delete(versions, at)
			case size < 97:
				changes = append(changes, testutil.Put(key(at), versions[at], value(size*size)))
			default:
				changes = append(changes, testutil.Put(key(at), versions[at], value(size*size*50)))
			}
		}
		v := testutil.Commit(t, s, changes...)
		for _, c := range changes {
			if c.Op == keystore.Put {
				versions[at-len(changes)+1+slices.IndexFunc(changes, func(o keystore.Change) bool { return o.Key == c.Key })] = v
			}
		}
		if i%10 == 0 {
			look()
		}
	}
}

// What nobody has damaged is found to be so, while it is open and afterwards.
func TestCheckOfAnIntactStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	s := reopen(t, path)
	require.NoError(t, s.Check(ctx))
	grown(t, s, rand.New(rand.NewPCG(3, 4)), 100, func() { require.NoError(t, s.Check(ctx)) })
	long := keystore.Key{Scope: strings.Repeat("s", 300), Kind: "k", Name: strings.Repeat("n", 300_000)}
	testutil.Commit(t, s, testutil.Put(long, 0, "v"))
	require.NoError(t, s.Check(ctx))
	require.ErrorIs(t, boltstore.Check(ctx, path), keystore.ErrLocked)
	require.NoError(t, s.Close())
	require.ErrorIs(t, s.Check(ctx), keystore.ErrClosed)

	before, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, boltstore.Check(ctx, path))
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, before, after)
}

// What Check answers to files that are no stores.
func TestCheckOfOtherFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	require.ErrorIs(t, boltstore.Check(ctx, path), os.ErrNotExist)
	require.NoFileExists(t, path)
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	require.ErrorIs(t, boltstore.Check(ctx, path), keystore.ErrCorrupt)
	require.Error(t, boltstore.Check(ctx, t.TempDir()))

	file, _ := small(t, path)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	require.ErrorIs(t, boltstore.Check(ended, path), context.Canceled)
	s := reopen(t, path)
	require.ErrorIs(t, s.Check(ended), context.Canceled)
	require.NoError(t, s.Close())
	edit(t, path, func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("gembok")).Put([]byte("format"), []byte{boltstore.Format + 1})
	})
	require.ErrorIs(t, boltstore.Check(ctx, path), keystore.ErrNewerFormat)
	require.NoError(t, os.WriteFile(path, file, 0o600))
	edit(t, path, func(tx *bbolt.Tx) error { _, err := tx.CreateBucket([]byte("other")); return err })
	require.ErrorIs(t, boltstore.Check(ctx, path), keystore.ErrCorrupt)
}

// small makes a store of a few records of each kind, and returns its file and
// what it has read as: before its last Commit, and after it.
func small(t testing.TB, path string) (file []byte, states [2][32]byte) {
	require.NoError(t, os.RemoveAll(path))
	s := reopen(t, path)
	var changes []keystore.Change
	for i := range 40 {
		changes = append(changes, testutil.Put(key(i), 0, value(100)))
	}
	changes = append(changes, testutil.Put(key(-1), 0, value(boltstore.InlineMax+1)))
	v := testutil.Commit(t, s, changes...)
	states[0] = testutil.StoreDigest(t, s)
	testutil.Commit(t, s, testutil.Put(key(0), v, value(200)), testutil.Delete(key(20), v))
	states[1] = testutil.StoreDigest(t, s)
	require.NoError(t, s.Close())
	file, err := os.ReadFile(path)
	require.NoError(t, err)
	return file, states
}

var everyByte = flag.Bool("everybyte", false, "flip a bit in every byte of a file, not in each fifth")

// Any byte of a file may be any other: Check reports it, or the store reads as
// it was written; or as it was before its last Commit, if it was a head that was
// hit.
func TestSTO_08_AnyByte(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	file, states := small(t, path)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	defer f.Close()
	reported, single, equal, earlier, step := 0, 0, 0, 0, 5
	switch {
	case *everyByte:
		step = 1
	case testing.Short():
		step = 37
	}
	for i := 0; i < len(file); i += step {
		if around := file[max(0, i-16):min(len(file), i+16)]; i%256 > 0 && bytes.Count(around, []byte{0}) == len(around) {
			continue // most of what was never written
		}
		at := int64(i)
		_, err = f.WriteAt([]byte{file[i] ^ byte(1<<(i%8))}, at)
		require.NoError(t, err)
		switch err := boltstore.Check(ctx, path); {
		case err != nil:
			require.True(t, damage(err), "%d: %v", i, err)
			reported++
			if records := (*keystore.CorruptError)(nil); errors.As(err, &records) {
				require.Equal(t, len(records.Keys), damagedRecords(t, path), "byte %d", i)
				single++
			}
		default:
			s := reopen(t, path)
			if got := testutil.StoreDigest(t, s); got == states[1] {
				equal++
			} else {
				require.Equal(t, states[0], got, "byte %d", i)
				require.Less(t, i%pageSize, 80)
				require.Less(t, i, 2*pageSize)
				earlier++
			}
			require.NoError(t, s.Close())
		}
		_, err = f.WriteAt(file[i:i+1], at)
		require.NoError(t, err)
	}
	t.Logf("of %d bytes: %d reported, %d of them of records only, %d do not count, %d of a head", len(file)/step, reported, single, equal, earlier)
	require.NotZero(t, single)
	require.Greater(t, reported, single)
}

// damagedRecords counts the records that cannot be read in a file of which all
// others can.
func damagedRecords(t testing.TB, path string) (n int) {
	t.Helper()
	s := reopen(t, path)
	for _, err := range s.List(ctx, "", "", "") {
		if damaged := (*keystore.CorruptError)(nil); errors.As(err, &damaged) {
			n++
			continue
		}
		require.NoError(t, err)
	}
	require.NoError(t, s.Close())
	return n
}

// Check names the records that are damaged, also those whose large value is.
func TestCheckNamesRecords(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	small(t, path)
	edit(t, path, func(tx *bbolt.Tx) error {
		records, large := tx.Bucket([]byte("records")), tx.Bucket([]byte("large"))
		c := records.Cursor()
		k, v := c.Last()
		v = bytes.Clone(v)
		v[len(v)-1] ^= 1
		require.NoError(t, records.Put(k, v))
		id, _ := large.Cursor().First()
		return large.DeleteBucket(id)
	})
	damaged := (*keystore.CorruptError)(nil)
	require.ErrorAs(t, boltstore.Check(ctx, path), &damaged)
	require.Len(t, damaged.Keys, 2)
	require.Contains(t, damaged.Keys, key(-1))
	require.NotEqual(t, damaged.Keys[0], damaged.Keys[1])
	require.Equal(t, 2, damagedRecords(t, path))
}

// damage tells whether an error is one that damage may cause.
func damage(err error) bool {
	return errors.Is(err, keystore.ErrCorrupt) || errors.Is(err, keystore.ErrNewerFormat)
}

// sealed puts right the checksums of the heads of a damaged file.
func sealed(file []byte) []byte {
	for at := 0; at <= pageSize && at+80 <= len(file); at += pageSize {
		sum := fnv.New64a()
		sum.Write(file[at+16 : at+72])
		binary.NativeEndian.PutUint64(file[at+72:], sum.Sum64())
	}
	return file
}

// checked looks at a file of any bytes. What Check lets pass can be used.
func checked(t *testing.T, path string, file []byte) (passed bool) {
	require.NoError(t, os.WriteFile(path, file, 0o600))
	if err := boltstore.Check(ctx, path); err != nil {
		require.True(t, damage(err), "%v", err)
		return false
	}
	s, err := boltstore.Open(path, nil)
	require.NoError(t, err)
	defer s.Close()
	testutil.StoreDigest(t, s)
	require.NoError(t, s.Check(ctx))
	k := testutil.Key("after", "", "")
	testutil.Commit(t, s, testutil.Put(k, testutil.Load(t, s, k).Version, ""))
	require.NoError(t, s.Check(ctx))
	return true
}

// Damage of many kinds at once, heads included: Check never fails to end, and
// what it lets pass can be used.
func TestSTO_08_CheckEnds(t *testing.T) {
	dir := t.TempDir()
	file, _ := small(t, filepath.Join(dir, "good"))
	random := rand.New(rand.NewPCG(5, 6))
	rounds, passed := 1000, 0
	if testing.Short() {
		rounds = 150
	}
	for range rounds {
		damaged := slices.Clone(file)
		for range 1 + random.IntN(4) {
			page, other := random.IntN(len(file)/pageSize)*pageSize, random.IntN(len(file)/pageSize)*pageSize
			switch random.IntN(4) {
			case 0: // one page in the place of another, perhaps with the right number
				copy(damaged[page+8*random.IntN(2):page+pageSize], file[other+8*random.IntN(2):])
			case 1: // a page of another number
				binary.NativeEndian.PutUint64(damaged[page+8*random.IntN(12):], random.Uint64N(16))
			case 2:
				damaged[page+random.IntN(100)] = byte(random.Uint32())
			case 3:
				binary.NativeEndian.PutUint32(damaged[page+4*random.IntN(30):], random.Uint32()>>random.IntN(32))
			}
		}
		if checked(t, filepath.Join(dir, "damaged"), sealed(damaged)) {
			passed++
		}
	}
	t.Logf("%d of %d passed", passed, rounds)
}

func FuzzCheck(f *testing.F) {
	path := filepath.Join(f.TempDir(), "store")
	file, _ := small(f, path)
	f.Add(file)
	f.Add(file[:3*pageSize])
	f.Add(file[:100])
	f.Fuzz(func(t *testing.T, file []byte) { checked(t, filepath.Join(t.TempDir(), "store"), sealed(file)) })
}
