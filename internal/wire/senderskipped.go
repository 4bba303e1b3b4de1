package wire

import (
	"fmt"
	"iter"
	"log/slog"

	"google.golang.org/protobuf/encoding/protowire"
)

// SenderSkipped are the skipped message keys of a sender chain, oldest first
// and still encoded: each a field 4 of the state, tag and length included, in
// the form that AppendSenderKeyRecord writes. They are decoded one at a time, and
// a list is never written in place. The zero value is an empty list.
//
// An entry takes 36 bytes and those of its iteration:
//
//	22 LL [08 iteration] 12 20 seed (32)
type SenderSkipped []byte

// senderSeedTag is the tag of a seed.
const senderSeedTag = 2<<3 | byte(protowire.BytesType)

// A SenderMessageKey is what is left of a skipped group message.
type SenderMessageKey struct {
	Secret
	Iteration uint32
	Seed      []byte // 32 bytes
}

func (k *SenderMessageKey) decode(b []byte) error {
	r, f := reader{buf: b}, field{}
	for r.next(&f) {
		switch f.num {
		case 1:
			r.uint32(&f, &k.Iteration)
		case 2:
			r.bytes(&f, &k.Seed)
		}
	}
	return r.err
}

// take takes the entries that come next and need no other form: usually all of
// them, at once and without a copy.
func (s *SenderSkipped) take(r *reader) {
	n := standardRun(r.buf, senderSeedTag)
	if n == 0 {
		return
	}
	if *s == nil {
		*s = r.buf[:n:n]
	} else {
		*s = append(*s, r.buf[:n]...)
	}
	r.buf = r.buf[n:]
}

// append adds k as the last entry. It may write behind s.
func (s SenderSkipped) append(k *SenderMessageKey) SenderSkipped {
	b := mustLen(s, 4, sizeUint(1, uint64(k.Iteration))+sizeBytes(2, len(k.Seed)))
	b = appendUint(b, 1, uint64(k.Iteration))
	return appendBytes(b, 2, k.Seed)
}

// All walks the entries, oldest first. The keys point into s.
func (s SenderSkipped) All() iter.Seq[SenderMessageKey] {
	return func(yield func(SenderMessageKey) bool) {
		for {
			body, end := Skipped(s).entry()
			var k SenderMessageKey
			if end == 0 || k.decode(s[body:end]) != nil || !yield(k) {
				return
			}
			s = s[end:]
		}
	}
}

// Find looks for the oldest entry of an iteration. It returns the key, which
// points into s, and where it stands, for Remove; −1 if there is none.
func (s SenderSkipped) Find(iteration uint32) (k SenderMessageKey, at int) {
	at, body := Skipped(s).find(iteration)
	if at < 0 || k.decode(body) != nil {
		return SenderMessageKey{}, -1
	}
	return k, at
}

// Remove returns a new list without the entry that stands at the position that
// Find returned.
func (s SenderSkipped) Remove(at int) SenderSkipped { return SenderSkipped(Skipped(s).Remove(at)) }

// Append returns a new list with the seeds of the iterations first, first+1 and
// so on behind the entries of s, and without the oldest ones that are then beyond
// MaxSkipped entries.
func (s SenderSkipped) Append(first uint32, seeds [][seedSize]byte) SenderSkipped {
	if over := len(seeds) - MaxSkipped; over > 0 {
		first, seeds = first+uint32(over), seeds[over:]
	}
	old := s.without(s.count() + len(seeds) - MaxSkipped)
	out := make(SenderSkipped, 0, len(old)+maxStandard*len(seeds))
	out = append(out, old...)
	for i := range seeds {
		out = out.append(&SenderMessageKey{Iteration: first + uint32(i), Seed: seeds[i][:]})
	}
	return out
}

// count counts the entries.
func (s SenderSkipped) count() (n int) {
	for {
		_, end := Skipped(s).entry()
		if end == 0 {
			return n
		}
		n, s = n+1, s[end:]
	}
}

// without is the list without its first n entries, of as many at least.
func (s SenderSkipped) without(n int) SenderSkipped {
	for ; n > 0; n-- {
		_, end := Skipped(s).entry()
		s = s[end:]
	}
	return s
}

// Format answers every verb with "redacted".
func (SenderSkipped) Format(s fmt.State, v rune) { Secret{}.Format(s, v) }

// LogValue answers slog.
func (SenderSkipped) LogValue() slog.Value { return Secret{}.LogValue() }

// MarshalJSON answers encoding/json.
func (SenderSkipped) MarshalJSON() ([]byte, error) { return Secret{}.MarshalJSON() }
