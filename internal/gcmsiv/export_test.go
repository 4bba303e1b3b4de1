package gcmsiv

// A Polyval is a polyval, for tests.
type Polyval struct{ v polyval }

func NewPolyval(h *[16]byte) *Polyval { return &Polyval{newPolyval(h)} }

func (p *Polyval) Add(b []byte) { p.v.add(b) }

func (p *Polyval) Sum() [16]byte { return p.v.sum() }

func DeriveKeys(key *[32]byte, nonce *[12]byte) (auth [16]byte, enc [32]byte) {
	return (&state{nonce: *nonce}).deriveKeys(key)
}
