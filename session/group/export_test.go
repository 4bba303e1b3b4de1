package group

import (
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
)

// Due is due, for a key at a place and limits in milliseconds and messages.
func Due(g *wire.Group, chain, iteration uint32, ok bool, devices []session.Result, now, age uint64, messages uint32) bool {
	return due(g, key{chain, iteration, ok}, devices, now, limits{age, messages})
}

var Lacks, Give, Taken, Asked = lacks, give, taken, asked
