package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gembok-e2ee/gembok/internal/interop"
	"github.com/gembok-e2ee/gembok/session/examples/chat/person"
	"github.com/gembok-e2ee/gembok/session/examples/chat/post"
)

// TestMain makes a process of this test binary the program itself, when it is
// started with the flags of the program.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-test.") {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

const (
	lastLine         = "\nsent 53 in 69 copies · read 69 · lost 0 · twice 0 · refused 3\n"
	lastLineHosting  = "\nsent 6 in 6 copies · read 6 · lost 0 · twice 0 · refused 0\n"
	lastLineOfficial = "\nsent 38 in 47 copies · read 47 · lost 0 · twice 0 · refused 1\n"
)

// demoShows is what nobody should miss.
var demoShows = []string{
	"Ani/2 shows a code, and Ani types it into the first device",
	"Ani is told: Ani has a new device, number 2",
	"somebody did not know the devices of Ani: device 2 is new",
	"Ani/2 shows, too:  I have a laptop now, too.",
	"Ani shows, too:  It does.",
	"Budi cannot read that, and asks Ani for it again",
	"Ani has sent number 33 again\n    Budi reads:  Does it still know me?",
	"Ani: the same. Nobody is in between; Budi is verified",
	"Budi: the same. Nobody is in between; Ani is verified",
	"the relay sees: somebody leaves a file, ",
	"Budi has the same picture",
	"the relay sees: Ani/2 is removed",
	"Citra reads:  Just bring the mangoes.",
	"Ani has given a new key for the group to Budi\n",
	"Citra refuses that: gembok: authentication failed\n    Budi reads:  It is a surprise",
	"Budi is told: Ani has no device 2 any more",
	"the relay's log shows 79 messages, and of 0 who sent them",
}

// hostingShows is what nobody should miss of who holds the keys, in this order.
var hostingShows = map[string][]string{
	"en": {
		"in the chat with Toko:\n          The key at the other end is held by that business, on its own server.\n",
		"Ani writes: I take both.",
		"the relay leaves out who holds the key of Toko, which it has said before.",
		"not sent: the relay does not show who holds the key that it hands out for Toko",
		"on its own server.\n", // still
		"the relay hands out what Toko said before it moved",
		"the key that the relay shows of Toko is none that it has stated to be its own.",
		"who holds the key of Toko has changed. New:\n          The key at the other end is held by PT Awan Teduh (awanteduh.example), a third party, which can read this chat.\n",
		"Ani reads:  Dear customer",
		"first say whether you agree to this:\n          The key at the other end is held by PT Awan Teduh",
		"what the relay shows of Toko is an old statement",
		"/consent no",
		"You did not agree. Nothing is sent.",
		"not sent: you did not agree to write to Toko",
		"/consent yes",
		"Toko/2 reads:  I take both.",
		"Ani reads:  Thank you! They are packed.",
		"Budi sees:  what is written with Ani disappears 1 s after it was read",
		"Budi reads:  The code of the gate is 4711.",
		"Budi sees:  a message of the chat with Ani has disappeared",
	},
	"id": {
		"percakapan dengan Toko:\n          Kunci di ujung sana dipegang bisnis itu sendiri, di servernya.\n",
		"Ani menulis: Saya ambil semuanya.",
		"relay tidak menyertakan siapa yang memegang kunci Toko, padahal pernah dinyatakan.",
		"tidak dikirim: relay tidak menunjukkan siapa yang memegang kunci yang diberikannya untuk Toko",
		"di servernya.\n",
		"Lalu relay memberikan pernyataan Toko dari sebelum pindah",
		"kunci Toko yang ditunjukkan relay tidak termasuk kunci yang dinyatakannya.",
		"pemegang kunci Toko berubah. Yang baru:\n          Kunci di ujung sana dipegang PT Awan Teduh (awanteduh.example), pihak ketiga, yang dapat membaca percakapan ini.\n",
		"Ani membaca:  Pelanggan yang terhormat",
		"nyatakan dahulu apakah Anda setuju dengan ini:\n          Kunci di ujung sana dipegang PT Awan Teduh",
		"yang ditunjukkan relay tentang Toko adalah pernyataan lama",
		"/consent no",
		"Anda tidak setuju. Tidak ada yang dikirim.",
		"tidak dikirim: Anda tidak setuju untuk menulis kepada Toko",
		"/consent yes",
		"Toko/2 membaca:  Saya ambil semuanya.",
		"Ani membaca:  Terima kasih! Sudah dibungkus.",
		"Budi melihat:  satu pesan dalam percakapan dengan Ani telah hilang",
	},
}

// played plays the demo, and looks at what it shows in that language.
func played(t *testing.T, lang string, lines []line, last string) string {
	t.Helper()
	var out bytes.Buffer
	err := demo(context.Background(), &out, "gembok", lang, lines)
	require.NoError(t, err, out.String())
	require.True(t, strings.HasSuffix(out.String(), last), out.String())
	require.NotContains(t, out.String(), "WRONG")
	rest := out.String()
	for _, line := range hostingShows[lang] {
		_, after, ok := strings.Cut(rest, line)
		require.True(t, ok, "%q in %s", line, rest)
		rest = after
	}
	return out.String()
}

func TestDemo(t *testing.T) {
	out := played(t, "en", script, lastLine)
	require.Contains(t, out, "Ani's process decrypts it, and is killed before it is saved")
	for _, line := range demoShows {
		require.Contains(t, out, line)
	}
}

// The scenes about who holds the keys, alone.
func TestDemoIndonesian(t *testing.T) { played(t, "id", nil, lastLineHosting) }

func TestDemoOfficial(t *testing.T) {
	peer, err := interop.Open("")
	if errors.Is(err, interop.ErrMissing) {
		require.Empty(t, os.Getenv("GEMBOK_INTEROP"), err)
		t.Skip(err)
	}
	require.NoError(t, err)
	require.NoError(t, peer.Close())
	var out bytes.Buffer
	err = demo(context.Background(), &out, "official", "en", script)
	require.NoError(t, err, out.String())
	require.True(t, strings.HasSuffix(out.String(), lastLineOfficial), out.String())
	require.Contains(t, out.String(), "messages, and of 0 who sent them\n")
	require.Equal(t, 2, strings.Count(out.String(), "you agree to write to Budi"), "once on each of her devices")
}

// TestDemoFails holds the counts against what must not happen.
func TestDemoFails(t *testing.T) {
	read := person.Event{Kind: person.ReadEvent, Peer: "Budi", Text: "Ani?"}
	for name, c := range map[string]struct {
		shown []person.Event
		last  string
		wrong string
	}{
		"good":      {[]person.Event{read, {Kind: person.AgainEvent}}, "sent 1 in 1 copies · read 1 · lost 0 · twice 0 · refused 0", ""},
		"asked":     {[]person.Event{{Kind: person.AskedEvent}, read}, "sent 1 in 1 copies · read 1 · lost 0 · twice 0 · refused 0", ""},
		"forged":    {[]person.Event{{Kind: person.RefusedEvent}, read}, "sent 1 in 1 copies · read 1 · lost 0 · twice 0 · refused 1", ""},
		"lost":      {nil, "sent 1 in 1 copies · read 0 · lost 1 · twice 0 · refused 0", "1 copies were sent and not read"},
		"twice":     {[]person.Event{read, read}, "sent 1 in 1 copies · read 1 · lost 0 · twice 1 · refused 0", "number 1 was read twice"},
		"duplicate": {[]person.Event{{Kind: person.AgainEvent}, read}, "sent 1 in 1 copies · read 1 · lost 0 · twice 0 · refused 0", "number 1 was refused as read before"},
		"other text": {[]person.Event{{Kind: person.ReadEvent, Peer: "Budi", Text: "Ana?"}}, "sent 1 in 1 copies · read 0 · lost 1 · twice 0 · refused 0",
			"number 1 was read wrongly"},
		"other sender": {[]person.Event{{Kind: person.ReadEvent, Peer: "Ani", Text: "Ani?"}}, "sent 1 in 1 copies · read 0 · lost 1 · twice 0 · refused 0",
			"number 1 was read wrongly"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			p := newPlay(t.Context(), &out, "", "gembok", "")
			p.sent, p.copies = 1, 1
			m := &parcel{number: 1, from: "Budi", to: "Ani", text: "Ani?"}
			for _, e := range c.shown {
				p.count(m, e)
			}
			err := p.close()
			require.True(t, strings.HasSuffix(out.String(), "\n"+c.last+"\n"), out.String())
			if c.wrong == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.wrong)
		})
	}
}

// An actor that does or shows another thing than it should is an error.
func TestActor(t *testing.T) {
	a, err := startActor(t.Context(), "not a name")
	require.NoError(t, err)
	_, err = a.expect(person.ReadyEvent)
	require.ErrorContains(t, err, "has ended")
	_, err = a.quit()
	require.Error(t, err)

	a, err = startActor(t.Context(), "ani", "-relay", "http://127.0.0.1:1", "-store", t.TempDir()+"/store")
	require.NoError(t, err)
	_, err = a.expect(person.ReadyEvent)
	require.ErrorContains(t, err, post.ErrGone.Error())
	require.ErrorContains(t, a.gone(), "ended in order")
}

// A person is what the flags say.
func TestFlagsRole(t *testing.T) {
	require.Equal(t, person.Role{}, (&options{}).role())
	require.NotNil(t, (&options{business: true}).role().Account)
	require.Equal(t, "PT Awan", (&options{provider: "PT Awan"}).role().Host)
}

func TestRun(t *testing.T) {
	for _, args := range [][]string{{"-bad"}, {"more"}, {"-peer", "other"}, {"serve", "-bad"}, {"serve", "more"}, {"web", "-bad"}, {"web", "more"}, {"web", "-lang", "de"}} {
		require.ErrorIs(t, run(t.Context(), args), errUsage, args)
	}
	require.ErrorIs(t, run(t.Context(), []string{"-as", "a b"}), post.ErrName)
	require.ErrorContains(t, run(t.Context(), []string{"-as", "a", "-relay", "ftp://x"}), "-relay wants a URL")
	require.ErrorContains(t, run(t.Context(), []string{"-as", "a"}), "-store")
	require.Error(t, run(t.Context(), []string{"-as", "a", "-store", t.TempDir()}))
	require.Error(t, run(t.Context(), []string{"serve", "-addr", "256.0.0.1:1"}))
	require.Error(t, run(t.Context(), []string{"web", "-addr", "256.0.0.1:1"}))
	require.ErrorContains(t, run(t.Context(), []string{"web", "-addr", ":0"}), "-addr wants an address of this machine alone")
}
