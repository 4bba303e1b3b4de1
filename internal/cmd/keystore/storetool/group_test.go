package storetool_test

import (
	"testing"

	"github.com/gembok-e2ee/gembok/internal/testutil/rich"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
)

// distribution is the id of the one group, as it stands in keys.
var distribution = wire.ServiceID{UUID: [16]byte([]byte("arisan_keluarga!"))}.String()

// ani is who gave a sender key, and budi the device that the store is of.
var ani, own = rich.Peers[0].User, rich.Own[0].User

// groupHarms are those of the records of package group. Of the peer, the list of
// sender keys is the first record, and the sender key the second.
var groupHarms = []harm{
	{"senderkey", own, "name", rename(own, "1,"+distribution[1:]), "senderkey" + badKey + "1"},
	{"senderkey", own, "upper case", rename(own, "1,A"+distribution[1:]), "senderkey" + badKey + "1"},
	{"senderkey", own, "device", rename(own, "0,"+distribution), "senderkey" + badKey + "1"},
	{"senderkey", own, "bytes", edit(func([]byte) []byte { return []byte{0xff} }), "senderkey" + badBytes + "1"},
	{"senderkey", own, "no state", edit(func([]byte) []byte { return nil }), "senderkey" + badFields + "1"},
	{"senderkey", own, "no chain key", senderKey(func(s *wire.SenderKeyState) { s.ChainKey = nil }), "senderkey" + badFields + "1"},
	{"senderkey", own, "no signing key", senderKey(func(s *wire.SenderKeyState) { s.SigningPublic = nil }), "senderkey" + badFields + "1"},
	{"senderkey", own, "identity", senderKey(func(s *wire.SenderKeyState) { s.Identity = []byte{5} }), "senderkey" + badFields + "1"},
	{"senderkey", own, "pair", senderKey(func(s *wire.SenderKeyState) { s.SigningPrivate[1] ^= 1 }), "senderkey" + badPair + "1"},
	{"senderkey", own, "of another", rename(rich.Peers[1].User, "1,"+distribution), "senderkey no list of sender keys names it 1"},
	{"senderkey", ani, "no list", func(t testing.TB, s keystore.Store, recs []keystore.Record) {
		remove(t, s, recs[0].Key)
	}, "senderkey no list of sender keys names it 1"},
	{"senderkey", ani, "not listed", listed(func(x *wire.SenderKeyIndex) { x.Entries = nil }), "senderkey no list of sender keys names it 1"},
	{"senderkey", ani, "list", edit(func([]byte) []byte { return []byte{0xff} }), "senderkey" + badBytes + "1"},
	{"senderkey", ani, "no time", listed(func(x *wire.SenderKeyIndex) { x.Entries[0].At = 0 }), "senderkey" + badFields + "1"},
	{"senderkey", ani, "no identity", listed(func(x *wire.SenderKeyIndex) { x.Entries[0].Identity = nil }), "senderkey" + badFields + "1"},
	{"senderkey", ani, "listed twice", listed(func(x *wire.SenderKeyIndex) { x.Entries = append(x.Entries, x.Entries[0]) }), "senderkey" + badFields + "1"},
	{"group", "", "name", rename("arisan", "x"), "group" + badKey + "1"},
	{"group", "", "bytes", edit(func([]byte) []byte { return nil }), "group" + badBytes + "1"},
	{"group", "", "no order", group(func(g *wire.Group) { g.Members = []string{"b", "a"} }), "group" + badFields + "1"},
	{"group", "", "nobody", group(func(g *wire.Group) { g.Members = []string{""} }), "group" + badFields + "1"},
	{"group", "", "excluded twice", group(func(g *wire.Group) { g.Exclude = []wire.GroupDevice{{User: "a"}, {User: "a"}} }), "group" + badFields + "1"},
	{"group", "", "given to a user", group(func(g *wire.Group) { g.Given[0].Device = 0 }), "group" + badFields + "1"},
	{"group", "", "identity", group(func(g *wire.Group) { g.Given[0].Identity = []byte{5} }), "group" + badFields + "1"},
	{"group", "", "session", group(func(g *wire.Group) { g.Given[0].Session = []byte{5} }), "group" + badFields + "1"},
	{"group", "", "registration id", group(func(g *wire.Group) { g.Given[0].RegistrationID = 1 << 14 }), "group" + badFields + "1"},
}

func senderKey(f func(*wire.SenderKeyState)) func(testing.TB, keystore.Store, []keystore.Record) {
	return edit(func(body []byte) []byte {
		rec := must(wire.ParseSenderKeyRecord(body))
		f(&rec.States[0])
		return wire.AppendSenderKeyRecord(nil, rec)
	})
}

func listed(f func(*wire.SenderKeyIndex)) func(testing.TB, keystore.Store, []keystore.Record) {
	return edit(func(body []byte) []byte {
		x := must(wire.ParseSenderKeyIndex(body))
		f(&x)
		return wire.AppendSenderKeyIndex(nil, &x)
	})
}

func group(f func(*wire.Group)) func(testing.TB, keystore.Store, []keystore.Record) {
	return edit(func(body []byte) []byte {
		g := must(wire.ParseGroup(body))
		f(&g)
		return wire.AppendGroup(nil, &g)
	})
}
