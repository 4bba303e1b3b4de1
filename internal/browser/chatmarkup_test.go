package browser_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/examples/chat/person"
	"github.com/gembok-e2ee/gembok/session/examples/chat/post"
	"github.com/gembok-e2ee/gembok/session/examples/chat/relay"
)

// evil are texts that do something where they are taken for markup.
var evil = []string{
	`<img src=x onerror=alert(1)>`,
	`<script>alert(2)</script><iframe src="http://192.0.2.1/"></iframe>`,
	`"><svg onload=alert(3)><a href="javascript:alert(4)">x</a><style>*{display:none}</style>`,
	`&lt;b&gt; {{7*7}} ${alert(5)} %s`,
}

// awanName is the name of a provider that is markup, as a label may have it.
const awanName = `PT <img src=x onerror=alert(6)> Awan`

// What comes from a peer is text, wherever it is shown: no element is made of it, nothing
// is asked for, and no dialog opens.
func markup(s *server) {
	ani, budi := s.pair()
	elements := `document.querySelectorAll("img, script:not([src]), iframe, object, a[href^='javascript'], [onerror], [onload], style").length === 0`
	for _, text := range evil {
		ani.writes(text)
		budi.reads(text)
	}
	for _, p := range []*someone{ani, budi} {
		p.holds(elements)
		p.has(p.of(append([]string{"halo Budi"}, evil...), []string{"hello Ani"}))
	}
	budi.shot("text of a peer")

	warung := s.hostedBusiness("warung", awanName, "awanteduh.example")
	require.NoError(s.t, warung.Write(s.t.Context(), "budi", evil[0]))
	budi.turns("warung")
	budi.reads(evil[0])
	budi.contains("label-lines", awanName+" (awanteduh.example)")
	budi.is("eyes.at('label-party').dataset.name === %s && eyes.text('label-party').includes(%s)", awanName, awanName)
	budi.shows("consent-dialog")
	budi.contains("consent-lines", awanName)
	budi.holds(elements)
	budi.shot("name of a provider")
	budi.click("consent-no")
	budi.hides("consent-dialog")

	s.nonsenseFrom("<b>x</b>", map[string]any{"id": "a", "text": "from one with such a name"})
	s.nonsenseFrom("mallory", map[string]any{"id": "b", "text": "in such a group", "group": "<b>x</b>/<i>y</i>", "members": []string{"budi", "<u>z</u>"}})
	s.nonsenseFrom("mallory", map[string]any{"id": "c", "file": map[string]any{"name": evil[0], "blob": "../../x", "pointer": []byte{1}}})
	s.nonsenseFrom("mallory", map[string]any{"id": "d", "text": "\u202e\u0000 last \u2066"})
	budi.turns("mallory")
	budi.wait("eyes.messages(false).some(t => t.includes(' last '))")
	budi.holds(elements + " && document.querySelectorAll('b, i:not(:empty), u').length === 0")
	budi.is("eyes.messages(false).length === 1 && !eyes.shown('conversation-<b>x</b>/<i>y</i>') && !eyes.shown('conversation-<b>x</b>')")
	budi.shot("nonsense of a stranger")
	budi.turns("ani")
	budi.sends("still here")
	ani.reads("still here")
}

// of is own and others' messages as p has them, where Ani wrote the first.
func (p *someone) of(anis, budis []string) (own, others []string) {
	if p.name == "ani" {
		return anis, budis
	}
	return budis, anis
}

// direct is the way to the relay for those who are no page.
type direct struct{ relay *relay.Relay }

func (d direct) Do(ctx context.Context, r *person.Request) (int, []byte, error) {
	req := httptest.NewRequest(r.Method, "/"+strings.Join(r.Path, "/"), bytes.NewReader(r.Body)).WithContext(ctx)
	res := httptest.NewRecorder()
	d.relay.Handler().ServeHTTP(res, req)
	return res.Code, res.Body.Bytes(), ctx.Err()
}

// shown is a screen that a test looks at.
type shown chan person.Event

func (s shown) Show(e person.Event) {
	select {
	case s <- e:
	default: // nobody looks any more
	}
}

// hostedBusiness is a business at a provider, in this process.
func (s *server) hostedBusiness(name, provider, domain string) *person.Person {
	s.t.Helper()
	business, events := s.live(address(name), person.Business())
	events.until(s.t, person.ReadyEvent)
	me := address(name)
	me.Device = 2
	hosted, events := s.live(me, person.Hosted(provider, domain))
	s.must(business.Move(s.t.Context(), events.until(s.t, person.OfferEvent).Text))
	events.until(s.t, person.ReadyEvent)
	return hosted
}

// until waits for an event of a kind.
func (s shown) until(t *testing.T, kind string) person.Event {
	t.Helper()
	for {
		select {
		case e := <-s:
			if e.Kind == kind {
				return e
			}
		case <-after(patience):
			require.FailNow(t, "nothing of the kind is shown", kind)
		}
	}
}

// live is a person in this process, until the test ends.
func (s *server) live(me session.Address, role person.Role) (*person.Person, shown) {
	s.t.Helper()
	events := make(shown, 100)
	p, err := person.Open(s.t.Context(), keystore.NewMemory(), me, role, person.NewClient(direct{s.relay}), events, nil)
	require.NoError(s.t, err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = p.Run(ctx) }()
	s.t.Cleanup(func() { stop(); <-ended })
	return p, events
}

// nonsenseFrom puts a message of somebody into Budi's mailbox that no page would send.
func (s *server) nonsenseFrom(name string, body map[string]any) {
	s.t.Helper()
	me := session.Address{User: post.UserOf(name), Device: 1}
	o := &session.Options{Content: true, Directory: person.NewClient(direct{s.relay})}
	d, err := session.Create(s.t.Context(), keystore.NewMemory(), session.Account{Address: me}, o)
	require.NoError(s.t, err)
	text, err := json.Marshal(body)
	require.NoError(s.t, err)
	sent, err := d.Send(s.t.Context(), []string{post.UserOf("budi")}, &session.Content{Body: text}, nil)
	require.NoError(s.t, err)
	for _, r := range sent.Results {
		if r.To.User == me.User {
			continue // the relay knows no such user
		}
		require.NoError(s.t, r.Err)
		s.must(s.put([]relay.Delivery{{To: r.To, Envelope: post.Envelope{
			ID: body["id"].(string), From: me, SentAt: sent.SentAt, Taken: time.Now(), Type: r.Message.Type, Bytes: r.Message.Bytes,
		}}}))
	}
}
