//go:build !wasm

package boltstore_test

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/keystore/boltstore"
)

// A rival is bbolt alone, with the same keys and values of the same length, in
// a transaction that is as durable.
type rival struct {
	db     *bbolt.DB
	keys   [][]byte
	values [][]byte
}

var rivalName = []byte("b")

func newRival(b *testing.B, keys []keystore.Key, value []byte) *rival {
	db, err := bbolt.Open(filepath.Join(b.TempDir(), "db"), 0o600, &bbolt.Options{FreelistType: bbolt.FreelistMapType})
	require.NoError(b, err)
	b.Cleanup(func() { db.Close() })
	r := &rival{db: db}
	for _, k := range keys {
		r.keys = append(r.keys, boltstore.StoredKey(k))
		r.values = append(r.values, boltstore.StoredValue(k, 1, string(value)))
	}
	require.NoError(b, db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket(rivalName)
		return err
	}))
	return r
}

func (r *rival) put(from, to int) error {
	return r.db.Update(func(tx *bbolt.Tx) (err error) {
		b := tx.Bucket(rivalName)
		for i := from; i < to && err == nil; i++ {
			err = b.Put(r.keys[i], r.values[i])
		}
		return err
	})
}

// load copies all values out.
func (r *rival) load() (all [][]byte, err error) {
	err = r.db.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket(rivalName)
		for _, k := range r.keys {
			all = append(all, slices.Clone(b.Get(k)))
		}
		return nil
	})
	return all, err
}

// BenchmarkAgainstBolt commits one record of 1.5 kB, and loads and commits a
// thousand of them at once, each in turn with bbolt alone: what a machine is
// busy with meets both. It reports medians, in ms, their ratio, and the
// fastest twentieth.
func BenchmarkAgainstBolt(b *testing.B) {
	const n = 1000
	keys, value := make([]keystore.Key, n), make([]byte, 1500)
	changes := make([]keystore.Change, n)
	for i := range keys {
		keys[i] = testutil.Key("session", text(uint64(i/10)), text(uint64(i)))
		changes[i] = keystore.Change{Op: keystore.Put, Key: keys[i], Value: value}
	}
	s, r := open(b), newRival(b, keys, value)
	commit := func(from, to int) error {
		v, err := s.Commit(ctx, changes[from:to]...)
		for i := from; i < to; i++ {
			changes[i].Expect = v
		}
		return err
	}
	require.NoError(b, commit(0, n))
	require.NoError(b, r.put(0, n))
	i := 0
	b.Run("one", func(b *testing.B) {
		against(b, func() error { i = (i + 7) % n; return commit(i, i+1) }, func() error { return r.put(i, i+1) })
	})
	b.Run("1000", func(b *testing.B) {
		against(b, func() error {
			records, err := s.Load(ctx, keys...)
			for i := range records {
				changes[i].Expect = records[i].Version
			}
			if err != nil {
				return err
			}
			return commit(0, n)
		}, func() error {
			if _, err := r.load(); err != nil {
				return err
			}
			return r.put(0, n)
		})
	})
}

func against(b *testing.B, ours, theirs func() error) {
	var times [2][]time.Duration
	for i := 0; b.Loop(); i++ {
		for side, do := range []func() error{ours, theirs} {
			start := time.Now()
			if err := do(); err != nil {
				b.Fatal(err)
			}
			times[side] = append(times[side], time.Since(start))
		}
	}
	at := func(side, percent int) float64 {
		slices.Sort(times[side])
		return times[side][len(times[side])*percent/100].Seconds() * 1000
	}
	b.ReportMetric(at(0, 50), "ms")
	b.ReportMetric(at(1, 50), "ms-bbolt")
	b.ReportMetric(at(0, 50)/at(1, 50), "ratio")
	b.ReportMetric(at(0, 5), "ms-p5") // where a machine is busy, more is its doing
	b.ReportMetric(at(1, 5), "ms-p5-bbolt")
	b.ReportMetric(0, "ns/op")
}
