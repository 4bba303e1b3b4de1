package wire

import "slices"

// MaxCertificate is the largest certificate that is read, in bytes. Honest ones
// have about 300.
const MaxCertificate = 8 << 10

// A Certificate is the outer form of both kinds of certificate
// (spec/sealed-groups-fingerprint.md, Section 2).
type Certificate struct {
	Body      []byte // as received: what the signature covers
	Signature []byte // of any length
}

// ParseCertificate reads a certificate of at most MaxCertificate bytes. Errors
// are ErrTooLarge and ErrMalformed.
func ParseCertificate(b []byte) (Certificate, error) {
	var c Certificate
	r, f, seen := bounded(b, MaxCertificate), field{}, uint32(0)
	for r.next(&f) {
		seen |= 1 << f.num
		switch f.num {
		case 1:
			r.bytes(&f, &c.Body)
		case 2:
			r.bytes(&f, &c.Signature)
		}
	}
	r.require(seen, 1<<1|1<<2)
	return orZero(c, r.err)
}

// AppendCertificate appends the encoding of c.
func AppendCertificate(dst []byte, c *Certificate) []byte {
	dst = slices.Grow(dst, sizeMustBytes(1, len(c.Body))+sizeMustBytes(2, len(c.Signature)))
	return mustBytes(mustBytes(dst, 1, c.Body), 2, c.Signature)
}

// A ServerCertificate is the body of a certificate that a trust root signed
// (Section 2.1).
type ServerCertificate struct {
	ID  uint32
	Key []byte // 33 bytes, not checked here
}

// ParseServerCertificate reads a body of at most MaxCertificate bytes. Errors
// are ErrTooLarge and ErrMalformed.
func ParseServerCertificate(b []byte) (ServerCertificate, error) {
	var c ServerCertificate
	r, f, seen := bounded(b, MaxCertificate), field{}, uint32(0)
	for r.next(&f) {
		seen |= 1 << f.num
		switch f.num {
		case 1:
			r.uint32(&f, &c.ID)
		case 2:
			r.bytes(&f, &c.Key)
		}
	}
	r.require(seen, 1<<1|1<<2)
	return orZero(c, r.err)
}

// AppendServerCertificate appends the encoding of c.
func AppendServerCertificate(dst []byte, c *ServerCertificate) []byte {
	return mustBytes(mustUint(dst, 1, uint64(c.ID)), 2, c.Key)
}

// A SenderCertificate is the body of a certificate that a server signed
// (Section 2.2). Of two fields that stand for one thing the later one counts.
type SenderCertificate struct {
	HasE164  bool // it may be empty
	E164     string
	Device   uint32 // 1 to 127
	Expires  uint64 // milliseconds since 1970
	Identity []byte // 33 bytes, not checked here
	Server   []byte // the server's certificate; nil: only its id
	ServerID uint32 // 0 where there is the certificate
	UUID     []byte // the user as 16 bytes; nil: as a string
	User     string // any string; "" where there are bytes
}

// maxCertificateDevice is the largest device number, as that of an address.
const maxCertificateDevice = 127

// ParseSenderCertificate reads a body of at most MaxCertificate bytes. Errors
// are ErrTooLarge and ErrMalformed.
func ParseSenderCertificate(b []byte) (SenderCertificate, error) {
	var c SenderCertificate
	r, f, seen := bounded(b, MaxCertificate), field{}, uint32(0)
	for r.next(&f) {
		seen |= 1 << f.num
		c.decode(&r, &f)
	}
	r.require(seen, 1<<2|1<<3|1<<4)
	switch {
	case seen&(1<<5|1<<8) == 0 || seen&(1<<6|1<<7) == 0:
		r.fail("missing field")
	case c.Device < 1 || c.Device > maxCertificateDevice:
		r.fail("device number")
	case c.UUID != nil && len(c.UUID) != 16:
		r.fail("length of a UUID")
	}
	return orZero(c, r.err)
}

func (c *SenderCertificate) decode(r *reader, f *field) {
	switch f.num {
	case 1:
		c.HasE164 = true
		r.string(f, &c.E164)
	case 2:
		r.uint32(f, &c.Device)
	case 3:
		r.fixed64(f, &c.Expires)
	case 4:
		r.bytes(f, &c.Identity)
	case 5:
		c.ServerID = 0
		r.bytes(f, &c.Server)
	case 6:
		c.UUID = nil
		r.string(f, &c.User)
	case 7:
		c.User = ""
		r.bytes(f, &c.UUID)
	case 8:
		c.Server = nil
		r.uint32(f, &c.ServerID)
	}
}

// AppendSenderCertificate appends the encoding of c. Fields are in the order of
// their numbers: bytes of a user come before the id of a server.
func AppendSenderCertificate(dst []byte, c *SenderCertificate) []byte {
	if c.HasE164 {
		dst = mustString(dst, 1, c.E164)
	}
	dst = mustUint(dst, 2, uint64(c.Device))
	dst = mustFixed64(dst, 3, c.Expires)
	dst = mustBytes(dst, 4, c.Identity)
	if c.Server != nil {
		dst = mustBytes(dst, 5, c.Server)
	}
	if c.UUID == nil {
		dst = mustString(dst, 6, c.User)
	} else {
		dst = mustBytes(dst, 7, c.UUID)
	}
	if c.Server == nil {
		dst = mustUint(dst, 8, uint64(c.ServerID))
	}
	return dst
}
