package wire

import (
	"fmt"
	"slices"
)

// padBlock is the step in which the length of a padded Content grows, in bytes.
const padBlock = 80

// PaddedSize returns how many bytes a Content of n bytes has with its padding.
//
//	80·⌈(n + 2)/80⌉ − 1: 79 for n up to 78, 159 up to 158, and so on
//
// (sealed-groups-fingerprint, Section 7.4.) The byte that is missing to the
// block leaves room for the one that CBC padding adds at least.
func PaddedSize(n int) int { return (n+2+padBlock-1)/padBlock*padBlock - 1 }

// AppendPadded appends a Content with its padding: 0x80, then zero bytes.
func AppendPadded(dst, content []byte) []byte {
	n := PaddedSize(len(content))
	dst = slices.Grow(dst, n)
	end := len(dst) + n
	at := len(dst) + len(content) + 1
	dst = append(append(dst, content...), paddingMarker)
	clear(dst[at:end])
	return dst[:end]
}

// Pad is AppendPadded of a Content to nothing, in its own room if there is enough.
func Pad(content []byte) []byte {
	n, at := PaddedSize(len(content)), len(content)+1
	out := append(slices.Grow(content, n-len(content)), paddingMarker)[:n]
	clear(out[at:])
	return out
}

// TrimPadding returns what was padded, at whatever step: all before the last
// 0x80 with nothing but zero bytes behind it. The error is ErrMalformed where
// there is no such byte: deployed peers then take what they got, or nothing.
//
// It looks at plaintext, and so comes after the MAC; how long it takes tells
// how long the padding is.
func TrimPadding(padded []byte) ([]byte, error) {
	for i, b := range slices.Backward(padded) {
		switch b {
		case 0:
		case paddingMarker:
			return padded[:i:i], nil
		default:
			return nil, fmt.Errorf("%w: padding", ErrMalformed)
		}
	}
	return nil, fmt.Errorf("%w: no padding", ErrMalformed)
}
