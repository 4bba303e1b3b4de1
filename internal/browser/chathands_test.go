package browser_test

import (
	"encoding/json"
	"slices"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/browser"
	"github.com/gembok-e2ee/gembok/session/examples/chat/post"
)

// tab presses the tabulator until something has the focus.
func (p *someone) tab(id string) {
	p.t.Helper()
	p.shows(id)
	for range 60 {
		if browser.Eval[bool](p.Page, js("document.activeElement === eyes.at(%s)", id)) {
			p.is("document.activeElement.matches(':focus-visible')")
			return
		}
		p.press(kb.Tab)
	}
	require.FailNow(p.t, "not reached by the tabulator", id)
}

// The whole chat by keyboard, on a desktop.
func keyboard(s *server) {
	s.relay.Show(post.UserOf("budi"), func([]byte) []byte { return nil }) // so that Ani is asked
	budi := s.open("budi", "en")
	ani := s.blank(s.b.Apart(s.t), "ani", "en")
	ani.Navigate("http://" + s.addr + "/?lang=en")
	ani.isOn("start")
	ani.accessible()
	ani.shot("start")
	ani.tab("start-role-person")
	ani.press(kb.ArrowDown)
	ani.is("eyes.at('start-role-business').checked")
	ani.press(kb.ArrowUp)
	ani.is("eyes.at('start-role-person').checked")
	ani.tab("start-name")
	ani.types("ani")
	ani.tab("start-open")
	ani.press(kb.Enter)
	ani.isOn("chat")
	ani.accessible()

	ani.tab("new-open")
	ani.press(kb.Enter)
	ani.shows("new-dialog")
	ani.accessible("dialog")
	ani.tab("new-name")
	ani.types("budi")
	ani.press(kb.Enter)
	ani.isWith("budi")
	ani.shows("consent-dialog")
	ani.contains("consent-lines", "It is not known who holds the key at the other end.")
	ani.is("eyes.at('consent-dialog').contains(document.activeElement)")
	ani.accessible("dialog")
	ani.shot("question")
	for range 10 { // the focus stays in the dialog
		ani.press(kb.Tab)
		ani.is("eyes.at('consent-dialog').contains(document.activeElement) || document.activeElement === document.body")
	}
	ani.tab("consent-yes")
	ani.shot("focus")
	ani.press(kb.Enter)
	ani.hides("consent-dialog")
	ani.tab("composer")
	ani.types("by keyboard")
	ani.press(kb.Enter)
	ani.sent("by keyboard")
	budi.turns("ani")
	budi.reads("by keyboard")
	budi.sends("well typed")
	ani.reads("well typed")
	ani.contains("said", "well typed") // to a screen reader

	ani.tab("timer")
	ani.press(kb.ArrowDown)
	ani.wait("eyes.at('timer').value === '5' && eyes.all('notice').some(n => n.dataset.kind === 'timer')")
	ani.tab("number-open")
	ani.press(kb.Enter)
	ani.shows("number-dialog")
	ani.accessible("dialog")
	ani.press(kb.Escape)
	ani.hides("number-dialog")
	ani.is("document.activeElement === eyes.at('number-open')")
	ani.tab("conversation-budi")
	ani.press(kb.Enter)
	ani.isWith("budi")
	ani.accessible()
}

// On a phone there is the list or a conversation; nothing is wider than the window. Light
// and dark are as the system has them.
func phone(s *server) {
	ani, budi := s.blank(s.b.Apart(s.t), "ani", "id"), s.blank(s.b.Apart(s.t), "budi", "en")
	for _, p := range []*someone{ani, budi} {
		p.Resize(375, 667)
	}
	for _, p := range []*someone{budi, ani} {
		p.opens()
	}
	fits := func(p *someone) {
		p.t.Helper()
		p.wait("document.documentElement.scrollWidth <= 375 && innerWidth === 375")
	}
	ani.is("document.body.dataset.view === 'list' && !eyes.shown('composer')")
	fits(ani)
	ani.shot("list")
	ani.begins("budi")
	ani.is("document.body.dataset.view === 'talk' && !eyes.shown('list') && eyes.shown('back')")
	fits(ani)
	long := "sangatpanjangtanpaspasi_sangatpanjangtanpaspasi_sangatpanjangtanpaspasi_sangatpanjangtanpaspasi"
	ani.sends("halo", long)
	budi.turns("ani")
	budi.reads("halo", long)
	for _, p := range []*someone{ani, budi} {
		fits(p)
		p.accessible()
		p.shot("conversation")
	}
	safetyNumber(ani)
	fits(ani)
	ani.is("(r => r.left >= 0 && r.right <= 375)(eyes.at('number-dialog').getBoundingClientRect())")
	ani.shot("safety number")
	ani.click("number-close")
	ani.click("back")
	ani.wait("document.body.dataset.view === 'list' && eyes.shown('conversation-budi')")
	ani.click("sees-open")
	ani.shows("sees")
	fits(ani)
	ani.shot("what the relay sees")

	background := func(scheme string) string {
		budi.Media("prefers-color-scheme", scheme)
		budi.shot(scheme)
		return browser.Eval[string](budi.Page, "getComputedStyle(document.body).backgroundColor + getComputedStyle(document.documentElement).backgroundColor")
	}
	require.NotEqual(s.t, background("light"), background("dark"))
}

// named are the roles of what has to have a name to be used by ear.
var named = []string{"button", "textbox", "combobox", "radio", "checkbox", "link", "dialog", "progressbar", "image", "spinbutton", "log", "region"}

// accessible requires that a screen reader has a name for all there is to use, and a
// heading, and something of these roles.
func (p *someone) accessible(roles ...string) {
	p.t.Helper()
	tree := browser.Call(p.Page, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	text := func(v *accessibility.Value) (s string) {
		if v != nil {
			_ = json.Unmarshal(v.Value, &s)
		}
		return s
	}
	seen := map[string]bool{}
	for _, node := range tree.Nodes {
		role := text(node.Role)
		if node.Ignored {
			continue
		}
		seen[role] = true
		if slices.Contains(named, role) || role == "heading" {
			require.NotEmpty(p.t, text(node.Name), "a %s has no name: %s", role, node.ChromeRole)
		}
	}
	for _, role := range append(roles, "heading", "button") {
		require.True(p.t, seen[role], "no %s in the accessibility tree", role)
	}
}
