package interop

// A FingerprintParty is one side of a safety number.
type FingerprintParty struct {
	ID  Hex `json:"id"`  // stable identifier
	Key Hex `json:"key"` // 33 bytes
}

// A Fingerprint is a safety number, for the eye and for a camera.
type Fingerprint struct {
	Displayable string
	Scannable   Hex
}

// A Fingerprinting is a Fingerprint on its way.
type Fingerprinting struct{ reply *Reply }

// Fingerprint waits for it.
func (f Fingerprinting) Fingerprint() (*Fingerprint, error) {
	out := new(Fingerprint)
	return out, f.reply.Wait(out)
}

// SendFingerprint asks for the safety number of two parties.
func (p *Peer) SendFingerprint(iterations, version uint32, local, remote FingerprintParty) Fingerprinting {
	return Fingerprinting{p.Send("fingerprint", struct {
		Iterations uint32           `json:"iterations"`
		Version    uint32           `json:"version"`
		Local      FingerprintParty `json:"local"`
		Remote     FingerprintParty `json:"remote"`
	}{iterations, version, local, remote})}
}

// SendCompareFingerprints asks whether two scannable forms are each other's. An
// error is one of parsing, or of another version.
func (p *Peer) SendCompareFingerprints(ours, theirs []byte) Verdict {
	return Verdict{p.Send("compareFingerprints", struct {
		Ours   Hex `json:"ours"`
		Theirs Hex `json:"theirs"`
	}{ours, theirs})}
}
