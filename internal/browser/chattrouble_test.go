package browser_test

import (
	"net/http"
	"strings"
	"sync"

	"github.com/chromedp/cdproto/storage"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/browser"
	"github.com/gembok-e2ee/gembok/session/examples/chat/post"
)

// fills stores as much as the browser has room for.
const fills = `new Promise((resolve, reject) => {
	const open = indexedDB.open("filler")
	open.onupgradeneeded = () => open.result.createObjectStore("s", {autoIncrement: true})
	open.onerror = () => reject(open.error)
	open.onsuccess = async () => {
		const put = size => new Promise(done => {
			const some = new Uint8Array(size)
			for (let i = 0; i < size; i += 65536) crypto.getRandomValues(some.subarray(i, i + 65536))
			const t = open.result.transaction("s", "readwrite")
			t.objectStore("s").put(some)
			t.oncomplete = () => done(true)
			t.onabort = () => done(false)
		})
		let n = 0
		for (const size of [1 << 20, 1 << 16, 1 << 12, 1 << 8, 1]) while (await put(size)) n += size
		open.result.close()
		resolve(n)
	}
})`

// room has the browser give a page so much to store in, nil as much as there is.
func (p *someone) room(bytes *float64) {
	p.t.Helper()
	browser.Call(p.Page, storage.OverrideQuotaForOrigin, storage.OverrideQuotaForOriginParams{Origin: "http://" + p.s.addr, QuotaSize: bytes})
}

// readable requires that something says so in Indonesian or English, and not what
// programs say to each other.
func (p *someone) readable(id string, words ...string) {
	p.t.Helper()
	p.shows(id)
	p.wait("eyes.text(%s).trim() !== ''", id)
	text := p.text(id)
	for _, raw := range []string{"Error", "Exception", "undefined", "keystore:", "session:", "0x", "JSON"} {
		require.NotContains(p.t, text, raw)
	}
	for _, word := range words {
		require.Contains(p.t, strings.ToLower(text), word)
	}
}

// Where there is no room any more, that is said, and nothing is lost: what was typed
// stays, what comes waits at the relay, and all goes on when there is room.
func storageFull(s *server) {
	ani := s.blank(s.b.Apart(s.t), "ani", "id")
	some := 12e6
	ani.room(&some)
	ani.opens()
	budi := s.open("budi", "en")
	meet(ani, budi)
	require.NotZero(s.t, browser.Eval[int](ani.Page, fills))
	ani.fill("composer", "tidak muat")
	ani.press(kb.Enter)
	ani.readable("error", "habis")
	ani.wait("eyes.at('composer').value === 'tidak muat'")
	ani.has([]string{"halo Budi"}, []string{"hello Ani"})
	ani.shot("no room")
	budi.sends("do you read this?")
	ani.has([]string{"halo Budi"}, []string{"hello Ani"})

	ani.room(nil)
	ani.reads("do you read this?")
	ani.click("composer")
	ani.press(kb.Enter)
	ani.sent("tidak muat")
	budi.reads("tidak muat")
	ani.hides("error")
	ani.reloads()
	ani.turns("budi")
	ani.has([]string{"halo Budi", "tidak muat"}, []string{"hello Ani", "do you read this?"})
	budi.has([]string{"hello Ani", "do you read this?"}, []string{"halo Budi", "tidak muat"})
	ani.shot("room again")
}

// Where nothing can be stored at all, as in some private windows, that is said.
func noStorage(s *server) {
	for _, script := range []string{
		`Object.defineProperty(globalThis, "indexedDB", {value: undefined})`,
		`IDBFactory.prototype.open = () => { throw new DOMException("denied", "SecurityError") }`,
		`IDBFactory.prototype.open = () => {
			const request = new EventTarget()
			request.error = new DOMException("A mutation operation was attempted on a database that did not allow mutations.", "InvalidStateError")
			setTimeout(() => { request.onerror?.(new Event("error")); request.dispatchEvent(new Event("error")) })
			return request
		}`,
	} {
		ani := s.blank(s.b.Apart(s.t), "ani", "id")
		ani.Before(script)
		ani.loads()
		ani.isOn("fatal")
		ani.is("eyes.at('fatal').dataset.why === 'nostore'")
		ani.readable("fatal-text", "jendela")
		ani.shot("no storage")
		ani.accessible()
	}
	require.Empty(s.t, s.sees(), "the relay hears of nobody")
}

// A relay that is gone and comes again: what is written waits, and all is read once.
func relayGone(s *server) {
	ani, budi := s.pair()
	for _, p := range []*someone{ani, budi} {
		p.excuse(refused, reset, brokenOff, unanswered)
	}
	s.goes()
	ani.readable("gone", "relay")
	budi.readable("gone", "relay")
	ani.writes("ditulis tanpa relay", "dan satu lagi")
	ani.waits("ditulis tanpa relay")
	budi.writes("written without a relay")
	budi.waits("written without a relay")
	ani.shot("no relay")
	s.comes()
	ani.sent("dan satu lagi")
	ani.hides("gone")
	budi.hides("gone")
	ani.reads("written without a relay")
	budi.reads("ditulis tanpa relay", "dan satu lagi")
	ani.has([]string{"halo Budi", "ditulis tanpa relay", "dan satu lagi"}, []string{"hello Ani", "written without a relay"})
	budi.has([]string{"hello Ani", "written without a relay"}, []string{"halo Budi", "ditulis tanpa relay", "dan satu lagi"})
	seesNothing(s, ani, "ditulis")
	ani.shot("the relay again")
}

// What a relay may answer instead of an answer: its method, "" for any, and the answer.
// Where it says that it has a letter, it has; so nonsense with that status is for
// questions only.
var nonsenses = []struct {
	name, method, body string
	headers            []string
}{
	{"a page to log in", "", "<!doctype html><title>Wi-Fi</title><script>alert(1)</script>", []string{"Content-Type", "text/html"}},
	{"garbage", "GET", "\x00\xff{]", []string{"Relay-Status", "200"}},
	{"other JSON", "GET", `{"mail":[{"id":7}],"own":{}}`, []string{"Relay-Status", "200"}},
	{"nothing", "GET", "", []string{"Relay-Status", "200"}},
	{"no status", "", "[]", []string{"Relay-Status", "two hundred"}},
	{"a fault", "", "<b>panic</b>", []string{"Relay-Status", "500"}},
	{"other devices, in no words", "PUT", "?", []string{"Relay-Status", "409"}},
	{"too much", "GET", strings.Repeat("0", 16<<20), []string{"Relay-Status", "200"}},
}

// A relay that answers nonsense is as one that is gone: that is said, and nothing is
// lost.
func nonsense(s *server) {
	ani, budi := s.pair()
	own, others := []string{"halo Budi"}, []string{"hello Ani"}
	for _, n := range nonsenses {
		s.hold("ani", true)
		budi.sends("during: " + n.name)
		mail := s.take(s.t, 1)
		s.hold("ani", false)
		asked := make(chan struct{})
		asks, nonsense := sync.OnceFunc(func() { close(asked) }), answers(n.body, n.headers...)
		end := s.meddle(n.method, "/relay/", always, func(w http.ResponseWriter, req *http.Request, next http.Handler) {
			nonsense(w, req, next)
			if n.method == "PUT" || strings.HasPrefix(req.URL.Path, "/relay/mail/"+post.UserOf("ani")) {
				asks()
			}
		})
		s.must(s.put(mail)) // Ani's page asks for more after it
		text := "saat: " + n.name
		ani.writes(text)
		stall{reached: asked}.wait(s.t)
		ani.wait("eyes.shown('gone') || eyes.shown('error') || eyes.text('status').startsWith('budi: ')")
		ani.shot(n.name)
		known := s.certified("ani")
		end()
		ani.sent(text)
		if n.method != "PUT" {
			ani.known(known)
		}
		ani.hides("gone")
		if browser.Eval[bool](ani.Page, "eyes.shown('error')") {
			ani.click("error-close")
		}
		budi.reads(text)
		ani.reads("during: " + n.name)
		own, others = append(own, text), append(others, "during: "+n.name)
	}
	ani.has(own, others)
	budi.has(others, own)
	ani.is("document.title.includes('ani')")
	require.Empty(s.t, s.relay.Mail(address("ani")))
}
