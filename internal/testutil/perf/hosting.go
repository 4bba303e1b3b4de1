package perf

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/gembok-e2ee/gembok/internal/curve"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/hosting"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// manifest is a signed one of user number user with n endpoints, all at one
// provider where they are hosted. The first one has the account's key.
func manifest(user int, account *keys.IdentityKeyPair, n int, hosted bool) *hosting.Manifest {
	from := time.Now().Truncate(time.Second)
	m := &hosting.Manifest{Account: userName(user), Kind: hosting.KindBusiness, Epoch: 1, NotBefore: from, NotAfter: from.Add(30 * 24 * time.Hour)}
	key, provider := account, keys.GenerateIdentityKeyPair()
	for i := range n {
		e := hosting.Endpoint{Device: uint32(1 + i), Identity: key.Public(), Controller: hosting.OwnerServer, Storage: hosting.StorageOwner,
			Uses: hosting.Uses{Service: true}, NotAfter: m.NotAfter}
		if hosted {
			e.Controller, e.Storage = hosting.HostedByProvider, hosting.StorageProvider
			e.Provider = &hosting.Provider{Name: "PT Awan", Domain: "awan.example", Key: provider.Public()}
			check(e.Operate(m.Account, account.Public(), provider))
		}
		check(e.Accept(m.Account, account.Public(), key))
		m.Endpoints, key = append(m.Endpoints, e), keys.GenerateIdentityKeyPair()
	}
	must(m.Sign(account))
	return m
}

// VerifyManifest is reading a manifest of n endpoints and verifying it.
func VerifyManifest(n int, hosted bool) Op {
	name := fmt.Sprintf("manifest-%d", n)
	if hosted {
		name += "-hosted"
	}
	return always(name, 0, max(1, 20/n), func() func() {
		in, now := manifest(1, keys.GenerateIdentityKeyPair(), n, hosted).Bytes(), time.Now()
		return func() { check(must(hosting.Parse(in)).Verify(now)) }
	})
}

// FloorVerify is n XEdDSA signatures verified, over 150 bytes, on one core.
func FloorVerify(n int) Op {
	return always("verify", 0, max(1, 20/n), func() func() {
		f := newFloor()
		var z [64]byte
		a, message := curve.EdwardsPublic(&f.private), make([]byte, 150)
		rand.Read(z[:])
		sig := curve.Sign(&f.private, &a, &z, message)
		return func() {
			for range n {
				if !curve.Verify(&f.public, sig[:], message) {
					panic("perf: signature")
				}
			}
		}
	})
}

// gated are friends, with gates or without: bob says that a provider has his key,
// alice agreed to that, and with content each has said that he saw what the other says.
func gated(content, gates bool) (alice, bob *side) {
	a, b := &session.Options{Content: content}, &session.Options{Content: content}
	gate := hosting.NewGate(userName(1), nil)
	others := hosting.NewGate(userName(2), &hosting.Options{AllowUnattested: true})
	if gates {
		a.Gate, b.Gate = gate, others
	}
	alice, bob = newSideWith(1, keystore.NewMemory(), a), newSideWith(2, keystore.NewMemory(), b)
	bundle := must(bob.Bundle(ctx))
	if gates {
		bundle.Manifest = manifest(2, bob.IdentityKeyPair(), 1, true).Bytes()
		check(gate.Publish(ctx, alice.Device, manifest(1, alice.IdentityKeyPair(), 1, false).Bytes()))
		check(others.Publish(ctx, bob.Device, bundle.Manifest))
	}
	check(alice.Begin(ctx, bob.Address(), bundle))
	if gates {
		var ask *hosting.ConsentRequiredError
		if _, err := alice.Encrypt(ctx, bob.Address(), nil); !errors.As(err, &ask) {
			panic("perf: nothing is asked")
		}
		check(gate.Consent(ctx, alice.Device, ask.Account, ask.Token, hosting.Yes))
	}
	for range 2 {
		talk(alice, bob)
	}
	if l := must(gate.Label(ctx, alice.Device, userName(2))); gates && (l.State != "CURRENT" || !l.Hosted()) {
		panic("perf: state " + l.State)
	}
	return alice, bob
}

// EncryptGated is encrypting size bytes for a key in foreign hands, by a Device with
// a gate, or by one without. As the Body of a Content they go with a hosting context
// where there is a gate.
func EncryptGated(size int, content, gate bool) Op {
	name := "device-encrypt-gated"
	if content {
		name += "-content"
	}
	return always(name, size, runsOf(size), func() func() {
		alice, bob := gated(content, gate)
		plaintext := make([]byte, size)
		if content {
			plaintext = (&session.Content{Body: plaintext}).Bytes()
		}
		return func() { alice.send(bob, plaintext) }
	})
}

// archiveRecord is how much of an archive is one record.
const archiveRecord = 64 << 10

// ArchiveWrite is writing an archive of records, of size altogether, to nowhere.
func ArchiveWrite(size int) Op {
	return always("archive-write", size, attachmentRuns, func() func() {
		key, data := hosting.GenerateArchiveKey(), make([]byte, size)
		return func() { writeArchive(io.Discard, key, data) }
	})
}

func writeArchive(dst io.Writer, key *hosting.ArchiveKey, data []byte) {
	w := must(hosting.NewArchiveWriter(dst, key, nil))
	for b := data; len(b) > 0; b = b[archiveRecord:] {
		check(w.Write(&hosting.ArchiveRecord{Type: "app", Data: b[:archiveRecord]}))
	}
	check(w.Close())
}

// ArchiveVerify is verifying that archive.
func ArchiveVerify(size int) Op {
	return always("archive-verify", size, attachmentRuns, func() func() {
		key := hosting.GenerateArchiveKey()
		var file bytes.Buffer
		writeArchive(&file, key, make([]byte, size))
		return func() { must(hosting.VerifyArchive(bytes.NewReader(file.Bytes()), key, nil)) }
	})
}

// FloorArchive is ChaCha20-Poly1305 and SHA-256 of as much, by 64 KiB.
func FloorArchive(size int) Op {
	return always("archive", size, attachmentRuns, func() func() {
		f, data := newFloor(), make([]byte, archiveRecord+chacha20poly1305.Overhead)
		aead := must(chacha20poly1305.New(f.key[:]))
		return func() {
			sum := sha256.New()
			for range size / archiveRecord {
				sum.Write(data[:archiveRecord])
				aead.Seal(data[:0], f.out[:chacha20poly1305.NonceSize], data[:archiveRecord], nil)
			}
			sum.Sum(f.out[:0])
		}
	})
}

// hostingRows are the rows of package hosting.
func hostingRows() []Row {
	const one, ten, file = 300 * time.Microsecond, time.Millisecond, 4 << 20
	floor := func(o Op) *Op { return &o }
	return []Row{
		{Op: EncryptGated(100, false, true), Title: "encrypt 100 B with a gate, state CURRENT; the floor is without", Floor: floor(EncryptGated(100, false, false)), Over: time.Microsecond},
		{Op: EncryptGated(100, true, true), Title: "the same of a Content, which gets a hosting context", Floor: floor(EncryptGated(100, true, false)), Over: time.Microsecond},
		{Op: VerifyManifest(1, false), Title: "verify a manifest of one endpoint", Floor: floor(FloorVerify(2)), Limit: one},
		{Op: VerifyManifest(1, true), Title: "the same, hosted by a provider", Floor: floor(FloorVerify(3)), Limit: one},
		{Op: VerifyManifest(10, false), Title: "verify one of ten endpoints", Floor: floor(FloorVerify(11)), Limit: ten},
		{Op: VerifyManifest(10, true), Title: "the same, all of them hosted", Floor: floor(FloorVerify(21)), Limit: ten},
		{Op: ArchiveWrite(file), Title: "write an archive of 4 MiB", Floor: floor(FloorArchive(file))},
		{Op: ArchiveVerify(file), Title: "verify it", Floor: floor(FloorArchive(file))},
	}
}
