package interop

// Plaintext is the type of the message that asks for another one, and travels
// unencrypted.
const Plaintext = 8

// RequestRetry has the official library ask for m, which device sent at a time
// in milliseconds, and which could not be decrypted.
func (p *Peer) RequestRetry(m Message, sentAt uint64, device uint32) (Message, error) {
	in := struct {
		Message
		SentAt uint64 `json:"sentAt"`
		Device uint32 `json:"device"`
	}{m, sentAt, device}
	var out Message
	err := p.Call("requestRetry", in, &out)
	return out, err
}

// A Retry is what the official library reads in such a request.
type Retry struct {
	SentAt     uint64 // of the failed message
	Device     uint32 // that sent it
	RatchetKey Hex    // it was encrypted under; nil: none
	Current    bool   // the current session sends under that key
}

// ReadRetry reads a request of remote and holds it against the session with it,
// which it leaves alone.
func (a *Party) ReadRetry(remote Address, m Message) (*Retry, error) {
	out := new(Retry)
	return out, a.peer.Call("readRetry", request{Party: a.handle, Remote: &remote, Message: &m}, out)
}

// RemoteRegistrationID returns that of the current session for remote, 0 if
// there is none.
func (a *Party) RemoteRegistrationID(remote Address) (uint32, error) {
	var out struct{ RemoteRegistrationID uint32 }
	err := a.peer.Call("getSession", request{Party: a.handle, Remote: &remote}, &out)
	return out.RemoteRegistrationID, err
}
