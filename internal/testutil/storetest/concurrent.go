package storetest

import (
	"encoding/binary"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/keystore"
)

const (
	accounts = 64
	workers  = 64
	moves    = 25
)

func account(i int) keystore.Key { return Key("account", "o", strconv.Itoa(i)) }

func balance(r keystore.Record) uint64 {
	if len(r.Value) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(r.Value)
}

func amount(v uint64) string { return string(binary.BigEndian.AppendUint64(nil, v)) }

// move takes one from an account and gives it to another, until it wins. It
// returns the version.
func move(s keystore.Store, from, to keystore.Key) (uint64, error) {
	for {
		r, err := s.Load(ctx, from, to)
		if err != nil {
			return 0, err
		}
		v, err := s.Commit(ctx,
			Put(from, r[0].Version, amount(balance(r[0])-1)),
			Put(to, r[1].Version, amount(balance(r[1])+1)))
		if _, lost := errors.AsType[*keystore.ConflictError](err); !lost {
			return v, err
		}
	}
}

// Workers move amounts between accounts while others look on: the sum never
// changes in a snapshot, no version is given twice, no update is lost.
func concurrentUse(t *testing.T, s keystore.Store) {
	for i := range accounts {
		Commit(t, s, Put(account(i), 0, amount(1000)))
	}
	start := Generation(t, s)
	var versions sync.Map
	var movers, watchers sync.WaitGroup
	var done atomic.Bool
	for w := range workers {
		movers.Go(func() {
			for i := range moves {
				from := (w + i) % accounts
				v, err := move(s, account(from), account((from+1+w%(accounts-1))%accounts))
				if err != nil {
					t.Error(err)
					return
				}
				if _, again := versions.LoadOrStore(v, true); again {
					t.Errorf("version %d was given twice", v)
				}
			}
		})
	}
	watchers.Go(func() {
		for !done.Load() {
			watch(t, s)
		}
	})
	movers.Wait()
	done.Store(true)
	watchers.Wait()
	require.GreaterOrEqual(t, Generation(t, s), start+workers*moves)
	watch(t, s)
}

// watch compares the sum of a snapshot, and lists.
func watch(t *testing.T, s keystore.Store) {
	var keys []keystore.Key
	for i := range accounts {
		keys = append(keys, account(i))
	}
	records, err := s.Load(ctx, keys...)
	if err != nil {
		t.Error(err)
		return
	}
	var sum uint64
	for _, r := range records {
		sum += balance(r)
	}
	if sum != accounts*1000 {
		t.Errorf("a snapshot's sum is %d", sum)
	}
	n := 0
	for _, err := range s.List(ctx, "scope", "account", "") {
		if n++; err != nil {
			t.Error(err)
		}
	}
	if n != accounts {
		t.Errorf("listed %d of %d records that were there all the time", n, accounts)
	}
}

// Of many that expect the same, one wins.
func oneWins(t *testing.T, s keystore.Store) {
	k := Key("k", "o", "n")
	for round := range 50 {
		expect := Load(t, s, k).Version
		var wins atomic.Int32
		var wg sync.WaitGroup
		for w := range workers {
			wg.Go(func() {
				if _, err := s.Commit(ctx, Put(k, expect, strconv.Itoa(w))); err == nil {
					wins.Add(1)
				}
			})
		}
		wg.Wait()
		require.Equal(t, int32(1), wins.Load(), round)
	}
}

func closeWhileInUse(t *testing.T, s keystore.Store) {
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			k := Key("k", "o", strconv.Itoa(w))
			for v := uint64(0); ; {
				next, err := s.Commit(ctx, Put(k, v, "value"))
				if err != nil {
					if !errors.Is(err, keystore.ErrClosed) {
						t.Error(err)
					}
					return
				}
				v = next
			}
		})
	}
	require.NoError(t, s.Close())
	wg.Wait()
}
