package group

import (
	"bytes"
	"slices"

	"github.com/gembok-e2ee/gembok/internal/wire"
)

// maxIDs is how many sender keys are kept of one device of a peer.
const maxIDs = 1000

// enter notes in the index of a sender that a key came, and returns the entries
// as they are then. Of more than maxIDs one goes out, whose record goes with it:
// the oldest, one under an identity key that is not accepted first.
//
// One under such a key puts out its own kind alone; where there is none, ok is
// false, and nothing changed.
func enter(entries []wire.SenderKeyEntry, e *wire.SenderKeyEntry, accepted []byte) (next []wire.SenderKeyEntry, out *wire.SenderKeyEntry, ok bool) {
	trusted := bytes.Equal(e.Identity, accepted)
	next = slices.Clone(entries)
	if at := slices.IndexFunc(next, func(n wire.SenderKeyEntry) bool { return bytes.Equal(n.ID, e.ID) }); at >= 0 {
		if trusted || bytes.Equal(next[at].Identity, e.Identity) {
			next[at] = *e
		}
		return next, nil, true
	}
	if len(next) >= maxIDs {
		at := oldest(next, func(n *wire.SenderKeyEntry) bool { return bytes.Equal(n.Identity, e.Identity) != trusted })
		switch {
		case at >= 0:
		case trusted:
			at = oldest(next, func(*wire.SenderKeyEntry) bool { return true })
		default:
			return nil, nil, false
		}
		gone := next[at]
		next, out = slices.Delete(next, at, at+1), &gone
	}
	return append(next, *e), out, true
}

// oldest returns the place of the oldest entry that f holds of, or −1.
func oldest(entries []wire.SenderKeyEntry, f func(*wire.SenderKeyEntry) bool) int {
	at := -1
	for i := range entries {
		if f(&entries[i]) && (at < 0 || entries[i].At < entries[at].At) {
			at = i
		}
	}
	return at
}
