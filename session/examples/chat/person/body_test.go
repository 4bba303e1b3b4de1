package person

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/session/attachment"
)

func pointerOf(t require.TestingT, content []byte) (blob, pointer []byte) {
	var out bytes.Buffer
	w, err := attachment.NewWriter(&out, int64(len(content)))
	require.NoError(t, err)
	_, err = w.Write(content)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return out.Bytes(), w.Pointer().Bytes()
}

// FuzzBody: whatever a peer sends is refused, or is the same again when it is
// written.
func FuzzBody(f *testing.F) {
	_, pointer := pointerOf(f, []byte("picture"))
	for _, b := range []*body{
		{ID: "a", Text: "Halo \x1b"}, {ID: "b", File: &file{Name: "a/../b", Blob: "c", Pointer: pointer}}, {},
		{ID: "c", Group: "ani/family", Members: []string{"ani", "budi"}, Round: 2}, {ID: "d", Group: "ani"}, {ID: "e", Members: []string{"a"}},
	} {
		text, err := b.bytes()
		require.NoError(f, err)
		f.Add(text)
	}
	f.Add([]byte("null"))
	f.Fuzz(func(t *testing.T, text []byte) {
		b, err := parseBody(text)
		if err != nil {
			require.ErrorIs(t, err, errBody)
			return
		}
		_ = b.says()
		again, err := b.bytes()
		require.NoError(t, err)
		c, err := parseBody(again)
		require.NoError(t, err)
		require.Equal(t, b, c)
	})
}

func TestBodyFile(t *testing.T) {
	_, pointer := pointerOf(t, []byte("picture"))
	_, large := pointerOf(t, make([]byte, MaxFile+1))
	for name, f := range map[string]*file{
		"no pointer": {Blob: "a"}, "no blob": {Pointer: pointer}, "blob": {Blob: "../a", Pointer: pointer},
		"long name": {Blob: "a", Pointer: pointer, Name: strings.Repeat("x", maxFileName+1)}, "large": {Blob: "a", Pointer: large},
	} {
		text, err := (&body{ID: "a", File: f}).bytes()
		require.NoError(t, err)
		_, err = parseBody(text)
		require.ErrorIs(t, err, errBody, name)
		require.Equal(t, errBody.Error(), (&body{File: f}).says())
	}
}
