package browser_test

import (
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"

	"github.com/stretchr/testify/require"
	"rsc.io/qr"

	"github.com/gembok-e2ee/gembok/internal/browser"
)

// Safety numbers are the same on both sides, as digits and as a code; whoever compared
// them has that marked, and other digits are said to differ.
func safety(s *server) {
	ani, budi := s.pair()
	anis, budis := safetyNumber(ani), safetyNumber(budi)
	require.Regexp(s.t, regexp.MustCompile(`^(\d{5} ){11}\d{5}$`), anis)
	require.Equal(s.t, anis, budis)
	codeIsDrawn(ani)
	codeIsDrawn(budi)
	ani.shot("safety number")

	wrong := "0" + anis[1:]
	if wrong == anis {
		wrong = "1" + anis[1:]
	}
	compares(ani, wrong, "differs")
	ani.is("!eyes.shown('verified')")
	ani.shot("other digits")
	compares(ani, "abc", "error")
	compares(ani, budis, "match")
	ani.click("number-close")
	ani.shows("verified")
	ani.wait("eyes.flags('budi').includes('verified')")
	compares(budi, ani.value("number-code"), "match")
	budi.click("number-close")
	budi.shows("verified")
	ani.reloads()
	ani.turns("budi")
	ani.shows("verified")
	ani.shot("verified")
}

// safetyNumber opens the safety number of the conversation, and returns its digits.
func safetyNumber(p *someone) string {
	p.click("number-open")
	p.shows("number-dialog")
	p.wait("eyes.text('number-digits') !== ''")
	return p.text("number-digits")
}

// compares has somebody type what the other side shows.
func compares(p *someone, theirs, result string) {
	p.is("(eyes.at('number-input').value = '') === ''")
	p.fill("number-input", theirs)
	p.click("number-compare")
	p.wait("eyes.at('number-result').dataset.result === %s && eyes.text('number-result') !== ''", result)
}

// codeIsDrawn requires that what is drawn is the QR code of the code that is shown.
func codeIsDrawn(p *someone) {
	p.t.Helper()
	code, err := hex.DecodeString(p.value("number-code"))
	require.NoError(p.t, err)
	want, err := qr.Encode(string(code), qr.M)
	require.NoError(p.t, err)
	var path strings.Builder
	for y := range want.Size {
		for x := range want.Size {
			if want.Black(x, y) {
				fmt.Fprintf(&path, "M%d %dh1v1h-1z", x+4, y+4)
			}
		}
	}
	p.shows("number-qr")
	require.Equal(p.t, path.String(), browser.Eval[string](p.Page, "eyes.at('number-qr').querySelector('path').getAttribute('d')"))
	p.is("eyes.at('number-qr').getAttribute('viewBox') === %s", fmt.Sprintf("0 0 %d %d", want.Size+8, want.Size+8))
}

// Somebody who is there anew has another identity key: that is shown, and nothing is
// sent until it is accepted. Then it goes, and nobody is verified any more.
func identityChange(s *server) {
	ani, budi := s.pair()
	safetyNumber(ani)
	compares(ani, safetyNumber(budi), "match")
	ani.click("number-close")
	ani.shows("verified")
	budi.Close()

	budi = s.open("budi", "en") // has lost all
	before := s.mailed("budi")
	ani.writes("masih kamu?")
	ani.shows("identity-banner")
	ani.contains("identity-banner", "Kunci identitas budi berbeda dari sebelumnya")
	require.Regexp(s.t, regexp.MustCompile(`([0-9a-f]{8} ){7}[0-9a-f]{8}`), ani.text("identity-key"))
	ani.wait("eyes.flags('budi').includes('changed')")
	ani.waits("masih kamu?")
	ani.shot("another identity")
	ani.reloads()
	ani.turns("budi")
	ani.shows("identity-banner")
	ani.waits("masih kamu?")
	require.Equal(s.t, before, s.mailed("budi"), "held until accepted")

	ani.click("identity-accept")
	ani.hides("identity-banner")
	ani.sent("masih kamu?")
	budi.turns("ani")
	budi.reads("masih kamu?")
	ani.hides("verified")
	ani.is("!eyes.flags('budi').includes('verified')")
	budi.sends("it is me")
	ani.reads("it is me")
	ani.shot("accepted")
	budi.has([]string{"it is me"}, []string{"masih kamu?"})
}
