package wire

import "fmt"

const (
	// maxReceipt is the largest note of a message: two labels of some manifests
	// with as many endpoints as fit.
	maxReceipt = 8 * MaxManifest
	// maxNotice is the largest note of an event: four manifests and some numbers.
	maxNotice  = 4*MaxManifest + 256
	maxConsent = 128
)

// A Label is what an app shows of who has the keys of an account, as it was when
// a message came. Numbers are those of a Manifest.
type Label struct {
	State       uint32  // 1
	Unknown     bool    // 2
	Controllers []byte  // 3: one byte each
	Parties     []Party // 4
	Storage     []byte  // 5: one byte each
	Readers     uint32  // 6
	Uses        uint32  // 7
}

// A Party is who has keys for an account.
type Party struct {
	Name       string // 1
	Domain     string // 2
	Key        []byte // 3, 33 bytes
	Controller uint32 // 4
	Known      bool   // 5
	Mixed      bool   // 6
}

func (l *Label) decode(b []byte) error {
	r, f := reader{buf: b}, field{}
	for r.next(&f) {
		switch f.num {
		case 1:
			r.uint32(&f, &l.State)
		case 2:
			r.bool(&f, &l.Unknown)
		case 3:
			r.bytes(&f, &l.Controllers)
		case 4:
			var p Party
			r.nested(p.decode(r.message(&f)))
			l.Parties = append(l.Parties, p)
		case 5:
			r.bytes(&f, &l.Storage)
		case 6:
			r.uint32(&f, &l.Readers)
		case 7:
			r.uint32(&f, &l.Uses)
		}
	}
	return r.err
}

func (p *Party) decode(b []byte) error {
	r, f := reader{buf: b}, field{}
	for r.next(&f) {
		switch f.num {
		case 1:
			r.string(&f, &p.Name)
		case 2:
			r.string(&f, &p.Domain)
		case 3:
			r.bytes(&f, &p.Key)
		case 4:
			r.uint32(&f, &p.Controller)
		case 5:
			r.bool(&f, &p.Known)
		case 6:
			r.bool(&f, &p.Mixed)
		}
	}
	if r.err == nil && len(p.Key) != 33 {
		r.fail("key of a party")
	}
	return r.err
}

func appendLabel(dst []byte, l *Label) []byte {
	dst = appendUint(dst, 1, uint64(l.State))
	dst = appendBool(dst, 2, l.Unknown)
	dst = appendBytes(dst, 3, l.Controllers)
	for i := range l.Parties {
		dst = mustBytes(dst, 4, appendParty(nil, &l.Parties[i]))
	}
	dst = appendBytes(dst, 5, l.Storage)
	dst = appendUint(dst, 6, uint64(l.Readers))
	return appendUint(dst, 7, uint64(l.Uses))
}

func appendParty(dst []byte, p *Party) []byte {
	dst = appendString(dst, 1, p.Name)
	dst = appendString(dst, 2, p.Domain)
	dst = appendBytes(dst, 3, p.Key)
	dst = appendUint(dst, 4, uint64(p.Controller))
	dst = appendBool(dst, 5, p.Known)
	return appendBool(dst, 6, p.Mixed)
}

// A Receipt is the note of a received message: the label that there was, and what
// the message said of it.
type Receipt struct {
	Label   Label  // 1
	Claimed *Label // 2: of the manifest that it named; nil: that was not held
	Epoch   uint64 // 3: that it named; 0: none
	Hash    []byte // 4, 32 bytes; or none
	Listed  bool   // 5: the sending device is in the manifest
}

// ParseReceipt reads a Receipt. Errors are ErrTooLarge and ErrMalformed.
func ParseReceipt(b []byte) (*Receipt, error) {
	v, r, f := new(Receipt), bounded(b, maxReceipt), field{}
	for r.next(&f) {
		switch f.num {
		case 1:
			r.nested(v.Label.decode(r.message(&f)))
		case 2:
			if v.Claimed == nil {
				v.Claimed = new(Label)
			}
			r.nested(v.Claimed.decode(r.message(&f)))
		case 3:
			r.uint64(&f, &v.Epoch)
		case 4:
			r.bytes(&f, &v.Hash)
		case 5:
			r.bool(&f, &v.Listed)
		}
	}
	r.hash(v.Hash)
	return orZero(v, r.err)
}

// hash fails unless h is 32 bytes, or none.
func (r *reader) hash(h []byte) {
	if n := len(h); n != 0 && n != 32 {
		r.nested(fmt.Errorf("%w: hash of %d bytes", ErrMalformed, n))
	}
}

// AppendReceipt appends the encoding of r.
func AppendReceipt(dst []byte, r *Receipt) []byte {
	dst = mustBytes(dst, 1, appendLabel(nil, &r.Label))
	if r.Claimed != nil {
		dst = mustBytes(dst, 2, appendLabel(nil, r.Claimed))
	}
	dst = appendUint(dst, 3, r.Epoch)
	dst = appendBytes(dst, 4, r.Hash)
	return appendBool(dst, 5, r.Listed)
}

// A LabelNotice is the note of an event: what became of an account. States and
// reasons are numbers of package hosting.
type LabelNotice struct {
	Was      uint32 // 1
	State    uint32 // 2
	From     []byte // 3: signed manifest
	To       []byte // 4: signed manifest
	Gap      bool   // 5
	Timer    *Timer // 6; nil: absent
	Evidence []byte // 7: an Evidence
	Reason   uint32 // 8: 0: none
	Own      bool   // 9: it is about the manifest of the own account
}

// ParseLabelNotice reads a LabelNotice. Errors are ErrTooLarge and ErrMalformed.
func ParseLabelNotice(b []byte) (*LabelNotice, error) {
	n, r, f := new(LabelNotice), bounded(b, maxNotice), field{}
	for r.next(&f) {
		switch f.num {
		case 1:
			r.uint32(&f, &n.Was)
		case 2:
			r.uint32(&f, &n.State)
		case 3:
			r.bytes(&f, &n.From)
		case 4:
			r.bytes(&f, &n.To)
		case 5:
			r.bool(&f, &n.Gap)
		case 6:
			if n.Timer == nil {
				n.Timer = new(Timer)
			}
			r.nested(n.Timer.decode(r.message(&f)))
		case 7:
			r.bytes(&f, &n.Evidence)
		case 8:
			r.uint32(&f, &n.Reason)
		case 9:
			r.bool(&f, &n.Own)
		}
	}
	return orZero(n, r.err)
}

// AppendLabelNotice appends the encoding of n.
func AppendLabelNotice(dst []byte, n *LabelNotice) []byte {
	dst = appendUint(dst, 1, uint64(n.Was))
	dst = appendUint(dst, 2, uint64(n.State))
	dst = appendBytes(dst, 3, n.From)
	dst = appendBytes(dst, 4, n.To)
	dst = appendBool(dst, 5, n.Gap)
	if n.Timer != nil {
		dst = mustLen(dst, 6, n.Timer.size())
		dst = appendUint(dst, 1, uint64(n.Timer.Seconds))
		dst = appendUint(dst, 2, uint64(n.Timer.Version))
	}
	dst = appendBytes(dst, 7, n.Evidence)
	dst = appendUint(dst, 8, uint64(n.Reason))
	return appendBool(dst, 9, n.Own)
}

// A Consent is the body of the record "consent": what the user said to a change
// of an account (spec/gembok.md, Section 4).
type Consent struct {
	From     []byte // 1, 32 bytes
	To       []byte // 2, 32 bytes
	When     uint64 // 3: milliseconds since 1970
	How      uint32 // 4: 1 the user, 2 a policy
	Decision uint32 // 5: 1 yes, 2 no
}

// ParseConsent reads a Consent. Errors are ErrTooLarge and ErrMalformed.
func ParseConsent(b []byte) (*Consent, error) {
	c, r, f := new(Consent), bounded(b, maxConsent), field{}
	for r.next(&f) {
		switch f.num {
		case 1:
			r.bytes(&f, &c.From)
		case 2:
			r.bytes(&f, &c.To)
		case 3:
			r.uint64(&f, &c.When)
		case 4:
			r.uint32(&f, &c.How)
		case 5:
			r.uint32(&f, &c.Decision)
		}
	}
	if r.err == nil && (len(c.From) != 32 || len(c.To) != 32 || c.How < 1 || c.How > 2 || c.Decision < 1 || c.Decision > 2) {
		r.fail("consent")
	}
	return orZero(c, r.err)
}

// AppendConsent appends the encoding of c.
func AppendConsent(dst []byte, c *Consent) []byte {
	dst = appendBytes(dst, 1, c.From)
	dst = appendBytes(dst, 2, c.To)
	dst = appendUint(dst, 3, c.When)
	dst = appendUint(dst, 4, uint64(c.How))
	return appendUint(dst, 5, uint64(c.Decision))
}
