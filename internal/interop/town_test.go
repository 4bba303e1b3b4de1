package interop_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/interop"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/group"
	"github.com/gembok-e2ee/gembok/x3dh"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// A town is users with devices of gembok and of the official library, and the
// server between them, which is the Directory of gembok's.
type town struct {
	t       *testing.T
	p       *interop.Peer
	content bool // plaintexts are padded Content
	clock   uint64
	later   time.Duration           // how far gembok's clocks are ahead
	gates   map[string]session.Gate // of a user's devices of gembok

	mu        sync.Mutex
	devices   map[session.Address]*citizen
	asked     map[session.Address]int // bundles handed out
	manifests map[string][]byte       // by user
}

// A citizen is one device: a Device of gembok, or else a party of the official
// library.
type citizen struct {
	town     *town
	address  session.Address
	identity *keys.IdentityKeyPair
	regID    uint32
	store    keystore.Store
	device   *session.Device
	groups   *group.Groups
	party    *interop.Party
}

// A mail is a message on its way from one device to another.
type mail struct {
	from, to session.Address
	sentAt   uint64
	msg      interop.Message
}

// A said is what somebody reads: a text, and to whom it went when it is a copy
// of what another own device sent.
type said struct{ text, syncTo string }

func newTown(t *testing.T, p *interop.Peer, content bool) *town {
	return &town{t: t, p: p, content: content, clock: 1_700_000_000_000,
		devices: make(map[session.Address]*citizen), asked: make(map[session.Address]int),
		gates: make(map[string]session.Gate), manifests: make(map[string][]byte)}
}

func (c *citizen) remote() interop.Address {
	return interop.Address{Name: c.address.User, Device: c.address.Device}
}

// halves makes two users, and each one's devices: numbers 1 and 3 are of gembok,
// 2 and 4 of the official library. The devices of a user share one identity.
func (w *town) halves() {
	for _, user := range []string{"ani", "citra"} {
		id := keys.GenerateIdentityKeyPair()
		for device := range uint32(4) {
			w.move(session.Address{User: user, Device: device + 1}, id, device%2 == 1)
		}
	}
}

// move brings a device in, in place of one that has the address.
func (w *town) move(a session.Address, id *keys.IdentityKeyPair, official bool) *citizen {
	w.t.Helper()
	w.clock++
	c := &citizen{town: w, address: a, identity: id, regID: uint32(w.clock%16000) + 1}
	var err error
	if official {
		c.party, err = w.p.NewParty(interop.PartyOptions{Name: a.User, Device: a.Device, RegistrationID: c.regID, Identity: id.PrivateBytes()})
		require.NoError(w.t, err)
	} else {
		c.forget()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.devices[a] = c
	return c
}

// forget has a device of gembok lose all but who it is.
func (c *citizen) forget() {
	w := c.town
	c.store = keystore.NewMemory()
	var err error
	c.device, err = session.Create(context.Background(), c.store,
		session.Account{Address: c.address, Identity: c.identity, RegistrationID: c.regID},
		c.options())
	require.NoError(w.t, err)
	c.groups = group.New(c.device, nil)
}

func (c *citizen) options() *session.Options {
	w := c.town
	return &session.Options{Directory: w, Content: w.content, Gate: w.gates[c.address.User], Now: func() time.Time { return time.Now().Add(w.later) }}
}

func (w *town) leave(user string, device uint32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.devices, session.Address{User: user, Device: device})
}

func (w *town) of(user string, device uint32) *citizen {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.devices[session.Address{User: user, Device: device}]
}

// addresses are those of a user's devices, by number.
func (w *town) addresses(user string) []session.Address {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []session.Address
	for a := range maps.Keys(w.devices) {
		if a.User == user {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, func(a, b session.Address) int { return int(a.Device) - int(b.Device) })
	return out
}

// Devices is a method of session.Directory.
func (w *town) Devices(_ context.Context, user string) ([]session.PeerDevice, error) {
	var out []session.PeerDevice
	for _, a := range w.addresses(user) {
		out = append(out, session.PeerDevice{Device: a.Device, RegistrationID: w.of(a.User, a.Device).regID})
	}
	return out, nil
}

// Bundle is a method of session.Directory.
func (w *town) Bundle(ctx context.Context, peer session.Address) (*x3dh.Bundle, error) {
	c := w.of(peer.User, peer.Device)
	if c == nil {
		return nil, fmt.Errorf("no device %v", peer)
	}
	w.mu.Lock()
	w.asked[peer]++
	w.mu.Unlock()
	if c.device != nil {
		return c.device.Bundle(ctx)
	}
	b, err := c.party.MakeBundle(interop.BundleOptions{OneTime: true})
	if err != nil {
		return nil, err
	}
	return b.ToBundle()
}

// Manifest is a method of session.Directory.
func (w *town) Manifest(_ context.Context, user string) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.manifests[user], nil
}

// judge is what the server says of a Sending that goes to users and to the own
// other devices.
func (w *town) judge(from *citizen, s *session.Sending, users ...string) []session.Difference {
	var out []session.Difference
	for _, user := range append([]string{from.address.User}, users...) {
		d := session.Difference{User: user}
		sent := make(map[uint32]uint32)
		for _, r := range s.Results {
			if r.To.User == user && (r.Message != nil || s.Envelope != nil && r.Err == nil) {
				sent[r.To.Device] = r.RegistrationID
			}
		}
		for _, a := range w.addresses(user) {
			id, ok := sent[a.Device]
			switch delete(sent, a.Device); {
			case a == from.address:
			case !ok:
				d.Missing = append(d.Missing, a.Device)
			case id != w.of(a.User, a.Device).regID:
				d.Stale = append(d.Stale, a.Device)
			}
		}
		d.Extra = slices.Sorted(maps.Keys(sent))
		if len(d.Missing)+len(d.Stale)+len(d.Extra) > 0 {
			out = append(out, d)
		}
	}
	return out
}

// say sends a text to users and to the own other devices, on until the server
// takes it.
func (c *citizen) say(text string, users ...string) []mail {
	w, t := c.town, c.town.t
	t.Helper()
	if c.party != nil {
		return c.sayByHand(text, users...)
	}
	s, err := c.device.Send(context.Background(), users, &session.Content{Body: []byte(text)}, nil)
	require.NoError(t, err)
	for said := w.judge(c, s, users...); said != nil; said = w.judge(c, s, users...) {
		require.NoError(t, c.device.Reconcile(context.Background(), s, said...))
	}
	require.NoError(t, c.device.Accept(context.Background(), s))
	if c.failed(s) {
		require.NoError(t, c.device.Refresh(context.Background(), append(users, c.address.User)...))
	}
	return c.post(s)
}

// failed reports whether there was no bundle of a device that left before a
// session with it was begun: of such a one only the list of devices tells.
func (c *citizen) failed(s *session.Sending) bool {
	for _, r := range s.Results {
		if r.Err != nil && c.town.of(r.To.User, r.To.Device) == nil {
			_, ok := errors.AsType[*session.DirectoryError](r.Err)
			return ok
		}
	}
	return false
}

// post is the messages of a Sending, none of which failed but to who is gone.
func (c *citizen) post(s *session.Sending) []mail {
	var out []mail
	for _, r := range s.Results {
		if r.Message == nil && c.town.of(r.To.User, r.To.Device) == nil {
			continue
		}
		require.NoError(c.town.t, r.Err)
		out = append(out, mail{from: c.address, to: r.To, sentAt: uint64(s.SentAt.UnixMilli()),
			msg: interop.Message{Type: int(r.Message.Type), Bytes: r.Message.Bytes}})
	}
	return out
}

// sayByHand is what an app over the official library does to say something.
func (c *citizen) sayByHand(text string, users ...string) []mail {
	w := c.town
	w.clock++
	var out []mail
	for _, user := range append([]string{c.address.User}, users...) {
		for _, a := range w.addresses(user) {
			if a != c.address {
				out = append(out, c.mailTo(a, w.clock, text, users[0]))
			}
		}
	}
	return out
}

// mailTo encrypts a text for one device, on a new session where there is none,
// or one with what the device was before it was set up anew.
func (c *citizen) mailTo(to session.Address, sentAt uint64, text, recipient string) mail {
	t, remote := c.town.t, c.sessionWith(to)
	m, err := c.party.Encrypt(remote, c.plaintext(to, sentAt, text, recipient), time.Time{})
	require.NoError(t, err)
	return mail{from: c.address, to: to, sentAt: sentAt, msg: m}
}

// sessionWith begins a session with a device where there is none that can be sent
// on, or one with what the device was before.
func (c *citizen) sessionWith(to session.Address) interop.Address {
	t, remote := c.town.t, c.town.of(to.User, to.Device).remote()
	_, usable, err := c.party.HasSession(remote, time.Time{})
	require.NoError(t, err)
	id, err := c.party.RemoteRegistrationID(remote)
	require.NoError(t, err)
	if !usable || id != c.town.of(to.User, to.Device).regID {
		b, err := c.town.Bundle(context.Background(), to)
		require.NoError(t, err)
		require.NoError(t, c.party.ProcessBundle(remote, interop.FromBundle(b), time.Time{}))
	}
	return remote
}

// plaintext is the text itself, or in a padded Content, which for an own device
// is a copy of what was sent.
func (c *citizen) plaintext(to session.Address, sentAt uint64, text, recipient string) []byte {
	if !c.town.content {
		return []byte(text)
	}
	out := wire.AppendContent(nil, &wire.Content{Body: []byte(text), SentAt: sentAt})
	if to.User == c.address.User {
		out = wire.AppendContent(nil, &wire.Content{SentAt: sentAt, Sync: &wire.Sync{Recipient: recipient, Content: out}})
	}
	return pad(out)
}

// pad and unpad are Section 7.4 of the specification.
func pad(b []byte) []byte {
	out := make([]byte, (len(b)+2+79)/80*80-1)
	out[copy(out, b)] = 0x80
	return out
}

func unpad(t *testing.T, b []byte) []byte {
	t.Helper()
	require.Equal(t, 79, len(b)%80)
	end := bytes.LastIndexByte(b, 0x80)
	require.NotEqual(t, -1, end)
	require.Empty(t, bytes.Trim(b[end+1:], "\x00"))
	require.Less(t, len(b)-end, 81)
	return b[:end]
}

// read decrypts m for its recipient.
func (w *town) read(m mail) (said, error) {
	c := w.of(m.to.User, m.to.Device)
	if c.device != nil {
		r, err := c.receive(m)
		if err != nil {
			return said{}, err
		}
		require.NoError(w.t, c.device.Acknowledge(context.Background(), r))
		if !w.content {
			return said{text: string(r.Plaintext)}, nil
		}
		require.EqualValues(w.t, m.sentAt, r.Content.SentAt.UnixMilli())
		return said{string(r.Content.Body), r.Content.SyncTo}, nil
	}
	b, err := c.party.Decrypt(interop.Address{Name: m.from.User, Device: m.from.Device}, m.msg)
	if err != nil || !w.content {
		return said{text: string(b)}, err
	}
	return w.opened(m, b), nil
}

// opened reads the Content that the official library decrypted.
func (w *town) opened(m mail, b []byte) said {
	out, err := wire.ParseContent(unpad(w.t, b))
	require.NoError(w.t, err)
	to := ""
	if out.Sync != nil {
		require.Equal(w.t, m.from.User, m.to.User)
		to = out.Sync.Recipient
		out, err = wire.ParseContent(out.Sync.Content)
		require.NoError(w.t, err)
	}
	require.Equal(w.t, m.sentAt, out.SentAt)
	return said{string(out.Body), to}
}

// receive decrypts m for a device of gembok.
func (c *citizen) receive(m mail) (*session.Received, error) {
	if m.msg.Type == interop.SenderKey {
		return c.groups.Decrypt(context.Background(), m.from, m.gembok(), nil)
	}
	return c.device.Decrypt(context.Background(), m.from, m.gembok(), nil)
}

func (m mail) gembok() *session.Message {
	return &session.Message{Type: session.MessageType(m.msg.Type), Bytes: m.msg.Bytes}
}

// deliver requires that each mail is read as text, by all devices of user and of
// the sender but its own.
func (w *town) deliver(letters []mail, text, user string) {
	w.t.Helper()
	from := letters[0].from
	var want, got []session.Address
	for _, u := range []string{from.User, user} {
		want = append(want, w.addresses(u)...)
	}
	want = slices.DeleteFunc(want, func(a session.Address) bool { return a == from })
	for _, m := range letters {
		got = append(got, m.to)
		w.reads(m, text, user)
	}
	require.ElementsMatch(w.t, want, got)
}

// reads requires that m is read as text.
func (w *town) reads(m mail, text, user string) {
	w.t.Helper()
	want := said{text: text}
	if w.content && m.to.User == m.from.User {
		want.syncTo = user
	}
	got, err := w.read(m)
	require.NoError(w.t, err, "%v to %v", m.from, m.to)
	require.Equal(w.t, want, got, "%v to %v", m.from, m.to)
}

// everyone has each device of ani say something to another user, and each of
// that user's to ani, which all others read.
func (w *town) everyone(text, other string) {
	w.t.Helper()
	for _, users := range [2][2]string{{"ani", other}, {other, "ani"}} {
		for _, a := range w.addresses(users[0]) {
			line := fmt.Sprintf("%s, from %d", text, a.Device)
			w.deliver(w.of(a.User, a.Device).say(line, users[1]), line, users[1])
		}
	}
}

// both has each of two devices say something to the other one's user, which all
// others read.
func (w *town) both(text string, a, b *citizen) {
	w.t.Helper()
	w.deliver(a.say(text, b.address.User), text, b.address.User)
	w.deliver(b.say(text, a.address.User), text, a.address.User)
}

// bothModes runs f with raw plaintexts, and with padded Content.
func bothModes(t *testing.T, f func(t *testing.T, w *town)) {
	p := interop.Share(t)
	for _, content := range []bool{false, true} {
		t.Run(fmt.Sprintf("content=%t", content), func(t *testing.T) {
			w := newTown(t, p, content)
			w.halves()
			f(t, w)
		})
	}
}

// mailTo returns that of letters which is for a device.
func mailTo(t *testing.T, letters []mail, user string, device uint32) mail {
	t.Helper()
	at := slices.IndexFunc(letters, func(m mail) bool { return m.to == session.Address{User: user, Device: device} })
	require.NotEqual(t, -1, at)
	return letters[at]
}
