//go:build !wasm

package session_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/keystore/boltstore"
	"github.com/gembok-e2ee/gembok/session"
)

// inFile keeps a store in a file, which each process opens.
func inFile(t *testing.T) func(keystore.Store) keystore.Store {
	path := filepath.Join(t.TempDir(), "store")
	var s *boltstore.Store
	t.Cleanup(func() { s.Close() })
	return func(old keystore.Store) keystore.Store {
		var err error
		if old != nil {
			require.NoError(t, old.Close())
		}
		s, err = boltstore.Open(path, nil)
		require.NoError(t, err)
		return s
	}
}

// TestCrashSchedule is TestRandomSchedule for four phones with a store in a
// file each, whose processes stop at random calls of the store, before them
// and after, and between what the app does. It is three weeks in which prekeys
// are topped up and rotated. Nothing inside the loss windows is lost, nothing
// comes again once it is acknowledged, no two ciphertexts have one counter, and
// no prekey is lost or used twice.
func TestCrashSchedule(t *testing.T) {
	total, seeds := scheduled(50000, 3000), 4
	all := make([]*schedule, seeds)
	t.Run("seeds", func(t *testing.T) {
		for i := range seeds {
			seed := *scheduleSeed + uint64(i)
			t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
				t.Parallel() // most of the time is the disk's
				s := newSchedule(t, seed)
				s.rare, s.stops = []int{100, 25}[seed%2], 60
				s.pace = 20 * 24 * time.Hour / time.Duration(total/seeds)
				for i, user := range []string{aliceAddress.User, bobAddress.User, "carol", "dave"} {
					s.add(i, session.Address{User: user, Device: uint32(1 + i)}, inFile(t))
				}
				s.run(total / seeds)
				all[i] = s
			})
		}
	})
	count := map[string]int{}
	for _, s := range all {
		if s == nil {
			return // it has failed
		}
		for what, n := range s.count {
			count[what] += n
		}
	}
	for _, what := range []string{"never left", "saved again", string(redelivered), string(done), string(expired), "published", "begun"} {
		require.NotZero(t, count[what], what)
	}
	require.Greater(t, count["stopped"], total/20)
	require.Greater(t, count["signed prekeys"], 4*seeds*2) // nearly all were replaced twice
}
