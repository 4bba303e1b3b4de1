package interop

import "encoding/hex"

// Hex is bytes that travel as a hex string. A []byte is assignable to it and
// back.
type Hex []byte

// MarshalText returns h in lower-case hex.
func (h Hex) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h), nil }

// UnmarshalText sets h to the bytes that text spells.
func (h *Hex) UnmarshalText(text []byte) error {
	b, err := hex.AppendDecode(make([]byte, 0, len(text)/2), text)
	*h = b
	return err
}
