package wire

import (
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// The bodies of a Device's own records (design, Section 5). The format byte in
// front of a record value belongs to package session. They are neither signed
// nor hashed: proto3 rules, unknown fields are skipped.

// MaxDeviceRecord is the largest body that is read, in bytes: a session and
// notes on the archived ones.
const MaxDeviceRecord = MaxSession + 64<<10

// A Self is the body of the record "self": who a device is.
type Self struct {
	Secret
	Identity       []byte // IdentityKeyPairRecord, 1
	RegistrationID uint32 // 2
	User           string // 3
	Device         uint32 // 4
}

// ParseSelf reads a Self of at most MaxDeviceRecord bytes. Errors
// are ErrTooLarge and ErrMalformed.
func ParseSelf(b []byte) (Self, error) {
	var s Self
	r, f := bounded(b, MaxDeviceRecord), field{}
	for r.next(&f) {
		switch f.num {
		case 1:
			r.bytes(&f, &s.Identity)
		case 2:
			r.uint32(&f, &s.RegistrationID)
		case 3:
			r.string(&f, &s.User)
		case 4:
			r.uint32(&f, &s.Device)
		}
	}
	return orZero(s, r.err)
}

// AppendSelf appends the encoding of s.
func AppendSelf(dst []byte, s *Self) []byte {
	dst = appendBytes(dst, 1, s.Identity)
	dst = appendUint(dst, 2, uint64(s.RegistrationID))
	dst = appendString(dst, 3, s.User)
	return appendUint(dst, 4, uint64(s.Device))
}

// A NextIDs is the body of the record "nextid": the prekey ids to be given
// out next. One-time and last-resort KEM prekeys share one id space.
type NextIDs struct {
	PreKey, SignedPreKey, KEMPreKey uint32 // 1, 2, 3
}

// ParseNextIDs reads a NextIDs of at most MaxDeviceRecord bytes. Errors
// are ErrTooLarge and ErrMalformed.
func ParseNextIDs(b []byte) (NextIDs, error) {
	var n NextIDs
	r, f := bounded(b, MaxDeviceRecord), field{}
	for r.next(&f) {
		switch f.num {
		case 1:
			r.uint32(&f, &n.PreKey)
		case 2:
			r.uint32(&f, &n.SignedPreKey)
		case 3:
			r.uint32(&f, &n.KEMPreKey)
		}
	}
	return orZero(n, r.err)
}

// AppendNextIDs appends the encoding of n.
func AppendNextIDs(dst []byte, n *NextIDs) []byte {
	dst = appendUint(dst, 1, uint64(n.PreKey))
	dst = appendUint(dst, 2, uint64(n.SignedPreKey))
	return appendUint(dst, 3, uint64(n.KEMPreKey))
}

// A StoredPreKey is the body of the records "prekey", "signed", "kem" and
// "lastresort": a record of storage, Sections 2 and 3, and times in
// milliseconds since 1970.
type StoredPreKey struct {
	Secret
	Record    []byte // 1
	Created   uint64 // 2
	Published uint64 // 3; 0: not yet
	Retired   uint64 // 4; when it was replaced, or handed out in a bundle; 0: neither
}

// ParseStoredPreKey reads a StoredPreKey of at most MaxDeviceRecord bytes. Errors
// are ErrTooLarge and ErrMalformed.
func ParseStoredPreKey(b []byte) (StoredPreKey, error) {
	var s StoredPreKey
	r, f := bounded(b, MaxDeviceRecord), field{}
	for r.next(&f) {
		switch f.num {
		case 1:
			r.bytes(&f, &s.Record)
		case 2:
			r.uint64(&f, &s.Created)
		case 3:
			r.uint64(&f, &s.Published)
		case 4:
			r.uint64(&f, &s.Retired)
		}
	}
	return orZero(s, r.err)
}

// AppendStoredPreKey appends the encoding of s.
func AppendStoredPreKey(dst []byte, s *StoredPreKey) []byte {
	dst = appendBytes(dst, 1, s.Record)
	dst = appendUint(dst, 2, s.Created)
	dst = appendUint(dst, 3, s.Published)
	return appendUint(dst, 4, s.Retired)
}

// An Identity is the body of the record "identity": what is known of a peer
// device's identity key. Times are milliseconds since 1970.
type Identity struct {
	Accepted   []byte // 1, 33 bytes
	AcceptedAt uint64 // 2
	Seen       []byte // 3, 33 bytes: the key of the last handshake
	Verified   bool   // 4
}

// ParseIdentity reads an Identity of at most MaxDeviceRecord bytes. Errors
// are ErrTooLarge and ErrMalformed.
func ParseIdentity(b []byte) (Identity, error) {
	var id Identity
	r, f := bounded(b, MaxDeviceRecord), field{}
	for r.next(&f) {
		switch f.num {
		case 1:
			r.bytes(&f, &id.Accepted)
		case 2:
			r.uint64(&f, &id.AcceptedAt)
		case 3:
			r.bytes(&f, &id.Seen)
		case 4:
			r.bool(&f, &id.Verified)
		}
	}
	return orZero(id, r.err)
}

// AppendIdentity appends the encoding of id.
func AppendIdentity(dst []byte, id *Identity) []byte {
	dst = appendBytes(dst, 1, id.Accepted)
	dst = appendUint(dst, 2, id.AcceptedAt)
	dst = appendBytes(dst, 3, id.Seen)
	return appendBool(dst, 4, id.Verified)
}

// HintSize is the length of a hint: the first bytes of SHA-256 of a receiver
// ratchet key.
const HintSize = 8

// A SessionIndex is the body of the record "session": the current session of
// a peer device and what is needed to find the right archived one.
type SessionIndex struct {
	Secret
	Current  []byte         // 1: SessionStructure; nil: none
	Archived []ArchivedNote // 2: newest first

	// Next appends what is written in place of Current, if it is set.
	Next interface{ Append(dst []byte) []byte }
}

// An ArchivedNote tells of one record "archive".
type ArchivedNote struct {
	Name       []byte // 1: SHA-256 of the base key, or of the record where there is none
	ArchivedAt uint64 // 2: milliseconds since 1970
	Hints      []byte // 3: hints of the receiver ratchet keys, back to back
	Unaccepted bool   // 4: its remote identity was not the accepted one
	Restored   bool   // 5: its state came from a backup
}

// ParseSessionIndex reads a SessionIndex of at most MaxDeviceRecord bytes. Errors
// are ErrTooLarge and ErrMalformed.
func ParseSessionIndex(b []byte) (SessionIndex, error) {
	var s SessionIndex
	r, f := bounded(b, MaxDeviceRecord), field{}
	for r.next(&f) {
		switch f.num {
		case 1:
			r.bytes(&f, &s.Current)
		case 2:
			n, err := parseArchivedNote(r.message(&f))
			r.nested(err)
			s.Archived = append(s.Archived, n)
		}
	}
	return orZero(s, r.err)
}

func parseArchivedNote(b []byte) (ArchivedNote, error) {
	var n ArchivedNote
	r, f := reader{buf: b}, field{}
	for r.next(&f) {
		switch f.num {
		case 1:
			r.bytes(&f, &n.Name)
		case 2:
			r.uint64(&f, &n.ArchivedAt)
		case 3:
			r.bytes(&f, &n.Hints)
		case 4:
			r.bool(&f, &n.Unaccepted)
		case 5:
			r.bool(&f, &n.Restored)
		}
	}
	if len(n.Name) != 32 || len(n.Hints)%HintSize != 0 {
		r.fail("archive note")
	}
	return orZero(n, r.err)
}

// AppendSessionIndex appends the encoding of s, growing dst at most once; for
// Next, dst has the room.
func AppendSessionIndex(dst []byte, s *SessionIndex) []byte {
	size := sizeMustBytes(1, len(s.Current))
	for i := range s.Archived {
		size += sizeMustBytes(2, s.Archived[i].size())
	}
	width := protowire.SizeVarint(uint64(cap(dst)))
	dst = slices.Grow(dst, size)
	switch {
	case s.Next != nil:
		var at int
		dst, at = openMessage(dst, 1, width)
		dst = closeMessage(s.Next.Append(dst), at, width)
	case s.Current != nil:
		dst = mustBytes(dst, 1, s.Current)
	}
	for i := range s.Archived {
		dst = s.Archived[i].append(dst)
	}
	return dst
}

func (n *ArchivedNote) size() int {
	return sizeBytes(1, len(n.Name)) + sizeUint(2, n.ArchivedAt) + sizeBytes(3, len(n.Hints)) +
		sizeBool(4, n.Unaccepted) + sizeBool(5, n.Restored)
}

func (n *ArchivedNote) append(dst []byte) []byte {
	dst = mustLen(dst, 2, n.size())
	dst = appendBytes(dst, 1, n.Name)
	dst = appendUint(dst, 2, n.ArchivedAt)
	dst = appendBytes(dst, 3, n.Hints)
	dst = appendBool(dst, 4, n.Unaccepted)
	return appendBool(dst, 5, n.Restored)
}
