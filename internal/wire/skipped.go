package wire

import (
	"bytes"
	"fmt"
	"iter"
	"log/slog"

	"google.golang.org/protobuf/encoding/protowire"
)

// MaxSkipped is how many skipped keys a chain keeps.
const MaxSkipped = 2000

// Skipped are the skipped message keys of a receiving chain, newest first
// and still encoded: each a field 4 of the Chain, tag and length included,
// in the form that AppendSession writes. They are decoded one at a time, as a
// chain may hold 2,000 while a message needs one of them. The zero value is
// an empty list. A list is never written in place.
//
// An entry in seed form takes 36 bytes and those of its index:
//
//	22 LL [08 index] 2a 20 seed (32)
type Skipped []byte

const (
	skippedTag  = 4<<3 | byte(protowire.BytesType)
	indexTag    = 1<<3 | byte(protowire.VarintType)
	seedTag     = 5<<3 | byte(protowire.BytesType)
	seedSize    = 32
	maxStandard = 2 + 6 + 2 + seedSize
)

// A MessageKey is what is left of a skipped message (spec/storage.md,
// Section 4.3): a seed, or the three keys that older libraries stored.
type MessageKey struct {
	Secret
	Index     uint32
	CipherKey []byte // 32 bytes; old form
	MACKey    []byte // 32 bytes; old form
	IV        []byte // 16 bytes; old form
	Seed      []byte // 32 bytes
}

// Expanded tells whether k has the old form, cipher key, MAC key and IV. A
// seed that is not empty comes first, whatever else there is. Without one,
// the other three must have their lengths; ErrMalformed otherwise.
func (k *MessageKey) Expanded() (bool, error) {
	switch {
	case len(k.Seed) > 0:
		return false, nil
	case len(k.CipherKey) != 32 || len(k.MACKey) != 32 || len(k.IV) != 16:
		return false, fmt.Errorf("%w: message key", ErrMalformed)
	}
	return true, nil
}

func (k *MessageKey) decode(b []byte) error {
	r, f := reader{buf: b}, field{}
	for r.next(&f) {
		switch f.num {
		case 1:
			r.uint32(&f, &k.Index)
		case 2:
			r.bytes(&f, &k.CipherKey)
		case 3:
			r.bytes(&f, &k.MACKey)
		case 4:
			r.bytes(&f, &k.IV)
		case 5:
			r.bytes(&f, &k.Seed)
		}
	}
	return r.err
}

func (k *MessageKey) size() int {
	return sizeUint(1, uint64(k.Index)) + sizeBytes(2, len(k.CipherKey)) +
		sizeBytes(3, len(k.MACKey)) + sizeBytes(4, len(k.IV)) + sizeBytes(5, len(k.Seed))
}

// append adds k as the last entry. It may write behind s.
func (s Skipped) append(k *MessageKey) Skipped {
	b := mustLen(s, 4, k.size())
	b = appendUint(b, 1, uint64(k.Index))
	b = appendBytes(b, 2, k.CipherKey)
	b = appendBytes(b, 3, k.MACKey)
	b = appendBytes(b, 4, k.IV)
	return appendBytes(b, 5, k.Seed)
}

// standard is the length of the entry at the start of b, if it has the form
// that is written today, else 0. The tag is that of the seed, which is field 2
// in a sender key.
func standard(b []byte, tag byte) int {
	if len(b) < 4+seedSize || b[0] != skippedTag {
		return 0
	}
	n := 2 + int(b[1])
	at := n - seedSize - 2 // of the tag of the seed
	if n > len(b) || at < 2 || b[at] != tag || b[at+1] != seedSize {
		return 0
	}
	if at > 2 && (b[2] != indexTag || !minimal(b[3:at])) {
		return 0
	}
	return n
}

// minimal tells whether b is the shortest varint of a number other than 0, of
// 32 bits.
func minimal(b []byte) bool {
	last := len(b) - 1
	if last < 0 || last > 4 || b[last] == 0 || b[last] >= 0x80 || last == 4 && b[last] > 0x0F {
		return false
	}
	for _, c := range b[:last] {
		if c < 0x80 {
			return false
		}
	}
	return true
}

// standardRun is the length of the entries in standard form at the start of b.
func standardRun(b []byte, tag byte) int {
	at := 0
	for {
		n := standard(b[at:], tag)
		if n == 0 {
			return at
		}
		at += n
	}
}

// first reads the first entry and its length; 0 at the end of the list.
func (s Skipped) first() (k MessageKey, n int) {
	body, end := s.entry()
	if end == 0 || k.decode(s[body:end]) != nil {
		return MessageKey{}, 0
	}
	return k, end
}

// All walks the entries, newest first. The keys point into s.
func (s Skipped) All() iter.Seq[MessageKey] {
	return func(yield func(MessageKey) bool) {
		for {
			k, n := s.first()
			if n == 0 || !yield(k) {
				return
			}
			s = s[n:]
		}
	}
}

// Len counts the entries.
func (s Skipped) Len() int {
	count := 0
	for range s.All() {
		count++
	}
	return count
}

// entry returns where the body of the first entry begins and where it ends;
// 0 at the end of the list.
func (s Skipped) entry() (body, end int) {
	if len(s) >= 2 && s[0] == skippedTag && s[1] < 0x80 && int(s[1]) <= len(s)-2 {
		return 2, 2 + int(s[1])
	}
	r, f := reader{buf: s}, field{}
	if !r.next(&f) || f.num != 4 || f.typ != protowire.BytesType {
		return 0, 0
	}
	end = len(s) - len(r.buf)
	return end - len(f.b), end
}

// Find looks for the newest entry of an index. It returns the key, which
// points into s, and where it stands, for Remove; −1 if there is none.
func (s Skipped) Find(index uint32) (k MessageKey, at int) {
	at, body := s.find(index)
	if at < 0 || k.decode(body) != nil {
		return MessageKey{}, -1
	}
	return k, at
}

// find returns where the first entry of an index stands, and its body; −1 if
// there is none.
func (s Skipped) find(index uint32) (at int, inner []byte) {
	var buf [6]byte
	field := appendUint(buf[:0], 1, uint64(index)) // what the body begins with
	for at < len(s) {
		body, end := s[at:].entry()
		if end == 0 {
			break
		}
		b := s[at+body : at+end]
		if bytes.HasPrefix(b, field) && (index != 0 || len(b) == 0 || b[0] != indexTag) {
			return at, b
		}
		at += end
	}
	return -1, nil
}

// Remove returns a new list without the entry that stands at the position
// that Find returned.
func (s Skipped) Remove(at int) Skipped {
	_, n := s[at:].entry()
	if len(s) == n {
		return nil
	}
	out := make(Skipped, 0, len(s)-n)
	return append(append(out, s[:at]...), s[at+n:]...)
}

// Prepend returns a new list with the seeds of the counters first, first+1
// and so on before the entries of s, the last one in front, and without what
// is then beyond MaxSkipped entries.
func (s Skipped) Prepend(first uint32, seeds [][seedSize]byte) Skipped {
	if over := len(seeds) - MaxSkipped; over > 0 {
		first, seeds = first+uint32(over), seeds[over:]
	}
	old := s.newest(MaxSkipped - len(seeds))
	out := make(Skipped, 0, maxStandard*len(seeds)+len(old))
	for i := len(seeds) - 1; i >= 0; i-- {
		out = out.append(&MessageKey{Index: first + uint32(i), Seed: seeds[i][:]})
	}
	return append(out, old...)
}

// newest are the first n entries, or all if they are fewer.
func (s Skipped) newest(n int) Skipped {
	at := 0
	for ; n > 0; n-- {
		_, size := s[at:].entry()
		if size == 0 {
			break
		}
		at += size
	}
	return s[:at]
}

// Format answers every verb with "redacted".
func (Skipped) Format(s fmt.State, v rune) { Secret{}.Format(s, v) }

// LogValue answers "redacted".
func (Skipped) LogValue() slog.Value { return Secret{}.LogValue() }

// MarshalJSON answers "redacted".
func (Skipped) MarshalJSON() ([]byte, error) { return Secret{}.MarshalJSON() }
