package interop_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/interop"
)

const (
	aliceName = "796abedb-ca4e-4f18-8803-1fde5b921f9f"
	bobName   = "9d0652a3-dcc3-4d11-975f-74d61598733f"
)

func newParty(t *testing.T, p *interop.Peer, name string, id uint32) *interop.Party {
	t.Helper()
	a, err := p.NewParty(interop.PartyOptions{Name: name, Device: 1, RegistrationID: id})
	require.NoError(t, err)
	return a
}

// peerError requires that err is the official library's, with that name.
func peerError(t *testing.T, err error, name string) *interop.PeerError {
	t.Helper()
	var pe *interop.PeerError
	require.True(t, errors.As(err, &pe), "%v", err)
	require.Equal(t, name, pe.Name, "%v", err)
	return pe
}

// begin has b hand out a bundle, and a begin a session from it.
func begin(t *testing.T, a, b *interop.Party, o interop.BundleOptions) {
	t.Helper()
	bundle, err := b.MakeBundle(o)
	require.NoError(t, err)
	require.NoError(t, a.ProcessBundle(b.Address, bundle, time.Time{}))
}

func send(t *testing.T, a, b *interop.Party, text string) interop.Message {
	t.Helper()
	m, err := a.Encrypt(b.Address, []byte(text), time.Time{})
	require.NoError(t, err)
	return m
}

func read(t *testing.T, b, a *interop.Party, m interop.Message, want string) {
	t.Helper()
	got, err := b.Decrypt(a.Address, m)
	require.NoError(t, err)
	require.Equal(t, want, string(got))
}

// The helpers, with the official library at both ends: each does what it says.
func TestPeerConversation(t *testing.T) {
	p := interop.Start(t)
	a := newParty(t, p, aliceName, 11)
	b, err := p.NewParty(interop.PartyOptions{Name: bobName, Device: 1, RegistrationID: 12, Log: true})
	require.NoError(t, err)
	exists, usable, err := a.HasSession(b.Address, time.Time{})
	require.NoError(t, err)
	require.False(t, exists || usable)
	_, err = a.Encrypt(b.Address, nil, time.Time{})
	require.ErrorContains(t, err, "session with")

	begin(t, a, b, interop.BundleOptions{OneTime: true, PreKeyID: new(uint32(0)), LastResort: true})
	m := send(t, a, b, "one")
	require.Equal(t, interop.PreKey, m.Type)
	read(t, b, a, m, "one")
	peerError(t, second(b.Decrypt(a.Address, m)), "DuplicatedMessage")
	m = send(t, b, a, "")
	require.Equal(t, interop.Whisper, m.Type)
	read(t, a, b, m, "")

	batch, err := a.EncryptBatch(b.Address, [][]byte{[]byte("0"), []byte("1"), []byte("2")}, time.Time{})
	require.NoError(t, err)
	for i := 2; i >= 0; i-- {
		read(t, b, a, batch[i], fmt.Sprint(i))
	}
	exists, usable, err = a.HasSession(b.Address, time.Time{})
	require.NoError(t, err)
	require.True(t, exists && usable)

	dump, err := b.Dump()
	require.NoError(t, err)
	require.Empty(t, dump.PreKeys)
	require.Len(t, dump.SignedPreKeys, 1)
	require.Len(t, dump.KyberPreKeys, 1)
	require.Equal(t, []uint32{2}, dump.LastResort)
	require.Len(t, dump.Used, 1)
	require.Equal(t, interop.Hex(a.Identity), dump.Identities[aliceName+".1"])
	calls, err := b.TakeLog()
	require.NoError(t, err)
	require.NotEmpty(t, calls)
	require.NoError(t, b.Drop())
	require.Error(t, b.SetTrust("any"))
}

func second[T any](_ T, err error) error { return err }

// A session record that goes out and comes back is the state it was.
func TestPeerSessionRecords(t *testing.T) {
	p := interop.Start(t)
	a, b := newParty(t, p, "anna", 11), newParty(t, p, "bert", 12)
	begin(t, a, b, interop.BundleOptions{})
	before, err := a.Session(b.Address)
	require.NoError(t, err)
	m := send(t, a, b, "first")
	require.NoError(t, a.SetSession(b.Address, before))
	n := send(t, a, b, "again")
	read(t, b, a, n, "again")
	peerError(t, second(b.Decrypt(a.Address, m)), "DuplicatedMessage")

	require.NoError(t, a.Archive(b.Address))
	exists, usable, err := a.HasSession(b.Address, time.Time{})
	require.NoError(t, err)
	require.True(t, exists)
	require.False(t, usable)
	require.NoError(t, a.SetSession(b.Address, nil))
	record, err := a.Session(b.Address)
	require.NoError(t, err)
	require.Nil(t, record)
}

// Trust on first use; then only what was accepted.
func TestPeerIdentities(t *testing.T) {
	p := interop.Start(t)
	a, b, c := newParty(t, p, "anna", 11), newParty(t, p, "bert", 12), newParty(t, p, "bert", 13)
	begin(t, a, b, interop.BundleOptions{})
	bundle, err := c.MakeBundle(interop.BundleOptions{})
	require.NoError(t, err)
	peerError(t, a.ProcessBundle(c.Address, bundle, time.Time{}), "UntrustedIdentity")
	key, err := a.IdentityOf(b.Address)
	require.NoError(t, err)
	require.Equal(t, b.Identity, key)
	require.NoError(t, a.SetIdentity(c.Address, c.Identity))
	require.NoError(t, a.ProcessBundle(c.Address, bundle, time.Time{}))
	require.NoError(t, a.SetIdentity(c.Address, nil))
	key, err = a.IdentityOf(b.Address)
	require.NoError(t, err)
	require.Nil(t, key)
	require.NoError(t, a.SetTrust("none"))
	peerError(t, a.ProcessBundle(c.Address, bundle, time.Time{}), "UntrustedIdentity")
}

// A last-resort key refuses the same base key twice. The official library makes
// a Generic error of a store's refusal and keeps its name in the text.
func TestPeerStoreErrors(t *testing.T) {
	p := interop.Start(t)
	a, b := newParty(t, p, "anna", 11), newParty(t, p, "bert", 12)
	begin(t, a, b, interop.BundleOptions{LastResort: true})
	m := send(t, a, b, "x")
	read(t, b, a, m, "x")
	require.NoError(t, b.SetSession(a.Address, nil))
	if p.Since(0, 81) { // before, the store was not told the base key
		require.ErrorContains(t, peerError(t, second(b.Decrypt(a.Address, m)), "Generic"), "BaseKeyReused: ")
	}

	begin(t, a, b, interop.BundleOptions{OneTime: true})
	m = send(t, a, b, "y")
	read(t, b, a, m, "y")
	require.NoError(t, b.SetSession(a.Address, nil))
	require.ErrorContains(t, peerError(t, second(b.Decrypt(a.Address, m)), "Generic"), "NoKyberPreKey: ")
}

// Sender keys go out, messages come in, and the record is written again as it is.
func TestPeerSenderKeys(t *testing.T) {
	p := interop.Start(t)
	a, b := newParty(t, p, aliceName, 11), newParty(t, p, bobName, 12)
	const id = "d1d1d1d1-7000-11eb-b32a-33b8a8a487a6"
	distribution, err := a.SenderKeyDistribution(id)
	require.NoError(t, err)
	require.NoError(t, b.ProcessSenderKey(a.Address, distribution))
	for i := range 3 {
		m, err := a.GroupEncrypt(id, []byte{byte(i)})
		require.NoError(t, err)
		text, err := b.GroupDecrypt(a.Address, m)
		require.NoError(t, err)
		require.Equal(t, []byte{byte(i)}, text)
		peerError(t, second(b.GroupDecrypt(a.Address, m)), "DuplicatedMessage")
	}
	record, err := b.SenderKey(a.Address, id)
	require.NoError(t, err)
	again, err := p.Parse(interop.KindSenderKeyRecord, record)
	require.NoError(t, err)
	require.Equal(t, interop.Hex(record), again.Bytes)
	record, err = a.SenderKey(b.Address, id)
	require.NoError(t, err)
	require.Nil(t, record)
}

// Without the library there is a reason, and nothing was started.
func TestOpenMissing(t *testing.T) {
	_, err := interop.Open(t.TempDir())
	require.ErrorIs(t, err, interop.ErrMissing)
	t.Chdir(t.TempDir())
	_, err = interop.Open("")
	require.ErrorIs(t, err, interop.ErrMissing)
}
