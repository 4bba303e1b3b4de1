package person

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/session/attachment"
	"github.com/gembok-e2ee/gembok/session/examples/chat/post"
)

// A bent way changes the files that the relay hands out.
type bent struct {
	Transport
	bend func(blob []byte) []byte
}

func (b bent) Do(ctx context.Context, r *Request) (int, []byte, error) {
	status, answer, err := b.Transport.Do(ctx, r)
	if r.Progress != nil {
		r.Progress(1, 2)
	}
	if r.Method == "GET" && r.Path[0] == "file" {
		answer = b.bend(answer)
	}
	return status, answer, err
}

// A file comes as it was, or not at all; the relay sees the size of its bucket.
func TestFile(t *testing.T) {
	r, ani, budi := twoFriends(t)
	picture := bytes.Repeat([]byte("sunrise "), 1000)
	_, _, err := budi.LastFile(t.Context(), "ani", nil)
	require.ErrorContains(t, err, "no file came")

	told := 0
	progress := func(done, total int64) { told++ }
	same := func(blob []byte) []byte { return blob }
	ani.relay.transport = bent{ani.relay.transport, same}
	require.NoError(t, ani.SendFile(t.Context(), "budi", "sunrise.png", picture, progress))
	require.Equal(t, 3, told, "encrypted, half of it uploaded, all")
	_, err = ani.Flush(t.Context())
	require.NoError(t, err)
	ani.next(t, SentEvent)
	shown := budi.receives(t, ReadEvent)[0]
	require.Equal(t, &File{Name: "sunrise.png", Size: int64(len(picture))}, shown.File)
	require.Equal(t, "[sunrise.png, 8000 bytes]", shown.Text)
	size, err := attachment.EncryptedSize(int64(len(picture)))
	require.NoError(t, err)
	all, err := ani.notes.all(t.Context(), kindHistory)
	require.NoError(t, err)
	id := all[len(all)-1].File.Blob
	good, err := r.left(t.Context(), id, nil)
	require.NoError(t, err)
	require.EqualValues(t, size, len(good))
	require.False(t, bytes.Contains(good, picture[:16]))
	require.NoError(t, r.leave(t.Context(), id, []byte("another"), nil), "taken before")

	straight := budi.relay.transport
	for name, bad := range map[string][]byte{
		"changed": append(bytes.Clone(good[:len(good)-1]), good[len(good)-1]^1), "short": good[:len(good)-16], "empty": nil,
	} {
		budi.relay.transport = bent{straight, func([]byte) []byte { return bad }}
		_, _, err := budi.LastFile(t.Context(), "ani", nil)
		require.Error(t, err, name)
	}
	budi.relay.transport = bent{straight, same}
	file, got, err := budi.LastFile(t.Context(), "ani", progress)
	require.NoError(t, err)
	require.Equal(t, 4, told)
	require.Equal(t, "sunrise.png", file)
	require.Equal(t, picture, got)
	r.forgets()
	_, _, err = budi.LastFile(t.Context(), "ani", nil)
	require.ErrorIs(t, err, post.ErrUnknown)
	require.ErrorContains(t, ani.SendFile(t.Context(), "budi", "x", make([]byte, MaxFile+1), nil), "not sent")
	size, err = attachment.EncryptedSize(MaxFile)
	require.NoError(t, err)
	require.LessOrEqual(t, size, int64(post.MaxBlob))
}

// A file is sent and taken with progress, by the line that it is in, and what is
// refused is not uploaded.
func TestFileOfLine(t *testing.T) {
	r, ani, budi := twoFriends(t)
	content := bytes.Repeat([]byte("mango"), 40_000)
	var steps [][2]int64
	watched := func(done, total int64) { steps = append(steps, [2]int64{done, total}) }
	require.NoError(t, ani.SendFile(t.Context(), "budi", "mango.txt", content, watched))
	require.Greater(t, len(steps), 3)
	for i, s := range steps {
		require.Equal(t, steps[0][1], s[1])
		require.True(t, i == 0 || s[0] >= steps[i-1][0])
	}
	require.Equal(t, steps[0][1], steps[len(steps)-1][0])
	mine := ani.with(t, "budi").Last
	require.Equal(t, &File{"mango.txt", 200_000}, mine.File)
	for _, sent := range []bool{false, true} {
		if sent {
			ani.sendsAll(t, SentEvent)
		}
		name, got, err := ani.File(t.Context(), mine.ID, nil)
		require.NoError(t, err)
		require.Equal(t, "mango.txt", name)
		require.Equal(t, content, got)
	}
	require.NoError(t, budi.receiveSome(t.Context()))
	theirs := budi.with(t, "ani").Last
	require.Equal(t, mine.File, theirs.File)
	_, got, err := budi.File(t.Context(), theirs.ID, nil)
	require.NoError(t, err)
	require.Equal(t, content, got)

	_, _, err = budi.File(t.Context(), "another", nil)
	code, _ := budi.Plain(err)
	require.Equal(t, "file", code)
	r.forgets()
	_, _, err = budi.File(t.Context(), theirs.ID, nil)
	require.ErrorIs(t, err, post.ErrUnknown)
	code, _ = budi.Plain(err)
	require.Equal(t, "file", code)
	require.Error(t, ani.SendFile(t.Context(), "budi", "large", make([]byte, MaxFile+1), nil))
	require.Error(t, ani.SendFile(t.Context(), "budi", strings.Repeat("x", maxFileName+1), nil, nil))
}

// A file that is not at the relay yet waits in the outbox, whatever ends meanwhile, and
// arrives once.
func TestFileWaits(t *testing.T) {
	r, ani, budi := twoFriends(t)
	content := bytes.Repeat([]byte("mango"), 40_000)
	status := 0 // of answers to what is uploaded, 0 for the relay's own
	bad := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodPut && strings.HasPrefix(req.URL.Path, "/file/") && status != 0 {
			w.WriteHeader(status)
			return
		}
		r.ServeHTTP(w, req)
	})
	ani.relay.transport = direct{bad}
	status = http.StatusBadGateway
	require.NoError(t, ani.SendFile(t.Context(), "budi", "mango.txt", content, nil))
	ani.until(t, WaitsEvent)
	require.Empty(t, r.Mail(budi1))
	line := ani.with(t, "budi").Last
	require.Equal(t, "waiting", line.State)
	_, got, err := ani.File(t.Context(), line.ID, nil)
	require.NoError(t, err)
	require.Equal(t, content, got)

	ani = newTestPerson(t, ani1, bad, ani.store)
	left, err := ani.Flush(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, left)
	status = 0
	left, err = ani.Flush(t.Context())
	require.NoError(t, err)
	require.Zero(t, left)
	require.NoError(t, budi.receiveSome(t.Context()))
	_, got, err = budi.File(t.Context(), budi.with(t, "ani").Last.ID, nil)
	require.NoError(t, err)
	require.Equal(t, content, got)
	require.Zero(t, ani.blobs(t), "the relay has it")

	status = http.StatusRequestEntityTooLarge
	require.NoError(t, ani.SendFile(t.Context(), "budi", "melon.txt", content, nil))
	require.NotZero(t, ani.blobs(t))
	left, err = ani.Flush(t.Context())
	require.NoError(t, err)
	require.Zero(t, left, "it never goes")
	ani.until(t, TroubleEvent)
	require.Zero(t, ani.blobs(t))
}

// blobs is how many files wait to be uploaded.
func (p *testPerson) blobs(t *testing.T) (n int) {
	t.Helper()
	for _, err := range p.store.List(t.Context(), p.notes.scope, kindBlob, "") {
		require.NoError(t, err)
		n++
	}
	return n
}
