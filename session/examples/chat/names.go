package main

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gembok-e2ee/gembok/session"
)

// maxDevice is the largest number of a device.
const maxDevice = 127

// validName reports whether s can name a person: letters, digits, - and _, 16
// bytes at most.
func validName(s string) bool {
	return s != "" && len(s) <= 16 && utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '-' && r != '_'
	}) < 0
}

// validID reports whether s can name a message.
func validID(s string) bool {
	return s != "" && len(s) <= 64 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// validAddress reports whether a is the address of a person's device.
func validAddress(a session.Address) bool {
	return validName(nameOf(a.User)) && userOf(nameOf(a.User)) == a.User && a.Device >= 1 && a.Device <= maxDevice
}

// userOf is a person's name written as a service id, 16 bytes as a UUID, because
// messages between service ids are bound to them: a relay that says a message is
// from somebody else is found out.
func userOf(name string) string {
	var id [16]byte
	copy(id[:], name)
	x := hex.EncodeToString(id[:])
	return strings.Join([]string{x[:8], x[8:12], x[12:16], x[16:20], x[20:]}, "-")
}

// nameOf is the inverse of userOf.
func nameOf(user string) string {
	id, _ := hex.DecodeString(strings.ReplaceAll(user, "-", ""))
	return string(bytes.TrimRight(id, "\x00"))
}

// label is an address for people: the name, and which device if not the first.
func label(a session.Address) string {
	if a.Device == 1 {
		return nameOf(a.User)
	}
	return fmt.Sprintf("%s/%d", nameOf(a.User), a.Device)
}
