// Package fingerprint lets two people make sure that nobody sits between them:
// both see the same 60 digits, or scan each other's code, if and only if each
// has the other's identity key.
//
// What both parties' keys and ids are, the caller says: the own identity key of
// a session.Device, and the accepted one of the peer. The source is
// spec/sealed-groups-fingerprint.md, Section 6.
//
// # Labels
//
// A fingerprint of version 128 (spec/gembok.md, Section 7) covers also what each
// account states of who holds its keys: the hash of its manifest, of package
// hosting. A server that shows different statements of an account to different
// people is found out when they compare. A match says that both see the same
// statements, not that these are true. The number changes with each manifest: it
// is compared once both hold the newest ones.
//
// # Divergences
//
// Deployed peers write any version into a code, and read codes of any length.
// Here versions are 1 and 2, which is what apps use, and gembok's own 128, and
// codes have at most 4 KiB.
package fingerprint

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

const (
	defaultVersion = 2
	labelVersion   = 128 // gembok's own
	defaultRounds  = 5200
	minRounds      = 2
	maxRounds      = 1_000_000
)

var (
	// ErrMalformed reports a scanned code that is no fingerprint.
	ErrMalformed = wire.ErrMalformed
	// ErrTooLarge reports a scanned code of more than 4 KiB.
	ErrTooLarge = wire.ErrTooLarge
	// ErrVersion reports Options with a version that this package does not know.
	ErrVersion = wire.ErrVersion
	// ErrRounds reports Options whose Rounds are not 2 to 1,000,000, or in version
	// 128 not 5,200.
	ErrRounds = errors.New("fingerprint: number of rounds out of range")
	// ErrParty reports a Party without an id or a key, or with what the version does
	// not cover: a manifest in 1 or 2, an id of more than 255 bytes in 128.
	ErrParty = errors.New("fingerprint: party unfit for the version")
)

// A VersionError reports a scanned code of another version, which another app
// or an older one made. That says nothing about keys.
type VersionError struct {
	Ours, Theirs uint32
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("fingerprint: scanned version %d, ours is %d", e.Theirs, e.Ours)
}

// Is reports whether target is ErrVersion.
func (e *VersionError) Is(target error) bool { return target == ErrVersion }

// A Party is one side of a conversation.
type Party struct {
	ID  []byte           // what both sides know it by; see StableID
	Key keys.IdentityKey // its identity key
	// Manifest is the Hash of its newest hosting.Manifest, in version 128: the own
	// one, and the one held of the peer. The zero value is none.
	Manifest [32]byte
}

// StableID returns the ID of a user in a fingerprint of version 2 or 128: of a
// service id its binary form, which for an ACI is its 16 bytes; of any other name
// its bytes. In version 1 the ID is the number in E.164, "+1415…".
func StableID(user string) []byte {
	if id, err := wire.ParseServiceID(user); err == nil {
		return id.Binary()
	}
	return []byte(user)
}

// Options are what both sides must agree on. Nil, as every zero field, is the
// default.
type Options struct {
	Version uint32 // 0: 2, where ids are service ids; 1: ids are phone numbers; 128: manifests count
	Rounds  uint32 // of SHA-512, against finding keys that look alike; 2 to 1,000,000, 0: 5,200
}

// A Fingerprint is what two parties look like to one of them. It never changes,
// and is safe for concurrent use; the zero value is none.
type Fingerprint struct {
	version       uint32
	local, remote digest
}

// New computes the fingerprint of a conversation, as the local party sees it,
// from twice as many SHA-512 as there are rounds: about 4 ms with 5,200. Errors
// are ErrParty, ErrVersion and ErrRounds.
func New(local, remote Party, o *Options) (*Fingerprint, error) {
	if o == nil {
		o = &Options{}
	}
	f := &Fingerprint{version: o.Version}
	if f.version == 0 {
		f.version = defaultVersion
	}
	rounds := o.Rounds
	if rounds == 0 {
		rounds = defaultRounds
	}
	if rounds < minRounds || rounds > maxRounds || f.version == labelVersion && rounds != defaultRounds {
		return nil, ErrRounds
	}
	var err, err2 error
	f.local, err = newDigest(f.version, local, rounds)
	f.remote, err2 = newDigest(f.version, remote, rounds)
	if err = errors.Join(err, err2); err != nil {
		return nil, err
	}
	return f, nil
}

// String returns the digits that both parties see: twelve groups of five with
// spaces between them, which users compare by reading them out.
func (f *Fingerprint) String() string {
	halves := []string{f.local.digits(), f.remote.digits()}
	slices.Sort(halves)
	all, groups := halves[0]+halves[1], make([]string, 0, 12)
	for ; all != ""; all = all[5:] {
		groups = append(groups, all[:5])
	}
	return strings.Join(groups, " ")
}

// Bytes returns the scannable form, which the other party's app reads from a QR
// code in byte mode and hands to Compare: 74 bytes, or 75 in version 128.
func (f *Fingerprint) Bytes() []byte {
	return wire.AppendFingerprint(nil, &wire.Fingerprint{
		Version: f.version, Local: f.local.scannable(), Remote: f.remote.scannable(),
	})
}
