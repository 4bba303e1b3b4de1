package session_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gembok-e2ee/gembok/session"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The same message delivered many times at once is decrypted once, and all the
// others get that result.
func TestConcurrentDuplicates(t *testing.T) {
	p := met(t)
	for round := range 5 {
		m := p.alice.send(t, p.bob, "once")
		second, err := session.Open(ctx, p.bob.store, bobAddress, p.bob.opts)
		require.NoError(t, err)
		var wg sync.WaitGroup
		var mu sync.Mutex
		results := map[string]int{}
		for i := range 16 {
			d := []*session.Device{p.bob.Device, second}[i%2]
			wg.Go(func() {
				r, err := d.Decrypt(ctx, aliceAddress, m, nil)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil && r.Redelivered:
					results["again"]++
				case err == nil:
					results["read"]++
				default:
					results[err.Error()]++
				}
			})
		}
		wg.Wait()
		require.Equal(t, map[string]int{"read": 1, "again": 15}, results, round)
		p.goesOn(t)
	}
}

// Bundles and publications made at once share no prekey.
func TestConcurrentPreKeys(t *testing.T) {
	p := strangers(t)
	second, err := session.Open(ctx, p.bob.store, bobAddress, p.bob.opts)
	require.NoError(t, err)
	var wg sync.WaitGroup
	var mu sync.Mutex
	oneTime, kem := map[uint32]bool{}, map[uint32]bool{}
	for i := range 12 {
		d := []*session.Device{p.bob.Device, second}[i%2]
		wg.Go(func() {
			b, err := d.Bundle(ctx)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if oneTime[b.PreKey.ID] || kem[b.KEMPreKey.ID] {
				t.Error("a prekey twice")
			}
			oneTime[b.PreKey.ID], kem[b.KEMPreKey.ID] = true, true
		})
	}
	wg.Wait()
	require.Len(t, p.bob.list(t, "prekey", "-"), 12)
	require.Len(t, p.bob.list(t, "kem", "-"), 12)
	require.Len(t, p.bob.list(t, "signed", "-"), 1)
}
