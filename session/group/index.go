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
			e.At = max(e.At, next[at].At) // one that comes again is no older for that
			next[at] = *e
		}
		next[at].Gone = e.Gone
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

// maxGone is of how many keys that went out it is remembered where they were, for
// each distribution id.
const maxGone = 64

// passed adds to the keys that went out before those of states that are not among
// the next ones any more, and returns the newest maxGone. Only those under the
// accepted key count: others could keep one of these out with its chain id.
func passed(gone []wire.SenderKeyGone, states, next []wire.SenderKeyState, accepted []byte) []wire.SenderKeyGone {
	gone = slices.Clone(gone)
	for i := range states {
		s := &states[i]
		if find(next, s.ChainID) >= 0 || !bytes.Equal(s.Identity, accepted) {
			continue
		}
		gone = slices.DeleteFunc(gone, func(g wire.SenderKeyGone) bool { return g.ChainID == s.ChainID })
		gone = append(gone, wire.SenderKeyGone{ChainID: s.ChainID, Iteration: s.Iteration})
	}
	return gone[max(0, len(gone)-maxGone):]
}

// back reports whether a key would come back to where it was before it went out:
// what was read under it might be read again.
func back(gone []wire.SenderKeyGone, s *wire.SenderKeyState) bool {
	return slices.ContainsFunc(gone, func(g wire.SenderKeyGone) bool {
		return g.ChainID == s.ChainID && s.Iteration < g.Iteration
	})
}
