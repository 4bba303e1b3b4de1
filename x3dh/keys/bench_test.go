package keys_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

func BenchmarkGeneratePrivateKey(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		keys.GeneratePrivateKey().PublicKey()
	}
}

func BenchmarkNewIdentityKeyPair(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		keys.NewIdentityKeyPair(marked)
	}
}

func BenchmarkAgree(b *testing.B) {
	k, public := keys.GeneratePrivateKey(), keys.GeneratePrivateKey().PublicKey()
	b.ReportAllocs()
	for b.Loop() {
		k.Agree(public)
	}
}

func BenchmarkSign(b *testing.B) {
	k, msg := keys.GenerateSigningKey(), make([]byte, 200)
	b.ReportAllocs()
	for b.Loop() {
		k.Sign(msg)
	}
}

func BenchmarkVerify(b *testing.B) {
	k, msg := keys.GenerateSigningKey(), make([]byte, 200)
	sig, public := k.Sign(msg), k.Public()
	b.ReportAllocs()
	for b.Loop() {
		if public.Verify(sig, msg) != nil {
			b.Fatal("refused")
		}
	}
}

func BenchmarkVerifyKEMPreKey(b *testing.B) {
	k, preKey := keys.GenerateIdentityKeyPair(), keys.GenerateKEMPrivateKey().Public()
	sig, public := k.SignKEMPreKey(preKey), k.Public()
	b.ReportAllocs()
	for b.Loop() {
		if public.VerifyKEMPreKey(preKey, sig) != nil {
			b.Fatal("refused")
		}
	}
}

func BenchmarkKEM(b *testing.B) {
	private := keys.GenerateKEMPrivateKey()
	public := private.Public()
	ct, _ := public.Encapsulate()
	pk, sk := public.Bytes(), private.Bytes()
	for name, f := range map[string]func() error{
		"generate":      func() error { keys.GenerateKEMPrivateKey(); return nil },
		"parse public":  func() error { return second(keys.ParseKEMPublicKey(pk)) },
		"parse private": func() error { return second(keys.ParseKEMPrivateKey(sk)) },
		"encapsulate":   func() error { public.Encapsulate(); return nil },
		"decapsulate":   func() error { return second(private.Decapsulate(ct)) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				require.NoError(b, f())
			}
		})
	}
}
