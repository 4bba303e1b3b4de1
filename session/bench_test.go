package session_test

import (
	"context"
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// The worst that one message without a key to it can cost: 41 sessions, each
// with all the skipped keys it may hold, or with few.
func BenchmarkHostileMessage(b *testing.B) {
	for _, heavy := range []bool{false, true} {
		p, _ := many(b, 41)
		epoch := spqrEpoch(b, p.bob.record(b, p.alice).Current)
		if heavy {
			p.bob.fill(b, p.alice)
		}
		for _, c := range []struct{ counter, index uint32 }{{0, 2}, {2000, 2000}, {24000, 24000}, {25000, 25000}, {math.MaxUint32, 2}} {
			b.Run(fmt.Sprintf("heavy=%v/counter=%d/index=%d", heavy, c.counter, c.index), func(b *testing.B) {
				m := hostile(c.counter, epoch, c.index)
				b.ReportAllocs()
				for b.Loop() {
					if p.bob.decrypt(p.alice, m) == nil {
						b.Fatal("read")
					}
				}
			})
		}
	}
}

// fill gives every session with peer five chains of 2,000 skipped keys.
func (s *side) fill(t testing.TB, peer *side) {
	t.Helper()
	rec := s.record(t, peer)
	full := func(raw []byte) []byte {
		return editSession(t, raw, func(s *wire.Session) {
			for len(s.Receivers) < wire.MaxReceivers {
				s.Receivers = append([]wire.Chain{{PublicKey: keys.GeneratePrivateKey().PublicKey().Bytes(), Key: make([]byte, 32)}}, s.Receivers...)
			}
			for i := range s.Receivers {
				s.Receivers[i].Index = 2000
				s.Receivers[i].Skipped = s.Receivers[i].Skipped.Prepend(0, make([][32]byte, 2000))
			}
		})
	}
	rec.Current = full(rec.Current)
	for i := range rec.Previous {
		rec.Previous[i] = full(rec.Previous[i])
	}
	require.NoError(t, s.ImportSession(ctx, peer.Address(), wire.AppendSessionRecord(nil, &rec)))
}

// Two devices that have each read something from the other.
func talking(t testing.TB) (alice, bob *session.Device) {
	t.Helper()
	alice, _ = newDevice(t, aliceAddress, nil)
	bob, _ = newDevice(t, bobAddress, nil)
	begin(t, alice, bob)
	read(t, bob, alice, send(t, alice, bob, "hello"))
	read(t, alice, bob, send(t, bob, alice, "hello"))
	return alice, bob
}

func BenchmarkEncrypt(b *testing.B) {
	alice, bob := talking(b)
	text := make([]byte, 100)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := alice.Encrypt(context.Background(), bob.Address(), text); err != nil {
			b.Fatal(err)
		}
	}
}

// Messages one way, in order, on the chain that the receiver is on.
func BenchmarkDecrypt(b *testing.B) {
	alice, bob := talking(b)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		m := send(b, alice, bob, "one way")
		b.StartTimer()
		if _, err := bob.Decrypt(context.Background(), alice.Address(), m, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// A message and its answer: two encrypts, two decrypts, each with a DH step.
func BenchmarkPingPong(b *testing.B) {
	alice, bob := talking(b)
	b.ReportAllocs()
	for b.Loop() {
		read(b, bob, alice, send(b, alice, bob, "ping"))
		read(b, alice, bob, send(b, bob, alice, "pong"))
	}
}

func BenchmarkBegin(b *testing.B) {
	ctx := context.Background()
	bob, _ := newDevice(b, bobAddress, nil)
	bundle, err := bob.Bundle(ctx)
	require.NoError(b, err)
	alice, _ := newDevice(b, aliceAddress, nil)
	b.ReportAllocs()
	for b.Loop() {
		if err := alice.Begin(ctx, bob.Address(), bundle); err != nil {
			b.Fatal(err)
		}
	}
}

// The first message of a session, from the side whose bundle was used.
func BenchmarkAnswer(b *testing.B) {
	ctx := context.Background()
	bob, _ := newDevice(b, bobAddress, nil)
	bundle := func() *x3dh.Bundle {
		p, err := bob.Publish(ctx)
		require.NoError(b, err)
		p.PreKeys, p.KEMPreKeys = nil, nil
		return p.Take()
	}()
	alice, _ := newDevice(b, aliceAddress, nil)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		require.NoError(b, alice.Begin(ctx, bob.Address(), bundle))
		m := send(b, alice, bob, "hello")
		b.StartTimer()
		if _, err := bob.Decrypt(ctx, alice.Address(), m, nil); err != nil {
			b.Fatal(err)
		}
	}
}
