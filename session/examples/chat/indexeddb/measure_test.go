//go:build js && wasm

package indexeddb_test

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session/examples/chat/indexeddb"
)

// measureJob says how long the store takes: for a small record, and for the
// thousand sessions of a message to a large group.
func measureJob() error {
	s, err := indexeddb.Open(ctx, jobDatabase)
	if err != nil {
		return err
	}
	var version uint64
	small, err := median(100, func() (err error) {
		version, err = s.Commit(ctx, put(key("small"), version, "value"))
		return err
	})
	if err != nil {
		return err
	}
	fmt.Println("took", small, "to commit a small record")

	keys, changes := sessions(1000, 1500)
	load := func() error {
		records, err := s.Load(ctx, keys...)
		for i, r := range records {
			changes[i].Expect = r.Version
		}
		return err
	}
	commit := func() error {
		if err := load(); err != nil {
			return err
		}
		_, err := s.Commit(ctx, changes...)
		return err
	}
	both, err := median(7, commit)
	if err != nil {
		return err
	}
	loads, err := median(7, load)
	fmt.Println("took", both, "to load and commit 1,000 records of 1.5 kB,", loads, "of that to load them")
	return err
}

func sessions(n, size int) (keys []keystore.Key, changes []keystore.Change) {
	for i := range n {
		k := key(fmt.Sprint("session ", i))
		keys = append(keys, k)
		changes = append(changes, keystore.Change{Op: keystore.Put, Key: k, Value: bytes.Repeat([]byte{byte(i)}, size)})
	}
	return keys, changes
}

// median does something n times.
func median(n int, do func() error) (time.Duration, error) {
	var took []time.Duration
	for range n {
		began := time.Now()
		if err := do(); err != nil {
			return 0, err
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return took[n/2].Round(100 * time.Microsecond), nil
}
