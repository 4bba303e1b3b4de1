//go:build !wasm

package boltstore_test

import (
	"context"
	"flag"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/keystore/boltstore"
)

// A session's record has 5 kB, and an operation of a Device changes about
// three records.
const (
	recordSize  = 5000
	recordCount = 3
)

// holding is a store of n records of a session's size.
func holding(b *testing.B, n int) *boltstore.Store {
	s := open(b)
	var changes []keystore.Change
	for i := range n {
		changes = append(changes, keystore.Change{Op: keystore.Put, Key: key(i), Value: make([]byte, recordSize)})
	}
	testutil.Commit(b, s, changes...)
	return s
}

func benchCommit(b *testing.B, s *boltstore.Store, records int) {
	changes := make([]keystore.Change, recordCount)
	versions := make([]uint64, records)
	for i := range versions {
		versions[i] = 1
	}
	value := make([]byte, recordSize)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		at := func(j int) int { return (i*7919 + j*records/recordCount) % records }
		for j := range changes {
			changes[j] = keystore.Change{Op: keystore.Put, Key: key(at(j)), Expect: versions[at(j)], Value: value}
		}
		v, err := s.Commit(ctx, changes...)
		if err != nil {
			b.Fatal(err)
		}
		for j := range changes {
			versions[at(j)] = v
		}
	}
}

func BenchmarkCommit(b *testing.B) {
	for _, n := range []int{1000, 20000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) { benchCommit(b, holding(b, n), n) })
	}
}

// The same puts by bbolt alone, with its list of free pages in the file and
// without; and with 60 MB of free pages in the file.
func BenchmarkFloorCommit(b *testing.B) {
	for name, o := range map[string]bbolt.Options{
		"list":    {FreelistType: bbolt.FreelistMapType},
		"no list": {FreelistType: bbolt.FreelistMapType, NoFreelistSync: true},
	} {
		for _, free := range []int{0, 10000} {
			b.Run(name+"/"+strconv.Itoa(free), func(b *testing.B) { benchBolt(b, &o, 1000, free) })
		}
	}
}

func benchBolt(b *testing.B, o *bbolt.Options, n, free int) {
	db, err := bbolt.Open(filepath.Join(b.TempDir(), "db"), 0o600, o)
	require.NoError(b, err)
	defer db.Close()
	name, value := []byte("b"), make([]byte, recordSize)
	require.NoError(b, db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket(name)
		for i := 0; i < n+free && err == nil; i++ {
			err = tx.Bucket(name).Put(boltstore.StoredKey(key(i)), value)
		}
		return err
	}))
	require.NoError(b, db.Update(func(tx *bbolt.Tx) (err error) {
		for i := n; i < n+free && err == nil; i++ {
			err = tx.Bucket(name).Delete(boltstore.StoredKey(key(i)))
		}
		return err
	}))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		err := db.Update(func(tx *bbolt.Tx) (err error) {
			for j := 0; j < recordCount && err == nil; j++ {
				err = tx.Bucket(name).Put(boltstore.StoredKey(key((i*7919+j*n/recordCount)%n)), value)
			}
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCommitBy64(b *testing.B) {
	s := holding(b, 1000)
	before := s.Transactions()
	var workers atomic.Int64
	b.SetParallelism(32) // for each of two processors
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		me := int(workers.Add(1)) * recordCount
		changes := make([]keystore.Change, recordCount)
		value := make([]byte, recordSize)
		for v := uint64(1); pb.Next(); {
			for j := range changes {
				changes[j] = keystore.Change{Op: keystore.Put, Key: key(me + j), Expect: v, Value: value}
			}
			var err error
			if v, err = s.Commit(ctx, changes...); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/float64(s.Transactions()-before), "commits/flush")
}

func BenchmarkLoad(b *testing.B) {
	s := holding(b, 1000)
	var keys []keystore.Key
	for i := range 5 {
		keys = append(keys, key(i*190))
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Load(ctx, keys...); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	path := filepath.Join(b.TempDir(), "store")
	require.NoError(b, reopen(b, path).Close())
	b.ReportAllocs()
	for b.Loop() {
		s, err := boltstore.Open(path, nil)
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

var megabytes = flag.Int("megabytes", 20, "size of the records that BenchmarkWholeFile checks and compacts")

// BenchmarkWholeFile checks and compacts a file, and reports the heap at its
// largest.
func BenchmarkWholeFile(b *testing.B) {
	s := open(b)
	const batch, size = 1000, 1500
	value := make([]byte, size)
	for n := 0; n < *megabytes<<20/size; n += batch {
		changes := make([]keystore.Change, batch)
		for i := range changes {
			changes[i] = keystore.Change{Op: keystore.Put, Key: key(n + i), Value: value}
		}
		testutil.Commit(b, s, changes...)
	}
	for name, do := range map[string]func(context.Context) error{"check": s.Check, "compact": s.Compact} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(*megabytes) << 20)
			var largest uint64
			for b.Loop() {
				done := make(chan error)
				go func() { done <- do(ctx) }()
				for over := false; !over; {
					var m runtime.MemStats
					select {
					case err := <-done:
						require.NoError(b, err)
						over = true
					case <-time.After(20 * time.Millisecond):
						runtime.ReadMemStats(&m)
						largest = max(largest, m.HeapInuse)
					}
				}
			}
			b.ReportMetric(float64(largest)/(1<<20), "MB-heap")
		})
	}
}
