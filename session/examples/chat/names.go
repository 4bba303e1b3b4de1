package main

import (
	"bytes"
	"encoding/hex"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gembok-e2ee/gembok/session"
)

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

// address is a person's one device. The user is the name written as a service
// id, 16 bytes as a UUID, because messages between service ids are bound to
// them: a relay that says a message is from somebody else is found out.
func address(name string) session.Address {
	var id [16]byte
	copy(id[:], name)
	x := hex.EncodeToString(id[:])
	return session.Address{User: strings.Join([]string{x[:8], x[8:12], x[12:16], x[16:20], x[20:]}, "-"), Device: 1}
}

// nameOf is the inverse of address.
func nameOf(a session.Address) string {
	id, _ := hex.DecodeString(strings.ReplaceAll(a.User, "-", ""))
	return string(bytes.TrimRight(id, "\x00"))
}
