package interop_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gembok-e2ee/gembok/internal/interop"
)

// The children of the tests in this file are this test binary, run again: they
// need no Node.
const fakeEnv = "GEMBOK_FAKE_PEER"

func TestMain(m *testing.M) {
	if mode := os.Getenv(fakeEnv); mode != "" {
		fake(mode)
		return
	}
	goleak.VerifyTestMain(unsharing{m})
}

// unsharing ends the shared Peer after the last test, before leaks are looked for.
type unsharing struct{ *testing.M }

func (m unsharing) Run() int {
	defer interop.Unshare()
	return m.M.Run()
}

// fake is a child that behaves as mode says.
func fake(mode string) {
	hello := map[string]string{
		"silent":  "",
		"missing": `{"missing":"it is elsewhere"}`,
		"garbage": "Segmentation fault",
	}
	first, special := hello[mode]
	if !special {
		first = `{"ready":true,"version":"0.0.1"}`
	}
	if first != "" {
		fmt.Println(first)
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<26)
	for lines.Scan() {
		var r struct {
			ID   uint64
			Op   string
			Text string
		}
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		switch {
		case mode == "crash":
			fmt.Fprintln(os.Stderr, "out of luck")
			os.Exit(3)
		case mode == "mute" && r.Op == "hang":
		case mode == "stray":
			fmt.Printf(`{"id":%d,"ok":true}`+"\n", r.ID+1)
		case r.Op == "fail":
			fmt.Printf(`{"id":%d,"error":{"name":"DuplicatedMessage","code":1,"message":"seen","operation":"x"}}`+"\n", r.ID)
		default:
			text, _ := json.Marshal(r.Text)
			fmt.Printf(`{"id":%d,"ok":true,"text":%s}`+"\n", r.ID, text)
		}
	}
}

func openFake(t *testing.T, mode string, limit time.Duration) (*interop.Peer, error) {
	t.Helper()
	if runtime.GOOS == "js" || runtime.GOOS == "wasip1" {
		t.Skip("no child processes here")
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fakeEnv+"="+mode)
	return interop.OpenCommand(cmd, limit)
}

type text struct {
	Text string `json:"text"`
}

func TestPipeCalls(t *testing.T) {
	p, err := openFake(t, "good", time.Minute)
	require.NoError(t, err)
	require.Equal(t, "0.0.1", p.Version())
	var out text
	for _, s := range []string{"", "plain", "line\nbreak \"quoted\" <&>", strings.Repeat("long", 1<<18)} {
		require.NoError(t, p.Call("echo", text{s}, &out))
		require.Equal(t, s, out.Text)
	}
	require.NoError(t, p.Call("echo", nil, nil))
	require.NoError(t, p.Call("echo", struct{}{}, nil))
	require.Error(t, p.Call("echo", 7, nil), "a request is an object")
	require.NoError(t, p.Close())
	require.NoError(t, p.Close())
	require.ErrorIs(t, p.Call("echo", nil, nil), interop.ErrClosed)
}

func TestPipePeerError(t *testing.T) {
	p, err := openFake(t, "good", time.Minute)
	require.NoError(t, err)
	defer p.Close()
	var pe *interop.PeerError
	require.True(t, errors.As(p.Call("fail", nil, nil), &pe))
	require.Equal(t, &interop.PeerError{Name: "DuplicatedMessage", Code: 1, Message: "seen", Operation: "x"}, pe)
	require.NoError(t, p.Call("echo", nil, nil), "the peer lives on")
}

// Many requests at once, from several goroutines, none of them read until all
// were sent: no buffer may be too small for that.
func TestPipePipelined(t *testing.T) {
	p, err := openFake(t, "good", time.Minute)
	require.NoError(t, err)
	defer p.Close()
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			var sent []*interop.Reply
			for i := range 2000 {
				sent = append(sent, p.Send("echo", text{fmt.Sprint(g, " ", i, strings.Repeat(".", 200))}))
			}
			for i, r := range sent {
				var out text
				if r.Wait(&out) != nil || !strings.HasPrefix(out.Text, fmt.Sprint(g, " ", i, ".")) {
					t.Errorf("answer %d of %d: %q", i, g, out.Text)
				}
			}
		})
	}
	wg.Wait()
}

func TestPipeMissing(t *testing.T) {
	_, err := openFake(t, "missing", time.Minute)
	require.ErrorIs(t, err, interop.ErrMissing)
	require.ErrorContains(t, err, "it is elsewhere")
	_, err = interop.OpenCommand(exec.Command(os.Args[0]+".absent"), time.Minute)
	require.ErrorIs(t, err, interop.ErrMissing)
	_, err = openFake(t, "garbage", time.Minute)
	require.ErrorIs(t, err, interop.ErrDied)
	_, err = openFake(t, "silent", 200*time.Millisecond)
	require.ErrorIs(t, err, interop.ErrTimeout)
}

func TestPipeChildEnds(t *testing.T) {
	p, err := openFake(t, "crash", time.Minute)
	require.NoError(t, err)
	defer p.Close()
	first, second := p.Send("echo", nil), p.Send("echo", nil)
	for _, r := range []*interop.Reply{first, second} {
		err := r.Wait(nil)
		require.ErrorIs(t, err, interop.ErrDied)
		require.ErrorContains(t, err, "out of luck")
	}
	require.ErrorIs(t, p.Call("echo", nil, nil), interop.ErrDied)

	p, err = openFake(t, "stray", time.Minute)
	require.NoError(t, err)
	defer p.Close()
	require.ErrorIs(t, p.Call("echo", nil, nil), interop.ErrDied)
}

func TestPipeTimeout(t *testing.T) {
	p, err := openFake(t, "mute", 300*time.Millisecond)
	require.NoError(t, err)
	defer p.Close()
	require.NoError(t, p.Call("echo", nil, nil))
	time.Sleep(400 * time.Millisecond)
	require.NoError(t, p.Call("echo", nil, nil), "an idle child is no reason to end it")
	require.ErrorIs(t, p.Call("hang", nil, nil), interop.ErrTimeout)
}

func TestPipeCloseWithRequestsOnTheirWay(t *testing.T) {
	p, err := openFake(t, "mute", time.Minute)
	require.NoError(t, err)
	r := p.Send("hang", text{strings.Repeat("x", 1<<22)})
	require.NoError(t, p.Close())
	require.ErrorIs(t, r.Wait(nil), interop.ErrClosed)
}
