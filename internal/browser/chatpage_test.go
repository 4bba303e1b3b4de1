package browser_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/browser"
)

const (
	patience = 30 * time.Second
	poll     = 20 * time.Millisecond
)

func after(d time.Duration) <-chan time.Time { return time.After(d) }

// eyes are what a test looks at a page with. Nothing of the page knows of them.
const eyes = `
globalThis.eyes = {
	at: id => document.querySelector('[data-testid="' + CSS.escape(id) + '"]'),
	all: id => [...document.querySelectorAll('[data-testid="' + CSS.escape(id) + '"]')],
	shown: id => eyes.all(id).some(e => e.checkVisibility()),
	text: id => eyes.at(id).checkVisibility() ? eyes.at(id).textContent : "",
	// spot is where to click on something, null while nobody can
	spot: e => {
		if (!e || e.disabled || !e.checkVisibility()) return null
		e.scrollIntoView({block: "nearest"})
		const r = e.getBoundingClientRect(), x = r.x + r.width / 2, y = r.y + r.height / 2
		return e.contains(document.elementFromPoint(x, y)) ? [x, y] : null
	},
	messages: mine => eyes.all("message").filter(m => m.dataset.mine === String(mine)).map(m =>
		(m.querySelector('[data-testid="file"]')?.dataset.name ?? "") + m.querySelector('[data-testid="message-text"]').textContent),
	count: (mine, text) => eyes.messages(mine).filter(t => t === text).length,
	state: text => eyes.all("message").find(m => m.querySelector('[data-testid="message-text"]').textContent === text).dataset.state,
	flags: name => eyes.at("conversation-" + name).dataset.flags.split(" "),
}
Object.defineProperty(globalThis, "gembokReady", {
	configurable: true,
	get: () => eyes.ready,
	set: f => { eyes.ready = api => { eyes.api = api; f(api) } },
})`

// Someone is a person at a page of the chat. Its methods do what a person does, with the
// mouse and the keyboard, and wait for what a person would wait for.
type someone struct {
	*browser.Page
	t       *testing.T
	s       *server
	name    string
	lang    string
	more    []string // of the address
	excused []string // what errors may begin with, where the test makes them
	shots   int
}

// blank is a page that shows nothing yet, in a browser or a context of one.
func (s *server) blank(b *browser.Browser, name, lang string, more ...string) *someone {
	s.t.Helper()
	p := &someone{Page: b.Blank(s.t), t: s.t, s: s, name: name, lang: lang, more: more}
	s.t.Cleanup(p.clean)
	p.Before(eyes)
	return p
}

// open opens somebody's account, in a browser that no one else has.
func (s *server) open(name, lang string, more ...string) *someone {
	s.t.Helper()
	p := s.blank(s.b.Apart(s.t), name, lang, more...)
	p.opens()
	return p
}

// opens loads the page for the first time. The relay knows the account then.
func (p *someone) opens() {
	p.t.Helper()
	known := p.s.certified(p.name)
	p.loads()
	p.isOn("chat")
	p.known(known)
}

// known waits until the relay has given a certificate more often than that.
func (p *someone) known(before int) {
	p.t.Helper()
	require.Eventually(p.t, func() bool { return p.s.certified(p.name) > before }, patience, poll, "not known to the relay")
}

// certified is how often somebody got a certificate of the relay, which comes last.
func (s *server) certified(name string) int {
	return strings.Count(s.sees(), name+" gets a certificate")
}

// pair are Ani and Budi, who have begun to talk, and have that conversation open.
func (s *server) pair() (ani, budi *someone) {
	s.t.Helper()
	ani, budi = s.open("ani", "id"), s.open("budi", "en")
	meet(ani, budi)
	return ani, budi
}

func meet(ani, budi *someone) {
	ani.t.Helper()
	ani.begins("budi")
	ani.sends("halo Budi")
	budi.turns("ani")
	budi.reads("halo Budi")
	budi.sends("hello Ani")
	ani.reads("hello Ani")
}

// loads goes to the address of the account.
func (p *someone) loads() {
	p.t.Helper()
	p.Navigate(p.s.url(p.name, p.lang, p.more...))
}

// reloads loads the page anew, without waiting for what goes on in it.
func (p *someone) reloads() {
	p.t.Helper()
	p.Reload()
	p.isOn("chat")
}

func (p *someone) isOn(screen string) {
	p.t.Helper()
	p.wait("document.body?.dataset.screen === %s", screen)
}

// excuse says what errors may begin with that the test itself makes.
func (p *someone) excuse(beginnings ...string) { p.excused = append(p.excused, beginnings...) }

// What a browser writes to the console where the test breaks a connection.
const (
	unanswered = "network: Failed to load resource: net::ERR_EMPTY_RESPONSE "
	refused    = "network: Failed to load resource: net::ERR_CONNECTION_REFUSED "
	reset      = "network: Failed to load resource: net::ERR_CONNECTION_RESET "
	brokenOff  = "network: Failed to load resource: net::ERR_INCOMPLETE_CHUNKED_ENCODING "
)

// clean requires that the page asked nobody but this server for anything, and that
// nothing went wrong in it but what the test has done to its requests.
func (p *someone) clean() {
	for _, r := range p.Requests() {
		u, err := url.Parse(r)
		ok := err == nil && (u.Scheme == "http" && u.Host == p.s.addr || u.Scheme == "blob" || u.Scheme == "data")
		if !ok && r != "about:blank" {
			p.t.Errorf("%s's page asked for %s", p.name, r)
		}
	}
	if len(p.Requests()) == 0 {
		p.t.Errorf("%s's page asked for nothing", p.name)
	}
	for _, e := range p.Errors() {
		if !p.isExcused(e) {
			p.t.Errorf("%s's page: %s", p.name, e)
		}
	}
	for _, d := range p.Dialogs() {
		p.t.Errorf("%s's page opened the dialog %s", p.name, d)
	}
}

func (p *someone) isExcused(e string) bool {
	for _, beginning := range p.excused {
		if rest, ok := strings.CutPrefix(e, beginning); ok && (strings.HasPrefix(rest, "http://"+p.s.addr+"/relay/") || rest == "http://"+p.s.addr+"/sees") {
			return true
		}
	}
	return false
}

// shot takes a picture of a step.
func (p *someone) shot(step string) {
	p.t.Helper()
	_, test, _ := strings.Cut(p.t.Name(), "/")
	p.shots++
	p.Screenshot(strings.ReplaceAll(fmt.Sprintf("%s-%s-%d-%s", test, p.name, p.shots, step), " ", "-"))
}

// js puts values into an expression of JavaScript.
func js(format string, values ...any) string {
	for i, v := range values {
		b, _ := json.Marshal(v)
		values[i] = string(b)
	}
	return fmt.Sprintf(format, values...)
}

// wait waits until an expression holds, in which %s are values.
func (p *someone) wait(format string, values ...any) {
	p.t.Helper()
	p.Wait(js(format, values...))
}

// is requires that an expression holds now.
func (p *someone) is(format string, values ...any) {
	p.t.Helper()
	p.holds(js(format, values...))
}

func (p *someone) holds(expression string) {
	p.t.Helper()
	require.True(p.t, browser.Eval[bool](p.Page, "!!("+expression+")"), expression)
}

// text is what something shows.
func (p *someone) text(id string) string {
	p.t.Helper()
	return browser.Eval[string](p.Page, js("eyes.text(%s)", id))
}

// value is what is in a field.
func (p *someone) value(id string) string {
	p.t.Helper()
	return browser.Eval[string](p.Page, js("eyes.at(%s).value", id))
}

func (p *someone) shows(id string) {
	p.t.Helper()
	p.wait("eyes.shown(%s)", id)
}

func (p *someone) hides(id string) {
	p.t.Helper()
	p.wait("!eyes.shown(%s)", id)
}

// contains waits until what something shows contains a text.
func (p *someone) contains(id, text string) {
	p.t.Helper()
	p.wait("eyes.text(%s).includes(%s)", id, text)
}

// click clicks on something, once it can be clicked.
func (p *someone) click(id string) {
	p.t.Helper()
	p.clickOn(js("eyes.at(%s)", id))
}

// clickOn clicks on what an expression is, with the mouse. What moves away meanwhile it
// looks for again.
func (p *someone) clickOn(element string) {
	p.t.Helper()
	for range 5 {
		p.Wait("eyes.spot(" + element + ")")
		spot := browser.Eval[[]float64](p.Page, `(e => {
			eyes.hit = false
			e?.addEventListener("click", () => { eyes.hit = true }, {capture: true, once: true})
			return eyes.spot(e) ?? []
		})(`+element+`)`)
		if len(spot) != 2 {
			continue
		}
		p.Do(chromedp.MouseClickXY(spot[0], spot[1]))
		if hit, err := browser.TryEval[bool](p.Page, "eyes.hit !== false"); err != nil || hit {
			return // or it loaded another document
		}
	}
	require.FailNow(p.t, "cannot be clicked on", element)
}

// press presses keys, one after the other. As of a keyboard, nothing happens between a
// key and its character.
func (p *someone) press(keys ...string) {
	p.t.Helper()
	for _, key := range strings.Join(keys, "") {
		events := kb.Encode(key)
		down, up := events[0], events[len(events)-1]
		if len(events) == 3 {
			down.Text = events[1].Text
		}
		browser.Call(p.Page, input.DispatchKeyEvent, *down)
		browser.Call(p.Page, input.DispatchKeyEvent, *up)
	}
}

// types types a text where the focus is, as an input method does.
func (p *someone) types(text string) {
	p.t.Helper()
	browser.Call(p.Page, input.InsertText, input.InsertTextParams{Text: text})
}

// fill types a text into an empty field.
func (p *someone) fill(id, text string) {
	p.t.Helper()
	p.click(id)
	p.types(text)
	p.wait("eyes.at(%s).value === %s", id, text)
}

// choose chooses from a list.
func (p *someone) choose(id, value string) {
	p.t.Helper()
	p.wait("!eyes.at(%s).disabled && eyes.shown(%s)", id, id)
	p.is("(e => { e.value = %s; e.dispatchEvent(new Event('change', {bubbles: true})); return e.value === %s })(eyes.at(%s))", value, value, id)
}

// begins begins a conversation with somebody, who has to be known.
func (p *someone) begins(with string) {
	p.t.Helper()
	p.click("new-open")
	p.fill("new-name", with)
	p.click("new-start")
	p.isWith(with)
}

// turns opens a conversation that is in the list, once it is.
func (p *someone) turns(to string) {
	p.t.Helper()
	p.shows("conversation-" + to)
	p.click("conversation-" + to)
	p.isWith(to)
}

func (p *someone) isWith(name string) {
	p.t.Helper()
	p.wait("eyes.at('talk').dataset.name === %s && eyes.at('talk').dataset.loaded === 'true'", name)
}

// writes writes a message, which stands in the conversation then.
func (p *someone) writes(texts ...string) {
	p.t.Helper()
	for _, text := range texts {
		p.wait("!eyes.at('composer').disabled")
		p.fill("composer", text)
		p.press(kb.Enter)
		p.wait("eyes.at('composer').value === '' && eyes.count(true, %s) === 1", text)
		p.wait("!sessionStorage.getItem('drafts')?.includes(JSON.stringify(%s))", text)
	}
}

// sends writes messages, which the relay has then.
func (p *someone) sends(texts ...string) {
	p.t.Helper()
	p.writes(texts...)
	for _, text := range texts {
		p.sent(text)
	}
}

func (p *someone) sent(text string) {
	p.t.Helper()
	p.wait("['sent', 'read'].includes(eyes.state(%s))", text)
}

// waits requires that a message stays unsent.
func (p *someone) waits(text string) {
	p.t.Helper()
	p.wait("eyes.state(%s) === 'waiting'", text)
}

// reads waits until messages of others are in the open conversation.
func (p *someone) reads(texts ...string) {
	p.t.Helper()
	for _, text := range texts {
		p.wait("eyes.count(false, %s) === 1", text)
	}
}

// has requires that exactly these messages of others are in the open conversation, in
// any order, and own ones likewise.
func (p *someone) has(own, others []string) {
	p.t.Helper()
	require.ElementsMatch(p.t, own, browser.Eval[[]string](p.Page, "eyes.messages(true)"), "own messages")
	require.ElementsMatch(p.t, others, browser.Eval[[]string](p.Page, "eyes.messages(false)"), "messages of others")
}
