package main

import (
	"bytes"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/session/examples/chat/person"
)

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"":                            "",
		"Halo, Budi!":                 "Halo, Budi!",
		`"quoted" 'single'`:           `"quoted" 'single'`,
		`back\slash \x1b \"`:          `back\\slash \\x1b \\"`,
		"Ünïcödé 你好 🙏":                "Ünïcödé 你好 🙏",
		"no\u00a0break":               "no\u00a0break",
		"\x1b[2J\x1b]0;title\a":       `\x1b[2J\x1b]0;title\a`,
		"\u009b31m":                   `\u009b31m`, // CSI in one character
		"\x9b31m":                     `\x9b31m`,   // the same as a byte
		"ok\rani: no":                 `ok\rani: no`,
		"one\ntwo\ttab\vv\ff\bb":      `one\ntwo\ttab\vv\ff\bb`,
		"\x00\x7f":                    `\x00\x7f`,
		"safe\u202efdp.exe":           `safe\u202efdp.exe`,
		"\u2066a\u2069\u200e\u061c":   `\u2066a\u2069\u200e\u061c`,
		"zero\u200bwidth\u200d\ufeff": `zero\u200bwidth\u200d\ufeff`,
		"line\u2028paragraph\u2029":   `line\u2028paragraph\u2029`,
		"\xff\xc3(":                   `\xff\xc3(`,
		"\xed\xa0\x80":                `\xed\xa0\x80`, // a surrogate half
		"\ue000\U000e0041":            `\ue000\U000e0041`,
	} {
		require.Equal(t, want, printable(in), "%q", in)
	}
}

// Whatever bytes come, what is printed is graphic, and tells two texts apart.
func FuzzPrintable(f *testing.F) {
	f.Add("a\x1b[2Jb", "a\\x1b[2Jb")
	f.Add("\"", "\\\"")
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, r := range printable(a) {
			require.True(t, unicode.IsGraphic(r), "%q", a)
			require.False(t, unicode.Is(unicode.Bidi_Control, r), "%q", a)
		}
		require.Equal(t, a == b, printable(a) == printable(b))
	})
}

// No event lets what a peer or a relay chose out to the terminal as it is.
func TestEventLines(t *testing.T) {
	const bad = "\x1b[31m\u202e\r"
	for _, kind := range []string{person.ReadyEvent, person.ReadEvent, person.AgainEvent, person.RefusedEvent, person.AskedEvent, person.SyncEvent, person.ResentEvent, person.SentEvent,
		person.WaitsEvent, person.ChangedEvent, person.NewsEvent, person.LinkEvent, person.OfferEvent, person.LabelEvent, person.HostingEvent, person.AsksEvent, person.HeldEvent, person.TimerEvent, person.GoneEvent, person.NumberEvent, person.VerifiedEvent, person.GroupEvent, person.KeyEvent, person.RemovedEvent, person.TroubleEvent, person.NoticeEvent, diedEvent} {
		e := person.Event{Kind: kind, Peer: bad, Text: bad, Group: bad, Lines: []string{bad}, Outsider: true, Unaccepted: true}
		require.False(t, strings.ContainsAny(lineOf(&e), "\x1b\u202e\r"), kind)
	}
}

func TestTerminal(t *testing.T) {
	var out bytes.Buffer
	v := &terminal{out: &out}
	v.ask("ani> ")
	v.Show(person.Event{Kind: person.ReadEvent, Peer: "budi", Text: "halo"})
	v.Show(person.Event{Kind: person.SentEvent, Peer: "budi"})
	require.Equal(t, "budi: halo\n", out.String())
	v.Show(person.Event{Kind: person.NumberEvent, Peer: "budi", Code: []byte("code")})
	require.Contains(t, out.String(), "█")

	out.Reset()
	v.live = true
	v.ask("ani to budi> ")
	v.Show(person.Event{Kind: person.ReadEvent, Peer: "budi", Text: "halo"})
	require.Equal(t, "\r\x1b[Kani to budi> \r\x1b[Kbudi: halo\nani to budi> ", out.String())
}
