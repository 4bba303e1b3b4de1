package attachment_test

import (
	"math"
	"math/big"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/session/attachment"
)

// powers returns ⌊1.05^k⌋ in exact arithmetic, until limit is reached.
func powers(limit int64) (all []int64) {
	num, den := big.NewInt(1), big.NewInt(1)
	for {
		n := new(big.Int).Quo(num, den).Int64()
		if all = append(all, n); n >= limit {
			return all
		}
		num.Mul(num, big.NewInt(21))
		den.Mul(den, big.NewInt(20))
	}
}

// Around every power of 1.05 up to MaxSize, the bucket is what exact arithmetic
// says.
func TestATT_06_Buckets(t *testing.T) {
	all := powers(attachment.MaxSize)
	first := []int64{541, 568, 596, 626, 657, 690, 725, 761, 799, 839, 881, 925, 972, 1020, 1071}
	require.Equal(t, first, all[129:129+len(first)])
	exact := func(n int64) int64 {
		for _, p := range all[129:] {
			if p >= n {
				return p
			}
		}
		panic("over the largest")
	}
	for _, p := range all {
		for n := max(0, p-2); n <= min(p+2, attachment.MaxSize); n++ {
			require.Equal(t, exact(n), attachment.Bucket(n), "%d", n)
		}
	}
	for n := range int64(542) {
		require.EqualValues(t, 541, attachment.Bucket(n))
	}
}

// The sizes that the apps' double-precision arithmetic yields are the same for
// what they send.
func TestATT_06_AsTheApps(t *testing.T) {
	for _, p := range powers(100 << 20)[129:] {
		for n := p - 1; n <= p+1; n++ {
			apps := math.Max(541, math.Floor(math.Pow(1.05, math.Ceil(math.Log(float64(n))/math.Log(1.05)))))
			require.EqualValues(t, apps, attachment.Bucket(n), "%d", n)
		}
	}
}

func TestATT_06_Limits(t *testing.T) {
	for n, want := range map[int64]int64{0: 592, 1: 592, 541: 592, 542: 624, attachment.MaxSize: 0} {
		got, err := attachment.EncryptedSize(n)
		require.NoError(t, err)
		if want != 0 {
			require.Equal(t, want, got)
		}
	}
	for _, n := range []int64{attachment.MaxSize + 1, 1 << 40, math.MaxInt64 - 1, math.MaxInt64} {
		_, err := attachment.EncryptedSize(n)
		require.ErrorIs(t, err, attachment.ErrTooLarge)
		_, err = attachment.NewWriter(nil, n)
		require.ErrorIs(t, err, attachment.ErrTooLarge)
	}
	for _, n := range []int64{-1, math.MinInt64} {
		_, err := attachment.EncryptedSize(n)
		require.ErrorIs(t, err, attachment.ErrMalformed)
	}
}

// Lengths around 2^31 and 2^32 are not cut to 32 bits.
func TestATT_01_Lengths(t *testing.T) {
	for _, at := range []int64{1 << 31, 1 << 32, 1 << 33} {
		for n := at - 20; n < at+20; n++ {
			size, err := attachment.EncryptedSize(n)
			require.NoError(t, err)
			require.Greater(t, size, n)
			require.Less(t, size, n+n/19)
			require.Zero(t, size%16)
		}
	}
}

// The store sees one of 61 lengths for what has up to 10,000 bytes.
func TestPAD_02_AttachmentLengths(t *testing.T) {
	seen := map[int64]bool{}
	for n := range int64(10_001) {
		size, err := attachment.EncryptedSize(n)
		require.NoError(t, err)
		seen[size] = true
		require.LessOrEqual(t, size, 640+n+n/19)
	}
	require.LessOrEqual(t, len(seen), 61)
}
