package hosting_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/hosting"
)

// frames cuts the payload of an archive into its first line, its records behind
// their lengths, and the end.
func frames(t testing.TB, payload []byte) (out [][]byte) {
	t.Helper()
	line := len(wire.ArchiveLine)
	out, payload = append(out, payload[:line]), payload[line:]
	for len(payload) > 0 {
		n := 4 + int(binary.BigEndian.Uint32(payload))
		out, payload = append(out, payload[:n]), payload[n:]
	}
	return out
}

// refusedPayload requires that an archive of these bytes, by one who has the key, is
// found to be none.
func refusedPayload(t testing.TB, what string, payload ...[]byte) {
	t.Helper()
	file := enclose(t, payload...)
	counts, err := hosting.VerifyArchive(bytes.NewReader(file), recovery, nil)
	is := errors.Is(err, session.ErrAuth) || errors.Is(err, session.ErrMalformed) || errors.Is(err, session.ErrTooLarge) || errors.Is(err, session.ErrVersion)
	require.True(t, is, "%s: %v", what, err)
	require.Nil(t, counts)
	_, err = readArchive(bytes.NewReader(file), recovery, nil)
	require.Error(t, err)
}

// Of an archive of all that a device has, none can be cut off behind any record,
// left out, written twice or moved, and no bit be changed: also not by one who has
// the key, unless he makes another archive.
func TestArchiveEveryRecord(t *testing.T) {
	payload := archivePayload(t, exportDevice(t, archiveWorld(t).Own[0], true))
	parts := frames(t, payload)
	require.Greater(t, len(parts), 10)
	_, err := hosting.VerifyArchive(bytes.NewReader(enclose(t, parts...)), recovery, nil)
	require.NoError(t, err)
	for i := range parts {
		refusedPayload(t, "cut off", parts[:i]...)
		refusedPayload(t, "cut in", append(append([][]byte{}, parts[:i]...), parts[i][:len(parts[i])/2])...)
		refusedPayload(t, "left out", append(append([][]byte{}, parts[:i]...), parts[i+1:]...)...)
		refusedPayload(t, "twice", append(append(append([][]byte{}, parts[:i]...), parts[i]), parts[i:]...)...)
		for j := range i {
			swapped := append([][]byte{}, parts...)
			swapped[i], swapped[j] = swapped[j], swapped[i]
			if !bytes.Equal(parts[i], parts[j]) {
				refusedPayload(t, "moved", swapped...)
			}
		}
	}
	step := 3
	if testing.Short() {
		step = 29
	}
	for n := 0; n < len(payload); n += step {
		flipped := bytes.Clone(payload)
		flipped[n] ^= 1 << (n % 8)
		refusedPayload(t, "bit", flipped)
	}
}

// Verify tells of its progress as reading does.
func TestArchiveVerifyProgress(t *testing.T) {
	file := writeArchive(t, recovery, nil, archived()...)
	var seen []int64
	last := int64(0)
	_, err := hosting.VerifyArchive(bytes.NewReader(file), recovery, &hosting.ArchiveOptions{Progress: func(records, n int64) error {
		require.GreaterOrEqual(t, n, last)
		require.LessOrEqual(t, n, int64(len(file)))
		seen, last = append(seen, records), n
		return nil
	}})
	require.NoError(t, err)
	require.Equal(t, []int64{1, 2, 3, 4}, seen)
}

// A message with a timer is in an archive until its deadline: from when it was read
// at its reader's, from when it was sent at its sender's. One that was not read is.
func TestTimerOfArchive(t *testing.T) {
	w, b, k := met(t)
	c := session.Content{Body: []byte("PIN-nya 1234"), Timer: time.Minute, SentAt: w.now}
	m, err := k.Encrypt(ctx, b.Address(), c.Bytes())
	require.NoError(t, err)
	r, err := b.Decrypt(ctx, k.Address(), m, nil)
	require.NoError(t, err)
	sent, read := w.now, w.now.Add(10*time.Minute)
	for at, want := range map[time.Time][]string{
		sent: {"unread", "read", "sent"}, sent.Add(time.Minute): {"unread", "read"},
		read.Add(time.Minute - time.Millisecond): {"unread", "read"}, read.Add(time.Minute): {"unread"},
	} {
		file := writeArchive(t, recovery, &hosting.ArchiveOptions{Now: func() time.Time { return at }},
			hosting.ArchiveRecord{Type: "app", Name: "unread", Data: r.Content.Body},
			hosting.ArchiveRecord{Type: "app", Name: "read", Data: r.Content.Body, Expires: r.Timer().Deadline(read)},
			hosting.ArchiveRecord{Type: "app", Name: "sent", Data: c.Body, Expires: r.Timer().Deadline(sent)})
		records, err := readArchive(bytes.NewReader(file), recovery, nil)
		require.NoError(t, err)
		var names []string
		for _, rec := range records {
			names = append(names, rec.Name)
		}
		require.Equal(t, want, names)
	}
}
