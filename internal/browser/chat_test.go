package browser_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/browser"
	"github.com/gembok-e2ee/gembok/session/examples/chat/web"
)

// TestChat has people use the page of the chat, each scenario with a server and people
// of its own. Pictures of the steps are in screenshots.
func TestChat(t *testing.T) {
	b, dir := browser.Start(t), t.TempDir()
	require.NoError(t, web.Build(t.Context(), dir))
	plain, compressed, err := web.Sizes(dir)
	require.NoError(t, err)
	t.Logf("the program has %d bytes, %d of them are sent", plain, compressed)
	for _, scenario := range []struct {
		name string
		play func(*server)
	}{
		{"talk", talk},
		{"reload", reload},
		{"mail", unreliableMail},
		{"move", move},
		{"safety", safety},
		{"identity", identityChange},
		{"files", files},
		{"timer", disappearing},
		{"group", group},
		{"export", export},
		{"tabs", tabs},
		{"markup", markup},
		{"full", storageFull},
		{"nostore", noStorage},
		{"gone", relayGone},
		{"nonsense", nonsense},
		{"keyboard", keyboard},
		{"phone", phone},
	} {
		t.Run(scenario.name, func(t *testing.T) {
			t.Parallel() // they wait more than they work
			scenario.play(newServer(t, b, dir))
		})
	}
}

// Two people talk, in two languages; the relay sees that somebody does, and no word.
func talk(s *server) {
	budi := s.open("budi", "en")
	from := time.Now()
	ani := s.open("ani", "id")
	there := time.Since(from)
	ani.begins("budi")
	ani.writes("selamat pagi, Budi")
	budi.wait("eyes.text('conversation-ani').includes('selamat pagi, Budi')")
	s.t.Logf("of a new account: the page is there %.1f s after navigation, its first message is read after %.1f s", there.Seconds(), time.Since(from).Seconds())
	budi.shot("a first message")
	budi.turns("ani")
	budi.reads("selamat pagi, Budi")
	budi.sends("good morning, Ani")
	ani.reads("good morning, Ani")

	ani.is("document.documentElement.lang === 'id' && eyes.text('send') === 'Kirim'")
	ani.contains("label-lines", "Kunci di ujung sana dipegang orang itu sendiri, di perangkatnya.")
	ani.shot("in Indonesian")
	budi.is("document.documentElement.lang === 'en' && eyes.text('send') === 'Send'")
	budi.contains("label-lines", "The key at the other end is held by that person, on their own device.")
	budi.choose("lang", "id")
	budi.contains("label-lines", "Kunci di ujung sana dipegang orang itu sendiri, di perangkatnya.")
	budi.choose("lang", "en")
	budi.has([]string{"good morning, Ani"}, []string{"selamat pagi, Budi"})

	ani.sends("apa kabar?")
	budi.reads("apa kabar?")
	from = time.Now()
	budi.reloads()
	budi.turns("ani")
	budi.reads("apa kabar?")
	s.t.Logf("of an account that is here: a message is read %.1f s after navigation", time.Since(from).Seconds())
	seesNothing(s, ani, "selamat pagi", "good morning", "apa kabar")
	ani.shot("what the relay sees")
}

// seesNothing requires that the panel of a page shows what the relay sees, and that
// nothing of these texts, nor who wrote them, is there.
func seesNothing(s *server, p *someone, texts ...string) {
	if !browser.Eval[bool](p.Page, "eyes.shown('sees')") {
		p.click("sees-open")
	}
	p.wait("eyes.all('sees-line').some(l => l.textContent.startsWith('somebody to budi, type '))")
	p.wait("eyes.all('sees-line').some(l => l.textContent.startsWith('somebody to ani, type '))")
	lines := browser.Eval[[]string](p.Page, "eyes.all('sees-line').map(l => l.textContent)")
	require.NotEmpty(s.t, lines)
	for _, line := range lines {
		for _, text := range texts {
			require.NotContains(s.t, line, text)
		}
		if sender, _, sent := strings.Cut(line, " to "); sent && strings.Contains(line, ", type ") {
			require.Equal(s.t, "somebody", sender, line)
		}
	}
}

// What is written in a group goes to all who are in it, and to none who was removed.
func group(s *server) {
	ani, budi := s.pair()
	citra := s.open("citra", "id")
	ani.click("group-open")
	ani.fill("group-name", "pasar")
	ani.fill("group-members", "budi citra")
	ani.click("group-start")
	ani.hides("group-dialog")
	for _, p := range []*someone{ani, budi, citra} {
		p.turns("ani/pasar")
		p.wait("eyes.shown('member-ani') && eyes.shown('member-budi') && eyes.shown('member-citra')")
	}
	ani.sends("siapa ke pasar?")
	budi.reads("siapa ke pasar?")
	citra.reads("siapa ke pasar?")
	budi.sends("I do")
	ani.reads("I do")
	citra.reads("I do")
	citra.is(`eyes.all("message").some(m => m.dataset.from === "budi") && eyes.shown("message-from")`)
	citra.shot("in a group")

	ani.click("expel-citra")
	ani.wait("!eyes.at('member-citra')")
	ani.wait("!eyes.flags('ani/pasar').includes('waiting')")
	budi.wait("!eyes.at('member-citra')")
	before := s.mailed("citra")
	ani.sends("tinggal kita berdua")
	budi.sends("yes, two")
	budi.reads("tinggal kita berdua")
	ani.reads("yes, two")
	require.Equal(s.t, before, s.mailed("citra"))
	citra.has([]string{}, []string{"siapa ke pasar?", "I do"})
	ani.shot("one removed")
	budi.has([]string{"I do", "yes, two"}, []string{"siapa ke pasar?", "tinggal kita berdua"})
}

// Messages disappear on both sides, also from a page that was not there at that time.
func disappearing(s *server) {
	ani, budi := s.pair()
	ani.choose("timer", "5")
	ani.wait("eyes.all('notice').some(n => n.dataset.kind === 'timer')")
	ani.sends("hilang")
	budi.reads("hilang")
	budi.wait("eyes.at('timer').value === '5'")
	budi.is("eyes.all('message-marks').some(m => m.dataset.marks.includes('timer'))")
	budi.sends("gone, too")
	ani.reads("gone, too")
	budi.shot("will disappear")
	budi.Navigate("about:blank") // while the time of both comes
	ani.wait("eyes.count(true, 'hilang') + eyes.count(false, 'gone, too') === 0")
	ani.has([]string{"halo Budi"}, []string{"hello Ani"})
	ani.shot("has disappeared")
	budi.loads()
	budi.turns("ani")
	budi.wait("eyes.count(false, 'hilang') + eyes.count(true, 'gone, too') === 0")
	budi.has([]string{"hello Ani"}, []string{"halo Budi"})
	ani.reloads()
	ani.turns("budi")
	ani.has([]string{"halo Budi"}, []string{"hello Ani"})
}

// A second tab of an account is refused, until the first is closed.
func tabs(s *server) {
	ani := s.open("ani", "id")
	one := s.b.Apart(s.t)
	first := s.blank(one, "citra", "en")
	first.loads()
	first.isOn("chat")
	second := s.blank(one, "citra", "en")
	second.loads()
	second.shows("refused")
	second.contains("refused", "This account is open already")
	second.shot("refused")
	first.begins("ani")
	first.sends("this tab goes on")
	ani.turns("citra")
	ani.reads("this tab goes on")
	first.Close()
	second.click("refused-retry")
	second.isOn("chat")
	second.turns("ani")
	second.sends("and this one took over")
	ani.reads("and this one took over")
	second.has([]string{"this tab goes on", "and this one took over"}, []string{})
	second.shot("opened")
}
