package hosting_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/testutil/rich"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/hosting"
)

var archiving = context.Background()

// archivedKinds are the kinds of records of which something is in an archive.
var archivedKinds = []string{"identity", "peer", "group", "hosting", "consent"}

// archiveWorld has a world whose first device also has a label and a consent.
func archiveWorld(t testing.TB) *rich.World {
	w := rich.Fill(t, keystore.NewMemory())
	require.NoError(t, w.Own[0].Verify(archiving, rich.Peers[0], w.Peers[0].Identity(), true))
	require.NoError(t, w.Own[0].Update(archiving, nil, func(tx *session.Tx) error {
		return errors.Join(tx.Put(keystore.Key{Kind: "hosting", Owner: toko}, archivedLabel(t)),
			tx.Put(keystore.Key{Kind: "consent", Owner: toko, Name: "00ff"}, archivedConsent(1)),
			tx.Put(keystore.Key{Kind: "consent", Owner: toko, Name: "\xFF\x00"}, archivedConsent(2)))
	}))
	return w
}

// archivedLabel is the record of an account with a manifest, with a field of a later
// version.
func archivedLabel(t testing.TB) []byte {
	m := follow(t, nil, hosted(1, awan()))
	return append(wire.AppendHosting(nil, &wire.Hosting{State: 2, Current: m.Bytes(), Epoch: 1, Since: 1_700_000_000_123}), 0xF8, 0x07, 1)
}

// archivedConsent is a line of the ledger: 1 yes, 2 no.
func archivedConsent(decision uint32) []byte {
	return wire.AppendConsent(nil, &wire.Consent{From: make([]byte, 32), To: bytes.Repeat([]byte{0xAB}, 32), When: 1_700_000_000_456, How: 1, Decision: decision})
}

func exportDevice(t testing.TB, d *session.Device, account bool) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := hosting.NewArchiveWriter(&out, recovery, nil)
	require.NoError(t, err)
	require.NoError(t, w.Device(archiving, d))
	if account {
		require.NoError(t, w.Account(d))
	}
	require.NoError(t, w.Close())
	return out.Bytes()
}

func TestArchiveDevice(t *testing.T) {
	w := archiveWorld(t)
	before := testutil.All(t, w.Store, "", "", "")
	file := exportDevice(t, w.Own[0], false)
	require.Equal(t, before, testutil.All(t, w.Store, "", "", ""))
	got, err := readArchive(bytes.NewReader(file), recovery, nil)
	require.NoError(t, err)
	by := map[string]hosting.ArchiveRecord{}
	counts := map[string]int{}
	for _, r := range got {
		by[r.Type+" "+r.Name] = r
		counts[r.Type]++
	}
	require.Equal(t, map[string]int{"identity": 3, "device": 3, "group": 1, "label": 1, "consent": 2}, counts)

	id, err := wire.ParseIdentity(by["identity "+rich.Peers[0].String()].Data)
	require.NoError(t, err)
	require.Equal(t, w.Peers[0].Identity().Bytes(), id.Accepted)
	require.True(t, id.Verified)
	require.Equal(t, uint64(by["identity "+rich.Peers[0].String()].Time.UnixMilli()), id.AcceptedAt)
	peer, err := wire.ParsePeer(by["device "+rich.Peers[0].User].Data)
	require.NoError(t, err)
	require.Equal(t, []wire.PeerDevice{{ID: 1, RegistrationID: 99}, {ID: 2}}, peer.Devices)
	group, err := wire.ParseGroup(by["group arisan"].Data)
	require.NoError(t, err)
	require.Equal(t, wire.Group{Members: []string{rich.Peers[0].User}, ID: []byte("arisan_keluarga!")}, group)
	require.Equal(t, before[keystore.Key{Scope: rich.Own[0].String(), Kind: "hosting", Owner: toko}].Value[1:], by["label toko"].Data)
	require.Equal(t, int64(1_700_000_000_123), by["label toko"].Time.UnixMilli())
	require.Equal(t, archivedConsent(1), by["consent toko.00ff"].Data)
	require.Equal(t, archivedConsent(2), by["consent toko.ff00"].Data)
	require.Equal(t, int64(1_700_000_000_456), by["consent toko.00ff"].Time.UnixMilli())
	require.Zero(t, by["group arisan"].Time)
}

// A piece is some bytes of a record.
type piece [16]byte

// secrets returns all pieces of the records that are not to be in an archive,
// but for those that could be anywhere by chance.
func secrets(store map[keystore.Key]keystore.Record) map[piece]bool {
	out := map[piece]bool{}
	for k, r := range store {
		if slices.Contains(archivedKinds, k.Kind) {
			continue
		}
		for b := r.Value; len(b) >= len(piece{}); b = b[1:] {
			distinct, n := [256]bool{}, 0
			for _, c := range b[:len(piece{})] {
				if !distinct[c] {
					distinct[c] = true
					n++
				}
			}
			if n >= 8 {
				out[piece(b)] = true
			}
		}
	}
	return out
}

// leaked counts the pieces that are in bytes, from which everything open is
// taken out first.
func leaked(secret map[piece]bool, open [][]byte, in []byte) (n int) {
	for _, b := range open {
		in = bytes.ReplaceAll(in, b, []byte("\x00"))
	}
	for ; len(in) >= len(piece{}); in = in[1:] {
		if secret[piece(in)] {
			n++
		}
	}
	return n
}

// No secret of a store is in an archive: nothing at all of any record of the
// kinds that have one, but for names and the identity keys of others. The own
// identity key pair is there only when it was asked for.
func TestArchiveSecrets(t *testing.T) {
	w := archiveWorld(t)
	store := testutil.All(t, w.Store, "", "", "")
	secret, kinds := secrets(store), map[string]bool{}
	for k := range store {
		kinds[k.Kind] = true
	}
	for _, kind := range []string{"self", "prekey", "signed", "kem", "lastresort", "session", "archive", "staged", "body", "sent", "senderkey"} {
		require.True(t, kinds[kind], kind)
	}
	open := [][]byte{[]byte("arisan_keluarga!")} // the distribution id
	for _, d := range w.Peers {
		open = append(open, d.Identity().Bytes(), []byte(d.Address().User))
	}
	for _, d := range w.Own {
		open = append(open, []byte(d.Address().User))
	}
	for _, d := range w.Own {
		plain := archivePayload(t, exportDevice(t, d, false))
		require.Zero(t, leaked(secret, open, plain))
		require.Zero(t, bytes.Count(plain, d.IdentityKeyPair().PrivateBytes()))
		require.NotContains(t, string(plain), rich.Short)

		plain = archivePayload(t, exportDevice(t, d, true))
		require.Positive(t, leaked(secret, open, plain)) // so the search finds what is there
		require.Equal(t, 1, bytes.Count(plain, d.IdentityKeyPair().PrivateBytes()))
	}
	for k, r := range store { // nor would any record go unnoticed
		if k.Kind == "session" || k.Kind == "senderkey" && strings.Contains(k.Name, ",") || k.Kind == "prekey" {
			require.Positive(t, leaked(secret, open, r.Value), k.Kind)
		}
	}
}

// A failingLister is a store whose List may fail.
type failingLister struct {
	keystore.Store
	err error
}

func (l *failingLister) List(ctx context.Context, scope, kind, owner string) iter.Seq2[keystore.Record, error] {
	return func(yield func(keystore.Record, error) bool) {
		for r, err := range l.Store.List(ctx, scope, kind, owner) {
			if !yield(r, err) {
				return
			}
		}
		if l.err != nil && kind == "group" {
			yield(keystore.Record{}, l.err)
		}
	}
}

// Records that cannot be read keep nobody from the others.
func TestArchiveUnreadable(t *testing.T) {
	w := archiveWorld(t)
	for kind, values := range map[string][]string{"identity": {"\x01\x0A\xFF"}, "peer": {""}, "group": {"\x02"},
		"hosting": {"\x7F", "\x01\x08\x02", "\x01\x12\x01x"}, "consent": {"", "\x01", "\x01\x0A\xFF"}} {
		for i, value := range values {
			k := keystore.Key{Scope: rich.Own[0].String(), Kind: kind, Owner: fmt.Sprint("damaged", i)}
			testutil.Commit(t, w.Store, keystore.Change{Op: keystore.Put, Key: k, Value: []byte(value)})
		}
	}
	l := &failingLister{Store: w.Store}
	d, err := w.Open(l, rich.Own[0])
	require.NoError(t, err)
	var out bytes.Buffer
	a, err := hosting.NewArchiveWriter(&out, recovery, nil)
	require.NoError(t, err)
	err = a.Device(archiving, d)
	require.ErrorIs(t, err, session.ErrCorrupt)
	require.ErrorContains(t, err, "9 records")
	require.NoError(t, a.Write(&archived()[0]))
	require.NoError(t, a.Close())
	counts, err := hosting.VerifyArchive(&out, recovery, nil)
	require.NoError(t, err)
	require.Equal(t, map[string]uint64{"identity": 3, "device": 3, "group": 1, "label": 1, "consent": 2, "app": 1}, counts)

	l.err = errors.New("the disk")
	a, err = hosting.NewArchiveWriter(io.Discard, recovery, nil)
	require.NoError(t, err)
	require.ErrorIs(t, a.Device(archiving, d), l.err)
	l.err = nil
	a, err = hosting.NewArchiveWriter(&fullDisk{5000}, recovery, nil)
	require.NoError(t, err)
	require.NoError(t, a.Write(&hosting.ArchiveRecord{Type: "app", Data: make([]byte, 64<<10-500)}))
	for err == nil {
		err = a.Device(archiving, d)
		if errors.Is(err, session.ErrCorrupt) {
			err = nil
		}
	}
	require.ErrorIs(t, err, errFull)
}

func TestArchiveAccount(t *testing.T) {
	w := archiveWorld(t)
	records, err := readArchive(bytes.NewReader(exportDevice(t, w.Own[0], true)), recovery, nil)
	require.NoError(t, err)
	r := records[len(records)-1]
	require.Equal(t, "account", r.Type)
	testutil.RequireRedacted(t, &r, w.Own[0].IdentityKeyPair().PrivateBytes())
	a, err := r.Account()
	require.NoError(t, err)
	require.Equal(t, rich.Own[0], a.Address)
	require.Zero(t, a.RegistrationID)
	d, err := session.Create(archiving, keystore.NewMemory(), a, nil)
	require.NoError(t, err)
	require.True(t, d.Identity().Equal(w.Own[0].Identity()))

	bad := map[string]hosting.ArchiveRecord{"type": {Type: "app", Data: r.Data}, "empty": {Type: "account"}, "cut": {Type: "account", Data: r.Data[:40]}}
	for n := range len(r.Data) {
		data := bytes.Clone(r.Data)
		data[n] ^= 0x80
		bad[fmt.Sprint("byte ", n)] = hosting.ArchiveRecord{Type: "account", Data: data}
	}
	for name, r := range bad {
		a, err := r.Account()
		if err == nil && name != "type" { // a bit that no private key has
			require.True(t, a.Identity.Public().Equal(w.Own[0].Identity()), name)
			require.Equal(t, rich.Own[0], a.Address)
			continue
		}
		require.True(t, errors.Is(err, session.ErrMalformed) || errors.Is(err, session.ErrTooLarge), "%s: %v", name, err)
		require.Zero(t, a.Address)
		require.Nil(t, a.Identity)
	}
}
