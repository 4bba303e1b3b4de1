package attachment

import (
	"fmt"
	"math/bits"
)

// MaxSize is the largest plaintext of an attachment, in bytes: 32 GiB.
const MaxSize int64 = 32 << 30

// minBucket is the smallest padded size, ⌊1.05^129⌋.
const minBucket = 541

// EncryptedSize returns the length of the attachment that a plaintext of size
// bytes becomes, in bytes: what an upload has to announce. It is the same for
// all sizes of a bucket. The error is ErrTooLarge for a size over MaxSize, and
// ErrMalformed for one below 0.
func EncryptedSize(size int64) (int64, error) {
	switch {
	case size < 0:
		return 0, fmt.Errorf("%w: %d bytes", ErrMalformed, size)
	case size > MaxSize:
		return 0, fmt.Errorf("%w: attachment of %d bytes", ErrTooLarge, size)
	}
	return blobSize(bucket(size)), nil
}

// blobSize returns the length of a blob with n bytes of padded plaintext
// (sealed-groups-fingerprint, Section 7.2).
func blobSize(n int64) int64 { return overhead + (n/block+1)*block }

// bucket returns to how many bytes a plaintext of n is padded, n from 0 to
// MaxSize (sealed-groups-fingerprint, Section 7.3):
//
//	max(541, ⌊1.05^k⌋), with the smallest k for which that is n at least
//
// The power is kept in 64 bits and 64 more behind the point. Each step rounds
// down by less than 2^-64, which grows to less than 2^-23 until 1.05^k passes
// MaxSize; no power up to there is so close above a whole number, as a test shows
// for each of them.
func bucket(n int64) int64 {
	whole, fraction := uint64(1), uint64(0)
	for whole < uint64(max(n, minBucket)) {
		q := whole / 20
		f, _ := bits.Div64(whole%20, fraction, 20) // the remainder is below 20
		var carry uint64
		fraction, carry = bits.Add64(fraction, f, 0)
		whole += q + carry // < 2^36
	}
	return int64(whole)
}
