package group

import (
	"bytes"
	"slices"

	"github.com/gembok-e2ee/gembok/internal/wire"
)

// find returns the place of the first state of a chain, or −1.
func find(states []wire.SenderKeyState, chainID uint32) int {
	return slices.IndexFunc(states, func(s wire.SenderKeyState) bool { return s.ChainID == chainID })
}

// add returns the states of a sender, newest first, after a distribution message
// brought s (Section 4.5). Accepted is the identity key that the user accepted of
// that sender; empty is none. Nothing changed when ok is false.
//
// One under another identity key than the accepted one changes no state but its
// own: the one who sits between two people must not take away what they have. It
// is left out when there is no room.
func add(states []wire.SenderKeyState, s *wire.SenderKeyState, accepted []byte) (next []wire.SenderKeyState, ok bool) {
	same := func(t wire.SenderKeyState) bool { return t.ChainID == s.ChainID }
	foreign := func(t wire.SenderKeyState) bool { return !bytes.Equal(t.Identity, s.Identity) }
	trusted := bytes.Equal(s.Identity, accepted)
	kept := *s
	for _, t := range states {
		switch {
		case !same(t):
		case !trusted && foreign(t):
			return nil, false
		case bytes.Equal(t.SigningPublic, s.SigningPublic) && (!foreign(t) || len(t.Identity) == 0):
			kept = t // the first data: a chain does not go back
			kept.Identity = s.Identity
		}
	}
	rest := slices.DeleteFunc(slices.Clone(states), same)
	for len(rest) >= wire.MaxSenderKeyStates {
		at := last(rest, func(t wire.SenderKeyState) bool {
			return trusted && len(t.Identity) > 0 && foreign(t) || !trusted && !foreign(t)
		})
		switch {
		case at >= 0:
		case trusted:
			at = len(rest) - 1
		default:
			return nil, false
		}
		rest = slices.Delete(rest, at, at+1)
	}
	return slices.Insert(rest, 0, kept), true
}

// last returns the place of the last state that f holds of, or −1.
func last(states []wire.SenderKeyState, f func(wire.SenderKeyState) bool) int {
	for at, s := range slices.Backward(states) {
		if f(s) {
			return at
		}
	}
	return -1
}
