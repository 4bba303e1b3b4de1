package interop

// MACOptions say over what incremental MACs are: Size bytes, which repeat Data
// from its beginning, written in pieces of Piece bytes.
type MACOptions struct {
	Key       Hex    `json:"key"`
	ChunkSize uint32 `json:"chunkSize"` // 0: inferred from Size
	Data      Hex    `json:"data"`
	Size      uint64 `json:"size"`  // 0: that of Data
	Piece     int    `json:"piece"` // 0: 64 KiB
}

func (o MACOptions) complete() MACOptions {
	if o.Size == 0 {
		o.Size = uint64(len(o.Data))
	}
	if o.Piece == 0 {
		o.Piece = 1 << 16
	}
	return o
}

// SendIncrementalMAC asks for the list of MACs, 32 bytes each.
func (p *Peer) SendIncrementalMAC(o MACOptions) Bytes {
	return Bytes{p.Send("incrementalMac", o.complete())}
}

// A MACCheck is what came of checking data against a list of MACs.
type MACCheck struct {
	Released uint64 // bytes that were let through
	Failed   string // why it went no further; "": it went to the end
}

// VerifyIncrementalMAC checks data against a list of MACs. The error is one of
// the configuration.
func (p *Peer) VerifyIncrementalMAC(o MACOptions, macs []byte) (*MACCheck, error) {
	in := struct {
		MACOptions
		MACs Hex `json:"macs"`
	}{o.complete(), macs}
	out := new(MACCheck)
	return out, p.Call("verifyIncrementalMac", in, out)
}

// MACChunkSize returns the chunk size that is inferred for so many bytes.
func (p *Peer) MACChunkSize(size uint32) (uint32, error) {
	var out struct{ ChunkSize uint32 }
	err := p.Call("chunkSize", struct {
		Size uint32 `json:"size"`
	}{size}, &out)
	return out.ChunkSize, err
}
