package session_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/testutil/perf"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
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

// A Device over the store in memory; the floor is the primitives that the
// operation cannot do without.

func bySize(b *testing.B, op func(size int, open func() keystore.Store) perf.Op) {
	for _, n := range []int{100, 64 << 10} {
		b.Run(fmt.Sprint(n), op(n, nil).Benchmark)
	}
}

func BenchmarkEncrypt(b *testing.B)       { bySize(b, perf.DeviceEncrypt) }
func BenchmarkDecrypt(b *testing.B)       { bySize(b, perf.DeviceDecrypt) }
func BenchmarkPingPong(b *testing.B)      { perf.PingPong().Benchmark(b) }
func BenchmarkFloorPingPong(b *testing.B) { perf.FloorPingPong().Benchmark(b) }
func BenchmarkBegin(b *testing.B)         { perf.Begin().Benchmark(b) }
func BenchmarkFloorBegin(b *testing.B)    { perf.FloorBegin().Benchmark(b) }
func BenchmarkAnswer(b *testing.B)        { perf.Answer().Benchmark(b) }
func BenchmarkFloorAnswer(b *testing.B)   { perf.FloorAnswer().Benchmark(b) }
func BenchmarkJump2000(b *testing.B)      { perf.Jump(2000).Benchmark(b) }
func BenchmarkFloorJump2000(b *testing.B) { perf.FloorJump(2000).Benchmark(b) }

func BenchmarkNextAfterJump2000(b *testing.B) { perf.NextAfterJump(2000).Benchmark(b) }

// A message of 1 KiB to a thousand devices, with all of whom there are sessions,
// or with none. The metric is what lives at once.
func BenchmarkSend(b *testing.B) {
	for _, c := range []struct{ users, devices int }{{250, 4}, {1000, 1}} {
		for _, cold := range []bool{false, true} {
			b.Run(fmt.Sprintf("%dx%d/cold=%t", c.users, c.devices, cold), func(b *testing.B) {
				op := perf.Send(c.users, c.devices, nil)
				if cold {
					op = perf.SendCold(c.users, c.devices)
				}
				op.Benchmark(b)
				b.ReportMetric(perf.SendLive(c.users, c.devices, cold), "live-B/device")
			})
		}
	}
}

// What of a message that all get alike is not its encryption: to find out about a
// thousand devices.
func BenchmarkSendShared(b *testing.B) { perf.SendShared(250, 4, nil).Benchmark(b) }

func BenchmarkFloorSend(b *testing.B) { perf.FloorSend(1000).Benchmark(b) }

// One Update with a message of 1 KiB to each of a thousand devices.
func BenchmarkUpdate1000(b *testing.B) {
	p := friends(b)
	peers := make([]session.Address, 1000)
	var changes []keystore.Change
	for i := range peers { // alice's session with bob, a thousand times
		peers[i] = session.Address{User: fmt.Sprintf("user-%03d", i), Device: bobAddress.Device}
		for _, r := range testutil.Records(b, p.alice.store) {
			if r.Key.Owner == bobAddress.User {
				r.Key.Owner = peers[i].User
				changes = append(changes, keystore.Change{Op: keystore.Put, Key: r.Key, Value: r.Value})
			}
		}
	}
	testutil.Commit(b, p.alice.store, changes...)
	text := make([]byte, 1024)
	b.ReportAllocs()
	for b.Loop() {
		require.NoError(b, p.alice.Update(ctx, peers, func(t *session.Tx) error {
			for _, to := range peers {
				if _, err := t.Encrypt(to, text); err != nil {
					return err
				}
			}
			return nil
		}))
	}
}

// BenchmarkEncryptAtGate is encrypting a short Content without a gate, and with
// one that lets everything out, says nothing, or a context.
func BenchmarkEncryptAtGate(b *testing.B) {
	for _, c := range []struct {
		name string
		gate func(session.Address) session.Gate
	}{
		{"none", func(session.Address) session.Gate { return nil }},
		{"open", func(session.Address) session.Gate { return &turnstile{} }},
		{"claims", func(session.Address) session.Gate { return &turnstile{claim: session.Claim{Epoch: 1, SeenEpoch: 1}} }},
	} {
		b.Run(c.name, func(b *testing.B) {
			r := settled(b, session.Options{Content: true}, at(ani, 1), at(budi, 1))
			from := r.of(ani, 1)
			for _, user := range []string{ani, budi} {
				from.write(b, from.key("shown", user, ""), []byte("\x01"+strings.Repeat("m", 434)))
			}
			d := r.reopen(b, from, func(o *session.Options) { o.Gate = c.gate(from.Address()) })
			plaintext := (&session.Content{Body: make([]byte, 100)}).Bytes()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := d.Encrypt(ctx, at(budi, 1), plaintext); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A turnstile is a gate that lets everything out, with a record of each user
// and of the own account.
type turnstile struct {
	toll
	claim session.Claim
}

func (*turnstile) Keys(users []string) []keystore.Key {
	out := append(make([]keystore.Key, 0, 1+len(users)), shownKey(ani))
	for _, user := range users {
		out = append(out, shownKey(user))
	}
	return out
}

func (g *turnstile) Claim(time.Time, []keystore.Record, string) session.Claim { return g.claim }

func (*turnstile) Send(time.Time, []keystore.Record, session.Address, keys.IdentityKey) error {
	return nil
}
