package perf

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"time"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/gembok-e2ee/gembok/internal/curve"
	"github.com/gembok-e2ee/gembok/session/hosting"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// manifest is a signed one of n endpoints, each with a key of its own, all at one
// provider where they are hosted.
func manifest(n int, hosted bool) *hosting.Manifest {
	account, provider := keys.GenerateIdentityKeyPair(), keys.GenerateIdentityKeyPair()
	from := time.Now().Truncate(time.Second)
	m := &hosting.Manifest{Account: userName(2), Kind: hosting.KindBusiness, Epoch: 1, NotBefore: from, NotAfter: from.Add(30 * 24 * time.Hour)}
	for i := range n {
		key := account
		if i > 0 {
			key = keys.GenerateIdentityKeyPair()
		}
		m.Endpoints = append(m.Endpoints, endpoint(m, uint32(1+i), account, key, provider, hosted))
	}
	must(m.Sign(account))
	return m
}

// endpoint is one of m's, with its signatures.
func endpoint(m *hosting.Manifest, device uint32, account, key, provider *keys.IdentityKeyPair, hosted bool) hosting.Endpoint {
	e := hosting.Endpoint{Device: device, Identity: key.Public(), Controller: hosting.OwnerServer, Storage: hosting.StorageOwner,
		Uses: hosting.Uses{Service: true}, NotAfter: m.NotAfter}
	if hosted {
		e.Controller, e.Storage = hosting.HostedByProvider, hosting.StorageProvider
		e.Provider = &hosting.Provider{Name: "PT Awan", Domain: "awan.example", Key: provider.Public()}
		check(e.Operate(m.Account, account.Public(), provider))
	}
	check(e.Accept(m.Account, account.Public(), key))
	return e
}

// VerifyManifest is reading a manifest of n endpoints and verifying it.
func VerifyManifest(n int, hosted bool) Op {
	name := fmt.Sprintf("manifest-%d", n)
	if hosted {
		name += "-hosted"
	}
	return always(name, 0, max(1, 20/n), func() func() {
		in, now := manifest(n, hosted).Bytes(), time.Now()
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
		{Op: VerifyManifest(1, false), Title: "verify a manifest of one endpoint", Floor: floor(FloorVerify(2)), Limit: one},
		{Op: VerifyManifest(1, true), Title: "the same, hosted by a provider", Floor: floor(FloorVerify(3)), Limit: one},
		{Op: VerifyManifest(10, false), Title: "verify one of ten endpoints", Floor: floor(FloorVerify(11)), Limit: ten},
		{Op: VerifyManifest(10, true), Title: "the same, all of them hosted", Floor: floor(FloorVerify(21)), Limit: ten},
		{Op: ArchiveWrite(file), Title: "write an archive of 4 MiB", Floor: floor(FloorArchive(file))},
		{Op: ArchiveVerify(file), Title: "verify it", Floor: floor(FloorArchive(file))},
	}
}
