package keystore_test

import (
	"context"
	"encoding/binary"
	"iter"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/keystore"
)

// cheap is the least cost of a passphrase.
var cheap = &keystore.EncryptedOptions{Time: 1, Memory: 8, Threads: 1}

func phrase(s string) keystore.Unlock { return keystore.Unlock{Passphrase: s} }

// lasting is a Memory that Close leaves as it is.
type lasting struct{ *keystore.Memory }

func (lasting) Close() error { return nil }

func newLasting() lasting { return lasting{keystore.NewMemory()} }

func openEncrypted(t testing.TB, inner keystore.Store, u keystore.Unlock, o *keystore.EncryptedOptions) *keystore.Encrypted {
	t.Helper()
	s, err := keystore.OpenEncrypted(ctx, inner, u, o)
	require.NoError(t, err)
	return s
}

// requireClosed requires that a store is not opened, by an error, and not
// changed.
func requireClosed(t testing.TB, inner keystore.Store, u keystore.Unlock, o *keystore.EncryptedOptions, want error) {
	t.Helper()
	before := testutil.StoreDigest(t, inner)
	s, err := keystore.OpenEncrypted(ctx, inner, u, o)
	require.ErrorIs(t, err, want)
	require.Nil(t, s)
	require.Equal(t, before, testutil.StoreDigest(t, inner))
}

func TestSTO_09_WrongPassphrase(t *testing.T) {
	const nfc, nfd = "caf\u00e9 au lait", "cafe\u0301 au lait"
	long := strings.Repeat("long", 1<<18)
	wrong := []keystore.Unlock{{}, phrase(nfd), phrase("caf\u00e9 au lai"), phrase(nfc + "\x00"), phrase(long), {Key: &[32]byte{}}, unlock}
	for name, right := range map[string]keystore.Unlock{"NFC": phrase(nfc), "long": phrase(long + "\n"), "key": {Key: &[32]byte{31: 1}}} {
		t.Run(name, func(t *testing.T) {
			inner, k := newLasting(), testutil.Key("k", "o", "n")
			v := testutil.Commit(t, openEncrypted(t, inner, right, cheap), testutil.Put(k, 0, "value"))
			for _, u := range append(wrong, phrase(strings.ToUpper(right.Passphrase)+" ")) {
				requireClosed(t, inner, u, nil, keystore.ErrPassphrase)
			}
			both := keystore.Unlock{Key: &[32]byte{}, Passphrase: "p"}
			requireClosed(t, inner, both, nil, keystore.ErrInvalid)
			s := openEncrypted(t, inner, right, nil)
			require.Equal(t, keystore.Record{Key: k, Value: []byte("value"), Version: v}, testutil.Load(t, s, k))
		})
	}
}

// What makes no store leaves none.
func TestUnlockMakesNoStore(t *testing.T) {
	inner := newLasting()
	for _, u := range []keystore.Unlock{{}, {Key: &[32]byte{}, Passphrase: "p"}} {
		requireClosed(t, inner, u, nil, keystore.ErrInvalid)
	}
	for _, o := range []keystore.EncryptedOptions{
		{Time: 65}, {Time: 1 << 31}, {Memory: 256<<10 + 1}, {Memory: 31}, {Memory: 1 << 31}, {Threads: 65}, {Memory: 8, Threads: 2},
	} {
		requireClosed(t, inner, phrase("p"), &o, keystore.ErrInvalid)
	}
	require.Zero(t, testutil.Generation(t, inner))
}

// header returns the stored header of a store.
func header(t testing.TB, inner keystore.Store) keystore.Record {
	t.Helper()
	return testutil.Load(t, inner, keystore.HeadKey)
}

func setHeader(t testing.TB, inner keystore.Store, value []byte) {
	t.Helper()
	testutil.Commit(t, inner, testutil.Put(keystore.HeadKey, header(t, inner).Version, string(value)))
}

// A damaged header is told from a wrong passphrase, and a forged one opens
// nothing.
func TestDamagedHeader(t *testing.T) {
	for name, u := range map[string]keystore.Unlock{"passphrase": phrase("p"), "key": unlock} {
		t.Run(name, func(t *testing.T) {
			inner := newLasting()
			testutil.Commit(t, openEncrypted(t, inner, u, cheap), testutil.Put(testutil.Key("k", "o", "n"), 0, "value"))
			good := header(t, inner).Value
			for i := range good {
				bad := slices.Clone(good)
				bad[i] ^= 1 << (i % 8)
				setHeader(t, inner, bad)
				requireClosed(t, inner, u, nil, keystore.ErrCorrupt)
				if i >= len(good)-keystore.CheckLen {
					continue
				}
				setHeader(t, inner, keystore.Checksummed(bad)) // by someone who meant it
				if i >= keystore.PrefaceLen {
					requireClosed(t, inner, u, nil, keystore.ErrPassphrase)
					continue
				}
				_, err := keystore.OpenEncrypted(ctx, inner, u, nil)
				require.Error(t, err, i)
			}
			for _, format := range []byte{2, 255} {
				setHeader(t, inner, append([]byte{format}, good[1:]...))
				requireClosed(t, inner, u, nil, keystore.ErrNewerFormat)
			}
			for n := range len(good) {
				setHeader(t, inner, good[:n])
				requireClosed(t, inner, u, nil, keystore.ErrCorrupt)
			}
			for _, more := range []int{1, 36, 72, 100_000} {
				setHeader(t, inner, append(slices.Clone(good), make([]byte, more)...))
				requireClosed(t, inner, u, nil, keystore.ErrCorrupt)
			}
			setHeader(t, inner, good)
			require.Equal(t, "value", string(testutil.Load(t, openEncrypted(t, inner, u, nil), testutil.Key("k", "o", "n")).Value))
		})
	}
}

// A header that asks for more work or memory than is sensible is refused before
// any of it is done.
func TestHostileCost(t *testing.T) {
	inner := newLasting()
	openEncrypted(t, inner, phrase("p"), cheap)
	good := header(t, inner).Value
	for _, c := range []struct {
		time, memory uint32
		threads      byte
	}{
		{65, 8, 1}, {1<<32 - 1, 8, 1}, {1, 1<<32 - 1, 1}, {1, 256<<10 + 1, 1}, {1, 1 << 31, 255}, {1, 1 << 18, 65}, {1, 8, 0}, {1, 0, 1}, {1, 15, 2},
	} {
		bad := slices.Clone(good)
		binary.BigEndian.PutUint32(bad[2:], c.time)
		binary.BigEndian.PutUint32(bad[6:], c.memory)
		bad[10] = c.threads
		setHeader(t, inner, keystore.Checksummed(bad))
		requireClosed(t, inner, phrase("p"), nil, keystore.ErrCorrupt)
	}
}

// Over records that are there no header is made, whoever took it away.
func TestRecordsWithoutHeader(t *testing.T) {
	plain := newLasting()
	testutil.Commit(t, plain, testutil.Put(testutil.Key("k", "o", "n"), 0, "value"))
	requireClosed(t, plain, unlock, nil, keystore.ErrCorrupt)

	inner, k := newLasting(), testutil.Key("k", "o", "n")
	s := openEncrypted(t, inner, unlock, nil)
	v := testutil.Commit(t, s, testutil.Put(k, 0, "value"))
	h := header(t, inner)
	testutil.Commit(t, inner, testutil.Delete(h.Key, h.Version))
	requireClosed(t, inner, unlock, nil, keystore.ErrCorrupt)

	// Whoever has it open reads and deletes, and seals nothing.
	require.Equal(t, "value", string(testutil.Load(t, s, k).Value))
	before := testutil.StoreDigest(t, inner)
	_, err := s.Commit(ctx, testutil.Put(k, v, "new"))
	require.ErrorIs(t, err, keystore.ErrCorrupt)
	require.ErrorIs(t, s.Relock(ctx, phrase("p"), cheap), keystore.ErrCorrupt)
	require.ErrorIs(t, s.Rekey(ctx), keystore.ErrCorrupt)
	require.Equal(t, before, testutil.StoreDigest(t, inner))
	testutil.Commit(t, s, testutil.Check(k, v))
	testutil.Commit(t, s, testutil.Delete(k, v))
}

// A newer release's header shuts out whoever has the store open, too.
func TestNewerHeader(t *testing.T) {
	inner, k := newLasting(), testutil.Key("k", "o", "n")
	s := openEncrypted(t, inner, unlock, nil)
	v := testutil.Commit(t, s, testutil.Put(k, 0, "value"))
	newer := slices.Clone(header(t, inner).Value)
	newer[0]++
	setHeader(t, inner, newer)
	_, err := s.Commit(ctx, testutil.Put(k, v, "new"))
	require.ErrorIs(t, err, keystore.ErrNewerFormat)
	requireClosed(t, inner, unlock, nil, keystore.ErrNewerFormat)

	record := testutil.Load(t, inner, k)
	record.Value[0]++ // as it may then be
	testutil.Commit(t, inner, testutil.Put(k, record.Version, string(record.Value)))
	_, err = s.Load(ctx, k)
	require.ErrorIs(t, err, keystore.ErrNewerFormat)
}

// The header's scope is nobody else's.
func TestReservedScope(t *testing.T) {
	s := openEncrypted(t, newLasting(), unlock, nil)
	k := keystore.HeadKey
	_, err := s.Load(ctx, k)
	require.ErrorIs(t, err, keystore.ErrInvalid)
	for _, c := range []keystore.Change{testutil.Put(k, 1, "x"), testutil.Delete(k, 1), testutil.Check(k, 1)} {
		_, err := s.Commit(ctx, c)
		require.ErrorIs(t, err, keystore.ErrInvalid)
	}
	require.Empty(t, testutil.All(t, s, k.Scope, "", ""))
	require.Empty(t, testutil.All(t, s, "", k.Kind, ""))
}

// A meddled store does something before, or after, a method's work.
type meddled struct {
	keystore.Store
	before, after func(method string)
}

func (m *meddled) do(what func(string), method string) {
	if what != nil {
		what(method)
	}
}

func (m *meddled) Load(ctx context.Context, keys ...keystore.Key) ([]keystore.Record, error) {
	m.do(m.before, "Load")
	defer m.do(m.after, "Load")
	return m.Store.Load(ctx, keys...)
}

func (m *meddled) Commit(ctx context.Context, changes ...keystore.Change) (uint64, error) {
	m.do(m.before, "Commit")
	defer m.do(m.after, "Commit")
	return m.Store.Commit(ctx, changes...)
}

func (m *meddled) List(ctx context.Context, scope, kind, owner string) iter.Seq2[keystore.Record, error] {
	return func(yield func(keystore.Record, error) bool) {
		m.do(m.before, "List")
		defer m.do(m.after, "List")
		m.Store.List(ctx, scope, kind, owner)(yield)
	}
}

// Of two who make a store at once one does, and both have it open.
func TestTwoMakeAStore(t *testing.T) {
	for _, method := range []string{"Load", "List", "Commit"} {
		for _, writes := range []bool{false, true} {
			inner, k := newLasting(), testutil.Key("k", "o", "n")
			var other *keystore.Encrypted
			m := &meddled{Store: inner}
			makes := func(at string) {
				if at != method || other != nil {
					return
				}
				if other = openEncrypted(t, inner, phrase("p"), cheap); writes {
					testutil.Commit(t, other, testutil.Put(k, 0, "other's"))
				}
			}
			m.before = makes
			requireBoth(t, m, inner, &other)
			inner, other = newLasting(), nil
			m = &meddled{Store: inner, after: makes}
			if method != "Commit" {
				requireBoth(t, m, inner, &other)
			}
		}
	}
}

func requireBoth(t *testing.T, m *meddled, inner keystore.Store, other **keystore.Encrypted) {
	t.Helper()
	s := openEncrypted(t, m, phrase("p"), cheap)
	m.before, m.after = nil, nil
	k := testutil.Key("k", "o", "mine")
	v := testutil.Commit(t, s, testutil.Put(k, 0, "mine"))
	require.Equal(t, "mine", string(testutil.Load(t, *other, k).Value))
	testutil.Commit(t, *other, testutil.Put(k, v, "other's"))
	require.Equal(t, testutil.Records(t, *other), testutil.Records(t, s))
	require.Equal(t, "other's", string(testutil.Load(t, openEncrypted(t, inner, phrase("p"), nil), k).Value))
}

func TestManyMakeAStore(t *testing.T) {
	for range 20 {
		inner := newLasting()
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				s, err := keystore.OpenEncrypted(ctx, inner, unlock, blind)
				if err == nil {
					_, err = s.Commit(ctx, testutil.Put(testutil.Key("k", "o", string(rune('a'+i))), 0, "v"))
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		require.Len(t, testutil.Records(t, openEncrypted(t, inner, unlock, nil)), 8)
	}
}

// The loser's passphrase is another one, and it is told so.
func TestTwoMakeAStoreApart(t *testing.T) {
	inner := newLasting()
	m := &meddled{Store: inner}
	m.before = func(method string) {
		if method == "Commit" {
			openEncrypted(t, inner, phrase("winner"), cheap)
		}
	}
	_, err := keystore.OpenEncrypted(ctx, m, phrase("loser"), cheap)
	require.ErrorIs(t, err, keystore.ErrPassphrase)
	openEncrypted(t, inner, phrase("winner"), nil)
}

// What fails while a store is opened or made is told, and the next one opens or
// makes it.
func TestOpenEncryptedFails(t *testing.T) {
	for _, made := range []bool{false, true} {
		for at := 0; ; at++ {
			m := keystore.NewMemory()
			if made {
				openEncrypted(t, lasting{m}, unlock, nil)
			}
			b := &beneath{Memory: m}
			n := b.failAt(at)
			_, err := keystore.OpenEncrypted(ctx, b, unlock, nil)
			b.hook.Store(nil)
			if *n <= at {
				require.NoError(t, err)
				break
			}
			if err != nil { // what was made is found out, though
				require.ErrorIs(t, err, errFault)
			}
			s := openEncrypted(t, b, unlock, nil)
			testutil.Commit(t, s, testutil.Put(testutil.Key("k", "o", "n"), 0, "v"))
		}
	}
}

// Another thread of the store's contract: what the zero value and a closed store
// answer.
func TestClosedEncrypted(t *testing.T) {
	closed := openEncrypted(t, keystore.NewMemory(), unlock, nil)
	require.NoError(t, closed.Close())
	for _, s := range []*keystore.Encrypted{new(keystore.Encrypted), closed} {
		require.ErrorIs(t, s.Relock(ctx, phrase("p"), cheap), keystore.ErrClosed)
		require.ErrorIs(t, s.Rekey(ctx), keystore.ErrClosed)
		_, err := s.Load(ctx, testutil.Key("k", "", ""))
		require.ErrorIs(t, err, keystore.ErrClosed)
		_, err = s.Commit(ctx)
		require.ErrorIs(t, err, keystore.ErrClosed)
		_, err = s.Generation(ctx)
		require.ErrorIs(t, err, keystore.ErrClosed)
		require.NoError(t, s.Close())
	}
}

// A telling store knows of damaged records.
type telling struct {
	keystore.Store
	damaged map[keystore.Key]bool
}

func (s *telling) Load(ctx context.Context, keys ...keystore.Key) ([]keystore.Record, error) {
	recs, err := s.Store.Load(ctx, keys...)
	damaged := new(keystore.CorruptError)
	for i := range recs {
		if s.damaged[recs[i].Key] {
			recs[i].Value = nil
			damaged.Keys = append(damaged.Keys, recs[i].Key)
		}
	}
	if damaged.Keys != nil {
		err = damaged
	}
	return recs, err
}

func (s *telling) List(ctx context.Context, scope, kind, owner string) iter.Seq2[keystore.Record, error] {
	return func(yield func(keystore.Record, error) bool) {
		for r, err := range s.Store.List(ctx, scope, kind, owner) {
			if s.damaged[r.Key] {
				r.Value, err = nil, &keystore.CorruptError{Keys: []keystore.Key{r.Key}}
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

func TestDefaultCost(t *testing.T) {
	inner := newLasting()
	openEncrypted(t, inner, phrase("p"), nil)
	b := header(t, inner).Value
	require.Equal(t, []byte{0, 0, 0, 3, 0, 1, 0, 0, 4}, b[2:11]) // 65,536 KiB
}

// The work of a passphrase, seen by the memory that it takes, is the same for
// the right one and any other, and none for a header that asks for too much.
func TestSTO_09_ConstantWork(t *testing.T) {
	const memory = 16 << 10 // KiB
	inner := newLasting()
	openEncrypted(t, inner, phrase("p"), &keystore.EncryptedOptions{Time: 1, Memory: memory, Threads: 1})
	work := func(u keystore.Unlock) uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _ = keystore.OpenEncrypted(ctx, inner, u, nil)
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	for _, p := range []string{"p", "", "q", "pp", strings.Repeat("p", 1000)} {
		require.InDelta(t, memory<<10, work(phrase(p)), 1<<20, p)
	}
	bad := slices.Clone(header(t, inner).Value)
	binary.BigEndian.PutUint32(bad[6:], 256<<10+1)
	setHeader(t, inner, keystore.Checksummed(bad))
	require.Less(t, work(phrase("p")), uint64(1<<20))
}
