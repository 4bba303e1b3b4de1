package wire

import (
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
	// Identity is the identity key, 33 bytes, of the sender whose message of a
	// session brought the state. It is our own, field 15: others lose it. Empty:
	// not known, as of own states.
	Identity []byte
	// First is the iteration that the state began with when it was given to this
	// device: nothing from before was ever readable. Our own too, field 14.
	First uint32
}

// ParseSenderKeyRecord reads a record of at most MaxSenderKeyRecord bytes. Of
// its states the MaxSenderKeyStates newest are kept. Keys are not checked.
// Errors are ErrTooLarge and ErrMalformed.
func ParseSenderKeyRecord(b []byte) (*SenderKeyRecord, error) {
	rec := new(SenderKeyRecord) // as in ParseContent
	if err := rec.read(b); err != nil {
		return nil, err
	}
	return rec, nil
}

func (rec *SenderKeyRecord) read(b []byte) error {
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
	return r.err
}

func (s *SenderKeyState) decode(b []byte) error {
	r, f := reader{buf: b}, field{}
	for s.Skipped.take(&r); r.next(&f); s.Skipped.take(&r) {
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
		case 15:
			r.bytes(&f, &s.Identity)
		case 14:
			r.uint32(&f, &s.First)
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
	n := sizeUint(1, uint64(s.ChainID)) + len(s.Skipped) + sizeUint(5, uint64(s.Version)) +
		sizeBytes(15, len(s.Identity)) + sizeUint(14, uint64(s.First))
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
	dst = appendUint(dst, 5, uint64(s.Version))
	dst = appendUint(dst, 14, uint64(s.First))
	return appendBytes(dst, 15, s.Identity)
}
