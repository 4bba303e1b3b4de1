//go:build !wasm

package session_test

import (
	"bufio"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/keystore/boltstore"
	"github.com/gembok-e2ee/gembok/session"
)

// What the process that is to be killed is told: the file of bob's store, and
// at which call of the store it kills itself.
const (
	victimFile = "GEMBOK_VICTIM_FILE"
	victimEnd  = "GEMBOK_VICTIM_END"

	victimFailed = 3 // how it exits when it was not killed and should not have
)

var killRounds = flag.Int("kills", 0, "how often a process is killed at random; 0: as often as the test has time for")

// A victim is bob in another process, which gets commands and says what came
// of each in a line. Its store is a file.
type victim struct {
	t    *testing.T
	path string
	opts *session.Options
}

// newVictim puts a copy of a store into a file.
func newVictim(t *testing.T, s *side) *victim {
	v := &victim{t: t, path: filepath.Join(t.TempDir(), "store"), opts: s.opts}
	v.open(func(_ *side, store keystore.Store) {
		_, err := store.Commit(ctx, recordsOf(t, s.store)...)
		require.NoError(t, err)
	})
	return v
}

// open opens the store in this process, while the other one does not run.
func (v *victim) open(f func(*side, keystore.Store)) {
	v.t.Helper()
	store, err := boltstore.Open(v.path, nil)
	require.NoError(v.t, err)
	defer store.Close()
	s := &side{store: store, opts: v.opts}
	s.Device, err = session.Open(ctx, store, bobAddress, v.opts)
	if !errors.Is(err, session.ErrNoDevice) { // a new one
		require.NoError(v.t, err)
	}
	f(s, store)
}

// An end says when a process is killed: by itself at a call of its store, or
// by this one some time after it said so many lines, the first of which is that
// it is ready.
type end struct {
	call  int // negative: not by itself
	after bool
	lines int
	delay time.Duration
}

// atRandom is an end some time within n commands.
func atRandom(n int) end {
	return end{call: -1, lines: mathrand.IntN(n + 1), delay: time.Duration(mathrand.IntN(3000)) * time.Microsecond}
}

// runs has a process carry out commands until its end, and returns what it
// said of them.
func (v *victim) runs(commands []string, e end) (said []string) {
	v.t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestSTO_01_AtomicInboundCommit$")
	cmd.Env = append(os.Environ(), victimFile+"="+v.path, victimEnd+"="+fmt.Sprint(e.call, " ", e.after))
	cmd.Stdin, cmd.Stderr = strings.NewReader(strings.Join(commands, "\n")), os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(v.t, err)
	require.NoError(v.t, cmd.Start())
	for r := bufio.NewReader(out); ; {
		if e.call < 0 && len(said) == e.lines {
			time.Sleep(e.delay)
			_ = cmd.Process.Kill()
		}
		line, err := r.ReadString('\n')
		if err != nil { // what is not a whole line was not said
			break
		}
		said = append(said, strings.TrimSuffix(line, "\n"))
	}
	_ = cmd.Wait()
	require.NotEqual(v.t, victimFailed, cmd.ProcessState.ExitCode())
	return said[min(1, len(said)):]
}

// beVictim is what the other process does. It does not return.
func beVictim() {
	exit := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(victimFailed)
		}
	}
	store, err := boltstore.Open(os.Getenv(victimFile), nil)
	exit(err)
	p := &process{Store: store, kill: killSelf}
	_, err = fmt.Sscan(os.Getenv(victimEnd), &p.left, &p.after)
	exit(err)
	d, err := session.Open(ctx, p, bobAddress, nil)
	exit(err)
	fmt.Println("ready")
	ids := map[string]session.MessageID{}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		said, err := obey(d, ids, strings.Fields(lines.Text()))
		if errors.Is(err, session.ErrDuplicate) {
			said, err = "duplicate", nil
		}
		exit(err)
		fmt.Println(said)
	}
	os.Exit(0)
}

// killSelf ends the process as a crash would.
func killSelf() {
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		_ = self.Kill()
	}
	select {}
}

// obey carries out one command, "decrypt NAME MESSAGE", "acknowledge NAME" or
// "encrypt TEXT", and returns what is to be said.
func obey(d *session.Device, ids map[string]session.MessageID, words []string) (string, error) {
	switch words[0] {
	case "decrypt":
		r, err := d.Decrypt(ctx, aliceAddress, fromWord(words[2]), nil)
		if err != nil {
			return "", err
		}
		ids[words[1]] = r.ID
		return fmt.Sprintf("%x %s", r.ID, r.Plaintext), nil
	case "acknowledge":
		return "acknowledged", d.Acknowledge(ctx, &session.Received{ID: ids[words[1]], From: aliceAddress})
	case "encrypt":
		m, err := d.Encrypt(ctx, aliceAddress, []byte(words[1]))
		if err != nil {
			return "", err
		}
		return asWord(m), nil
	}
	return "", errors.New("no such command")
}

// asWord is a message as hexadecimal digits, its type in front.
func asWord(m *session.Message) string { return fmt.Sprintf("%02x%x", byte(m.Type), m.Bytes) }

func fromWord(word string) *session.Message {
	b, err := hex.DecodeString(word)
	if err != nil || len(b) == 0 {
		return nil
	}
	return &session.Message{Type: session.MessageType(b[0]), Bytes: b[1:]}
}

// TestSTO_01_AtomicInboundCommit kills a process at each call of its store, and
// at random, while it decrypts a message. Afterwards all is as before, or all
// is done; and the message, delivered again, is read once.
func TestSTO_01_AtomicInboundCommit(t *testing.T) {
	if os.Getenv(victimFile) != "" {
		beVictim()
	}
	random := killed(48, 12) / len(inbounds)
	for name, setup := range inbounds {
		t.Run(name, func(t *testing.T) {
			p := strangers(t)
			p.now = time.Now() // as the other process has it
			m := setup(t, p)
			for call := 0; p.diesOf(t, m, end{call: call}); call++ {
				require.True(t, p.diesOf(t, m, end{call: call, after: true}))
			}
			for range random {
				p.diesOf(t, m, atRandom(1))
			}
		})
	}
}

// killed is how often a test kills processes at random.
func killed(long, short int) int {
	switch {
	case *killRounds > 0:
		return *killRounds
	case testing.Short() || raceEnabled:
		return short
	}
	return long
}

// inbounds are the ways in which a message comes to bob, who has no app that
// acknowledges.
var inbounds = map[string]func(*testing.T, *pair) *session.Message{
	"first": func(t *testing.T, p *pair) *session.Message {
		p.alice.begin(t, p.bob)
		return p.alice.send(t, p.bob, "text")
	},
	"first, last resort": func(t *testing.T, p *pair) *session.Message {
		p.alice.beginLastResort(t, p.bob)
		return p.alice.send(t, p.bob, "text")
	},
	"renewal": func(t *testing.T, p *pair) *session.Message {
		p.alice.begin(t, p.bob)
		p.goesOn(t)
		p.alice.begin(t, p.bob)
		return p.alice.send(t, p.bob, "text")
	},
	"ordinary": func(t *testing.T, p *pair) *session.Message {
		p.alice.begin(t, p.bob)
		p.goesOn(t)
		p.goesOn(t)
		return p.alice.send(t, p.bob, "text")
	},
	"archived": func(t *testing.T, p *pair) *session.Message {
		p.alice.begin(t, p.bob)
		p.goesOn(t)
		m := p.alice.send(t, p.bob, "text")
		p.alice.begin(t, p.bob)
		p.goesOn(t)
		return m
	},
	"large": func(t *testing.T, p *pair) *session.Message {
		p.alice.begin(t, p.bob)
		p.goesOn(t)
		return p.alice.send(t, p.bob, strings.Repeat("text", 1500))
	},
}

// diesOf gives m to a process of bob's that is killed, and looks at what that
// left. It reports whether it was killed.
func (p *pair) diesOf(t *testing.T, m *session.Message, e end) bool {
	v := newVictim(t, p.bob)
	said := v.runs([]string{"decrypt m " + asWord(m)}, e)
	whole := p.bob.reopen(t)
	want, err := whole.Decrypt(ctx, aliceAddress, m, nil)
	require.NoError(t, err)
	alice := p.alice.reopen(t)
	v.open(func(bob *side, store keystore.Store) {
		done := len(said) > 0 || bob.has(t, "staged", aliceAddress.User, fmt.Sprintf("%x", want.ID))
		if done {
			require.Equal(t, names(t, whole.store), names(t, store), "some of it")
		} else {
			require.Equal(t, recordsOf(t, p.bob.store), recordsOf(t, store), "some of it")
		}
		bob.identity = p.bob.identity
		r := bob.reads(t, alice, m, string(want.Plaintext))
		require.Equal(t, done, r.Redelivered)
		require.Equal(t, want.ID, r.ID)
		require.True(t, bob.reads(t, alice, m, string(want.Plaintext)).Redelivered)
		require.NoError(t, bob.Acknowledge(ctx, r))
		refused(t, bob.decrypt(alice, m), session.ErrDuplicate)
		alice.reads(t, bob, bob.send(t, alice, "goes on"), "goes on")
		bob.reads(t, alice, alice.send(t, bob, "goes on"), "goes on")
	})
	return len(said) == 0
}

// names are the keys of all records in a store.
func names(t *testing.T, s keystore.Store) map[keystore.Key]bool {
	t.Helper()
	out := map[keystore.Key]bool{}
	for _, c := range recordsOf(t, s) {
		out[c.Key] = true
	}
	return out
}

// recordsOf are Puts of all records in a store, in the order of their keys.
func recordsOf(t testing.TB, s keystore.Store) (changes []keystore.Change) {
	t.Helper()
	for _, r := range testutil.Records(t, s) {
		changes = append(changes, keystore.Change{Op: keystore.Put, Key: r.Key, Value: r.Value})
	}
	return changes
}
