//go:build !race

package session_test

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/kdf"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/ratchet/spqr"
	"github.com/gembok-e2ee/gembok/session"
)

const heapChild = "GEMBOK_HEAP_CHILD"

// Another process has a conversation, with coins that this one knows, so that
// this one knows its keys and the other is not asked for them. Its memory is
// searched: while the devices are open for the keys that are used up, and for
// all keys once the devices and their stores are closed.
//
// Where the toolchain erases what was secret (GOEXPERIMENT=runtimesecret) none
// are left. Else the test reports how many garbage still holds, those among them
// that crypto/rand copies for a Reader that is not its own, and asks for no
// number: Go promises none.
func TestMEM_01_KeysLeaveMemory(t *testing.T) {
	if os.Getenv(heapChild) != "" {
		converseAndWait(t)
		return
	}
	all := map[string]string{} // names by key
	stores := converse(t, func(when string, s, peer *side) {
		for name, key := range s.allKeys(t, peer) {
			all[string(key[8:24])] = when + ", " + name // without the bits that are the same in every key
		}
	})
	maps.DeleteFunc(all, func(_, name string) bool {
		return strings.HasPrefix(name, "end") && strings.Contains(name, "next message")
	})
	used := maps.Clone(all)
	maps.DeleteFunc(used, func(key, _ string) bool { return stored(t, stores, key) })
	require.GreaterOrEqual(t, len(used), 20)
	require.GreaterOrEqual(t, len(all)-len(used), 10)

	o := startOther(t)
	memory := o.memory("open")
	stale := found(memory, used)
	require.Len(t, found(memory, all), len(all)-len(used)+len(stale), "the search finds what is there")
	left := found(o.memory("closed"), all)
	erases := strings.Contains(runtime.Version(), "runtimesecret") && slices.Contains([]string{"amd64", "arm64"}, runtime.GOARCH)
	t.Logf("erased by the toolchain: %v", erases)
	t.Logf("devices open: %d of %d used-up keys in memory: %q", len(stale), len(used), stale)
	t.Logf("devices closed: %d of %d keys in memory: %q", len(left), len(all), left)
	if erases {
		require.Empty(t, stale)
		require.Empty(t, left)
	}
}

// converse has two devices talk, always with the same coins. If look is set, it
// sees both of them now and then. Nothing here takes a key into its hands.
func converse(t *testing.T, look func(when string, s, peer *side)) []keystore.Store {
	real := rand.Reader
	defer func() { rand.Reader = real }()
	rand.Reader = new(counted)
	o := &session.Options{Now: func() time.Time { return time.Unix(1_700_000_000, 0) }, PreKeys: session.PreKeyPolicy{OneTime: 5}}
	alice, bob := newDrawn(t, aliceAddress, o), newDrawn(t, bobAddress, o)
	both := func(when string) {
		if look == nil {
			return
		}
		coins := rand.Reader
		rand.Reader = real
		look(when+", alice", alice, bob)
		look(when+", bob", bob, alice)
		rand.Reader = coins
	}
	begin(t, alice.Device, bob.Device)
	both("begun")
	bob.reads(t, alice, alice.send(t, bob, "1"), "1")
	late := alice.send(t, bob, "2")
	bob.reads(t, alice, alice.send(t, bob, "3"), "3")
	both("met")
	bob.reads(t, alice, late, "2")
	for i := range 4 {
		both(fmt.Sprint("round ", i))
		alice.reads(t, bob, bob.send(t, alice, "ping"), "ping")
		bob.reads(t, alice, alice.send(t, bob, "pong"), "pong")
	}
	for _, s := range []*side{alice, bob} {
		_, err := s.Due(ctx)
		require.NoError(t, err)
		_, err = s.Upkeep(ctx)
		require.NoError(t, err)
		_, err = session.Open(ctx, s.store, s.Address(), o)
		require.NoError(t, err)
		_, err = s.Due(ctx)
		require.NoError(t, err)
	}
	both("end")
	return []keystore.Store{alice.store, bob.store}
}

// newDrawn is newSide with an identity that the device draws.
func newDrawn(t *testing.T, a session.Address, o *session.Options) *side {
	s := &side{store: keystore.NewMemory(), opts: o}
	var err error
	s.Device, err = session.Create(ctx, s.store, session.Account{Address: a}, o)
	require.NoError(t, err)
	return s
}

// counted is a source of coins, the same ones every time.
type counted uint64

func (c *counted) Read(p []byte) (int, error) {
	*c++
	h := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(*c)))
	return copy(p, h[:]), nil
}

// allKeys are the secrets that s has for itself and for the session with peer,
// and those of the next message that it would send.
func (s *side) allKeys(t *testing.T, peer *side) map[string][]byte {
	out := map[string][]byte{}
	add := func(name string, key []byte) {
		if len(key) > 0 {
			out[name] = key
		}
	}
	s.lastingKeys(t, add)
	if !s.has(t, "session", peer.Address().User, decimal(peer.Address().Device)) {
		return out
	}
	st := s.state(t, peer)
	add("root", st.RootKey)
	add("ratchet key", st.Sender.PrivateKey)
	add("sending chain", st.Sender.Key)
	for i, c := range st.Receivers {
		add(fmt.Sprint("receiving chain ", i), c.Key)
		for k := range c.Skipped.All() {
			add(fmt.Sprint("skipped key ", k.Index), k.Seed)
		}
	}
	messageKeys(t, st, add)
	return out
}

// lastingKeys adds the private keys of the identity and of prekeys.
func (s *side) lastingKeys(t *testing.T, add func(string, []byte)) {
	self, err := wire.ParseSelf(s.load(t, s.key("self", "-", "")).Value[1:])
	require.NoError(t, err)
	pair, err := wire.ParseIdentityKeyPairRecord(self.Identity)
	require.NoError(t, err)
	add("identity", pair.Private)
	for _, kind := range []string{"prekey", "signed", "kem", "lastresort"} {
		for _, r := range s.list(t, kind, "-") {
			stored, err := wire.ParseStoredPreKey(r.Value[1:])
			require.NoError(t, err)
			var rec wire.SignedPreKeyRecord
			if kind == "prekey" {
				var one wire.PreKeyRecord
				one, err = wire.ParsePreKeyRecord(stored.Record)
				rec.Private = one.Private
			} else {
				rec, err = wire.ParseSignedPreKeyRecord(stored.Record)
			}
			require.NoError(t, err)
			add(kind+" "+r.Key.Name, rec.Private)
		}
	}
}

// messageKeys adds the keys of the next message, and of the post-quantum
// ratchet.
func messageKeys(t *testing.T, st *wire.Session, add func(string, []byte)) {
	var pq wire.SPQRState
	require.NoError(t, pq.Parse(st.PQRatchet))
	add("post-quantum root", pq.Chain.NextRoot)
	add("authenticator", pq.Machine.RootKey)
	for i := range pq.Chain.LinkCount {
		add(fmt.Sprint("post-quantum sending chain ", i), pq.Chain.Links[i].Send.Next)
		add(fmt.Sprint("post-quantum receiving chain ", i), pq.Chain.Links[i].Recv.Next)
	}
	third, err := spqr.Parse(st.PQRatchet)
	require.NoError(t, err)
	_, _, salt, err := third.Send()
	require.NoError(t, err)
	mac := hmac.New(sha256.New, st.Sender.Key)
	mac.Write([]byte{1})
	seed := mac.Sum(nil)
	var expanded [80]byte
	kdf.HKDF(expanded[:], salt, seed, []byte("WhisperMessageKeys"))
	add("next message, seed", seed)
	add("next message, post-quantum key", salt[:])
	add("next message, cipher key", expanded[:32])
	add("next message, MAC key", expanded[32:64])
}

// stored reports whether one of the stores has a key.
func stored(t *testing.T, stores []keystore.Store, key string) bool {
	for _, s := range stores {
		for r, err := range s.List(ctx, "", "", "") {
			require.NoError(t, err)
			if strings.Contains(string(r.Value), key) {
				return true
			}
		}
	}
	return false
}

// converseAndWait is what the other process does.
func converseAndWait(t *testing.T) {
	stores := converse(t, nil)
	pause("open")
	for _, s := range stores {
		require.NoError(t, s.Close())
	}
	stores = nil
	pause("closed")
}

// pause collects garbage, and waits for this process's memory to be read.
func pause(where string) {
	runtime.GC()
	runtime.GC()
	fmt.Println(where)
	fmt.Scanln()
}

// An other is the other process.
type other struct {
	t    *testing.T
	cmd  *exec.Cmd
	in   io.WriteCloser
	says *bufio.Scanner
}

func startOther(t *testing.T) *other {
	o := &other{t: t, cmd: exec.Command(os.Args[0], "-test.run=^TestMEM_01_KeysLeaveMemory$")}
	o.cmd.Env = append(os.Environ(), heapChild+"=1")
	in, err := o.cmd.StdinPipe()
	require.NoError(t, err)
	out, err := o.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, o.cmd.Start())
	o.in, o.says = in, bufio.NewScanner(out)
	t.Cleanup(func() { in.Close(); o.cmd.Wait() })
	return o
}

// memory waits until the other process is there, returns all that it can write
// to, and lets it go on.
func (o *other) memory(where string) (all []byte) {
	require.True(o.t, o.says.Scan())
	require.Equal(o.t, where, o.says.Text())
	ranges, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", o.cmd.Process.Pid))
	require.NoError(o.t, err)
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", o.cmd.Process.Pid))
	if errors.Is(err, fs.ErrPermission) && os.Getenv("GEMBOK_HEAP") != "1" {
		o.t.Skip("/proc/PID/mem of a child may not be read here (kernel.yama.ptrace_scope, or a sandbox); GEMBOK_HEAP=1 makes this a failure")
	}
	require.NoError(o.t, err)
	defer mem.Close()
	for line := range strings.Lines(string(ranges)) {
		var from, to uint64
		var may string
		_, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &may)
		require.NoError(o.t, err)
		if !strings.HasPrefix(may, "rw") {
			continue
		}
		part := make([]byte, to-from)
		n, err := mem.ReadAt(part, int64(from))
		require.NoError(o.t, err, line)
		for page := range slices.Chunk(part[:n], os.Getpagesize()) {
			if !bytes.Equal(page, make([]byte, len(page))) {
				all = append(all, page...)
			}
		}
	}
	_, err = io.WriteString(o.in, "\n")
	require.NoError(o.t, err)
	return all
}

// found returns the names of the keys that are in memory.
func found(memory []byte, names map[string]string) (out []string) {
	for key, name := range names {
		if bytes.Contains(memory, []byte(key)) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}
