package storetool_test

import (
	"testing"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
)

// linkHarms are what may be wrong with the record of link codes.
var linkHarms = []harm{
	{"link", "", "name", func(t testing.TB, s keystore.Store, _ []keystore.Record) {
		write(t, s, keystore.Key{Scope: budi, Kind: "link", Owner: "-", Name: "x"}, usedLink(5))
	}, "link" + badKey + "1"},
	{"link", "", "body", func(t testing.TB, s keystore.Store, _ []keystore.Record) {
		write(t, s, keystore.Key{Scope: budi, Kind: "link", Owner: "-"}, []byte{1, 0xff})
	}, "link" + badBytes + "1"},
	{"link", "", "time", func(t testing.TB, s keystore.Store, _ []keystore.Record) {
		write(t, s, keystore.Key{Scope: budi, Kind: "link", Owner: "-"}, usedLink(0))
	}, "link" + badFields + "1"},
}

func usedLink(at uint64) []byte {
	return wire.AppendLinks([]byte{1}, &wire.Links{Used: []wire.UsedLink{{Hash: make([]byte, 32), At: at}}})
}
