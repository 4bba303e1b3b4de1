package hosting

import (
	"crypto/sha256"
	"slices"
)

// A token is what the user agrees with: one change, of one account.
//
//	SHA-256("gembok/hosting/1/consent" ‖ 0x00 ‖ len(account id) ‖ account id ‖ from hash ‖ to hash)
//
// The length is one byte: of a name that is longer, and can have no manifest, the
// low one. No hash, where there was no manifest, is 32 zero bytes.
func token(account string, from, to [32]byte) [32]byte {
	return sha256.Sum256(slices.Concat([]byte("gembok/hosting/1/consent\x00"), []byte{byte(len(account))}, []byte(account), from[:], to[:]))
}

// hashOf is the hash of a manifest, zero of none.
func hashOf(m *Manifest) [32]byte {
	if m == nil {
		return [32]byte{}
	}
	return m.Hash()
}

// A ConsentRequiredError reports that the user is to be asked before anything is
// sent: nothing was encrypted and nothing changed. Its Token says what to: it
// fits this change of this account and no other.
type ConsentRequiredError struct {
	Account string
	State   State
	// From and To are the hashes of manifests, zero for none: of that which was
	// agreed to, and the new one. Both are zero where there never was one, and alike
	// where it is out of date.
	From, To [32]byte
	Diff     Diff
	Token    [32]byte
}

func (e *ConsentRequiredError) Error() string {
	return "hosting: consent required in state " + string(e.State)
}

// Is reports whether target is ErrManifestExpired and that is why.
func (e *ConsentRequiredError) Is(target error) bool {
	return target == ErrManifestExpired && e.State == expired
}
