package post

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gembok-e2ee/gembok/session"
)

// ErrName is that something is no name, or no device.
var ErrName = errors.New("a name has letters, digits, - and _, 16 bytes at most; a device is a number from 1 to 127")

// MaxDevice is the largest number of a device.
const MaxDevice = 127

// ValidName reports whether s can name a person: letters, digits, - and _, 16
// bytes at most.
func ValidName(s string) bool {
	return s != "" && len(s) <= 16 && utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '-' && r != '_'
	}) < 0
}

// ValidID reports whether s can name a message.
func ValidID(s string) bool {
	return s != "" && len(s) <= 64 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// ValidAddress reports whether a is the address of a person's device.
func ValidAddress(a session.Address) bool {
	return ValidName(NameOf(a.User)) && UserOf(NameOf(a.User)) == a.User && a.Device >= 1 && a.Device <= MaxDevice
}

// UserOf is a person's name written as a service id, 16 bytes as a UUID, because
// messages between service ids are bound to them: a relay that says a message is
// from somebody else is found out.
func UserOf(name string) string {
	var id [16]byte
	copy(id[:], name)
	x := hex.EncodeToString(id[:])
	return strings.Join([]string{x[:8], x[8:12], x[12:16], x[16:20], x[20:]}, "-")
}

// NameOf is the inverse of userOf.
func NameOf(user string) string {
	id, _ := hex.DecodeString(strings.ReplaceAll(user, "-", ""))
	return string(bytes.TrimRight(id, "\x00"))
}

// Label is an address for people: the name, and which device if not the first.
func Label(a session.Address) string {
	if a.Device == 1 {
		return NameOf(a.User)
	}
	return fmt.Sprintf("%s/%d", NameOf(a.User), a.Device)
}
