package wire

import (
	"fmt"
	"iter"
	"log/slog"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// Limits of a sender-key record.
const (
	MaxSenderKeyStates = 5
	MaxSenderKeyRecord = 4 << 20 // bytes
)

// A SenderKeyRecord is a SenderKeyRecordStructure (spec/storage.md, Section
// 5): what is kept of one sender in one group.
type SenderKeyRecord struct {
	Secret
	States []SenderKeyState // newest first; at most MaxSenderKeyStates
}

// A SenderKeyState is a SenderKeyStateStructure.
type SenderKeyState struct {
	Secret
	ChainID        uint32
	Iteration      uint32 // of the next message
	ChainKey       []byte // 32 bytes. Nil: no chain; empty but not nil: one without a key
	SigningPublic  []byte // 33 bytes. Nil here and below: no signing key
	SigningPrivate []byte // 32 bytes; empty for the keys of others
	Skipped        SenderSkipped
	Version        uint32 // of messages; 0 reads as 3
}

// SenderSkipped are the skipped message keys of a sender chain, oldest first
// and still encoded: each a field 4 of the state, tag and length included, in
// the form that AppendSenderKeyRecord writes. Its zero value is an empty list.
type SenderSkipped []byte

// A SenderMessageKey is what is left of a skipped group message.
type SenderMessageKey struct {
	Secret
	Iteration uint32
	Seed      []byte // 32 bytes
}

// ParseSenderKeyRecord reads a record of at most MaxSenderKeyRecord bytes. Of
// its states the MaxSenderKeyStates newest are kept. Keys are not checked.
// Errors are ErrTooLarge and ErrMalformed.
func ParseSenderKeyRecord(b []byte) (*SenderKeyRecord, error) {
	rec := new(SenderKeyRecord)
	r, f := bounded(b, MaxSenderKeyRecord), field{}
	for r.next(&f) {
		if f.num != 1 {
			continue
		}
		var s SenderKeyState
		r.nested(s.decode(r.message(&f)))
		if len(rec.States) < MaxSenderKeyStates {
			rec.States = append(rec.States, s)
		}
	}
	return orZero(rec, r.err)
}

func (s *SenderKeyState) decode(b []byte) error {
	r, f := reader{buf: b}, field{}
	for r.next(&f) {
		switch f.num {
		case 1:
			r.uint32(&f, &s.ChainID)
		case 2:
			r.nested(s.decodeChainKey(r.message(&f)))
		case 3:
			r.nested(s.decodeSigningKey(r.message(&f)))
		case 4:
			var k SenderMessageKey
			r.nested(k.decode(r.message(&f)))
			s.Skipped = slices.Grow(s.Skipped, 10+len(f.b)+len(r.buf)).append(&k)
		case 5:
			r.uint32(&f, &s.Version)
		}
	}
	return r.err
}

func (s *SenderKeyState) decodeChainKey(b []byte) error {
	if s.ChainKey == nil {
		s.ChainKey = []byte{}
	}
	r, f := reader{buf: b}, field{}
	for r.next(&f) {
		switch f.num {
		case 1:
			r.uint32(&f, &s.Iteration)
		case 2:
			r.bytes(&f, &s.ChainKey)
		}
	}
	return r.err
}

func (s *SenderKeyState) decodeSigningKey(b []byte) error {
	if s.SigningPublic == nil {
		s.SigningPublic = []byte{}
	}
	r, f := reader{buf: b}, field{}
	for r.next(&f) {
		switch f.num {
		case 1:
			r.bytes(&f, &s.SigningPublic)
		case 2:
			r.bytes(&f, &s.SigningPrivate)
		}
	}
	return r.err
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

// append adds k as the last entry. It may write behind s.
func (s SenderSkipped) append(k *SenderMessageKey) SenderSkipped {
	b := mustLen(s, 4, sizeUint(1, uint64(k.Iteration))+sizeBytes(2, len(k.Seed)))
	b = appendUint(b, 1, uint64(k.Iteration))
	return appendBytes(b, 2, k.Seed)
}

// All walks the entries, oldest first. The keys point into s.
func (s SenderSkipped) All() iter.Seq[SenderMessageKey] {
	return func(yield func(SenderMessageKey) bool) {
		r, f := reader{buf: s}, field{}
		for r.next(&f) && f.num == 4 {
			var k SenderMessageKey
			if k.decode(r.message(&f)) != nil || r.err != nil || !yield(k) {
				return
			}
		}
	}
}

// AppendSenderKeyRecord appends the encoding of rec.
func AppendSenderKeyRecord(dst []byte, rec *SenderKeyRecord) []byte {
	states := rec.States[:min(len(rec.States), MaxSenderKeyStates)]
	n := 0
	for i := range states {
		n += sizeMustBytes(1, states[i].size())
	}
	dst = slices.Grow(dst, n)
	for i := range states {
		dst = states[i].append(dst, 1)
	}
	return dst
}

// hasChain and hasSigningKey tell whether the nested messages are present.
func (s *SenderKeyState) hasChain() bool { return s.ChainKey != nil || s.Iteration != 0 }

func (s *SenderKeyState) hasSigningKey() bool {
	return s.SigningPublic != nil || s.SigningPrivate != nil
}

func (s *SenderKeyState) chainSize() int {
	return sizeUint(1, uint64(s.Iteration)) + sizeBytes(2, len(s.ChainKey))
}

func (s *SenderKeyState) signingSize() int {
	return sizeBytes(1, len(s.SigningPublic)) + sizeBytes(2, len(s.SigningPrivate))
}

func (s *SenderKeyState) size() int {
	n := sizeUint(1, uint64(s.ChainID)) + len(s.Skipped) + sizeUint(5, uint64(s.Version))
	if s.hasChain() {
		n += sizeMustBytes(2, s.chainSize())
	}
	if s.hasSigningKey() {
		n += sizeMustBytes(3, s.signingSize())
	}
	return n
}

func (s *SenderKeyState) append(dst []byte, num protowire.Number) []byte {
	dst = mustLen(dst, num, s.size())
	dst = appendUint(dst, 1, uint64(s.ChainID))
	if s.hasChain() {
		dst = mustLen(dst, 2, s.chainSize())
		dst = appendUint(dst, 1, uint64(s.Iteration))
		dst = appendBytes(dst, 2, s.ChainKey)
	}
	if s.hasSigningKey() {
		dst = mustLen(dst, 3, s.signingSize())
		dst = appendBytes(dst, 1, s.SigningPublic)
		dst = appendBytes(dst, 2, s.SigningPrivate)
	}
	dst = append(dst, s.Skipped...)
	return appendUint(dst, 5, uint64(s.Version))
}

// Format answers every verb with "redacted".
func (SenderSkipped) Format(s fmt.State, v rune) { Secret{}.Format(s, v) }

// LogValue answers slog.
func (SenderSkipped) LogValue() slog.Value { return Secret{}.LogValue() }

// MarshalJSON answers encoding/json.
func (SenderSkipped) MarshalJSON() ([]byte, error) { return Secret{}.MarshalJSON() }
