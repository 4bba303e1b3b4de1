package storetool

import (
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
)

// What package session writes (session/records.go).
const (
	format   = 1 // the first byte of a value
	ownOwner = "-"
	idSpace  = 1 << 24 // of prekeys
)

// A form says what the first byte of a record's value tells.
type form int

const (
	readable form = iota
	empty
	zero  // format 0, which nothing writes
	newer // a newer format
	half  // of a device that is not copied in full
)

// formOf tells the form of a value, and its body if it is readable.
func formOf(value []byte) (form, []byte) {
	switch {
	case len(value) == 0:
		return empty, nil
	case value[0] == format:
		return readable, value[1:]
	case value[0] == 0:
		return zero, nil
	case value[0] == unfinished:
		return half, nil
	}
	return newer, nil
}

// selfKey names the record that makes a scope a device's.
func selfKey(scope string) keystore.Key {
	return keystore.Key{Scope: scope, Kind: "self", Owner: ownOwner}
}

// beside names a record of the same scope as k.
func beside(k keystore.Key, kind, owner, name string) keystore.Key {
	return keystore.Key{Scope: k.Scope, Kind: kind, Owner: owner, Name: name}
}

// decimal reads a number as it stands in keys.
func decimal(s string, most uint64) (n uint64, ok bool) {
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil && n <= most && strconv.FormatUint(n, 10) == s
}

// pairOf reads two numbers with a comma between them.
func pairOf(s string) (a, b uint64, ok bool) {
	left, right, _ := strings.Cut(s, ",")
	a, okA := decimal(left, idSpace-1)
	b, okB := decimal(right, idSpace-1)
	return a, b, okA && okB
}

// isHex tells whether s is n bytes in lower-case hexadecimal digits.
func isHex(s string, n int) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == n && hex.EncodeToString(b) == s
}

// isDevice tells whether s is the number of a device.
func isDevice(s string) bool {
	n, ok := decimal(s, 127)
	return ok && n > 0
}

const dayMilli = 24 * 60 * 60 * 1000

// A stamp is a time that a record tells of a record of some kind, which may be
// another one.
type stamp struct {
	kind string
	at   uint64 // milliseconds since 1970; 0: none
}

// stamps returns the times in a record whose body is readable.
func stamps(k keystore.Key, body []byte) (out []stamp) {
	at := func(ms uint64) []stamp { return []stamp{{k.Kind, ms}} }
	switch k.Kind {
	case "prekey", "signed", "kem", "lastresort":
		p, _ := wire.ParseStoredPreKey(body)
		return at(p.Created)
	case "upkeep":
		u, _ := wire.ParseUpkeep(body)
		return at(u.Swept)
	case "identity":
		id, _ := wire.ParseIdentity(body)
		return at(id.AcceptedAt)
	case "session": // the index of what is archived
		s, _ := wire.ParseSessionIndex(body)
		for _, n := range s.Archived {
			out = append(out, stamp{"archive", n.ArchivedAt})
		}
	case "staged":
		s, _ := wire.ParseStaged(body)
		return at(s.ReceivedAt)
	case "event":
		e, _ := wire.ParseEvent(body)
		return at(e.At)
	case "peer":
		p, _ := wire.ParsePeer(body)
		return at(p.ListedAt)
	case "sent":
		sentAt, _ := decimal(k.Name, 1<<63-1)
		return at(sentAt)
	case "senderkey": // the list
		if isDevice(k.Name) {
			list, _ := wire.ParseSenderKeyIndex(body)
			for _, e := range list.Entries {
				out = append(out, stamp{k.Kind, e.At})
			}
		}
	case "group":
		g, _ := wire.ParseGroup(body)
		return at(g.Since)
	case "mark":
		day, _ := decimal(k.Owner, 1<<32)
		return at(day * dayMilli)
	}
	return out
}
