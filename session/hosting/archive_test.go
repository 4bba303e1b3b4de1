package hosting_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"filippo.io/age"
	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/hosting"
)

// recovery is drawn once: it is as good for all tests.
var recovery = hosting.GenerateArchiveKey()

func passphrase() *hosting.ArchiveKey { return hosting.NewArchiveKey("kopi pahit tanpa gula").Cheap() }

// archived is some records, of types known and unknown.
func archived() []hosting.ArchiveRecord {
	at := time.UnixMilli(1_700_000_000_123)
	return []hosting.ArchiveRecord{
		{Type: "app", Name: "pesan/1", Data: []byte("Besok jam tiga?"), Time: at},
		{Type: "zodiac", Name: "é", Data: []byte{0}},
		{Type: "app", Name: "pesan/2", Data: []byte("Jadi."), Time: at.Add(time.Minute)},
		{Type: "label"},
	}
}

func writeArchive(t testing.TB, key *hosting.ArchiveKey, o *hosting.ArchiveOptions, records ...hosting.ArchiveRecord) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := hosting.NewArchiveWriter(&out, key, o)
	require.NoError(t, err)
	for i := range records {
		require.NoError(t, w.Write(&records[i]))
	}
	require.NoError(t, w.Close())
	return out.Bytes()
}

// readArchive returns what came before the error, and that.
func readArchive(src io.Reader, key *hosting.ArchiveKey, o *hosting.ArchiveOptions) (out []hosting.ArchiveRecord, err error) {
	for r, e := range hosting.ReadArchive(src, key, o) {
		if e != nil {
			return out, e
		}
		out = append(out, *r)
	}
	return out, nil
}

// archivePayload returns what is inside the file of age.
func archivePayload(t testing.TB, file []byte) []byte {
	t.Helper()
	id, err := age.ParseHybridIdentity(recovery.Text())
	require.NoError(t, err)
	r, err := age.Decrypt(bytes.NewReader(file), id)
	require.NoError(t, err)
	b, err := io.ReadAll(r)
	require.NoError(t, err)
	return b
}

// enclose is the other way around.
func enclose(t testing.TB, parts ...[]byte) []byte {
	t.Helper()
	to, err := age.ParseHybridRecipient(recovery.Public().Text())
	require.NoError(t, err)
	var out bytes.Buffer
	w, err := age.Encrypt(&out, to)
	require.NoError(t, err)
	for _, p := range parts {
		_, err = w.Write(p)
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return out.Bytes()
}

// archiveFrame is a record behind its length.
func archiveFrame(e wire.ArchiveEntry) []byte {
	b := wire.AppendArchiveEntry(nil, &e)
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)
}

// archiveEnding is the last record of an archive of these bytes.
func archiveEnding(before []byte, counts ...wire.ArchiveCount) []byte {
	hash := sha256.Sum256(before)
	end := wire.ArchiveEnd{Counts: counts, Hash: hash[:]}
	return archiveFrame(wire.ArchiveEntry{Type: "end", Data: wire.AppendArchiveEnd(nil, &end)})
}

func TestArchiveRoundTrip(t *testing.T) {
	for name, key := range map[string][2]*hosting.ArchiveKey{
		"passphrase": {passphrase(), hosting.NewArchiveKey("kopi pahit tanpa gula")},
		"recovery":   {recovery, recovery}, "public": {recovery.Public(), recovery},
	} {
		file := writeArchive(t, key[0], nil, archived()...)
		for _, src := range []io.Reader{bytes.NewReader(file), iotest.OneByteReader(bytes.NewReader(file)), iotest.DataErrReader(bytes.NewReader(file))} {
			got, err := readArchive(src, key[1], nil)
			require.NoError(t, err, name)
			require.Equal(t, archived(), got)
		}
		counts, err := hosting.VerifyArchive(bytes.NewReader(file), key[1], nil)
		require.NoError(t, err)
		require.Equal(t, map[string]uint64{"app": 2, "label": 1, "zodiac": 1}, counts)
	}
	empty := writeArchive(t, recovery, nil)
	counts, err := hosting.VerifyArchive(bytes.NewReader(empty), recovery, nil)
	require.NoError(t, err)
	require.Empty(t, counts)
}

// The bytes are those of the specification, and what is written again is the
// same, unknown types included.
func TestArchiveBytes(t *testing.T) {
	file := writeArchive(t, recovery, nil, archived()...)
	want := []byte("gembok-export/1\n")
	for _, r := range archived() {
		e := wire.ArchiveEntry{Type: r.Type, Name: r.Name, Data: r.Data}
		if !r.Time.IsZero() {
			e.Time = uint64(r.Time.UnixMilli())
		}
		want = append(want, archiveFrame(e)...)
	}
	want = append(want, archiveEnding(want, wire.ArchiveCount{Type: "app", Count: 2}, wire.ArchiveCount{Type: "label", Count: 1}, wire.ArchiveCount{Type: "zodiac", Count: 1})...)
	require.Equal(t, want, archivePayload(t, file))
	require.True(t, bytes.HasPrefix(file, []byte("age-encryption.org/v1\n")))

	again, err := readArchive(bytes.NewReader(file), recovery, nil)
	require.NoError(t, err)
	require.Equal(t, want, archivePayload(t, writeArchive(t, recovery, nil, again...)))
}

// refusedArchive requires that a file is found to be none, by reading and verifying,
// and that what is read of it until then is the beginning of what was written.
func refusedArchive(t testing.TB, file []byte, key *hosting.ArchiveKey, class ...error) {
	t.Helper()
	got, err := readArchive(bytes.NewReader(file), key, nil)
	is := false
	for _, c := range class {
		is = is || errors.Is(err, c)
	}
	require.True(t, is, "%v", err)
	require.LessOrEqual(t, len(got), len(archived()))
	if len(got) > 0 && got[0].Type == "app" {
		require.Equal(t, archived()[:len(got)], got)
	}
	counts, again := hosting.VerifyArchive(bytes.NewReader(file), key, nil)
	require.Equal(t, err, again)
	require.Nil(t, counts)
}

// Not a byte of a file can be changed, cut off or added.
func TestArchiveDamaged(t *testing.T) {
	for _, key := range []*hosting.ArchiveKey{recovery, passphrase()} {
		file := writeArchive(t, key, nil, archived()...)
		step := 3
		if testing.Short() {
			step = 19
		}
		for n := 0; n < len(file); n += step {
			refusedArchive(t, file[:n], key, session.ErrAuth, session.ErrMalformed)
			file[n] ^= 1 << (n % 8)
			refusedArchive(t, file, key, session.ErrAuth, session.ErrMalformed, session.ErrTooLarge, keystore.ErrPassphrase)
			file[n] ^= 1 << (n % 8)
		}
		refusedArchive(t, append(bytes.Clone(file), 0), key, session.ErrAuth)
		refusedArchive(t, append(bytes.Clone(file), file...), key, session.ErrAuth)
	}
	// Where the last chunk is a whole one, what follows is seen behind it only.
	size := 64<<10 - len(archivePayload(t, writeArchive(t, recovery, nil, hosting.ArchiveRecord{Type: "app", Data: make([]byte, 60_000)})))
	whole := writeArchive(t, recovery, nil, hosting.ArchiveRecord{Type: "app", Data: make([]byte, 60_000+size)})
	require.Len(t, archivePayload(t, whole), 64<<10)
	_, err := hosting.VerifyArchive(bytes.NewReader(whole), recovery, nil)
	require.NoError(t, err)
	_, err = hosting.VerifyArchive(bytes.NewReader(append(whole, 0)), recovery, nil)
	require.ErrorIs(t, err, session.ErrAuth)
	for _, none := range []string{"x", "PK\x03\x04 a file of another kind", "age-encryption.org/v2\n", "age-encryption.org/v1 \n"} {
		refusedArchive(t, []byte(none), recovery, session.ErrMalformed)
	}
}

// Of a file with several chunks none can be moved, left out or put in twice.
func TestArchiveChunks(t *testing.T) {
	big := []hosting.ArchiveRecord{{Type: "zodiac", Name: "big", Data: bytes.Repeat([]byte("abcdefg"), 40_000)}}
	file := writeArchive(t, recovery, nil, big...)
	_, err := hosting.VerifyArchive(bytes.NewReader(file), recovery, nil)
	require.NoError(t, err)
	const chunk = 64<<10 + 16
	at := bytes.Index(file, []byte("\n--- "))
	at += 1 + bytes.IndexByte(file[at+1:], '\n') + 1 + 16 // behind the nonce
	require.Greater(t, len(file)-at, 4*chunk)
	part := func(n int) []byte { return file[at+n*chunk : min(len(file), at+(n+1)*chunk)] }
	for name, b := range map[string][][]byte{
		"moved": {file[:at], part(1), part(0), part(2), part(3), part(4)}, "left out": {file[:at], part(0), part(2), part(3), part(4)},
		"twice": {file[:at], part(0), part(0), part(1), part(2), part(3), part(4)}, "no last": {file[:at], part(0), part(1), part(2), part(3)},
		"none": {file[:at]}, "only the last": {file[:at], part(4)}, "more": {file, part(4)},
	} {
		_, err := hosting.VerifyArchive(bytes.NewReader(bytes.Join(b, nil)), recovery, nil)
		require.ErrorIs(t, err, session.ErrAuth, name)
	}
}

// Who has the key, or its public half, does not get past the end record.
func TestArchiveRecords(t *testing.T) {
	line := []byte(wire.ArchiveLine)
	one, two := archiveFrame(wire.ArchiveEntry{Type: "zodiac", Name: "1"}), archiveFrame(wire.ArchiveEntry{Type: "zodiac", Name: "2"})
	count := wire.ArchiveCount{Type: "zodiac", Count: 2}
	end := archiveEnding(bytes.Join([][]byte{line, one, two}, nil), count)
	_, err := hosting.VerifyArchive(bytes.NewReader(enclose(t, line, one, two, end)), recovery, nil)
	require.NoError(t, err)
	huge := binary.BigEndian.AppendUint32(nil, math.MaxUint32)
	for name, c := range map[string]struct {
		parts [][]byte
		class error
	}{
		"nothing": {nil, session.ErrAuth}, "line alone": {[][]byte{line}, session.ErrAuth}, "no end": {[][]byte{line, one, two}, session.ErrAuth},
		"reordered": {[][]byte{line, two, one, end}, session.ErrAuth}, "left out": {[][]byte{line, one, end}, session.ErrAuth},
		"twice": {[][]byte{line, one, two, two, end}, session.ErrAuth}, "end twice": {[][]byte{line, one, two, end, end}, session.ErrAuth},
		"more": {[][]byte{line, one, two, end, {0}}, session.ErrAuth}, "cut": {[][]byte{line, one, two[:5]}, session.ErrAuth},
		"cut length":   {[][]byte{line, one, two[:3]}, session.ErrAuth},
		"counts":       {[][]byte{line, one, two, archiveEnding(bytes.Join([][]byte{line, one, two}, nil), wire.ArchiveCount{Type: "zodiac", Count: 3})}, session.ErrAuth},
		"version":      {[][]byte{[]byte("gembok-export/2\n"), end}, session.ErrVersion},
		"line":         {[][]byte{[]byte("another thing!!!"), end}, session.ErrMalformed},
		"empty record": {[][]byte{line, {0, 0, 0, 0}}, session.ErrMalformed}, "record": {[][]byte{line, {0, 0, 0, 1, 0x80}}, session.ErrMalformed},
		"end":  {[][]byte{line, archiveFrame(wire.ArchiveEntry{Type: "end", Data: []byte{1}})}, session.ErrMalformed},
		"huge": {[][]byte{line, huge}, session.ErrTooLarge},
		"long": {[][]byte{line, binary.BigEndian.AppendUint32(nil, wire.MaxArchiveEntry+1)}, session.ErrTooLarge},
	} {
		_, err := hosting.VerifyArchive(bytes.NewReader(enclose(t, c.parts...)), recovery, nil)
		require.ErrorIs(t, err, c.class, name)
	}
}

// A length allocates nothing that is not there, and a header is bounded.
func TestArchiveAllocates(t *testing.T) {
	file := enclose(t, []byte(wire.ArchiveLine), binary.BigEndian.AppendUint32(nil, wire.MaxArchiveEntry), make([]byte, 100))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := hosting.VerifyArchive(bytes.NewReader(file), recovery, nil)
	runtime.ReadMemStats(&after)
	require.ErrorIs(t, err, session.ErrAuth)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(2<<20))

	stanza := "-> grease\n" + strings.Repeat("A", 64) + "\n\n"
	header := "age-encryption.org/v1\n" + strings.Repeat(stanza, 1<<20/len(stanza))
	src := bytes.NewReader([]byte(header))
	_, err = hosting.VerifyArchive(src, recovery, nil)
	require.ErrorIs(t, err, session.ErrTooLarge)
	require.Greater(t, src.Len(), 1<<19)
}

// Of an archive of many records, one is there at a time.
func TestArchiveMemory(t *testing.T) {
	r, w := io.Pipe()
	records := 1000
	if testing.Short() {
		records = 200
	}
	done := make(chan error, 1)
	go func() {
		out, err := hosting.NewArchiveWriter(w, recovery, nil)
		data := make([]byte, 64<<10)
		for i := 0; err == nil && i < records; i++ {
			err = out.Write(&hosting.ArchiveRecord{Type: "app", Name: fmt.Sprint(i), Data: data})
		}
		if err == nil {
			err = out.Close()
		}
		w.CloseWithError(err)
		done <- err
	}()
	live := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	start, most := live(), uint64(0)
	counts, err := hosting.VerifyArchive(r, recovery, &hosting.ArchiveOptions{Progress: func(n, _ int64) error {
		if n%100 == 0 {
			most = max(most, live())
		}
		return nil
	}})
	require.NoError(t, err)
	require.NoError(t, <-done)
	require.Equal(t, map[string]uint64{"app": uint64(records)}, counts)
	require.Less(t, most, start+4<<20)
}

func TestArchiveKeys(t *testing.T) {
	for _, right := range []*hosting.ArchiveKey{recovery, passphrase()} {
		file := writeArchive(t, right, nil, archived()...)
		for _, wrong := range []*hosting.ArchiveKey{nil, {}, hosting.NewArchiveKey(""), hosting.NewArchiveKey("kopi pahit"), hosting.GenerateArchiveKey(), recovery.Public()} {
			refusedArchive(t, file, wrong, keystore.ErrPassphrase)
		}
	}
	for _, none := range []*hosting.ArchiveKey{nil, {}, hosting.NewArchiveKey(""), passphrase().Public()} {
		_, err := hosting.NewArchiveWriter(io.Discard, none, nil)
		require.ErrorIs(t, err, keystore.ErrPassphrase)
	}
	require.Empty(t, passphrase().Text())
	for _, k := range []*hosting.ArchiveKey{recovery, recovery.Public()} {
		again, err := hosting.ParseArchiveKey(" " + k.Text() + "\n")
		require.NoError(t, err)
		require.Equal(t, k.Text(), again.Text())
		require.Equal(t, k.Public().Text(), again.Public().Text())
		for n := range k.Text() {
			if n%50 == 0 || n < 25 {
				_, err := hosting.ParseArchiveKey(k.Text()[:n])
				require.ErrorIs(t, err, session.ErrMalformed)
				testutil.NoTrace(t, err.Error(), []byte(recovery.Text())[20:60])
			}
		}
	}
	testutil.RequireRedacted(t, recovery, []byte(recovery.Text())[20:60])
	testutil.RequireRedacted(t, passphrase(), []byte("kopi pahit tanpa gula"))
	testutil.RequireRedacted(t, &hosting.ArchiveRecord{Type: "app", Data: []byte("kopi pahit tanpa gula")}, []byte("kopi pahit tanpa gula"))
}

// A file cannot make its reader work longer, or take more memory, than gembok's
// own do.
func TestArchiveWorkFactor(t *testing.T) {
	file := writeArchive(t, passphrase(), nil, archived()...)
	at := bytes.Index(file, []byte(" 4\n"))
	require.Positive(t, at)
	for _, factor := range []string{"19", "22", "30", "64", "999999999"} {
		refusedArchive(t, bytes.Join([][]byte{file[:at+1], []byte(factor), file[at+2:]}, nil), passphrase(), session.ErrTooLarge)
	}
	for _, factor := range []string{"0", "-1", "04", "", "x", "99999999999999999999999"} {
		refusedArchive(t, bytes.Join([][]byte{file[:at+1], []byte(factor), file[at+2:]}, nil), passphrase(), session.ErrAuth)
	}
}

func TestArchiveSources(t *testing.T) {
	file := writeArchive(t, recovery, nil, archived()...)
	broken := errors.New("the cable")
	for _, n := range []int{0, 10, 100, len(file) - 100, len(file) - 1, len(file)} {
		src := io.MultiReader(bytes.NewReader(file[:n]), iotest.ErrReader(broken))
		_, err := readArchive(src, recovery, nil)
		require.ErrorIs(t, err, broken, n)
		require.NotErrorIs(t, err, session.ErrAuth)
	}
	for range hosting.ReadArchive(bytes.NewReader(file), recovery, nil) {
		break // is allowed
	}
}

// A fullDisk is a place that has room for so many bytes.
type fullDisk struct{ left int }

var errFull = errors.New("fullDisk")

func (f *fullDisk) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestArchiveWriter(t *testing.T) {
	file := writeArchive(t, recovery, nil, archived()...)
	for n := 0; n < len(file); n += 5 {
		w, err := hosting.NewArchiveWriter(&fullDisk{n}, recovery, nil)
		for i := 0; err == nil && i < len(archived()); i++ {
			err = w.Write(&archived()[i])
		}
		if err == nil {
			err = w.Close()
		}
		require.ErrorIs(t, err, errFull)
		if w != nil {
			require.ErrorIs(t, w.Close(), errFull)
			require.ErrorIs(t, w.Write(&archived()[0]), errFull)
		}
	}
	var out bytes.Buffer
	w, err := hosting.NewArchiveWriter(&out, recovery, nil)
	require.NoError(t, err)
	for class, all := range map[error][]*hosting.ArchiveRecord{
		session.ErrMalformed: {nil, {}, {Type: "end"}, {Type: "account"}, {Type: strings.Repeat("a", 65)}, {Type: "\xFF"}, {Type: "app", Name: "\xFF"}},
		session.ErrTooLarge:  {{Type: "app", Name: strings.Repeat("a", 32<<10+1)}, {Type: "app", Data: make([]byte, 64<<20+1)}},
	} {
		for _, r := range all {
			require.ErrorIs(t, w.Write(r), class)
		}
	}
	for n := range 257 {
		err := w.Write(&hosting.ArchiveRecord{Type: fmt.Sprint(n)})
		if n < 256 {
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, session.ErrTooLarge)
		}
	}
	require.NoError(t, w.Close())
	require.Error(t, w.Close())
	require.Error(t, w.Write(&archived()[0]))
	counts, err := hosting.VerifyArchive(&out, recovery, nil)
	require.NoError(t, err)
	require.Len(t, counts, 256) // what was refusedArchive is not in it
}

func TestArchiveProgress(t *testing.T) {
	var seen []int64
	last := int64(0)
	progress := func(records, bytes int64) error {
		require.GreaterOrEqual(t, bytes, last)
		seen, last = append(seen, records), bytes
		return nil
	}
	o := &hosting.ArchiveOptions{Progress: progress}
	file := writeArchive(t, recovery, o, archived()...)
	require.Equal(t, []int64{1, 2, 3, 4}, seen)
	seen, last = nil, 0
	_, err := readArchive(bytes.NewReader(file), recovery, o)
	require.NoError(t, err)
	require.Equal(t, []int64{1, 2, 3, 4}, seen)
	require.LessOrEqual(t, last, int64(len(file)))

	enough := errors.New("enough")
	stop := &hosting.ArchiveOptions{Progress: func(n, _ int64) error {
		if n == 2 {
			return enough
		}
		return nil
	}}
	got, err := readArchive(bytes.NewReader(file), recovery, stop)
	require.ErrorIs(t, err, enough)
	require.Len(t, got, 2)
	_, err = hosting.VerifyArchive(bytes.NewReader(file), recovery, stop)
	require.ErrorIs(t, err, enough)
	w, err := hosting.NewArchiveWriter(io.Discard, recovery, stop)
	require.NoError(t, err)
	require.NoError(t, w.Write(&archived()[0]))
	require.ErrorIs(t, w.Write(&archived()[1]), enough)
	require.ErrorIs(t, w.Close(), enough)
}

// What has disappeared is not taken along.
func TestArchiveDisappearing(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_000)
	var records []hosting.ArchiveRecord
	for name, expires := range map[string]time.Time{
		"gone": now.Add(-time.Hour), "just gone": now, "there": now.Add(time.Millisecond), "stays": {},
	} {
		records = append(records, hosting.ArchiveRecord{Type: "app", Name: name, Data: []byte("text"), Expires: expires})
	}
	file := writeArchive(t, recovery, &hosting.ArchiveOptions{Now: func() time.Time { return now }}, records...)
	got, err := readArchive(bytes.NewReader(file), recovery, nil)
	require.NoError(t, err)
	var names []string
	for _, r := range got {
		names = append(names, r.Name)
	}
	require.ElementsMatch(t, []string{"there", "stays"}, names)
	require.Len(t, writeArchive(t, recovery, nil, hosting.ArchiveRecord{Type: "app", Expires: now}), len(writeArchive(t, recovery, nil)))
}

func FuzzArchivePayload(f *testing.F) {
	line := []byte(wire.ArchiveLine)
	f.Add(line)
	f.Add(archivePayload(f, writeArchive(f, recovery, nil, archived()...)))
	f.Add(append(bytes.Clone(line), archiveEnding(line)...))
	f.Add(archivePayload(f, exportDevice(f, archiveWorld(f).Own[0], true)))
	for _, r := range archivedTexts(f) {
		f.Add(append(bytes.Clone(line), archiveFrame(wire.ArchiveEntry{Type: r.Type, Name: r.Name, Data: r.Data})...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := readArchive(bytes.NewReader(enclose(t, b)), recovery, nil)
		for i := range got {
			fuzzArchiveText(t, &got[i])
		}
		isAccount := func(r hosting.ArchiveRecord) bool { return r.Type == "account" }
		if err == nil && !slices.ContainsFunc(got, isAccount) {
			require.Equal(t, b, archivePayload(t, writeArchive(t, recovery, nil, got...)))
		}
	})
}
