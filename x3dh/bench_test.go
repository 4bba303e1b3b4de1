package x3dh_test

import (
	"testing"

	"github.com/gembok-e2ee/gembok/x3dh"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

func BenchmarkInitiate(b *testing.B) {
	alice, bundle := newDevice(), newDevice().bundle(true)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := x3dh.Initiate(alice.identity, bundle); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRespond(b *testing.B) {
	alice, bob := newDevice(), newDevice()
	r := bob.response(initiate(b, alice, bob.bundle(true)), alice.identity.Public(), true)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := x3dh.Respond(r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseBundle(b *testing.B) {
	raw := newDevice().bundle(true).Bytes()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := x3dh.ParseBundle(raw); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFloorInitiate is the primitives of an initiation: two signatures, a
// key and its public half, four agreements, an encapsulation.
func BenchmarkFloorInitiate(b *testing.B) {
	bob := newDevice()
	bundle := bob.bundle(true)
	b.ReportAllocs()
	for b.Loop() {
		if err := bundle.Verify(); err != nil {
			b.Fatal(err)
		}
		base := keys.GeneratePrivateKey()
		public := base.PublicKey()
		for range 4 {
			if _, err := bob.signed.Agree(public); err != nil {
				b.Fatal(err)
			}
		}
		bundle.KEMPreKey.Key.Encapsulate()
	}
}

// BenchmarkFloorRespond is the base key's test, four agreements and a
// decapsulation.
func BenchmarkFloorRespond(b *testing.B) {
	bob := newDevice()
	public := keys.GeneratePrivateKey().PublicKey()
	ct, _ := bob.kem.Public().Encapsulate()
	b.ReportAllocs()
	for b.Loop() {
		if err := public.Canonical(); err != nil {
			b.Fatal(err)
		}
		for range 4 {
			if _, err := bob.signed.Agree(public); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := bob.kem.Decapsulate(ct); err != nil {
			b.Fatal(err)
		}
	}
}
