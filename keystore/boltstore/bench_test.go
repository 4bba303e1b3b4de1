//go:build !wasm

package boltstore_test

import (
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"os"

	"go.etcd.io/bbolt"

	"github.com/gembok-e2ee/gembok/internal/testutil/storetest"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/keystore/boltstore"
)



func openBench(b *testing.B) *boltstore.Store {
	dir := os.Getenv("BDIR")
	if dir == "" { dir = b.TempDir() } else { dir, _ = os.MkdirTemp(dir, "b"); b.Cleanup(func(){os.RemoveAll(dir)}) }
	s, err := boltstore.Open(filepath.Join(dir, "store"), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	return s
}

func fill(b *testing.B, s *boltstore.Store, n, size int) {
	for i := 0; i < n; i += 1000 {
		var cs []keystore.Change
		for j := i; j < min(i+1000, n); j++ {
			cs = append(cs, keystore.Change{Op: keystore.Put, Key: storetest.Key("session", "u"+strconv.Itoa(j), "1"), Value: make([]byte, size)})
		}
		if _, err := s.Commit(ctx, cs...); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCommit(b *testing.B) {
	for _, n := range []int{1000, 20000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			s := openBench(b)
			fill(b, s, n, 5000)
			versions := make([]uint64, n)
			keys := make([]keystore.Key, n)
			for i := range keys {
				keys[i] = storetest.Key("session", "u"+strconv.Itoa(i), "1")
				r, _ := s.Load(ctx, keys[i])
				versions[i] = r[0].Version
			}
			value := make([]byte, 5000)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				var cs [3]keystore.Change
				for j := range cs {
					x := (i + j*n/3) % n
					cs[j] = keystore.Change{Op: keystore.Put, Key: keys[x], Expect: versions[x], Value: value}
				}
				v, err := s.Commit(ctx, cs[:]...)
				if err != nil {
					b.Fatal(err)
				}
				for j := range cs {
					versions[(i+j*n/3)%n] = v
				}
				i = (i+7919)%n
			}
		})
	}
}

func BenchmarkCommit64(b *testing.B) {
	s := openBench(b)
	fill(b, s, 1000, 5000)
	value := make([]byte, 5000)
	var id atomic.Int64
	b.SetParallelism(32)
	b.ReportAllocs()
	before := s.Transactions()
	b.RunParallel(func(pb *testing.PB) {
		me := int(id.Add(1))
		var k [3]keystore.Key
		for j := range k {
			k[j] = storetest.Key("session", "p"+strconv.Itoa(me), strconv.Itoa(j))
		}
		var v uint64
		for pb.Next() {
			var cs [3]keystore.Change
			for j := range cs {
				cs[j] = keystore.Change{Op: keystore.Put, Key: k[j], Expect: v, Value: value}
			}
			var err error
			if v, err = s.Commit(ctx, cs[:]...); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/float64(s.Transactions()-before), "commits/tx")
}

func BenchmarkBolt(b *testing.B) {
	dir := os.Getenv("BDIR")
	if dir == "" { dir = b.TempDir() } else { dir, _ = os.MkdirTemp(dir, "b"); b.Cleanup(func(){os.RemoveAll(dir)}) }
	for _, nosync := range []bool{false, true} {
	for _, free := range []int{0, 20000} {
	b.Run(strconv.FormatBool(nosync)+strconv.Itoa(free), func(b *testing.B) {
		dir := b.TempDir()
		db, err := bbolt.Open(filepath.Join(dir, "db"), 0o600, &bbolt.Options{FreelistType: bbolt.FreelistMapType, NoFreelistSync: nosync})
		if err != nil {
			b.Fatal(err)
		}
		defer db.Close()
		name := []byte("b")
		value := make([]byte, 5000)
		db.Update(func(tx *bbolt.Tx) error {
			bk, _ := tx.CreateBucket(name)
			for i := range 1000+free/2 {
				bk.Put([]byte("key"+strconv.Itoa(1000000+i)), value)
			}
			return nil
		})
		if free > 0 {
		db.Update(func(tx *bbolt.Tx) error {
			bk := tx.Bucket(name)
			for i := 1000; i < 1000+free/2; i++ {
				bk.Delete([]byte("key"+strconv.Itoa(1000000+i)))
			}
			return nil
		})
		}
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			err := db.Update(func(tx *bbolt.Tx) error {
				bk := tx.Bucket(name)
				for j := range 3 {
					bk.Put([]byte("key"+strconv.Itoa(1000000+(i+j*333)%1000)), value)
				}
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
			i += 79
		}
		st := db.Stats(); b.ReportMetric(float64(st.FreePageN+st.PendingPageN), "freepages")
	})
	}}
}

func BenchmarkLoad(b *testing.B) {
	s := openBench(b)
	fill(b, s, 1000, 5000)
	var keys []keystore.Key
	for i := range 5 {
		keys = append(keys, storetest.Key("session", "u"+strconv.Itoa(i*190), "1"))
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Load(ctx, keys...); err != nil {
			b.Fatal(err)
		}
	}
}
