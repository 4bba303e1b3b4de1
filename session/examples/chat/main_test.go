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
	lastLine         = "\nsent 47 in 63 copies · read 63 · lost 0 · twice 0 · refused 3\n"
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
	"somebody did not know the devices of Ani: device 2 is removed",
	"the relay's log shows 73 messages, and of 0 who sent them",
}

func TestDemo(t *testing.T) {
	var out bytes.Buffer
	err := demo(context.Background(), &out, "gembok")
	require.NoError(t, err, out.String())
	require.True(t, strings.HasSuffix(out.String(), lastLine), out.String())
	require.Contains(t, out.String(), "Ani's process decrypts it, and is killed before it is saved")
	for _, line := range demoShows {
		require.Contains(t, out.String(), line)
	}
	require.NotContains(t, out.String(), "WRONG")
}

func TestDemoOfficial(t *testing.T) {
	peer, err := interop.Open("")
	if errors.Is(err, interop.ErrMissing) {
		require.Empty(t, os.Getenv("GEMBOK_INTEROP"), err)
		t.Skip(err)
	}
	require.NoError(t, err)
	require.NoError(t, peer.Close())
	var out bytes.Buffer
	err = demo(context.Background(), &out, "official")
	require.NoError(t, err, out.String())
	require.True(t, strings.HasSuffix(out.String(), lastLineOfficial), out.String())
	require.Contains(t, out.String(), "messages, and of 0 who sent them\n")
}

// TestDemoFails holds the counts against what must not happen.
func TestDemoFails(t *testing.T) {
	read := event{Kind: readEvent, Peer: "Budi", Text: "Ani?"}
	for name, c := range map[string]struct {
		shown []event
		last  string
		wrong string
	}{
		"good":      {[]event{read, {Kind: againEvent}}, "sent 1 in 1 copies · read 1 · lost 0 · twice 0 · refused 0", ""},
		"asked":     {[]event{{Kind: askedEvent}, read}, "sent 1 in 1 copies · read 1 · lost 0 · twice 0 · refused 0", ""},
		"forged":    {[]event{{Kind: refusedEvent}, read}, "sent 1 in 1 copies · read 1 · lost 0 · twice 0 · refused 1", ""},
		"lost":      {nil, "sent 1 in 1 copies · read 0 · lost 1 · twice 0 · refused 0", "1 copies were sent and not read"},
		"twice":     {[]event{read, read}, "sent 1 in 1 copies · read 1 · lost 0 · twice 1 · refused 0", "number 1 was read twice"},
		"duplicate": {[]event{{Kind: againEvent}, read}, "sent 1 in 1 copies · read 1 · lost 0 · twice 0 · refused 0", "number 1 was refused as read before"},
		"other text": {[]event{{Kind: readEvent, Peer: "Budi", Text: "Ana?"}}, "sent 1 in 1 copies · read 0 · lost 1 · twice 0 · refused 0",
			"number 1 was read wrongly"},
		"other sender": {[]event{{Kind: readEvent, Peer: "Ani", Text: "Ani?"}}, "sent 1 in 1 copies · read 0 · lost 1 · twice 0 · refused 0",
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
	_, err = a.expect(readyEvent)
	require.ErrorContains(t, err, "has ended")
	_, err = a.quit()
	require.Error(t, err)

	a, err = startActor(t.Context(), "ani", "-relay", "http://127.0.0.1:1", "-store", t.TempDir()+"/store")
	require.NoError(t, err)
	_, err = a.expect(readyEvent)
	require.ErrorContains(t, err, errGone.Error())
	require.ErrorContains(t, a.gone(), "ended in order")
}

func TestRun(t *testing.T) {
	for _, args := range [][]string{{"-bad"}, {"more"}, {"-peer", "other"}, {"serve", "-bad"}, {"serve", "more"}} {
		require.ErrorIs(t, run(t.Context(), args), errUsage, args)
	}
	require.ErrorIs(t, run(t.Context(), []string{"-as", "a b"}), errName)
	require.ErrorContains(t, run(t.Context(), []string{"-as", "a", "-relay", "ftp://x"}), "-relay wants a URL")
	require.ErrorContains(t, run(t.Context(), []string{"-as", "a"}), "-store")
	require.Error(t, run(t.Context(), []string{"-as", "a", "-store", t.TempDir()}))
	require.Error(t, run(t.Context(), []string{"serve", "-addr", "256.0.0.1:1"}))
}
