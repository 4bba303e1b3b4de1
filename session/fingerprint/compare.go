package fingerprint

import (
	"crypto/subtle"

	"github.com/gembok-e2ee/gembok/internal/wire"
)

// A Result says whether a scanned code fits, and if not, why. The zero value is
// no result.
type Result int

const (
	// Match: each side has the other's key and id, and in version 128 manifest.
	// Nobody is in between.
	Match Result = iota + 1
	// TheirsDiffer: the key, id or manifest that they have themselves is not what
	// we have for them. Either somebody is in between, or they have a new one.
	TheirsDiffer
	// OursDiffer: what they have for us is not our own key, id and manifest. Either
	// somebody is in between, or they have an old one of ours.
	OursDiffer
	// BothDiffer: neither fits. The code may be another person's, or be for a
	// conversation with another person.
	BothDiffer
	// Own: the code is our own, not theirs.
	Own
)

var results = [...]string{"no result", "match", "theirs differ", "ours differ", "both differ", "own"}

// String returns a short name.
func (r Result) String() string {
	if r < 0 || int(r) >= len(results) {
		return results[0]
	}
	return results[r]
}

// Compare compares, in constant time, with what the other party's Bytes
// returned. Errors are ErrMalformed, ErrTooLarge and VersionError; the result is
// zero then.
//
// Only Match says that the conversation is safe. The other results tell what to
// look for, not who is to blame: whoever is in between can show any code.
func (f *Fingerprint) Compare(scanned []byte) (Result, error) {
	theirs, err := wire.ParseFingerprint(scanned)
	switch {
	case err != nil:
		return 0, err
	case theirs.Version != f.version || f.version == 0:
		return 0, &VersionError{Ours: f.version, Theirs: theirs.Version}
	case theirs.Local == nil || theirs.Remote == nil:
		return 0, ErrMalformed
	}
	local, remote := f.local.scannable(), f.remote.scannable()
	they := subtle.ConstantTimeCompare(theirs.Local, remote)
	we := subtle.ConstantTimeCompare(theirs.Remote, local)
	own := subtle.ConstantTimeCompare(theirs.Local, local) & subtle.ConstantTimeCompare(theirs.Remote, remote)
	switch {
	case they&we == 1:
		return Match, nil
	case own == 1:
		return Own, nil
	case they == 1:
		return OursDiffer, nil
	case we == 1:
		return TheirsDiffer, nil
	}
	return BothDiffer, nil
}
