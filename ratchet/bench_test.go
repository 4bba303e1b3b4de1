package ratchet_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/etm"
	"github.com/gembok-e2ee/gembok/internal/kdf"
	"github.com/gembok-e2ee/gembok/ratchet"
	"github.com/gembok-e2ee/gembok/ratchet/spqr"
)

// What a benchmark of the ratchet is held against is the sum of the primitives
// that it cannot do without: BenchmarkFloor….

var sizes = []int{100, 64 << 10}

func bySize(b *testing.B, f func(b *testing.B, plaintext []byte)) {
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			f(b, make([]byte, n))
		})
	}
}

// settled returns two sessions in mid-conversation, neither owing the other a
// DH step of its own.
func settled(b *testing.B) (alice, bob *ratchet.Session) {
	alice, bob = newPair(b)
	for range 2 {
		say(b, alice, bob, "ping")
		say(b, bob, alice, "pong")
	}
	say(b, alice, bob, "ping")
	return alice, bob
}

func BenchmarkEncrypt(b *testing.B) {
	bySize(b, func(b *testing.B, plaintext []byte) {
		alice, _ := settled(b)
		for b.Loop() {
			if _, err := alice.Encrypt(plaintext, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkDecrypt(b *testing.B) {
	bySize(b, func(b *testing.B, plaintext []byte) {
		alice, bob := settled(b)
		messages := make([][]byte, 0, 256)
		for i := 0; b.Loop(); i++ {
			if i == len(messages) {
				b.StopTimer()
				for i, messages = 0, messages[:0]; len(messages) < cap(messages); {
					messages = append(messages, send(b, alice, plaintext))
				}
				b.StartTimer()
			}
			if _, err := bob.Decrypt(messages[i], nil); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkTurn is one message there and one back, with a DH step on each side.
func BenchmarkTurn(b *testing.B) {
	alice, bob := settled(b)
	b.ReportAllocs()
	for b.Loop() {
		say(b, alice, bob, "ping")
		say(b, bob, alice, "pong")
	}
}

// BenchmarkJump2000 decrypts a message with 2,000 others missing before it.
func BenchmarkJump2000(b *testing.B) {
	alice, bob := settled(b)
	for range 2000 {
		send(b, alice, nil)
	}
	msg, stored := send(b, alice, make([]byte, 100)), bob.Append(nil)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		bob, err := ratchet.Parse(stored)
		require.NoError(b, err)
		b.StartTimer()
		if _, err := bob.Decrypt(msg, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLate decrypts one of 2,000 skipped messages.
func BenchmarkLate(b *testing.B) {
	alice, bob := settled(b)
	var late [][]byte
	for range 2000 {
		late = append(late, send(b, alice, make([]byte, 100)))
	}
	read(b, bob, send(b, alice, nil))
	stored := bob.Append(nil)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		bob, err := ratchet.Parse(stored)
		require.NoError(b, err)
		_, err = bob.Decrypt(late[500], nil) // reads what is parsed on first use
		require.NoError(b, err)
		b.StartTimer()
		if _, err := bob.Decrypt(late[1000], nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkStored(b *testing.B) {
	_, bob := settled(b)
	stored := bob.Append(nil)
	b.Run("Parse", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := ratchet.Parse(stored); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Append", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			bob.Append(nil)
		}
	})
}

// A floor holds the inputs of the primitives.
type floor struct {
	key      [32]byte
	iv       [16]byte
	identity [33]byte
	sink     byte
}

// chains are the steps of both chains and the message keys: 2 + 3 + 4 HMACs.
func (f *floor) chains() {
	var out [80]byte
	seed := kdf.HMAC(&f.key, []byte{1})
	f.key = kdf.HMAC(&f.key, []byte{2})
	kdf.HKDF(out[:64], nil, f.key[:], []byte("1234Signal PQ Ratchet V1 Chain Next"))
	kdf.HKDF(out[:], &f.key, seed[:], []byte("WhisperMessageKeys"))
	f.sink ^= out[0]
}

// overhead is what a message has beside its ciphertext.
const overhead = 84

func (f *floor) mac(body []byte) {
	mac := etm.MAC(&f.key, f.identity[:], f.identity[:], body)
	f.sink ^= mac[0]
}

func BenchmarkFloorEncrypt(b *testing.B) {
	bySize(b, func(b *testing.B, plaintext []byte) {
		var f floor
		for b.Loop() {
			f.chains()
			out := etm.EncryptCBC(make([]byte, overhead, overhead+len(plaintext)+16), &f.key, &f.iv, plaintext)
			f.mac(out)
		}
	})
}

func BenchmarkFloorDecrypt(b *testing.B) {
	bySize(b, func(b *testing.B, plaintext []byte) {
		var f floor
		body := append(make([]byte, overhead), etm.EncryptCBC(nil, &f.key, &f.iv, plaintext)...)
		key := f.key
		for b.Loop() {
			f.chains()
			f.mac(body)
			if _, ok := etm.DecryptCBC(nil, &key, &f.iv, body[overhead:]); !ok {
				b.Fatal("padding")
			}
		}
	})
}

// BenchmarkFloorJump2000 is 2,000 steps of both chains with their seeds.
func BenchmarkFloorJump2000(b *testing.B) {
	var f floor
	var out [64]byte
	for b.Loop() {
		for range 2000 {
			kdf.HMAC(&f.key, []byte{1})
			f.key = kdf.HMAC(&f.key, []byte{2})
			kdf.HKDF(out[:], nil, f.key[:], []byte("1234Signal PQ Ratchet V1 Chain Next"))
		}
	}
}

// BenchmarkPostQuantum is the third ratchet's share of BenchmarkEncrypt and
// BenchmarkDecrypt.
func BenchmarkPostQuantum(b *testing.B) {
	alice, bob := settled(b)
	a, err := spqr.Parse(stored(b, alice).PQRatchet)
	require.NoError(b, err)
	o, err := spqr.Parse(stored(b, bob).PQRatchet)
	require.NoError(b, err)
	var msg []byte
	b.Run("Send", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, msg, _, err = a.Send(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Check", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := o.Check(msg); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Recv", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := o.Recv(msg); err != nil {
				b.Fatal(err)
			}
		}
	})
}
