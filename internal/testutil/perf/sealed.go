package perf

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"runtime"
	"time"

	"github.com/gembok-e2ee/gembok/internal/curve"
	"github.com/gembok-e2ee/gembok/internal/etm"
	"github.com/gembok-e2ee/gembok/internal/kdf"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/sealed"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// certified returns an identity with a certificate, and the trust in that.
func certified(cache int) (*keys.IdentityKeyPair, *sealed.SenderCertificate, *sealed.Trust) {
	root, key, identity := keys.GenerateSigningKey(), keys.GenerateSigningKey(), keys.GenerateIdentityKeyPair()
	server := sealed.IssueServerCertificate(root, 1, key.Public())
	c := must(sealed.IssueSenderCertificate(server, key, sealed.Claims{
		User: userName(1), Device: 1, Identity: identity.Public(), Expires: time.UnixMilli(1e12)}))
	return identity, c, &sealed.Trust{Roots: []keys.VerifyKey{root.Public()}, Cache: cache}
}

// Seal is making an envelope for one device, with a cache or 0.
func Seal(size, cache int) Op {
	return always(named("seal", cache), size, 100, func() func() {
		identity, c, _ := certified(0)
		s := must(sealed.NewSender(identity, c, &sealed.Options{Cache: cache}))
		to := keys.GenerateIdentityKeyPair().Public()
		m := &session.Message{Type: session.TypeSignal, Bytes: make([]byte, size)}
		return func() { must(s.Seal(to, m, sealed.HintDefault, nil)) }
	})
}

// Unseal is opening that, with the sender's certificate verified.
func Unseal(size, cache int) Op {
	return always(named("unseal", cache), size, 50, func() func() {
		identity, c, trust := certified(cache)
		s := must(sealed.NewSender(identity, c, nil))
		to := keys.GenerateIdentityKeyPair()
		m := &session.Message{Type: session.TypeSignal, Bytes: make([]byte, size)}
		envelope := must(s.Seal(to.Public(), m, sealed.HintDefault, nil)).Bytes
		o := sealed.NewOpener(to, trust, &sealed.Options{Cache: cache})
		return func() { must(o.Open(envelope, time.UnixMilli(1e12))) }
	})
}

// SealMany is making an envelope for n users with a device each, on some cores,
// with a cache or 0.
func SealMany(n, cores, cache int) Op {
	return always(named(fmt.Sprintf("seal-many-%d", cores), cache), 1024, 1, func() func() {
		identity, c, _ := certified(0)
		s := must(sealed.NewSender(identity, c, &sealed.Options{Cache: cache}))
		m := &session.Message{Type: session.TypeSenderKey, Bytes: make([]byte, 1024)}
		to := make([]sealed.Recipient, n)
		for i := range to {
			to[i] = sealed.Recipient{User: userName(1000 + i), Identity: keys.GenerateIdentityKeyPair().Public(),
				Devices: []sealed.Device{{ID: 1, RegistrationID: 5}}}
		}
		return func() {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
			must(s.SealMany(to, nil, m, sealed.HintDefault, nil))
		}
	})
}

func named(name string, cache int) string {
	if cache > 0 {
		name += "-cached"
	}
	return name
}

// part is AES-CTR and HMAC of a part of an envelope, with their keys: the hash of
// a salt that is longer than a block, and an HKDF of 96 bytes.
func (f *floor) part(salt int, b []byte) {
	f.key = sha256.Sum256(make([]byte, salt))
	f.hkdf(96, f.key[:], nil)
	etm.CTR(&f.key, b)
	mac := etm.MAC(&f.key, b)
	f.iv[0] ^= mac[0]
}

// FloorSeal is an envelope of version 1 (sealed-groups-fingerprint, Section 1.2):
// a key pair, two X25519, the sender's key and a message of the size with a
// certificate of some 300 bytes.
func FloorSeal(size int) Op {
	return always("seal", size, 100, func() func() {
		f := newFloor()
		return func() {
			f.generate()
			f.agree()
			f.part(20+33+33, make([]byte, 33))
			f.agree()
			f.part(32+43, make([]byte, 300+size))
		}
	})
}

// FloorUnseal is opening that without the key pair, and two signatures verified,
// over 36 and 200 bytes (Section 2).
func FloorUnseal(size int) Op {
	return always("unseal", size, 50, func() func() {
		f := newFloor()
		server, sender := make([]byte, 37), make([]byte, 200)
		var z [64]byte
		a := curve.EdwardsPublic(&f.private)
		rand.Read(z[:])
		sigs := [2][64]byte{curve.Sign(&f.private, &a, &z, server), curve.Sign(&f.private, &a, &z, sender)}
		public := f.public
		return func() {
			f.agree()
			f.part(20+33+33, make([]byte, 33))
			f.agree()
			f.part(32+43, make([]byte, 300+size))
			if !curve.Verify(&public, sigs[0][:], server) || !curve.Verify(&public, sigs[1][:], sender) {
				panic("perf: signature")
			}
		}
	})
}

// FloorSealMany is what each of n recipients of an envelope of version 2 takes
// (Section 3.1), on one core: two X25519, and two HKDF, of 98 and of 163 bytes.
func FloorSealMany(n int) Op {
	return always("seal-many", 1024, 1, func() func() {
		f := newFloor()
		input := make([]byte, 32+33+32+33+33)
		mask, tag := []byte("Sealed Sender v2: DH"), []byte("Sealed Sender v2: DH-sender")
		return func() {
			for range n {
				f.agree()
				copy(input, f.key[:])
				kdf.HKDF(f.out[:32], nil, input[:98], mask)
				f.agree()
				copy(input, f.key[:])
				kdf.HKDF(f.out[:16], nil, input, tag)
			}
		}
	})
}

// sealedRows are the rows of package sealed.
func sealedRows() []Row {
	const n, cache = 1000, 2000
	floor := func(o Op) *Op { return &o }
	return []Row{
		{Op: Seal(1024, 0), Title: "seal 1 KiB for one", Floor: floor(FloorSeal(1024)), Ratio: 1.1},
		{Op: Seal(1024, cache), Title: "the same with a cache", Floor: floor(FloorSeal(1024))},
		{Op: Unseal(1024, 0), Title: "open that, certificates verified", Floor: floor(FloorUnseal(1024)), Ratio: 1.1},
		{Op: Unseal(1024, cache), Title: "the same with both caches", Floor: floor(FloorUnseal(1024)), Ratio: 0.4},
		{Op: SealMany(n, 1, 0), Title: "seal 1 KiB for 1,000 users, one core", Floor: floor(FloorSealMany(n)), Ratio: 1.08, Allocs: 3 * n},
		{Op: SealMany(n, 2, 0), Title: "the same on two cores", Floor: floor(FloorSealMany(n)), Ratio: 0.63, Allocs: 3 * n},
		{Op: SealMany(n, 1, cache), Title: "the same with a cache, one core", Floor: floor(FloorSealMany(n)), Allocs: 3 * n},
	}
}
