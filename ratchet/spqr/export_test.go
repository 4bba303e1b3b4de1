package spqr

import (
	"github.com/gembok-e2ee/gembok/ratchet/internal/braid"
)

// SendWith is Send with the coins it takes from draw.
func (s *State) SendWith(draw func(n int) []byte) (next *State, msg []byte, key *[32]byte, err error) {
	var coins braid.Coins
	if s.Enabled() {
		copy(coins[:], draw(s.machine.Coins()))
	} else {
		return s.Send()
	}
	return s.send(coins)
}

// Epoch returns the machine's epoch.
func (s *State) Epoch() uint64 { return s.machine.Epoch() }
