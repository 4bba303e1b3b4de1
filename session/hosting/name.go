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
	if namesOther(e.Provider.Name, e.Provider.Domain) {
		return fmt.Errorf("%w: another domain", ErrLabelText)
	}
	return checkName(e.Provider.Name)
}

// namesOther reports whether a name has another domain in it than the one that is
// shown beside it, or what looks like one: "Awan (awan.example), not".
func namesOther(name, domain string) bool {
	apart := func(c rune) bool {
		return c != '.' && c != '-' && !unicode.IsLetter(c) && !unicode.IsDigit(c) && !unicode.IsMark(c)
	}
	for _, word := range strings.FieldsFunc(strings.ToLower(norm.NFKC.String(name)), apart) {
		word = strings.Trim(word, ".-")
		top := word[strings.LastIndexByte(word, '.')+1:]
		if top != word && utf8.RuneCountInString(top) > 1 && strings.ContainsFunc(top, unicode.IsLetter) && word != domain && !strings.HasSuffix(domain, "."+word) {
			return true
		}
	}
	return false
}

// maxMarks is how many marks a letter may have (UTS 39, Section 5.4).
const maxMarks = 4

// checkName returns ErrLabelText for a name that is not in NFC, has more than 64
// runes, one that cannot be seen or turns the direction of writing, a mark that is
// on no letter or among too many, a space that is not between words, or nothing
// to read.
func checkName(name string) error {
	switch {
	case !utf8.ValidString(name) || utf8.RuneCountInString(name) > maxName:
		return fmt.Errorf("%w: length or encoding", ErrLabelText)
	case !norm.NFC.IsNormalString(name):
		return fmt.Errorf("%w: not in NFC", ErrLabelText)
	case strings.HasPrefix(name, " "), strings.HasSuffix(name, " "), strings.Contains(name, "  "):
		return fmt.Errorf("%w: spaces", ErrLabelText)
	}
	read, room := false, 0 // for marks
	for _, c := range name {
		switch {
		case unicode.IsMark(c):
			room--
		case unicode.IsLetter(c):
			read, room = true, maxMarks
		default:
			read, room = read || unicode.IsDigit(c), 0
		}
		if room < 0 || invisible(c) || unicode.Is(unicode.Me, c) {
			return fmt.Errorf("%w: invisible rune or mark", ErrLabelText)
		}
	}
	if !read {
		return fmt.Errorf("%w: no letter", ErrLabelText)
	}
	return nil
}

// invisible reports whether a rune has no form of its own, or no meaning. All
// that turns the direction of writing is among the format characters.
func invisible(c rune) bool {
	return !unicode.IsPrint(c) || strings.ContainsRune(blank, c) || unicode.In(c, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// blank are an empty pattern of Braille, a note without a head, and what stands
// for something that is not there.
const blank = "\u2800\U0001D159\uFFFC\uFFFD"

// isDomain reports whether a domain is one of the DNS, in lower-case letters,
// digits and hyphens, with a dot, and no address.
func isDomain(domain string) bool {
	labels := strings.Split(domain, ".")
	for _, l := range labels {
		if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' || strings.Trim(l, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	top := labels[len(labels)-1]
	return len(labels) > 1 && len(domain) <= maxDomain && strings.Trim(top, "0123456789") != ""
}

// together lists scripts that are written in one word.
var together = [][]string{
	{"Latin", "Han", "Hiragana", "Katakana"}, {"Latin", "Han", "Bopomofo"}, {"Latin", "Han", "Hangul"},
}

// mixed reports whether a name has letters of scripts that are not written
// together, as one that looks like another name may have (UTS 39, Section 5.2,
// "highly restrictive"), or such as stand for others, as wide or bold ones do.
func mixed(name string) bool {
	if !norm.NFKC.IsNormalString(name) {
		return true
	}
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
