package browser_test

import (
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/browser"
	"github.com/gembok-e2ee/gembok/session/examples/chat/post"
)

const (
	ownServer = "Kunci di ujung sana dipegang bisnis itu sendiri, di servernya."
	hosted    = "Kunci di ujung sana dipegang PT Awan Teduh (awanteduh.example), pihak ketiga, yang dapat membaca percakapan ini."
)

// A business on a server of its own moves to a provider in mid-conversation; the relay
// hides that at first. All of it is shown, and nothing is sent before the customer
// agrees.
func move(s *server) {
	toko := s.open("toko", "id", "role", "business")
	ani := s.open("ani", "id")
	ani.begins("toko")
	ani.sends("ada mangga?")
	ani.contains("label-lines", ownServer)
	ani.is("eyes.at('kind').dataset.kind === 'business' && eyes.text('kind') === 'bisnis'")
	toko.turns("ani")
	toko.reads("ada mangga?")
	toko.sends("ada, dua kilo")
	ani.reads("ada, dua kilo")
	ani.shot("a business on its own server")

	before := s.relay.Signed(post.UserOf("toko"))
	awan := takesOver(s, toko)
	hiddenMove(s, ani, before)
	declinedMove(s, ani)
	agreedMove(s, ani, awan)
	strippedAgain(s, ani, awan, before)
}

// takesOver has a provider's device offer to answer for the business, and the business
// take that offer.
func takesOver(s *server, toko *someone) (awan *someone) {
	awan = s.blank(s.b.Apart(s.t), "toko", "id", "role", "provider", "device", "2", "provider", "PT Awan Teduh", "domain", "awanteduh.example")
	awan.loads()
	awan.shows("code")
	awan.is("eyes.at('code').dataset.kind === 'offer'")
	awan.shot("offers")
	toko.click("move-open")
	toko.fill("move-code", awan.value("code-text"))
	toko.contains("move-party", "PT Awan Teduh (awanteduh.example)")
	toko.shot("takes the offer")
	toko.click("move-start")
	toko.hides("move-dialog")
	toko.shows("removed")
	toko.shot("has moved")
	awan.isOn("chat")
	awan.hides("code")
	return awan
}

// toTheBusiness is how many letters the relay ever got for either of its devices.
func toTheBusiness(s *server) int { return s.mailed("toko") + s.mailed("toko/2") }

// hiddenMove has the relay leave out that the business has moved, and then hand out
// what it said before.
func hiddenMove(s *server, ani *someone, before []byte) {
	sent := toTheBusiness(s)
	s.relay.Show(post.UserOf("toko"), func([]byte) []byte { return nil })
	ani.writes("saya ambil semua")
	ani.shows("alarm")
	ani.wait("eyes.flags('toko').includes('alarm')")
	ani.shot("stripped")
	s.relay.Show(post.UserOf("toko"), func([]byte) []byte { return before })
	ani.click("label-again")
	ani.shows("alarm")
	ani.contains("alarm", "toko yang ditunjukkan relay tidak termasuk kunci yang dinyatakan")
	ani.shot("replayed")
	ani.waits("saya ambil semua")
	ani.contains("label-lines", ownServer)
	require.Equal(s.t, sent, toTheBusiness(s), "nothing is sent under a false label")
	s.relay.Show(post.UserOf("toko"), func(newest []byte) []byte { return newest })
	ani.click("label-again")
	ani.hides("alarm")
}

// declinedMove has the customer be asked, close the question, and say no.
func declinedMove(s *server, ani *someone) {
	sent := toTheBusiness(s)
	ani.shows("consent-dialog")
	ani.contains("consent-lines", hosted)
	ani.is(`(e => e.dataset.name === "PT Awan Teduh" && e.dataset.domain === "awanteduh.example" &&
		e.textContent.includes("PT Awan Teduh") && e.textContent.includes("awanteduh.example"))(eyes.at("consent-party"))`)
	ani.is(`eyes.all("notice").some(n => n.textContent.includes("pemegang kunci toko berubah") && n.textContent.includes("PT Awan Teduh (awanteduh.example)"))`)
	ani.is(`(([says, ...old]) => says === "none" && old.length > 0 && old.every(d => d === "line-through"))(
		eyes.all("label-line").map(e => getComputedStyle(e).textDecorationLine))`)
	ani.shot("asked")

	ani.press(kb.Escape)
	ani.hides("consent-dialog")
	ani.is("eyes.shown('blocked') && eyes.at('blocked').dataset.why === 'asks' && eyes.at('composer').disabled")
	ani.waits("saya ambil semua")
	require.Equal(s.t, sent, toTheBusiness(s), "closing the question is no answer")
	ani.reloads()
	ani.turns("toko")
	ani.shows("consent-dialog")
	ani.shot("asked again after a reload")

	ani.click("consent-no")
	ani.hides("consent-dialog")
	ani.wait("eyes.at('blocked').dataset.why === 'declined'")
	ani.contains("label-lines", "Anda tidak setuju")
	ani.reloads()
	ani.turns("toko")
	ani.wait("eyes.shown('blocked') && eyes.at('blocked').dataset.why === 'declined' && eyes.at('composer').disabled")
	ani.wait("eyes.flags('toko').includes('declined')")
	ani.is("!eyes.shown('consent-dialog')")
	ani.waits("saya ambil semua")
	require.Equal(s.t, sent, toTheBusiness(s), "a no stays a no")
	ani.shot("declined after a reload")
}

// agreedMove has the customer think again: what waited goes, and the provider reads it.
func agreedMove(s *server, ani, awan *someone) {
	ani.click("consent-open")
	ani.shows("consent-dialog")
	ani.contains("consent-lines", hosted)
	ani.click("consent-yes")
	ani.hides("consent-dialog")
	ani.sent("saya ambil semua")
	awan.turns("ani")
	awan.reads("saya ambil semua")
	ani.contains("label-lines", hosted)
	ani.is("eyes.at('label-party').dataset.domain === 'awanteduh.example' && eyes.text('label-party').includes('PT Awan Teduh')")
	awan.sends("sudah dibungkus")
	ani.reads("sudah dibungkus")
	ani.has([]string{"ada mangga?", "saya ambil semua"}, []string{"ada, dua kilo", "sudah dibungkus"})
	awan.has([]string{"sudah dibungkus"}, []string{"saya ambil semua"})
	ani.shot("agreed")
	awan.shot("answers for the business")
}

// strippedAgain has the relay hide what the customer knows by now.
func strippedAgain(s *server, ani, awan *someone, before []byte) {
	sees := func(of func([]byte) []byte, alarm string) {
		s.relay.Show(post.UserOf("toko"), of)
		ani.click("label-again")
		ani.contains("alarm", alarm)
		ani.contains("label-lines", hosted)
		ani.shot("alarm")
		s.relay.Show(post.UserOf("toko"), func(newest []byte) []byte { return newest })
		ani.click("label-again")
		ani.hides("alarm")
	}
	sees(func([]byte) []byte { return nil }, "relay tidak menyertakan siapa yang memegang kunci")
	sees(func([]byte) []byte { return before }, "pernyataan lama")
	ani.sends("terima kasih")
	awan.reads("terima kasih")
	require.Empty(s.t, browser.Eval[[]string](awan.Page, "eyes.messages(false).filter(t => t === 'ada mangga?')"), "what was said before stays with the business")
}
