package storetool_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/testutil/rich"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
)

func TestVerify(t *testing.T) {
	b, w := newBench(t)
	before := testutil.StoreDigest(t, w.Store)
	require.Equal(t, "1 records of other kinds, not looked into: draft\n51 records of 2 devices: no damage found\n", b.runs(t, "verify", "memory:own"))
	require.Equal(t, before, testutil.StoreDigest(t, w.Store))
}

// A store that was put back from a backup is sound, too, at any commit of
// AfterRestore.
func TestVerifyAfterRestore(t *testing.T) {
	b, w := newBench(t)
	require.ErrorIs(t, session.CheckGeneration(ctx, w.Store, 1000), keystore.ErrRolledBack)
	require.Contains(t, b.runs(t, "inspect", "memory:own"), "2 devices wait for AfterRestore.")
	b.stores["watched"] = &faulty{w.Store, func(call string) error {
		if call == "committed" {
			b.runs(t, "verify", "memory:own")
		}
		return nil
	}}
	for _, a := range rich.Own {
		d, err := w.Open(b.stores["watched"], a)
		require.NoError(t, err)
		require.NoError(t, d.AfterRestore(ctx))
		_, err = d.Upkeep(ctx)
		require.NoError(t, err)
	}
	require.NotContains(t, b.runs(t, "inspect", "memory:own"), "AfterRestore")
}

// What users have under one name and then under another is sound, and so is what
// there is without them.
func TestVerifyRenamedUsers(t *testing.T) {
	b, w := newBench(t)
	own := w.Own[0]
	for _, p := range rich.Peers {
		require.NoError(t, own.Rename(ctx, p.User, "renamed "+p.User))
		require.Contains(t, b.runs(t, "verify", "memory:own"), "51 records of 2 devices: no damage found")
	}
	for _, p := range rich.Peers {
		require.NoError(t, own.Forget(ctx, "renamed "+p.User))
		b.runs(t, "verify", "memory:own")
	}
	require.NotContains(t, b.runs(t, "inspect", "memory:own"), "staged")
}

// write puts a record, whatever is there.
func write(t testing.TB, s keystore.Store, k keystore.Key, value []byte) {
	t.Helper()
	testutil.Commit(t, s, testutil.Put(k, testutil.Load(t, s, k).Version, string(value)))
}

// remove deletes a record.
func remove(t testing.TB, s keystore.Store, k keystore.Key) {
	t.Helper()
	testutil.Commit(t, s, testutil.Delete(k, testutil.Load(t, s, k).Version))
}

// A harm changes records of one kind.
type harm struct {
	kind, owner string // of the first record, in the order of keys
	name        string
	change      func(t testing.TB, s keystore.Store, recs []keystore.Record)
	want        string // lines of the table of problems: kind, problem, records
}

// do harms a store.
func (h *harm) do(t testing.TB, s keystore.Store) {
	recs := slices.DeleteFunc(testutil.Records(t, s), func(r keystore.Record) bool {
		return r.Key.Kind != h.kind || h.owner != "" && r.Key.Owner != h.owner
	})
	slices.SortStableFunc(recs, func(a, b keystore.Record) int { return strings.Compare(first(a), first(b)) })
	h.change(t, s, recs)
}

// edit is a harm of the first record's body, which f changes.
func edit(f func(body []byte) []byte) func(testing.TB, keystore.Store, []keystore.Record) {
	return func(t testing.TB, s keystore.Store, recs []keystore.Record) {
		write(t, s, recs[0].Key, append([]byte{1}, f(recs[0].Value[1:])...))
	}
}

// self is a harm of the first device's key pair.
func self(f func(*wire.IdentityKeyPairRecord)) func(testing.TB, keystore.Store, []keystore.Record) {
	return edit(func(body []byte) []byte {
		s := must(wire.ParseSelf(body))
		pair := must(wire.ParseIdentityKeyPairRecord(s.Identity))
		f(&pair)
		s.Identity = wire.AppendIdentityKeyPairRecord(nil, &pair)
		return wire.AppendSelf(nil, &s)
	})
}

// preKey is a harm of a prekey's record, which for a one-time one has no
// signature and no time.
func preKey(f func(*wire.SignedPreKeyRecord)) func(testing.TB, keystore.Store, []keystore.Record) {
	return edit(func(body []byte) []byte {
		s := must(wire.ParseStoredPreKey(body))
		rec := must(wire.ParseSignedPreKeyRecord(s.Record))
		f(&rec)
		s.Record = wire.AppendSignedPreKeyRecord(nil, &rec)
		return wire.AppendStoredPreKey(nil, &s)
	})
}

func identity(f func(*wire.Identity)) func(testing.TB, keystore.Store, []keystore.Record) {
	return edit(func(body []byte) []byte {
		id := must(wire.ParseIdentity(body))
		f(&id)
		return wire.AppendIdentity(nil, &id)
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// swap is a harm of two values that changed places.
func swap(t testing.TB, s keystore.Store, recs []keystore.Record) {
	a, b := recs[0], recs[1]
	write(t, s, a.Key, b.Value)
	write(t, s, b.Key, a.Value)
}

// gone is a harm of a record that is not there any more.
func gone(t testing.TB, s keystore.Store, recs []keystore.Record) { remove(t, s, recs[0].Key) }

// rename is a harm of a record under another name.
func rename(owner, name string) func(testing.TB, keystore.Store, []keystore.Record) {
	return func(t testing.TB, s keystore.Store, recs []keystore.Record) {
		k := recs[0].Key
		remove(t, s, k)
		k.Owner, k.Name = owner, name
		write(t, s, k, recs[0].Value)
	}
}

func current(f func(*wire.Session)) func(testing.TB, keystore.Store, []keystore.Record) {
	return edit(func(body []byte) []byte {
		index := must(wire.ParseSessionIndex(body))
		index.Current = changed(index.Current, f)
		return wire.AppendSessionIndex(nil, &index)
	})
}

func archived(f func(*wire.Session)) func(testing.TB, keystore.Store, []keystore.Record) {
	return edit(func(body []byte) []byte { return changed(body, f) })
}

func changed(raw []byte, f func(*wire.Session)) []byte {
	s := must(wire.ParseSession(raw))
	f(s)
	return wire.AppendSession(nil, s)
}

func staged(f func(*wire.Staged)) func(testing.TB, keystore.Store, []keystore.Record) {
	return edit(func(body []byte) []byte {
		s := must(wire.ParseStaged(body))
		f(&s)
		return wire.AppendStaged(nil, &s)
	})
}

const (
	badKey    = " it is not under a key of its kind "
	badBytes  = " it does not decode "
	badFields = " its fields contradict each other "
	badPair   = " its private and public key are no pair "
)

var (
	hexName = strings.Repeat("ab", 32)
	budi    = rich.Own[0].String()
)

var harms = []harm{
	{"self", "", "private key", self(func(p *wire.IdentityKeyPairRecord) { p.Private[5] ^= 1 }), "self" + badPair + "1"},
	{"self", "", "swap", swap, "self" + badFields + "2"},
	{"self", "", "gone", gone, "self it is missing, and other records of the device are there 1"},
	{"self", "", "name", rename("-", "x"), "self it is missing, and other records of the device are there 1\nself" + badKey + "1"},
	{"self", "", "registration id", edit(func(b []byte) []byte { return append(b, 0x10, 0) }), "self" + badFields + "1"},
	{"self", "", "no keys", edit(func(b []byte) []byte { return append(b, 0x0a, 0) }), "self" + badPair + "1"},
	{"self", "", "keys", edit(func(b []byte) []byte { return append(b, 0x0a, 1, 0xff) }), "self" + badPair + "1"},
	{"upkeep", "", "name", rename("-", "x"), "upkeep" + badKey + "1"},
	{"nextid", "", "gone", gone, "kem there is no record of the ids given out 1\nlastresort there is no record of the ids given out 1\n" +
		"prekey there is no record of the ids given out 1\nsigned there is no record of the ids given out 1"},
	{"nextid", "", "lower", edit(func([]byte) []byte {
		return wire.AppendNextIDs(nil, &wire.NextIDs{PreKey: 2, SignedPreKey: 2, KEMPreKey: 9})
	}),
		"prekey its id is not given out yet 1"},
	{"nextid", "", "all anew", edit(func([]byte) []byte { return nil }), "kem its id is not given out yet 1\nlastresort its id is not given out yet 1\n" +
		"prekey its id is not given out yet 1\nsigned its id is not given out yet 1"},
	{"nextid", "", "too large", edit(func([]byte) []byte { return wire.AppendNextIDs(nil, &wire.NextIDs{PreKey: 1<<24 + 1}) }),
		"nextid" + badFields + "1"},
	{"nextid", "", "name", rename("+", ""), "kem there is no record of the ids given out 1\nlastresort there is no record of the ids given out 1\nnextid" + badKey +
		"1\nprekey there is no record of the ids given out 1\nsigned there is no record of the ids given out 1"},
	{"prekey", "", "private key", preKey(func(r *wire.SignedPreKeyRecord) { r.Private[5] ^= 1 }), "prekey" + badPair + "1"},
	{"prekey", "", "swap", swap, "prekey" + badFields + "2"},
	{"prekey", "", "name", rename("-", "01"), "prekey" + badKey + "1"},
	{"prekey", "", "id", rename("-", "16777216"), "prekey" + badKey + "1"},
	{"prekey", "", "times", edit(func(b []byte) []byte { return append(b, 0x10, 0) }), "prekey" + badFields + "1"},
	{"prekey", "", "no record", edit(func(b []byte) []byte { return append(b, 0x0a, 1, 0xff) }), "prekey" + badBytes + "1"},
	{"signed", "", "private key", preKey(func(r *wire.SignedPreKeyRecord) { r.Private[5] ^= 1 }), "signed" + badPair + "1"},
	{"signed", "", "signature", preKey(func(r *wire.SignedPreKeyRecord) { r.Signature[5] ^= 1 }), "signed its signature is not the device's 1"},
	{"signed", "", "swap", swap, "signed its signature is not the device's 2"},
	{"signed", "", "no record", edit(func(b []byte) []byte { return append(b, 0x0a, 1, 0xff) }), "signed" + badBytes + "1"},
	{"kem", "", "public key", preKey(func(r *wire.SignedPreKeyRecord) { r.Public[50] ^= 1 }), "kem" + badPair + "1"},
	{"kem", "", "private key", preKey(func(r *wire.SignedPreKeyRecord) { r.Private[2000] ^= 1 }), "kem" + badPair + "1"},
	{"kem", "", "signature", preKey(func(r *wire.SignedPreKeyRecord) { r.Signature[5] ^= 1 }), "kem its signature is not the device's 1"},
	{"kem", "", "swap", swap, "kem" + badFields + "2"},
	{"kem", "", "name", rename("+", "1"), "kem" + badKey + "1"},
	{"lastresort", "", "swap", swap, "lastresort its signature is not the device's 2"},
	{"basekey", "", "name", rename("1,2", "x"), "basekey" + badKey + "1"},
	{"basekey", "", "pair", rename("1", hexName), "basekey" + badKey + "1"},
	{"basekey", "", "body", edit(func([]byte) []byte { return []byte{1} }), "basekey" + badBytes + "1"},
	{"peer", "", "order", edit(func([]byte) []byte {
		return wire.AppendPeer(nil, &wire.Peer{Devices: []wire.PeerDevice{{ID: 2}, {ID: 1}}})
	}), "peer" + badFields + "1"},
	{"peer", "", "name", rename("u", "x"), "peer" + badKey + "1"},
	{"peer", "", "bytes", edit(func([]byte) []byte { return []byte{0x0a, 1, 0xff} }), "peer" + badBytes + "1"},
	{"peer", "", "registration id", edit(func([]byte) []byte {
		return wire.AppendPeer(nil, &wire.Peer{Devices: []wire.PeerDevice{{ID: 1, RegistrationID: 16381}}})
	}), "peer" + badFields + "1"},
	{"identity", "", "gone", gone, "session there is no accepted identity for its current session 1"},
	{"identity", "", "key", identity(func(id *wire.Identity) { id.Accepted[5] ^= 1 }), "session its current session is not with the accepted identity 1"},
	{"identity", "", "type of the key", identity(func(id *wire.Identity) { id.Accepted[0] ^= 1 }), "identity it lacks an identity key 1"},
	{"identity", "", "swap", swap, "session its current session is not with the accepted identity 2"},
	{"identity", "", "name", rename(rich.Peers[2].User, "0"), "identity" + badKey + "1\nsession there is no accepted identity for its current session 1"},
	{"session", "", "swap", swap, "archive no session record names it 2\nsession its current session is not with the accepted identity 2"},
	{"session", rich.Peers[0].User, "gone", gone, "archive no session record names it 2"},
	{"session", rich.Peers[0].User, "hint", edit(func(b []byte) []byte { b[len(b)-1] ^= 1; return b }), "session its index of archived sessions is wrong 1"},
	{"session", rich.Peers[0].User, "name", rename(rich.Peers[0].User, "128"), "archive no session record names it 2\nsession" + badKey + "1"},
	{"session", rich.Peers[0].User, "an entry twice", edit(func(b []byte) []byte {
		index, _ := wire.ParseSessionIndex(b)
		index.Archived = append(index.Archived, index.Archived[0])
		return wire.AppendSessionIndex(nil, &index)
	}), "session its index of archived sessions is wrong 1"},
	{"session", "", "no session", edit(func([]byte) []byte { return []byte{0x0a, 1, 0xff} }), "session its current session does not decode 1"},
	{"session", "", "root key", current(func(s *wire.Session) { s.RootKey = nil }), "session its current session: its root key is none 1"},
	{"session", "", "local identity", current(func(s *wire.Session) { s.LocalIdentity[9] ^= 1 }), "session its current session is another device's 1"},
	{"session", "", "remote identity", current(func(s *wire.Session) { s.RemoteIdentity = nil }), "session its current session: it lacks an identity key 1"},
	{"session", "", "sender", current(func(s *wire.Session) { s.Sender = nil }), "session its current session: its sending chain is damaged 1"},
	{"session", "", "private key", current(func(s *wire.Session) { s.Sender.PrivateKey[4] ^= 1 }), "session its current session: its sending chain is damaged 1"},
	{"session", "", "receiver", current(func(s *wire.Session) { s.Receivers[0].Key = nil }), "session its current session: a receiving chain is damaged 1"},
	{"session", "", "ratchet", current(func(s *wire.Session) { s.PQRatchet = []byte{0xff} }), "session its current session: its post-quantum ratchet is damaged 1"},
	{"session", rich.Peers[3].User, "pending", current(func(s *wire.Session) { s.PendingKEM = nil }), "session its current session: what it repeats until it is answered is damaged 1"},
	{"session", rich.Peers[3].User, "base key", current(func(s *wire.Session) { s.Pending.BaseKey = nil }), "session its current session: what it repeats until it is answered is damaged 1"},
	{"archive", "", "gone", gone, "session an archived session is missing 1"},
	{"archive", "", "swap", swap, "archive its name is not that of its base key 2"},
	{"archive", "", "root key", archived(func(s *wire.Session) { s.RootKey = nil }), "archive its root key is none 1"},
	{"archive", "", "base key", archived(func(s *wire.Session) { s.BaseKey[7] ^= 1 }), "archive its name is not that of its base key 1"},
	{"archive", "", "name", rename(rich.Peers[0].User, hexName), "archive" + badKey + "1\nsession an archived session is missing 1"},
	{"staged", "", "identity", staged(func(s *wire.Staged) { s.Identity = nil }), "staged" + badFields + "1"},
	{"staged", "", "time", staged(func(s *wire.Staged) { s.ReceivedAt = 0 }), "staged" + badFields + "1"},
	{"staged", "", "event", staged(func(s *wire.Staged) { s.Events = []wire.Event{{Kind: 1, Seen: []byte("x")}} }), "staged an event of it is damaged 1"},
	{"staged", "", "name", rename(rich.Peers[0].User, "x"), "staged" + badKey + "1"},
	{"body", "", "gone", gone, "staged its text is missing 1"},
	{"body", "", "name", rename(rich.Peers[0].User, hexName), "body it belongs to no staged message 1\nstaged its text is missing 1"},
	{"body", "", "no name", rename(rich.Peers[0].User, ""), "body" + badKey + "1\nstaged its text is missing 1"},
	{"mark", "", "name", rename("19000", "x"), "mark" + badKey + "1"},
	{"mark", "", "day", rename("today", hexName), "mark" + badKey + "1"},
	{"mark", "", "body", edit(func([]byte) []byte { return []byte{1} }), "mark" + badBytes + "1"},
	{"restore", "", "name", func(t testing.TB, s keystore.Store, _ []keystore.Record) {
		write(t, s, keystore.Key{Scope: budi, Kind: "restore", Owner: "-", Name: "x"}, []byte{1})
	}, "restore" + badKey + "1"},
	{"restore", "", "body", func(t testing.TB, s keystore.Store, _ []keystore.Record) {
		write(t, s, keystore.Key{Scope: budi, Kind: "restore", Owner: "-"}, []byte{1, 1})
	}, "restore" + badBytes + "1"},
	{"event", "", "owner", rename("someone", hexName[:32]), "event" + badFields + "1"},
	{"event", "", "name", rename("-", hexName), "event" + badKey + "1"},
	{"event", "", "kind", edit(func(b []byte) []byte { return append(b, 0x08, 0) }), "event" + badFields + "1"},
}

var problemLine = regexp.MustCompile(`(?m)^(\S+)  +(.*\S)  +([\d,]+)$`)

// found is the table of problems, each in a line.
func found(out string) (lines []string) {
	for _, m := range problemLine.FindAllStringSubmatch(out, -1) {
		lines = append(lines, strings.Join(m[1:], " "))
	}
	return lines
}

func TestSTO_07_VerifyNamesWhatIsDamaged(t *testing.T) {
	b, w := newBench(t)
	whole := testutil.Records(t, w.Store)
	for _, h := range slices.Concat(harms, sentHarms, linkHarms, groupHarms) {
		s := filled(t, whole)
		b.stores["harmed"] = s
		h.do(t, s)
		code := b.run(t, "verify", "memory:harmed")
		require.Equal(t, h.want, strings.Join(found(b.out.String()), "\n"), "%s: %s\n%s", h.kind, h.name, b.out.String())
		require.Equal(t, 1, code)
		require.Empty(t, b.err.String())
	}
}

// first has the records of the first device stand in front.
func first(r keystore.Record) string {
	if r.Key.Scope == budi {
		return ""
	}
	return r.Key.Scope
}

func filled(t testing.TB, recs []keystore.Record) keystore.Store {
	t.Helper()
	s := keystore.NewMemory()
	for _, r := range recs {
		testutil.Commit(t, s, keystore.Change{Op: keystore.Put, Key: r.Key, Value: r.Value})
	}
	return s
}

// Each record of a kind that is known: cut off, without a format, of a newer one,
// and changed at random.
func TestVerifyEachRecord(t *testing.T) {
	b, w := newBench(t)
	coins := rand.New(rand.NewPCG(1, 2))
	of, most := map[string]int{}, 2
	if testing.Short() {
		most = 1
	}
	for _, r := range testutil.Records(t, w.Store) {
		k, value := r.Key, slices.Clone(r.Value)
		if of[k.Kind]++; of[k.Kind] > most {
			continue
		}
		line := "(?m)^" + k.Kind + "  +.*  1$"
		for what, v := range map[string][]byte{"empty": {}, "format 0": append([]byte{0}, value[1:]...), "cut": value[:len(value)-1]} {
			write(t, w.Store, k, v)
			code := b.run(t, "verify", "memory:own")
			if k.Kind == "draft" || k.Kind == "body" && what == "cut" || k.Kind == "nextid" && what == "cut" {
				continue
			}
			require.Equal(t, 1, code, "%s %s", k.Kind, what)
			require.Regexp(t, line, b.out.String(), what)
		}
		write(t, w.Store, k, append([]byte{2}, value[1:]...))
		code := b.run(t, "verify", "memory:own")
		if k.Kind != "draft" {
			require.Contains(t, b.out.String(), "1 records of a newer format, not looked into: "+k.Kind)
			require.NotRegexp(t, line, b.out.String())
			require.Zero(t, code, "%s: %s", k.Kind, b.out.String())
		}
		for range 5 {
			v := slices.Clone(value)
			v[coins.IntN(len(v))] ^= 1 << coins.IntN(8)
			write(t, w.Store, k, v)
			require.Contains(t, []int{0, 1}, b.run(t, "verify", "memory:own"))
			require.Empty(t, b.err.String())
		}
		write(t, w.Store, k, value)
	}
	b.runs(t, "verify", "memory:own")
}

// What the store itself cannot read is one problem, and the rest is looked at.
func TestVerifyDamagedStore(t *testing.T) {
	b, w := newBench(t)
	all := testutil.Records(t, w.Store)
	for i := 0; i < len(all); i += step() {
		r := all[i]
		b.stores["damaged"] = &damaged{Store: w.Store, key: r.Key}
		require.Equal(t, 1, b.run(t, "verify", "memory:damaged"))
		require.Equal(t, []string{r.Key.Kind + " the store cannot read it 1"}, found(b.out.String()))
	}
	require.Equal(t, 1, b.run(t, "move", "memory:damaged", "memory:new"))
	require.Empty(t, testutil.Records(t, b.stores["new"]))
}

// Addresses are shown where they may be.
func TestVerifyAddresses(t *testing.T) {
	b, w := newBench(t)
	remove(t, w.Store, keystore.Key{Scope: budi, Kind: "session", Owner: rich.Peers[0].User, Name: "2"})
	require.Equal(t, 1, b.run(t, "verify", "memory:own"))
	require.NotContains(t, b.out.String(), "ani")
	require.Equal(t, 1, b.run(t, "verify", "-addresses", "memory:own"))
	require.Regexp(t, `(?m)^archive +budi@warung.example.1 +ani@pasar.example +2,[0-9a-f]{64} +no session record names it$`, b.out.String())
}

// What the engine finds is told, and nothing is read of a store that may lead in
// circles.
func TestVerifyStructure(t *testing.T) {
	b, w := newBench(t)
	b.check = fmt.Errorf("page 7: %w", keystore.ErrCorrupt)
	b.stores["own"] = nil // is not opened
	for _, command := range []string{"verify", "inspect"} {
		require.Equal(t, 1, b.run(t, command, "memory:own"))
		require.Contains(t, b.out.String()+b.err.String(), "its structure is damaged, so that no record was looked at")
	}
	require.Equal(t, 1, b.run(t, "move", "memory:own", "memory:new"))
	require.Contains(t, b.err.String(), "its structure is damaged")

	b.check = errors.New("disk is gone")
	require.Equal(t, 1, b.run(t, "verify", "memory:own"))
	require.Contains(t, b.err.String(), "disk is gone")

	b.check = &keystore.CorruptError{}
	b.stores["own"] = w.Store
	require.Equal(t, 1, b.run(t, "verify", "memory:own"))
	require.Equal(t, []string{"(store) the engine finds damage that no record shows 1"}, found(b.out.String()))
	b.stores["own"] = &damaged{Store: w.Store, key: keystore.Key{Scope: budi, Kind: "self", Owner: "-"}}
	require.Equal(t, 1, b.run(t, "verify", "memory:own"))
	require.Equal(t, []string{"self the store cannot read it 1"}, found(b.out.String()))
}

// A lost store lists half of its records, and an error in place of the others.
type lost struct{ keystore.Store }

func (l lost) List(ctx context.Context, scope, kind, owner string) iter.Seq2[keystore.Record, error] {
	return func(yield func(keystore.Record, error) bool) {
		yield(keystore.Record{}, fmt.Errorf("page 9: %w", keystore.ErrCorrupt))
	}
}

func TestVerifyLostRecords(t *testing.T) {
	b, w := newBench(t)
	b.stores["lost"] = lost{w.Store}
	require.Equal(t, 1, b.run(t, "verify", "memory:lost"))
	require.Equal(t, []string{"(store) some records cannot be found 1"}, found(b.out.String()))
	require.Equal(t, 1, b.run(t, "inspect", "memory:lost"))
	require.Equal(t, 1, b.run(t, "move", "memory:lost", "memory:new"))
}

// Whatever call of the store's fails, the command fails.
func TestStoreFails(t *testing.T) {
	b, w := newBench(t)
	broken := errors.New("broken pipe")
	for _, args := range [][]string{{"inspect", "memory:faulty"}, {"verify", "memory:faulty"}} {
		for at := 1; ; at += step() {
			calls := 0
			b.stores["faulty"] = &faulty{w.Store, func(string) error {
				if calls++; calls == at {
					return broken
				}
				return nil
			}}
			code := b.run(t, args...)
			if calls < at {
				require.Zero(t, code)
				break
			}
			require.Equal(t, 1, code)
			require.Contains(t, b.err.String(), "broken pipe")
		}
	}
}

// A store may be in use: a record that changes, or goes, while it is looked at,
// is looked at as it is then.
func TestVerifyWhileInUse(t *testing.T) {
	b, w := newBench(t)
	whole := testutil.Records(t, w.Store)
	k := keystore.Key{Scope: budi, Kind: "session", Owner: rich.Peers[0].User, Name: "2"}
	for always, want := range map[bool]string{false: "", true: "session it changes all the time: stop what uses the store 1"} {
		s := filled(t, whole)
		changed := false
		b.stores["busy"] = &faulty{s, func(call string) error {
			if call == "load" && (always || !changed) {
				changed = true
				write(t, s, k, testutil.Load(t, s, k).Value)
			}
			return nil
		}}
		b.run(t, "verify", "memory:busy")
		require.Equal(t, want, strings.Join(found(b.out.String()), "\n"))
	}
	for i := 0; i < len(whole); i += step() {
		r, s := whole[i], filled(t, whole)
		b.stores["busy"] = &faulty{s, func(call string) error {
			if call == "load" && testutil.Load(t, s, r.Key).Version != 0 {
				remove(t, s, r.Key)
			}
			return nil
		}}
		b.run(t, "verify", "memory:busy")
		require.Empty(t, b.err.String())
	}
}

// Sessions that were imported are sound, also where an archived one never
// decoded or is of an old version.
func TestVerifyImported(t *testing.T) {
	b, w := newBench(t)
	rec := must(wire.ParseSessionRecord(must(w.Own[0].ExportSession(ctx, w.Peers[0].Address()))))
	old := changed(rec.Previous[0], func(s *wire.Session) { s.Version, s.PQRatchet, s.BaseKey = 3, nil, nil })
	rec.Previous = append(rec.Previous, []byte{0xff}, nil, wire.AppendSession(nil, &wire.Session{Version: 2}), old)
	require.NoError(t, w.Own[0].ImportSession(ctx, w.Peers[0].Address(), wire.AppendSessionRecord(nil, &rec)))
	b.runs(t, "verify", "memory:own")
	require.Contains(t, b.runs(t, "inspect", "memory:own"), "\narchive           6 ")
	rich.Talk(t, w.Peers[0], w.Own[0])
	b.runs(t, "verify", "memory:own")
}
