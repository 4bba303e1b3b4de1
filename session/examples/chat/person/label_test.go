package person

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// shows makes the relay hand that out of what the business says of its keys.
func (r *testRelay) shows(of func(newest []byte) []byte) { r.Show(toko1.User, of) }

func leftOut([]byte) []byte { return nil }

// awaits lets p try to send what is in the outbox, which does not go, and returns
// what is shown then, of a kind.
func (p *testPerson) awaits(t *testing.T, kind string) Event {
	t.Helper()
	left, err := p.Flush(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, left)
	return p.until(t, kind)
}

// said is all that an event says.
func said(e Event) string { return strings.Join(append([]string{e.Text}, e.Lines...), "\n") }

// customers are somebody who has bought from a business on its own server, and the
// provider's device to which that has moved.
func customers(t *testing.T) (r *testRelay, ani, awan *testPerson, stale []byte) {
	r, ani, budi := twoPeople(t)
	budi.arrives(t)
	ani.sends(t, "budi", "anything from the shop?")
	toko, awan := aBusiness(t, r)
	require.NoError(t, ani.Write(t.Context(), "toko", "one"))
	left, err := ani.Flush(t.Context())
	require.NoError(t, err)
	require.Zero(t, left, "a business on its own server needs no consent")
	require.Contains(t, said(ani.until(t, LabelEvent)), "held by that business, on its own server.")
	toko.hears(t, ReadEvent, "one")
	stale = r.Signed(toko1.User)
	toko.movesTo(t, awan)
	return r, ani, awan, stale
}

// A relay that leaves a label out, or hands out the one before, deceives nobody: it
// is seen, and nothing is sent to a key that no label lists.
func TestLabelStrippedAndReplayed(t *testing.T) {
	r, ani, awan, stale := customers(t)
	ani.drained()
	r.shows(leftOut)
	require.NoError(t, ani.Write(t.Context(), "toko", "two"))
	require.Contains(t, ani.awaits(t, HeldEvent).Text, "does not show who holds the key that it hands out")
	require.NoError(t, ani.Label(t.Context(), "toko"))
	require.Contains(t, ani.until(t, HostingEvent).Text, "the relay leaves out who holds the key of toko")
	require.Contains(t, said(ani.next(t, LabelEvent)), "on its own server.", "what was known stays")

	r.shows(func([]byte) []byte { return stale })
	require.NoError(t, ani.Label(t.Context(), "toko"))
	require.Contains(t, said(ani.until(t, LabelEvent)), "on its own server.")
	require.Contains(t, ani.awaits(t, HeldEvent).Text, "none that it has stated")
	require.Empty(t, r.Mail(toko2), "nothing is sent under a false label")

	// What the business itself writes says it.
	require.NoError(t, awan.Write(t.Context(), "ani", "we have moved"))
	require.NoError(t, ani.receiveSome(t.Context()))
	require.Contains(t, said(ani.until(t, HostingEvent)), "PT Awan Teduh (awanteduh.example), a third party, which can read this chat.")
	require.Contains(t, said(ani.next(t, LabelEvent)), "Nothing is sent before you agree.")
	require.Equal(t, "we have moved", ani.next(t, ReadEvent).Text)
	require.NoError(t, ani.Label(t.Context(), "toko"))
	require.Contains(t, ani.until(t, HostingEvent).Text, "is an old statement")
	require.Contains(t, said(ani.awaits(t, AsksEvent)), "PT Awan Teduh")
	require.Empty(t, r.Mail(toko2))
}

// What somebody else signs for a business stops everything, and is shown for what it
// is; that one accepted another key of theirs changes nothing.
func TestLabelForged(t *testing.T) {
	r, ani, _, _ := customers(t)
	ani.drained()
	key := keys.GenerateIdentityKeyPair()
	forged := manifestOf(t, toko2, 9, key).Bytes()
	r.shows(func([]byte) []byte { return forged })
	ani.accepted["toko"] = keys.GenerateIdentityKeyPair().Public()
	require.NoError(t, ani.Label(t.Context(), "toko"))
	require.Contains(t, ani.until(t, HostingEvent).Text, "another key than before signs for toko")
	require.Contains(t, said(ani.until(t, LabelEvent)), "Warning: the statements of who holds the key contradict each other.")
	require.NoError(t, ani.Write(t.Context(), "toko", "two"))
	require.Contains(t, said(ani.awaits(t, AsksEvent)), "another key than before signs for toko")
	require.Empty(t, r.Mail(toko2))
}

// A no stays a no, also in the next process, until there is a yes; then goes what
// was written.
func TestConsent(t *testing.T) {
	_, ani, awan, _ := customers(t)
	ani.drained()
	require.ErrorContains(t, ani.Consent(t.Context(), "toko", true), "no question")
	require.NoError(t, ani.Write(t.Context(), "toko", "two"))
	asked := ani.awaits(t, AsksEvent)
	require.Contains(t, said(asked), "Read by an AI model.")
	require.NotContains(t, said(asked), "Used for the service.", "which is nothing new")
	require.ErrorContains(t, ani.Write(t.Context(), "toko", "three"), "waits for your answer")

	require.NoError(t, ani.Consent(t.Context(), "toko", false))
	ani.next(t, NoticeEvent)
	require.Contains(t, said(ani.next(t, LabelEvent)), "You did not agree.")
	for range 2 {
		left, err := ani.Flush(t.Context())
		require.NoError(t, err)
		require.Equal(t, 1, left)
	}
	ani.silent(t)
	require.ErrorContains(t, ani.Write(t.Context(), "toko", "three"), "you did not agree")
	require.NoError(t, ani.Write(t.Context(), "budi", "others are written to"))
	_, err := ani.Flush(t.Context())
	require.NoError(t, err)
	ani.until(t, SentEvent)

	ani = newTestPerson(t, ani1, ani.to, ani.store)
	require.Contains(t, ani.awaits(t, HeldEvent).Text, "you did not agree")
	require.NoError(t, ani.Consent(t.Context(), "toko", true))
	ani.next(t, NoticeEvent)
	require.Contains(t, said(ani.next(t, LabelEvent)), "It is not verified that PT Awan Teduh (awanteduh.example) is who it says.")
	left, err := ani.Flush(t.Context())
	require.NoError(t, err)
	require.Zero(t, left)
	require.Equal(t, "two", awan.until(t, ReadEvent).Text)
}

// Where nothing is known of who holds a key, one is asked, once.
func TestUnattested(t *testing.T) {
	r, ani, _ := twoPeople(t)
	toko, _ := aBusiness(t, r)
	r.shows(leftOut)
	require.NoError(t, ani.Write(t.Context(), "toko", "one"))
	require.Contains(t, said(ani.awaits(t, AsksEvent)), "It is not known who holds the key at the other end.")
	require.NoError(t, ani.Consent(t.Context(), "toko", true))
	ani.sendsAll(t, NoticeEvent, SentEvent)
	toko.hears(t, ReadEvent, "one")
	ani.sends(t, "toko", "two")
}

// A group in which somebody's key came into other hands waits as a whole.
func TestGroupConsent(t *testing.T) {
	r, ani, awan, _ := customers(t)
	ani.drained()
	require.NoError(t, ani.Gather(t.Context(), "market", []string{"budi", "toko"}))
	require.Contains(t, said(ani.awaits(t, AsksEvent)), "PT Awan Teduh")
	before := len(r.Mail(budi1))
	require.NoError(t, ani.Consent(t.Context(), "ani/market", false))
	left, err := ani.Flush(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, left)
	require.Len(t, r.Mail(budi1), before, "nobody gets it")
	require.NoError(t, ani.Consent(t.Context(), "ani/market", true))
	left, err = ani.Flush(t.Context())
	require.NoError(t, err)
	require.Zero(t, left)
	require.Len(t, r.Mail(budi1), before+1)
	awan.until(t, GroupEvent)
}

// All that is said of labels is said in Indonesian, too.
func TestLanguage(t *testing.T) {
	_, ani, _, _ := customers(t)
	ani.drained()
	ani.SetLang("id")
	require.NoError(t, ani.Write(t.Context(), "toko", "two"))
	require.Contains(t, said(ani.awaits(t, AsksEvent)), "dipegang PT Awan Teduh (awanteduh.example), pihak ketiga, yang dapat membaca percakapan ini.")
	require.NoError(t, ani.Consent(t.Context(), "toko", false))
	require.Equal(t, "Anda tidak setuju; tidak ada yang dikirim kepada toko", ani.next(t, NoticeEvent).Text)
	require.Contains(t, said(ani.next(t, LabelEvent)), "siapa yang memegang kunci")
}

// drained throws away what was shown.
func (w watch) drained() {
	for len(w) > 0 {
		<-w
	}
}

// The texts of both languages have the same places for names.
func TestWords(t *testing.T) {
	for _, s := range allTexts {
		require.NotEmpty(t, s.id)
		require.NotEqual(t, s.en, s.id)
		require.Equal(t, strings.Count(s.en, "%"), strings.Count(s.id, "%"), s.en)
	}
}

var allTexts = []text{
	labelText, changeText, fewerText, askText, openText, refusedText, yesText, noText, nothingText, strippedText,
	staleText, awaitedText, mismatchText, contradictText, strangerText, newerOwnText, otherOwnText, untrueText, unshownText, unfitText, lastsText, keptText, goneText,
	newDeviceText, noDeviceText, movedText,
}
