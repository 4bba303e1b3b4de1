package perf

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"

	"github.com/gembok-e2ee/gembok/internal/curve"
	"github.com/gembok-e2ee/gembok/internal/etm"
	"github.com/gembok-e2ee/gembok/internal/kdf"
	"github.com/gembok-e2ee/gembok/internal/kem"
)

// A floor holds the inputs of the primitives, and takes in their outputs.
type floor struct {
	key      [32]byte
	out      [96]byte
	iv       [16]byte
	identity [33]byte
	private  [32]byte
	public   [32]byte
}

func newFloor() *floor {
	f := &floor{}
	f.generate()
	return f
}

// generate draws a Curve25519 key pair: one multiplication of the base point.
func (f *floor) generate() {
	rand.Read(f.private[:])
	curve.Clamp(&f.private)
	f.public = curve.PublicKey(&f.private)
}

// agree is one X25519.
func (f *floor) agree() {
	f.key, _ = curve.Agree(&f.private, &f.public)
}

// hkdf is one HKDF of n bytes out of 32 or more: 1 + ⌈n/32⌉ HMACs.
func (f *floor) hkdf(n int, ikm, info []byte) {
	kdf.HKDF(f.out[:n], &f.key, ikm, info)
	copy(f.key[:], f.out[:])
}

// root is KDF_RK (wire-core, Section 7.4): 3 HMACs.
func (f *floor) root() { f.hkdf(64, f.key[:], []byte("WhisperRatchet")) }

// chain is KDF_CK (wire-core, Section 7.4): 2 HMACs.
func (f *floor) chain() {
	seed := kdf.HMAC(&f.key, []byte{1})
	f.key = kdf.HMAC(&f.key, []byte{2})
	copy(f.out[:], seed[:])
}

// pqChain is a step of the post-quantum chain (spqr.md, Section 7.1): 3 HMACs.
func (f *floor) pqChain() { f.hkdf(64, f.key[:], []byte("1234Signal PQ Ratchet V1 Chain Next")) }

// pqStart is the post-quantum ratchet's authenticator and its first chains
// (spqr.md, Sections 4 and 7.1): 3 + 4 HMACs.
func (f *floor) pqStart() {
	f.hkdf(64, make([]byte, 64), []byte("Signal_PQCKA_V1_MLKEM768:Authenticator Update12345678"))
	f.hkdf(96, f.key[:], []byte("Signal PQ Ratchet V1 Chain  Start"))
}

// keys are the chain, the post-quantum chain and the keys of one message (80
// bytes): 2 + 3 + 4 HMACs.
func (f *floor) keys() {
	f.chain()
	f.pqChain()
	f.hkdf(80, f.key[:], []byte("WhisperMessageKeys"))
}

// handshake is the KDF of PQXDH with a one-time prekey: HKDF of 192 + 32 bytes
// to 96 (wire-core, Section 7.1): 4 HMACs.
func (f *floor) handshake() {
	var input [7 * 32]byte
	copy(input[:], f.key[:])
	f.hkdf(96, input[:], []byte("WhisperText_X25519_SHA-256_CRYSTALS-KYBER-1024"))
}

// overhead is what a SignalMessage has before its ciphertext.
const overhead = 84

// seal is AES-CBC and HMAC of one message, in a new buffer.
func (f *floor) seal(plaintext []byte) []byte {
	n := len(plaintext)/16*16 + 16
	out := make([]byte, overhead+n, overhead+n+8)
	copy(out[overhead:], plaintext)
	cipher.NewCBCEncrypter(f.aes(), f.iv[:]).CryptBlocks(out[overhead:], out[overhead:])
	f.mac(out)
	return out
}

// open is HMAC and AES-CBC of a sealed message, the plaintext in a new buffer.
func (f *floor) open(message []byte) []byte {
	f.mac(message)
	out := append([]byte(nil), message[overhead:]...)
	cipher.NewCBCDecrypter(f.aes(), f.iv[:]).CryptBlocks(out, out)
	return out
}

// mac is the MAC of a message (wire-core, Section 6.3).
func (f *floor) mac(message []byte) {
	mac := etm.MAC(&f.key, f.identity[:], f.identity[:], message)
	f.iv[0] ^= mac[0]
}

// cbc is AES-CBC in place.
func (f *floor) cbc(b []byte) { cipher.NewCBCEncrypter(f.aes(), f.iv[:]).CryptBlocks(b, b) }

func (f *floor) aes() cipher.Block { return must(aes.NewCipher(f.key[:])) }

// always makes an Op of a step that needs no preparation.
func always(name string, size, runs int, start func() (run func())) Op {
	return Op{Name: name, Size: size, Runs: runs, ahead: runs, start: func() func() func() {
		run := start()
		return func() func() { return run }
	}}
}

// FloorEncrypt is a message on a chain that exists: 9 HMACs, AES-CBC, HMAC.
func FloorEncrypt(size int) Op {
	return always("encrypt", size, runsOf(size), func() func() {
		f, plaintext := newFloor(), make([]byte, size)
		return func() {
			f.keys()
			f.seal(plaintext)
		}
	})
}

// FloorDecrypt is the same for the receiver.
func FloorDecrypt(size int) Op {
	return always("decrypt", size, runsOf(size), func() func() {
		f := newFloor()
		message := f.seal(make([]byte, size))
		return func() {
			f.keys()
			f.open(message)
		}
	})
}

// turn is a message with a DH step for its receiver.
func (f *floor) turn(message []byte) {
	f.agree()
	f.root()
	f.keys()
	f.open(message)
	f.generate()
	f.agree()
	f.root()
}

// FloorPingPong is a message with a DH step for its receiver (wire-core,
// Section 7.4): an X25519 and a root step for the new receiving chain, the
// message; a key pair, an X25519 and a root step for the new sending chain. The
// KEM of the post-quantum ratchet is left out: once in 87 messages, about 1 µs
// of each.
func FloorPingPong() Op {
	return always("ping-pong", 100, 50, func() func() {
		f := newFloor()
		message := f.seal(make([]byte, 100))
		return func() {
			f.turn(message)
		}
	})
}

// FloorBegin is beginning from a bundle with a one-time prekey, and the first
// message:
//
//   - PQXDH (wire-core, Sections 5 and 7.1): two signatures verified, over 33
//     and 1,569 bytes; the base key pair; four X25519; an encapsulation of
//     Kyber-1024; the KDF;
//   - the first ratchet state (Section 7.3): a key pair, an X25519, a root step;
//   - the post-quantum ratchet (spqr.md, Sections 4, 5.3 and 7.1): its start; a
//     key pair of ML-KEM-768 and the MAC of its header;
//   - the message.
func FloorBegin() Op {
	return always("begin", 100, 20, func() func() {
		f, plaintext := newFloor(), make([]byte, 100)
		var seed [64]byte
		pk, _ := kem.Kyber1024Generate(&seed)
		prekey := make([]byte, 33)
		kemPrekey := append([]byte{8}, pk[:]...)
		a := curve.EdwardsPublic(&f.private)
		identity, sig := f.public, curve.Sign(&f.private, &a, &seed, prekey)
		kemSig := curve.Sign(&f.private, &a, &seed, kemPrekey)
		return func() {
			if !curve.Verify(&identity, sig[:], prekey) || !curve.Verify(&identity, kemSig[:], kemPrekey) {
				panic("perf: signature")
			}
			f.generate()
			for range 4 {
				f.agree()
			}
			rand.Read(f.key[:])
			_, f.key = kem.Kyber1024Encapsulate(pk, &f.key)
			f.handshake()

			f.generate()
			f.agree()
			f.root()

			f.pqStart()
			rand.Read(seed[:])
			dk := kem.Generate768(&seed)
			header := kem.Header768(dk)
			kdf.HMAC(&f.key, append([]byte("Signal_PQCKA_V1_MLKEM768:ekheader12345678"), header[:]...))

			f.keys()
			f.seal(plaintext)
		}
	})
}

// FloorAnswer is reading the first message of a session:
//
//   - PQXDH (wire-core, Sections 1.4 and 7.1): the test of the base key; a
//     decapsulation of Kyber-1024; four X25519; the KDF;
//   - the start of the post-quantum ratchet;
//   - a message with a DH step, as in FloorPingPong.
func FloorAnswer() Op {
	return always("answer", 100, 20, func() func() {
		f := newFloor()
		message := f.seal(make([]byte, 100))
		var seed [64]byte
		pk, sk := kem.Kyber1024Generate(&seed)
		ct, _ := kem.Kyber1024Encapsulate(pk, &f.key)
		return func() {
			if !curve.Canonical(&f.public) {
				panic("perf: base key")
			}
			f.key = kem.Kyber1024Decapsulate(sk, ct)
			for range 4 {
				f.agree()
			}
			f.handshake()
			f.pqStart()
			f.turn(message)
		}
	})
}

// FloorJump is a message that n others should have come before: n more steps
// of both chains, 2 + 3 HMACs each.
func FloorJump(n int) Op {
	return always("jump", 100, 4, func() func() {
		f := newFloor()
		message := f.seal(make([]byte, 100))
		return func() {
			for range n {
				f.chain()
				f.pqChain()
			}
			f.keys()
			f.open(message)
		}
	})
}

// runsOf returns how many messages of a size make a sample.
func runsOf(size int) int {
	if size > 4096 {
		return 50
	}
	return 500
}
