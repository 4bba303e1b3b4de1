package attachment_test

import (
	"bytes"
	"io"
	"math"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/etm"
	"github.com/gembok-e2ee/gembok/session/attachment"
)

// relist gives p the incremental MAC of a blob with chunks of another size.
func relist(p *attachment.Pointer, blob []byte, chunk int) *attachment.Pointer {
	q := *p
	list := etm.NewIncremental((*[32]byte)(p.Key[32:]), chunk)
	list.Write(blob)
	q.ChunkSize = uint32(chunk)
	q.MACs, _ = list.List()
	return &q
}

// Chunks of every kind of size: of part of a block, of whole ones, over the whole.
func TestATT_05_ChunkSizes(t *testing.T) {
	plaintext := data(5000)
	blob, p := seal(t, plaintext, 5000)
	for _, chunk := range []int{1, 2, 7, 15, 16, 17, 31, 32, 47, 48, 49, 63, 64, 65, 255, 256, 1000, len(blob) - 49, len(blob) - 48, len(blob) - 47,
		len(blob) - 33, len(blob) - 32, len(blob) - 1, len(blob), len(blob) + 1, 100_000, etm.MaxChunk} {
		got, err := ways[0].decrypt(t, relist(p, blob, chunk), blob)
		require.NoError(t, err, chunk)
		require.Equal(t, plaintext, got)
	}
}

// An attachment of more than one chunk and buffer, and its list.
func long(t *testing.T) (plaintext, blob []byte, p *attachment.Pointer) {
	plaintext = data(200_000)
	blob, p = seal(t, plaintext, int64(len(plaintext)))
	require.Len(t, p.MACs, 4*32)
	return plaintext, blob, p
}

// However the source returns bytes, and however much is asked for at a time.
func TestATT_05_Reads(t *testing.T) {
	plaintext, blob, p := long(t)
	odd, asks := relist(p, blob, 1009), []int{15, 4096, 1 << 20, 1}
	if testing.Short() {
		asks = asks[:3] // TestReader asks for 1, too
	}
	for name, source := range map[string]func(io.Reader) io.Reader{
		"one byte": iotest.OneByteReader, "half": iotest.HalfReader, "error with data": iotest.DataErrReader,
		"nothing at times": func(r io.Reader) io.Reader { return &idle{r: r} },
	} {
		for _, p := range []*attachment.Pointer{p, odd} {
			for _, ask := range asks {
				r, err := p.Open(source(bytes.NewReader(blob)))
				require.NoError(t, err)
				got := make([]byte, 0, len(plaintext))
				buf := make([]byte, ask)
				for err == nil {
					var n int
					n, err = r.Read(buf)
					got = append(got, buf[:n]...)
				}
				require.Equal(t, io.EOF, err)
				require.True(t, bytes.Equal(plaintext, got), "%s, %d", name, ask)
			}
		}
	}
	r, err := p.Open(bytes.NewReader(blob))
	require.NoError(t, err)
	require.NoError(t, iotest.TestReader(r, plaintext))
}

// An idle source returns nothing, and no error, every other time; as often as it
// is told to in a row.
type idle struct {
	r     io.Reader
	n     int
	never bool
}

func (i *idle) Read(b []byte) (int, error) {
	if i.n++; i.never || i.n%2 == 1 {
		return 0, nil
	}
	return i.r.Read(b)
}

// Nothing is returned before the chunk that it is in was there, with what is
// behind it, and was right.
func TestATT_05_NothingUnverified(t *testing.T) {
	plaintext, blob, p := long(t)
	for _, chunk := range []int{1009, 4096, 64 << 10} {
		p := relist(p, blob, chunk)
		given := 0
		r, err := p.Open(iotest.OneByteReader(&counted{bytes.NewReader(blob), &given}))
		require.NoError(t, err)
		got := 0
		for {
			n, err := r.Read(make([]byte, 100))
			if err == io.EOF {
				break
			}
			require.NoError(t, err)
			got += n
			if given < len(blob) {
				require.LessOrEqual(t, got+16, (given-48)/chunk*chunk)
			}
		}
		require.Equal(t, len(plaintext), got)
	}

	// A flipped bit anywhere in a chunk: all before it, and nothing of it.
	const chunk = 4096
	q := relist(p, blob, chunk)
	for at := 5; at < len(blob); at += every(1777) {
		bad := slices.Clone(blob)
		bad[at] ^= 0x40
		got, err := ways[0].decrypt(t, q, bad)
		require.ErrorIs(t, err, attachment.ErrAuth)
		require.LessOrEqual(t, len(got), max(0, at/chunk*chunk-16))
		require.True(t, bytes.HasPrefix(plaintext, got))
		got, err = ways[1].decrypt(t, q, bad)
		require.ErrorIs(t, err, attachment.ErrAuth)
		require.Empty(t, got)
	}
}

type counted struct {
	io.Reader
	n *int
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	*c.n += n
	return n, err
}

// A list with a wrong entry, one too few or too many, two that changed places, or
// of other chunks.
func TestATT_05_WrongList(t *testing.T) {
	plaintext, blob, p := long(t)
	wrong := func(list []byte) {
		t.Helper()
		q := *p
		q.MACs = list
		got, err := ways[0].decrypt(t, &q, blob)
		require.ErrorIs(t, err, attachment.ErrAuth)
		require.Less(t, len(got), len(plaintext))
		require.True(t, bytes.HasPrefix(plaintext, got))
		got, err = ways[1].decrypt(t, &q, blob) // does not look at it
		require.NoError(t, err)
		require.True(t, bytes.Equal(plaintext, got))
	}
	n := len(p.MACs)
	for i := 0; i < n; i += every(1) {
		list := slices.Clone(p.MACs)
		list[i] ^= 1
		wrong(list)
	}
	for i := 0; i < n; i += 32 {
		if n > 32 {
			wrong(slices.Delete(slices.Clone(p.MACs), i, i+32))
		}
		for j := 0; j <= n; j += 32 {
			wrong(slices.Insert(slices.Clone(p.MACs), j, p.MACs[i:i+32]...))
		}
		for j := 0; j < i; j += 32 {
			list := slices.Clone(p.MACs)
			copy(list[i:], p.MACs[j:j+32])
			copy(list[j:], p.MACs[i:i+32])
			wrong(list)
		}
	}
	for _, chunk := range []int{1, 1000, 64<<10 - 1, 64<<10 + 1, 1 << 20} {
		q := *p
		q.ChunkSize = uint32(chunk)
		_, err := ways[0].decrypt(t, &q, blob)
		require.ErrorIs(t, err, attachment.ErrAuth)
	}
}

func TestATT_05_Configuration(t *testing.T) {
	_, blob, p := long(t)
	for _, c := range []struct {
		change func(p *attachment.Pointer)
		want   error
	}{
		{func(p *attachment.Pointer) { p.ChunkSize = 0 }, attachment.ErrMalformed},
		{func(p *attachment.Pointer) { p.MACs = p.MACs[:33] }, attachment.ErrMalformed},
		{func(p *attachment.Pointer) { p.MACs = p.MACs[:31] }, attachment.ErrMalformed},
		{func(p *attachment.Pointer) { p.ChunkSize = etm.MaxChunk + 1 }, attachment.ErrTooLarge},
		{func(p *attachment.Pointer) { p.ChunkSize = math.MaxUint32 }, attachment.ErrTooLarge},
		{func(p *attachment.Pointer) { p.Size = -1 }, attachment.ErrMalformed},
		{func(p *attachment.Pointer) { p.Size = math.MinInt64 }, attachment.ErrMalformed},
		{func(p *attachment.Pointer) { p.Size = attachment.MaxSize + 1 }, attachment.ErrTooLarge},
	} {
		q := *p
		c.change(&q)
		for _, w := range ways {
			r, err := w.open(&q, blob)
			require.ErrorIs(t, err, c.want)
			require.Nil(t, r)
		}
		_, err := attachment.ParsePointer(q.Bytes())
		require.Error(t, err)
	}
	// Without a list there is nothing to check what arrives with.
	for _, chunk := range []uint32{0, 1000} {
		q := *p
		q.MACs, q.ChunkSize = nil, chunk
		q1, err := attachment.ParsePointer(q.Bytes())
		require.NoError(t, err)
		_, err = q1.Open(bytes.NewReader(blob))
		require.Equal(t, attachment.ErrNoList, err)
		got, err := ways[1].decrypt(t, q1, blob)
		require.NoError(t, err)
		require.Len(t, got, 200_000)
	}
}

// Cut at every 1,000 bytes and around the borders of chunks and parts.
func TestATT_02_Truncation(t *testing.T) {
	plaintext, blob, p := long(t)
	cuts := []int{len(blob) - 1, len(blob) - 16, len(blob) - 31, len(blob) - 32, len(blob) - 33, len(blob) - 48, len(blob) - 64}
	for n := 1000; n < len(blob); n += every(1000) {
		cuts = append(cuts, n)
	}
	for border := 64 << 10; border < len(blob); border += 64 << 10 {
		for _, d := range []int{-49, -48, -33, -32, -17, -16, -1, 0, 1, 16, 17, 32, 33, 48, 49} {
			cuts = append(cuts, border+d)
		}
	}
	for _, n := range cuts {
		got, err := ways[0].decrypt(t, p, blob[:n])
		require.ErrorIs(t, err, attachment.ErrAuth, n)
		require.LessOrEqual(t, len(got), n/(64<<10)*(64<<10))
		require.True(t, bytes.HasPrefix(plaintext, got))

		got, err = ways[1].decrypt(t, p, blob[:n])
		if n%16 == 0 {
			require.ErrorIs(t, err, attachment.ErrAuth, n)
		} else {
			require.ErrorIs(t, err, attachment.ErrMalformed, n)
		}
		require.Nil(t, got)
	}
	for n := range 64 {
		for _, chunk := range []int{1, 20, 64 << 10} {
			for _, w := range ways {
				got, err := w.decrypt(t, relist(p, blob[:n], chunk), blob[:n])
				require.ErrorIs(t, err, attachment.ErrMalformed, n)
				require.Empty(t, got)
			}
		}
	}
}

func TestATT_01_Appended(t *testing.T) {
	_, blob, p := long(t)
	for _, n := range []int{1, 15, 16, 31, 32, 48, 64 << 10, 1 << 20} {
		for _, w := range ways {
			_, err := w.decrypt(t, p, append(slices.Clone(blob), make([]byte, n)...))
			if w.name == "at" && n%16 != 0 {
				require.ErrorIs(t, err, attachment.ErrMalformed)
			} else {
				require.ErrorIs(t, err, attachment.ErrAuth, "%s %d", w.name, n)
			}
		}
	}
}

// Lengths that are no attachment's are refused before anything is read.
func TestATT_01_LengthAt(t *testing.T) {
	_, _, p := long(t)
	for _, size := range []int64{math.MinInt64, -1 << 32, -16, -1, 0, 48, 63, 65, 80 - 1, 1<<31 + 1, 1<<32 + 592 + 1, 1<<63 - 1} {
		_, err := p.OpenAt(nil, size)
		require.ErrorIs(t, err, attachment.ErrMalformed, size)
	}
	for _, size := range []int64{1<<36 + 16, 1<<40 + 16, math.MaxInt64 - 15} {
		_, err := p.OpenAt(nil, size)
		require.ErrorIs(t, err, attachment.ErrTooLarge, size)
	}
}

func TestATT_03_Digest(t *testing.T) {
	plaintext, blob, p := long(t)
	_, other := seal(t, plaintext, int64(len(plaintext)))
	for _, change := range []func(d *[32]byte){
		func(d *[32]byte) { d[0] ^= 1 }, func(d *[32]byte) { d[31] ^= 0x80 }, func(d *[32]byte) { *d = [32]byte{} },
		func(d *[32]byte) { *d = other.Digest },
	} {
		q := *p
		change(&q.Digest)
		got, err := ways[0].decrypt(t, &q, blob)
		require.ErrorIs(t, err, attachment.ErrDigest)
		require.Less(t, len(got), 3*64<<10) // nothing of the last chunk
		r, err := ways[1].open(&q, blob)
		require.ErrorIs(t, err, attachment.ErrDigest)
		require.Nil(t, r)
	}
}

// An attachment that its sender made wrong: part of a block, or wrong padding.
func TestATT_02_Forged(t *testing.T) {
	key := [64]byte(data(64))
	iv := [16]byte(data(16))
	aes := (*[32]byte)(key[:32])
	for pad := range 256 {
		b := append(data(63), byte(pad))
		etm.NewEncrypter(aes, &iv).CryptBlocks(b, b)
		blob, p := forge(key, append(iv[:], b...), 0, 50)
		for _, w := range ways {
			got, err := w.decrypt(t, p, blob)
			if pad == 1 {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, attachment.ErrAuth)
			}
			require.Empty(t, got)
		}
	}
	for n := range 16 {
		blob, p := forge(key, data(160 + n)[:160+n], 0, 50)
		_, err := ways[0].decrypt(t, p, blob)
		if n != 0 {
			require.ErrorIs(t, err, attachment.ErrMalformed)
		}
	}
}

// What a wrong MAC is hidden behind a right list and digest.
func TestATT_01_WrongMAC(t *testing.T) {
	_, blob, p := long(t)
	for _, at := range []int{1, 32} {
		bad := slices.Clone(blob)
		bad[len(bad)-at] ^= 1
		forged := relist(p, bad, 64<<10)
		_, err := ways[0].decrypt(t, forged, bad)
		require.ErrorIs(t, err, attachment.ErrAuth)
		_, err = ways[1].decrypt(t, forged, bad)
		require.ErrorIs(t, err, attachment.ErrAuth)
	}
}

// A size that the sender did not have: more is ErrSize when all was read; less is
// what is returned, for padding is whatever the sender said it is.
func TestATT_08_Size(t *testing.T) {
	for _, n := range []int{0, 1, 541, 568, 200_000} {
		plaintext := data(n)
		blob, p := seal(t, plaintext, int64(n))
		padded := attachment.Bucket(int64(n))
		for _, w := range ways {
			for _, size := range []int64{padded + 1, padded + 16, padded + 1<<32, attachment.MaxSize} {
				q := *p
				q.Size = size
				got, err := w.decrypt(t, &q, blob)
				require.ErrorIs(t, err, attachment.ErrSize)
				require.Less(t, len(got), int(padded))
			}
			q := *p
			q.Size = padded
			got, err := w.decrypt(t, &q, blob)
			require.NoError(t, err)
			require.True(t, bytes.Equal(append(plaintext, make([]byte, int(padded)-n)...), got))
			q.Size = int64(n) / 2
			got, err = w.decrypt(t, &q, blob)
			require.NoError(t, err)
			require.True(t, bytes.Equal(plaintext[:n/2], got))
		}
	}
}

// Padding to no bucket, of anything, is read as deployed peers do.
func TestATT_08_OtherPadding(t *testing.T) {
	key, iv := [64]byte(data(64)), [16]byte(data(16))
	for _, n := range []int{0, 5, 16, 1000} {
		blob, p := forge(key, etm.EncryptCBC(iv[:], (*[32]byte)(key[:32]), &iv, data(n)), int64(n)/2, 100)
		for _, w := range ways {
			got, err := w.decrypt(t, p, blob)
			require.NoError(t, err)
			require.True(t, bytes.Equal(data(n)[:n/2], got))
		}
	}
}
