package interop

import "time"

// SenderKey is the type of a group message.
const SenderKey = 7

// SealOptions are what a sealed message says beside its content. Group nil is
// none; empty is the same, on the wire.
type SealOptions struct {
	Certificate Hex    `json:"certificate"` // of the sender
	Hint        uint32 `json:"hint"`
	Group       *Hex   `json:"group,omitempty"`
}

// A sealRequest is the fields of the operations on sealed messages.
type sealRequest struct {
	Party          string    `json:"party,omitempty"`
	Remote         *Address  `json:"remote,omitempty"`
	DistributionID string    `json:"distributionId,omitempty"`
	Plaintext      *Hex      `json:"plaintext,omitempty"`
	Bytes          *Hex      `json:"bytes,omitempty"`
	Content        Hex       `json:"content,omitempty"`
	Recipients     []Address `json:"recipients,omitempty"`
	Excluded       []string  `json:"excluded,omitempty"`
	Roots          []Hex     `json:"roots"`
	Root           Hex       `json:"root,omitempty"`
	At             int64     `json:"at"` // milliseconds
	E164           string    `json:"e164,omitempty"`
	SealOptions
}

// ServerCertificate has a certificate made of a server's key, 33 bytes, by the
// private key of a trust root.
func (p *Peer) ServerCertificate(id uint32, key, root []byte) ([]byte, error) {
	return p.built(KindServerCertificate, BuildOptions{KeyID: id, Public: key, Private: root})
}

// Claims are what a sender certificate states.
type Claims struct {
	User     string
	E164     *string // nil: none
	Device   uint32
	Identity []byte // 33 bytes
	Expires  uint64 // milliseconds
}

// SenderCertificate has a certificate made by the private key of a server, whose
// own certificate goes into it.
func (p *Peer) SenderCertificate(c Claims, server, key []byte) ([]byte, error) {
	return p.built(KindSenderCertificate, BuildOptions{UUID: c.User, E164: c.E164, Device: c.Device,
		Public: c.Identity, Timestamp: c.Expires, Server: server, Private: key})
}

func (p *Peer) built(kind Kind, o BuildOptions) ([]byte, error) {
	out, err := p.SendBuild(kind, o).Parsed()
	if err != nil {
		return nil, err
	}
	return out.Bytes, nil
}

// ValidCertificate asks whether a sender certificate is valid at a time, under
// one of the trust roots.
func (p *Peer) ValidCertificate(certificate []byte, at time.Time, roots ...[]byte) (bool, error) {
	in := sealRequest{SealOptions: SealOptions{Certificate: certificate}, At: at.UnixMilli(), Roots: []Hex{}}
	for _, root := range roots {
		in.Roots = append(in.Roots, root)
	}
	return Verdict{p.Send("validate", in)}.Valid()
}

func (a *Party) wrap(op string, in sealRequest) ([]byte, error) {
	in.Party = a.handle
	return Bytes{a.peer.Send(op, in)}.Bytes()
}

// WrapEncrypt encrypts for one device and returns the serialised content of a
// sealed message (KindSealedContent).
func (a *Party) WrapEncrypt(remote Address, plaintext []byte, o SealOptions) ([]byte, error) {
	return a.wrap("wrapEncrypt", sealRequest{Remote: &remote, Plaintext: (*Hex)(&plaintext), SealOptions: o})
}

// WrapGroup is WrapEncrypt of a group message.
func (a *Party) WrapGroup(id string, plaintext []byte, o SealOptions) ([]byte, error) {
	return a.wrap("wrapGroup", sealRequest{DistributionID: id, Plaintext: (*Hex)(&plaintext), SealOptions: o})
}

// WrapPlaintext is WrapEncrypt of a message of type Plaintext.
func (p *Peer) WrapPlaintext(message []byte, o SealOptions) ([]byte, error) {
	return Bytes{p.Send("wrapPlaintext", sealRequest{Bytes: (*Hex)(&message), SealOptions: o})}.Bytes()
}

// Seal returns the envelope, version 1, of a content for one device.
func (a *Party) Seal(remote Address, content []byte) ([]byte, error) {
	return a.wrap("seal", sealRequest{Remote: &remote, Content: content})
}

// SealText encrypts, wraps without hint and group, and seals.
func (a *Party) SealText(remote Address, plaintext, certificate []byte) ([]byte, error) {
	return a.wrap("sealText", sealRequest{Remote: &remote, Plaintext: (*Hex)(&plaintext), SealOptions: SealOptions{Certificate: certificate}})
}

// SealMany returns the envelope, version 2, sent form, of a content. There must
// be a session with each device.
func (a *Party) SealMany(recipients []Address, excluded []string, content []byte) ([]byte, error) {
	return a.wrap("sealMany", sealRequest{Recipients: recipients, Excluded: excluded, Content: content})
}

// A Delivery is what a server reads in a sent form: who gets it, and who not.
type Delivery struct {
	Recipients []DeliveryRecipient // in the order of the message
	Excluded   []string
}

// A DeliveryRecipient is one user, and the envelope for each of the devices.
type DeliveryRecipient struct {
	User    string
	Devices []DeliveryDevice
	Bytes   Hex
}

// A DeliveryDevice is one device of a recipient.
type DeliveryDevice struct{ Device, RegistrationID uint32 }

// Split does with a sent form what a server does.
func (p *Peer) Split(sent []byte) (*Delivery, error) {
	out := new(Delivery)
	return out, p.Call("split", sealRequest{Bytes: (*Hex)(&sent)}, out)
}

// Single returns the envelope of the only recipient of a sent form that has no
// exclusions.
func (p *Peer) Single(sent []byte) ([]byte, error) {
	return Bytes{p.Send("single", sealRequest{Bytes: (*Hex)(&sent)})}.Bytes()
}

// Unseal returns the content of an envelope of either version. Its certificate
// is not validated.
func (a *Party) Unseal(envelope []byte) ([]byte, error) {
	return a.SendUnseal(envelope).Bytes()
}

// SendUnseal is Unseal without the wait.
func (a *Party) SendUnseal(envelope []byte) Bytes {
	return Bytes{a.peer.Send("unseal", sealRequest{Party: a.handle, Bytes: (*Hex)(&envelope)})}
}

// An Opened is what was in an envelope, and who the sender is.
type Opened struct {
	UUID      string
	E164      *string
	Device    uint32
	Plaintext Hex
}

// OpenSealed opens an envelope with a message of type Whisper or PreKey, checks
// its certificate at a time, and decrypts. e164 is the party's own, "" for none.
func (a *Party) OpenSealed(envelope, root []byte, at time.Time, e164 string) (*Opened, error) {
	out := new(Opened)
	return out, a.peer.Call("openSealed",
		sealRequest{Party: a.handle, Bytes: (*Hex)(&envelope), Root: root, At: at.UnixMilli(), E164: e164}, out)
}
