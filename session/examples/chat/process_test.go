package main

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A program is a process of this program, driven as from a shell.
type program struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines chan string
}

func startProgram(t *testing.T, args ...string) *program {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	p := &program{cmd: exec.Command(exe, args...), lines: make(chan string, 1000)}
	p.cmd.Stderr = os.Stderr
	p.stdin, err = p.cmd.StdinPipe()
	require.NoError(t, err)
	out, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	go func() {
		defer close(p.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			p.lines <- s.Text()
		}
	}()
	t.Cleanup(func() { p.kill() })
	return p
}

func (p *program) types(t *testing.T, lines ...string) {
	t.Helper()
	for _, line := range lines {
		_, err := fmt.Fprintln(p.stdin, line)
		require.NoError(t, err)
	}
}

// sees waits for a line that matches.
func (p *program) sees(t *testing.T, pattern string) []string {
	t.Helper()
	var seen []string
	late := time.After(patience)
	for {
		select {
		case line, ok := <-p.lines:
			if m := regexp.MustCompile(pattern).FindStringSubmatch(line); m != nil {
				return m
			}
			require.True(t, ok, "ended without %q: %q", pattern, seen)
			seen = append(seen, line)
		case <-late:
			require.Fail(t, "not seen", "%q in %q", pattern, seen)
		}
	}
}

// kill ends the process at once, and returns what was not seen of its output.
func (p *program) kill() (rest []string) {
	_ = p.cmd.Process.Kill()
	for line := range p.lines {
		rest = append(rest, line)
	}
	_ = p.cmd.Wait()
	return rest
}

// ends waits for the end of the process in order.
func (p *program) ends(t *testing.T) (rest []string) {
	t.Helper()
	for line := range p.lines {
		rest = append(rest, line)
	}
	require.NoError(t, p.cmd.Wait())
	return rest
}

func startRelay(t *testing.T, addr string) (p *program, url string) {
	t.Helper()
	p = startProgram(t, "serve", "-addr", addr)
	return p, p.sees(t, "^relay at (http://[^;]*);")[1]
}

func TestInteractive(t *testing.T) {
	relay, url := startRelay(t, "127.0.0.1:0")
	store := func(name string) string { return filepath.Join(t.TempDir(), name) }
	ani := startProgram(t, "-as", "ani", "-relay", url, "-store", store("a"))
	budiStore := store("b")
	budi := startProgram(t, "-as", "budi", "-relay", url, "-store", budiStore)
	ani.sees(t, "^connected")
	budi.sees(t, "^connected")

	ani.types(t, "hello?", "/to budi", "Halo, Budi! \x1b[2J", "", "  /who")
	ani.sees(t, "^to whom?")
	mine := ani.sees(t, "^ani, you: ([0-9a-f ]{71})$")[1]
	require.Equal(t, `ani: Halo, Budi! \x1b[2J`, budi.sees(t, "^ani: .*")[0])
	budi.types(t, "/to ani", "/who", "Halo, Ani!")
	require.Equal(t, mine, budi.sees(t, "^ani: ([0-9a-f ]{71})$")[1])
	ani.sees(t, "^budi: Halo, Ani!$")
	relay.sees(t, "somebody to budi, type 6")
	relay.sees(t, "somebody to ani, type 6")

	// Who holds the keys.
	ani.types(t, "/label", "/consent yes")
	ani.sees(t, "^who holds the key, in the chat with budi:$")
	ani.sees(t, "^    The key at the other end is held by that person, on their own device.$")
	ani.sees(t, "^! there is no question about budi$")

	budi.types(t, "/lose ani")
	budi.sees(t, "^the sessions with ani are forgotten")
	ani.types(t, "Do you know me?")
	budi.sees(t, "^! could not read a message from ani, and asks for it again")
	budi.sees(t, "^ani: Do you know me")
	budi.types(t, "I do now.")
	ani.sees(t, "^budi: I do now.$")

	// They compare numbers, and Ani sends a file, and makes a group.
	ani.types(t, "/number")
	digits := ani.sees(t, `^    ([0-9]{5}(?: [0-9]{5}){11})$`)[1]
	code := ani.sees(t, "^/verify NAME ([0-9a-f]{148})$")[1]
	budi.types(t, "/number ani", "/verify ani "+code, "/verify ani 12345")
	require.Equal(t, digits, budi.sees(t, `^    ([0-9]{5}(?: [0-9]{5}){11})$`)[1])
	budi.sees(t, "^the safety number with ani is the same on both sides")
	budi.sees(t, "^! /verify NAME wants")
	ani.types(t, "/verify budi "+digits)
	ani.sees(t, "^the safety number with budi is the same")
	picture := filepath.Join(t.TempDir(), "a picture")
	require.NoError(t, os.WriteFile(picture, []byte("picture"), 0o600))
	ani.types(t, "/picture "+picture)
	budi.sees(t, `^ani: \[a picture, 7 bytes: /save FILE\]$`)
	budi.types(t, "/save "+picture+"-2", "/save "+picture)
	budi.sees(t, "^saved: 7 bytes$")
	budi.sees(t, "^! file already exists")
	ani.types(t, "/group family budi", "/g family All here? \x1b")
	budi.sees(t, "^in the group ani/family are now ani, budi$")
	budi.sees(t, `^ani in ani/family: All here\? \\x1b$`)
	budi.types(t, "/g ani/family I am.", "/remove ani/family ani", "/g nothing x")
	ani.sees(t, "^budi in ani/family: I am.$")
	budi.sees(t, "^! ani cannot be removed")
	budi.sees(t, "^! you are not in the group budi/nothing")
	ani.types(t, "/remove family budi")
	budi.sees(t, "^in the group ani/family are now ani$")

	ani.types(t, "/help", "/nonsense", "/to no name", "/accept", "/history")
	ani.sees(t, "^/to NAME")
	ani.sees(t, "^there is no /nonsense")
	ani.sees(t, "^! a name has")
	ani.sees(t, "^! no other identity key")
	ani.sees(t, "to budi: Halo, Budi!")
	ani.sees(t, "budi: Halo, Ani!")

	// Ani takes a second device, and has a look at it.
	second := startProgram(t, "-as", "ani", "-device", "2", "-relay", url, "-store", store("a2"))
	ani.types(t, second.sees(t, "^/link .+$")[0])
	second.sees(t, "^connected")
	second.types(t, "/who")
	require.Equal(t, mine, second.sees(t, "^ani, you: ([0-9a-f ]{71})$")[1])
	ani.types(t, "On two devices.")
	ani.sees(t, "^ani has a new device, number 2$")
	second.sees(t, "^to budi: On two devices.$")
	second.types(t, "/to budi", "/devices", "From the other one.")
	second.sees(t, "^ani$")
	second.sees(t, "^ani/2$")
	second.sees(t, "^budi$")
	ani.sees(t, "^to budi: From the other one.$")
	budi.sees(t, "^ani: From the other one.$")
	ani.types(t, "/link nonsense", "/remove 1", "/remove 2")
	ani.sees(t, "^! ")
	ani.sees(t, "^! that is this device")
	ani.sees(t, "^device 2 is removed")
	second.sees(t, "^! this device was removed")
	second.types(t, "/quit")
	second.ends(t)

	// Budi dies with a message in hand; the relay starts anew and forgets it.
	budi.types(t, "/crash")
	budi.sees(t, "not saved")
	ani.types(t, "did you get this?")
	budi.sees(t, "^! received, not saved, and killed")
	require.Empty(t, budi.kill())
	relay.kill()
	ani.types(t, "and this?")
	ani.sees(t, "^! .*cannot be reached")
	relay, _ = startRelay(t, strings.TrimPrefix(url, "http://"))
	budi = startProgram(t, "-as", "budi", "-relay", url, "-store", budiStore)
	budi.sees(t, "^ani: did you get this")
	budi.sees(t, "^ani: and this")

	// A business, which Budi writes to in Indonesian.
	toko := startProgram(t, "-as", "toko", "-relay", url, "-store", store("t"), "-business", "-lang", "id")
	toko.sees(t, "^connected")
	toko.types(t, "/to budi", "Selamat datang!")
	toko.sees(t, "^    Kunci di ujung sana dipegang orang itu sendiri, di perangkatnya.$")
	budi.sees(t, "^    The key at the other end is held by that business, on its own server.$")
	budi.sees(t, "^toko: Selamat datang!$")
	awan := startProgram(t, "-as", "toko", "-device", "2", "-relay", url, "-store", store("w"), "-provider", "PT Awan", "-domain", "awan.example")
	toko.types(t, awan.sees(t, "^/move .+$")[0])
	toko.sees(t, `^mulai kini PT Awan \(awan.example\) memegang kunci akun ini$`)
	awan.sees(t, "^connected")
	budi.types(t, "/to toko", "/label", "Halo!")
	budi.sees(t, "^! who holds the key of toko has changed. New:$")
	budi.sees(t, "^! not sent to toko yet: first say whether you agree to this:$")
	budi.types(t, "/consent yes")
	awan.sees(t, "^budi: Halo!$")
	for _, p := range []*program{toko, awan} {
		p.types(t, "/quit")
		p.ends(t)
	}

	locked := startProgram(t, "-as", "budi", "-relay", url, "-store", budiStore, "-json")
	require.Empty(t, locked.kill())
	budi.types(t, "/quit")
	budi.ends(t)
	ani.types(t, "see you")
	require.NoError(t, ani.stdin.Close())
	ani.ends(t)
	relay.sees(t, "somebody to budi, type 6")
}

// Both are killed again and again at any moment. What was shown was shown once,
// and what one has sent the other has, once.
func TestKilledAtRandom(t *testing.T) {
	rounds := 12
	if testing.Short() {
		rounds = 4
	}
	_, url := startRelay(t, "127.0.0.1:0")
	dir := t.TempDir()
	start := func(name string) *program {
		return startProgram(t, "-as", name, "-relay", url, "-store", filepath.Join(dir, name))
	}
	var shown []string
	for round := range rounds {
		ani, budi := start("ani"), start("budi")
		ani.types(t, "/to budi")
		for i := range 10 {
			ani.types(t, fmt.Sprintf("%d.%d", round, i))
		}
		time.Sleep(time.Duration(rand.IntN(250)) * time.Millisecond)
		if round%2 == 0 {
			ani.kill()
		}
		time.Sleep(time.Duration(rand.IntN(100)) * time.Millisecond)
		shown = append(shown, budi.kill()...)
		ani.kill()
	}
	ani, budi := start("ani"), start("budi")
	ani.types(t, "/to budi", "the end")
	for line := ""; line != "ani: the end"; {
		line = budi.sees(t, ".*")[0]
		shown = append(shown, line)
	}
	shown = slices.DeleteFunc(shown, func(line string) bool { return !strings.HasPrefix(line, "ani: ") })
	slices.Sort(shown)
	require.Equal(t, slices.Compact(slices.Clone(shown)), shown, "shown twice")

	texts := func(p *program) (texts []string) {
		p.types(t, "/history", "/nonsense")
		for line := ""; !strings.HasPrefix(line, "there is no /nonsense"); line = p.sees(t, ".*")[0] {
			if _, text, ok := strings.Cut(line, "ani: "); ok {
				texts = append(texts, text)
			} else if _, text, ok := strings.Cut(line, "to budi: "); ok {
				texts = append(texts, text)
			}
		}
		slices.Sort(texts)
		return texts
	}
	sent, read := texts(ani), texts(budi)
	for range 100 { // budi may read it before ani knows that the relay has it
		if slices.Contains(sent, "the end") {
			break
		}
		time.Sleep(100 * time.Millisecond)
		sent = texts(ani)
	}
	for _, p := range []*program{ani, budi} {
		p.types(t, "/quit")
		p.ends(t)
	}
	require.Equal(t, sent, read)
	require.Equal(t, slices.Compact(slices.Clone(read)), read, "saved twice")
	require.NotEmpty(t, read)
	t.Logf("%d messages, %d shown", len(read), len(shown))
}

// A browser gets the page and the relay at the address that is printed.
func TestWeb(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles a program for another platform")
	}
	folders := func() []string {
		found, err := filepath.Glob(filepath.Join(os.TempDir(), "gembok-chat-*"))
		require.NoError(t, err)
		return found
	}
	t.Setenv("TMPDIR", t.TempDir())
	p := startProgram(t, "web", "-lang", "id")
	p.sees(t, `^chat\.wasm has [0-9.]+ MB, [0-9.]+ MB compressed$`)
	url := p.sees(t, `^chat at (http://127\.0\.0\.1:[0-9]+/)\?lang=id;`)[1]
	p.sees(t, `^    http://ani\.localhost:[0-9]+/\?as=ani&lang=id$`)
	for path, kind := range map[string]string{"": "text/html", "chat.js": "text/javascript", "chat.wasm": "application/wasm", "wasm_exec.js": "text/javascript", "relay/keys/x": "text/plain"} {
		res, err := http.Get(url + path)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, 200, res.StatusCode)
		require.Contains(t, res.Header.Get("Content-Type"), kind)
	}
	http.DefaultClient.CloseIdleConnections()
	require.Len(t, folders(), 1)
	require.NoError(t, p.cmd.Process.Signal(os.Interrupt))
	p.ends(t)
	require.Empty(t, folders(), "nothing is left behind")
}
