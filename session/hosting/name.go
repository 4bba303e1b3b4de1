package hosting

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

const (
	maxName   = 64  // runes
	maxDomain = 253 // bytes
)

// showable returns ErrLabelText unless what e has of text can be shown.
func (e *Endpoint) showable() error {
	if e.Region != "" {
		if err := checkName(e.Region); err != nil {
			return err
		}
	}
	if e.Provider == nil {
		return nil
	}
	if !isDomain(e.Provider.Domain) {
		return fmt.Errorf("%w: domain", ErrLabelText)
	}
	return checkName(e.Provider.Name)
}

// checkName returns ErrLabelText for a name that is not in NFC, has more than 64
// runes, one that cannot be seen or turns the direction of writing, a space that
// is not between words, or nothing to read.
func checkName(name string) error {
	switch {
	case !utf8.ValidString(name) || utf8.RuneCountInString(name) > maxName:
		return fmt.Errorf("%w: length or encoding", ErrLabelText)
	case !norm.NFC.IsNormalString(name):
		return fmt.Errorf("%w: not in NFC", ErrLabelText)
	case strings.HasPrefix(name, " "), strings.HasSuffix(name, " "), strings.Contains(name, "  "):
		return fmt.Errorf("%w: spaces", ErrLabelText)
	}
	read := false
	for i, c := range name {
		if invisible(c) || i == 0 && unicode.IsMark(c) {
			return fmt.Errorf("%w: invisible rune", ErrLabelText)
		}
		read = read || unicode.IsLetter(c) || unicode.IsDigit(c)
	}
	if !read {
		return fmt.Errorf("%w: no letter", ErrLabelText)
	}
	return nil
}

// invisible reports whether a rune has no form of its own, or no meaning. All
// that turns the direction of writing is among the format characters.
func invisible(c rune) bool {
	return !unicode.IsPrint(c) || c == '\u2800' || // an empty pattern of Braille
		unicode.In(c, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// isDomain reports whether a domain is one of the DNS, in lower-case letters,
// digits and hyphens, with a dot.
func isDomain(domain string) bool {
	labels := strings.Split(domain, ".")
	for _, l := range labels {
		if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' || strings.Trim(l, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	return len(labels) > 1 && len(domain) <= maxDomain
}

// together lists scripts that are written in one word.
var together = [][]string{
	{"Latin", "Han", "Hiragana", "Katakana"}, {"Latin", "Han", "Bopomofo"}, {"Latin", "Han", "Hangul"},
}

// mixed reports whether a name has letters of scripts that are not written
// together, as one that looks like another name may have (UTS 39, Section 5.2,
// "highly restrictive").
func mixed(name string) bool {
	seen := make(map[string]bool)
	for _, c := range name {
		if s := script(c); s != "" {
			seen[s] = true
		}
	}
	for _, set := range together {
		n := 0
		for _, s := range set {
			n += int(bit(seen[s], 1))
		}
		if n == len(seen) {
			return false
		}
	}
	return len(seen) > 1
}

// script returns the script of a rune, "" for one of many.
func script(c rune) string {
	if c < utf8.RuneSelf {
		if unicode.IsLetter(c) {
			return "Latin"
		}
		return ""
	}
	for name, table := range unicode.Scripts {
		if name != "Common" && name != "Inherited" && unicode.Is(table, c) {
			return name
		}
	}
	return ""
}
