// Package wire holds the bytes of gembok: structs of raw fields and their
// encodings, over protobuf's wire format. It knows no keys and no
// cryptography; what a field means is checked by the package that uses it.
//
// Parsed values point into the input, which the caller leaves unchanged
// while it uses them.
//
// # Parsing rules
//
// They are those of deployed peers (spec/wire-core.md, Section 6.7), so that
// both sides give the same verdict on the same bytes: unknown fields are
// skipped, groups among them, up to a hundred deep; of a repeated singular
// field the last one counts, and repeated singular messages are merged; a
// uint32 keeps the low 32 bits of its varint; over-long varints of up to ten
// bytes are read. A known field of another wire type, a field number outside
// 1 to 2^29−1, and truncation are ErrMalformed.
package wire

import "errors"

// The classes of bad input, shared by every package above. Public packages
// re-export them, so that errors.Is works from any of them.
var (
	// ErrMalformed reports bytes that are not an encoding of what was expected.
	ErrMalformed = errors.New("gembok: malformed input")
	// ErrVersion reports a version that this library does not speak.
	ErrVersion = errors.New("gembok: unsupported version")
	// ErrTooLarge reports input over a documented maximum.
	ErrTooLarge = errors.New("gembok: input too large")
	// ErrAuth is the one answer to whatever depends on a secret: MAC, padding,
	// tag, KEM, address binding.
	ErrAuth = errors.New("gembok: authentication failed")
)
