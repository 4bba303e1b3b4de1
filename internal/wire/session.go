package wire

import (
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// Limits of a session record.
const (
	MaxArchived      = 40       // archived sessions
	MaxReceivers     = 5        // receiving chains of a session
	MaxSession       = 16 << 20 // bytes
	MaxSessionRecord = 64 << 20 // bytes
)

// A SessionRecord is the session record of libsignal (spec/storage.md,
// Section 4.1): the current session and the archived ones, all encoded.
type SessionRecord struct {
	Secret
	Current  []byte   // nil: none; empty but not nil: present, a Session with nothing in it
	Previous [][]byte // newest first; at most MaxArchived
}

// ParseSessionRecord reads a record of at most MaxSessionRecord bytes. Of the
// archived sessions the MaxArchived newest are kept; the sessions themselves
// are not looked at. Errors are ErrTooLarge and ErrMalformed.
func ParseSessionRecord(b []byte) (SessionRecord, error) {
	var rec SessionRecord
	r, f := bounded(b, MaxSessionRecord), field{}
	for r.next(&f) {
		switch f.num {
		case 1:
			if rec.Current == nil {
				r.bytes(&f, &rec.Current)
			} else { // behind each other, the bytes of two messages merge
				rec.Current = append(rec.Current, r.message(&f)...)
			}
		case 2:
			var previous []byte
			if r.bytes(&f, &previous); len(rec.Previous) < MaxArchived {
				rec.Previous = append(rec.Previous, previous)
			}
		}
	}
	return orZero(rec, r.err)
}

// AppendSessionRecord appends the encoding of rec, with the MaxArchived
// newest of its archived sessions. All sessions are written as they are.
func AppendSessionRecord(dst []byte, rec *SessionRecord) []byte {
	previous := rec.Previous[:min(len(rec.Previous), MaxArchived)]
	size := sizeMustBytes(1, len(rec.Current))
	for _, p := range previous {
		size += sizeMustBytes(2, len(p))
	}
	dst = slices.Grow(dst, size)
	if rec.Current != nil {
		dst = mustBytes(dst, 1, rec.Current)
	}
	for _, p := range previous {
		dst = mustBytes(dst, 2, p)
	}
	return dst
}

// A Session is a SessionStructure (spec/storage.md, Section 4.2).
type Session struct {
	Secret
	Version              uint32 // 0 reads as 2
	LocalIdentity        []byte // 33 bytes
	RemoteIdentity       []byte // 33 bytes
	RootKey              []byte // 32 bytes
	PreviousCounter      uint32
	Sender               *Chain  // nil: absent
	Receivers            []Chain // oldest first; at most MaxReceivers
	Pending              *PendingPreKey
	RemoteRegistrationID uint32
	LocalRegistrationID  uint32
	BaseKey              []byte // 33 bytes
	PendingKEM           *PendingKEM
	PQRatchet            []byte     // SPQR state; empty: disabled
	PQ                   *SPQRState // if set, what is written in place of PQRatchet
}

// A PendingPreKey is what an unacknowledged session repeats in each message
// (spec/storage.md, Section 4.4).
type PendingPreKey struct {
	HasPreKeyID    bool // a one-time prekey was used; 0 is an id like any other
	PreKeyID       uint32
	BaseKey        []byte // 33 bytes
	SignedPreKeyID uint32 // on the wire an int32, so ids from 2^31 take 10 bytes
	Created        uint64 // seconds since 1970
}

// A PendingKEM is the KEM part of it (spec/storage.md, Section 4.5).
type PendingKEM struct {
	PreKeyID   uint32
	Ciphertext []byte // 1569 bytes, type byte included
}

// ParseSession reads a SessionStructure of at most MaxSession bytes. Keys are
// not checked. Of more receiving chains than MaxReceivers the last ones are
// kept. Errors are ErrTooLarge and ErrMalformed.
func ParseSession(b []byte) (*Session, error) {
	s := new(Session)
	return orZero(s, s.Parse(b))
}

// Parse is ParseSession into s, which is zero before and of no use after an
// error.
func (s *Session) Parse(b []byte) error {
	r := bounded(b, MaxSession)
	s.decode(&r)
	return r.err
}

func (s *Session) decode(r *reader) {
	var f field
	for r.next(&f) {
		switch f.num {
		case 1:
			r.uint32(&f, &s.Version)
		case 2:
			r.bytes(&f, &s.LocalIdentity)
		case 3:
			r.bytes(&f, &s.RemoteIdentity)
		case 4:
			r.bytes(&f, &s.RootKey)
		case 5:
			r.uint32(&f, &s.PreviousCounter)
		case 10:
			r.uint32(&f, &s.RemoteRegistrationID)
		case 11:
			r.uint32(&f, &s.LocalRegistrationID)
		case 13:
			r.bytes(&f, &s.BaseKey)
		case 15:
			r.bytes(&f, &s.PQRatchet)
		default:
			s.decodeNested(r, &f)
		}
	}
}

func (s *Session) decodeNested(r *reader, f *field) {
	switch f.num {
	case 6:
		if s.Sender == nil {
			s.Sender = new(Chain)
		}
		r.nested(s.Sender.decode(r.message(f)))
	case 7:
		r.nested(s.receiver().decode(r.message(f)))
	case 9:
		if s.Pending == nil {
			s.Pending = new(PendingPreKey)
		}
		r.nested(s.Pending.decode(r.message(f)))
	case 14:
		if s.PendingKEM == nil {
			s.PendingKEM = new(PendingKEM)
		}
		r.nested(s.PendingKEM.decode(r.message(f)))
	}
}

// receiver returns a new last receiving chain. The oldest one makes room.
func (s *Session) receiver() *Chain {
	if s.Receivers == nil {
		s.Receivers = make([]Chain, 0, MaxReceivers)
	}
	if len(s.Receivers) == MaxReceivers {
		s.Receivers = s.Receivers[:copy(s.Receivers, s.Receivers[1:])]
	}
	s.Receivers = append(s.Receivers, Chain{})
	return &s.Receivers[len(s.Receivers)-1]
}

func (p *PendingPreKey) decode(b []byte) error {
	r, f := reader{buf: b}, field{}
	for r.next(&f) {
		switch f.num {
		case 1:
			r.uint32(&f, &p.PreKeyID)
			p.HasPreKeyID = true
		case 2:
			r.bytes(&f, &p.BaseKey)
		case 3:
			r.uint32(&f, &p.SignedPreKeyID)
		case 4:
			r.uint64(&f, &p.Created)
		}
	}
	return r.err
}

func (p *PendingKEM) decode(b []byte) error {
	r, f := reader{buf: b}, field{}
	for r.next(&f) {
		switch f.num {
		case 1:
			r.uint32(&f, &p.PreKeyID)
		case 2:
			r.bytes(&f, &p.Ciphertext)
		}
	}
	return r.err
}

// AppendSession appends the encoding of s, growing dst at most once.
func AppendSession(dst []byte, s *Session) []byte {
	dst = slices.Grow(dst, s.size())
	dst = appendUint(dst, 1, uint64(s.Version))
	dst = appendBytes(dst, 2, s.LocalIdentity)
	dst = appendBytes(dst, 3, s.RemoteIdentity)
	dst = appendBytes(dst, 4, s.RootKey)
	dst = appendUint(dst, 5, uint64(s.PreviousCounter))
	if s.Sender != nil {
		dst = s.Sender.append(dst, 6)
	}
	for i := range s.Receivers {
		dst = s.Receivers[i].append(dst, 7)
	}
	if s.Pending != nil {
		dst = s.Pending.append(dst)
	}
	dst = appendUint(dst, 10, uint64(s.RemoteRegistrationID))
	dst = appendUint(dst, 11, uint64(s.LocalRegistrationID))
	dst = appendBytes(dst, 13, s.BaseKey)
	if s.PendingKEM != nil {
		dst = s.PendingKEM.append(dst)
	}
	if s.PQ == nil {
		return appendBytes(dst, 15, s.PQRatchet)
	}
	room := s.PQ.room()
	if room == 0 {
		return dst
	}
	width := protowire.SizeVarint(uint64(room))
	dst, at := openMessage(dst, 15, width)
	return closeMessage(s.PQ.Append(dst), at, width)
}

// size is the length of what AppendSession appends, or a little more.
func (s *Session) size() int {
	n := sizeUint(1, uint64(s.Version)) + sizeBytes(2, len(s.LocalIdentity)) +
		sizeBytes(3, len(s.RemoteIdentity)) + sizeBytes(4, len(s.RootKey)) +
		sizeUint(5, uint64(s.PreviousCounter)) +
		sizeUint(10, uint64(s.RemoteRegistrationID)) +
		sizeUint(11, uint64(s.LocalRegistrationID)) +
		sizeBytes(13, len(s.BaseKey)) + sizeBytes(15, len(s.PQRatchet))
	if s.Sender != nil {
		n += sizeMustBytes(6, s.Sender.size())
	}
	for i := range s.Receivers {
		n += sizeMustBytes(7, s.Receivers[i].size())
	}
	if s.Pending != nil {
		n += sizeMustBytes(9, s.Pending.size())
	}
	if s.PendingKEM != nil {
		n += sizeMustBytes(14, s.PendingKEM.size())
	}
	if s.PQ != nil {
		n += sizeMustBytes(15, s.PQ.room())
	}
	return n
}

// signExtended is the varint of an id that is stored as an int32.
func signExtended(id uint32) uint64 { return uint64(int64(int32(id))) }

func (p *PendingPreKey) size() int {
	n := sizeBytes(2, len(p.BaseKey)) + sizeUint(3, signExtended(p.SignedPreKeyID)) + sizeUint(4, p.Created)
	if p.HasPreKeyID {
		n += sizeMustUint(1, uint64(p.PreKeyID))
	}
	return n
}

func (p *PendingPreKey) append(dst []byte) []byte {
	dst = mustLen(dst, 9, p.size())
	if p.HasPreKeyID {
		dst = mustUint(dst, 1, uint64(p.PreKeyID))
	}
	dst = appendBytes(dst, 2, p.BaseKey)
	dst = appendUint(dst, 3, signExtended(p.SignedPreKeyID))
	return appendUint(dst, 4, p.Created)
}

func (p *PendingKEM) size() int {
	return sizeUint(1, uint64(p.PreKeyID)) + sizeBytes(2, len(p.Ciphertext))
}

func (p *PendingKEM) append(dst []byte) []byte {
	dst = mustLen(dst, 14, p.size())
	dst = appendUint(dst, 1, uint64(p.PreKeyID))
	return appendBytes(dst, 2, p.Ciphertext)
}
