package main

import (
	"bytes"
	"errors"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func drawn(t *testing.T, data []byte) []string {
	t.Helper()
	var out strings.Builder
	require.NoError(t, drawQR(&out, data))
	text, ok := strings.CutSuffix(out.String(), "\n")
	require.True(t, ok)
	return strings.Split(text, "\n")
}

func written(t *testing.T, data []byte) image.Image {
	t.Helper()
	name := filepath.Join(t.TempDir(), "code.png")
	require.NoError(t, writeQR(name, data))
	f, err := os.Open(name)
	require.NoError(t, err)
	defer f.Close()
	picture, err := png.Decode(f)
	require.NoError(t, err)
	return picture
}

// The scannable form of a fingerprint has 74 bytes, for which a code has 37
// modules on a side; the picture shows what the terminal does.
func TestQR(t *testing.T) {
	data := make([]byte, 74)
	for i := range data {
		data[i] = byte(i * 37)
	}
	const size = 37 + 2*quietZone
	lines := drawn(t, data)
	require.Len(t, lines, (size+1)/2)
	require.Equal(t, lines, drawn(t, data))
	picture := written(t, data)
	require.Equal(t, picture, written(t, data))
	scale := picture.Bounds().Dx() / size
	require.Equal(t, image.Rect(0, 0, scale*size, scale*size), picture.Bounds())

	dark := 0
	for y, line := range lines {
		require.Equal(t, size, utf8.RuneCountInString(line))
		for x, c := range []rune(line) {
			for half, light := range map[int]string{0: "█▀", 1: "█▄"} {
				if 2*y+half == size {
					require.NotContains(t, light, string(c)) // past the last row
					continue
				}
				grey, _, _, _ := picture.At(x*scale+scale/2, (2*y+half)*scale+scale/2).RGBA()
				require.Equal(t, grey > 0x7FFF, strings.ContainsRune(light, c), "%d, %d", x, 2*y+half)
				if grey <= 0x7FFF {
					dark++
				}
			}
		}
	}
	require.InDelta(t, 37*37/2, dark, 37*37/10) // of so many modules, about a half
	require.NotEqual(t, lines, drawn(t, data[:73]))
}

func TestQRErrors(t *testing.T) {
	big := bytes.Repeat([]byte{0xFF}, 2332)
	require.Error(t, drawQR(new(strings.Builder), big))
	name := filepath.Join(t.TempDir(), "code.png")
	require.Error(t, writeQR(name, big))
	require.NoFileExists(t, name)
	require.NoError(t, drawQR(new(strings.Builder), big[1:]))

	full := errors.New("full")
	require.ErrorIs(t, drawQR(failing{full}, []byte("code")), full)
	require.Error(t, writeQR(filepath.Join(name, "below", "nothing"), []byte("code")))
}

// failing is a writer that fails.
type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }
