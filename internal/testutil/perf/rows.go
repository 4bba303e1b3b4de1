package perf

import (
	"slices"
	"time"
)

// A Row is an operation and what it may take.
type Row struct {
	Op
	Title  string
	Floor  *Op           // nil: none
	Ratio  float64       // of the floor, at most; 0: no limit
	Over   time.Duration // the floor, at most; 0: no limit
	Limit  time.Duration // at most; 0: no limit
	Allocs int           // at most; 0: no limit
}

// Rows returns the operations that README.md gives figures of.
func Rows() []Row {
	const large, file = 64 << 10, 4 << 20
	floor := func(o Op) *Op { return &o }
	rows := []Row{
		{Op: RatchetEncrypt(100), Title: "encrypt 100 B, one way, ratchet alone", Floor: floor(FloorEncrypt(100)), Ratio: 1.5, Allocs: 8},
		{Op: DeviceEncrypt(100, nil), Title: "the same through `Device`, record loaded and stored", Limit: 13 * time.Microsecond, Allocs: 25},
		{Op: RatchetDecrypt(100), Title: "decrypt 100 B, one way, ratchet alone", Floor: floor(FloorDecrypt(100)), Ratio: 1.5},
		{Op: DeviceDecrypt(100, nil), Title: "the same through `Device`, plaintext staged", Limit: 16 * time.Microsecond},
		{Op: RatchetEncrypt(large), Title: "encrypt 64 KiB, ratchet alone", Floor: floor(FloorEncrypt(large)), Ratio: 1.1},
		{Op: DeviceEncrypt(large, nil), Title: "the same through `Device`"},
		{Op: RatchetDecrypt(large), Title: "decrypt 64 KiB, ratchet alone", Floor: floor(FloorDecrypt(large)), Ratio: 1.15},
		{Op: DeviceDecrypt(large, nil), Title: "the same through `Device`, plaintext staged"},
		{Op: PingPong(), Title: "decrypt with a DH step, through `Device`", Floor: floor(FloorPingPong()), Ratio: 1.15, Allocs: 60},
		{Op: Begin(), Title: "begin from a bundle and encrypt, through `Device`", Floor: floor(FloorBegin()), Ratio: 1.1},
		{Op: Answer(), Title: "decrypt the first message, through `Device`", Floor: floor(FloorAnswer()), Ratio: 1.1},
		{Op: RatchetJump(2000), Title: "decrypt after 2,000 lost ones, ratchet alone", Floor: floor(FloorJump(2000)), Ratio: 1.3},
		{Op: Jump(2000), Title: "the same through `Device`", Floor: floor(FloorJump(2000)), Ratio: 1.3},
		{Op: NextAfterJump(2000), Title: "decrypt the next, with 2,000 skipped keys stored", Limit: 100 * time.Microsecond},
		{Op: Send(250, 4, nil), Title: "send 1 KiB to 1,000 devices of 250 users", Floor: floor(FloorSend(1000)), Limit: 10 * time.Millisecond},
		{Op: Send(1000, 1, nil), Title: "the same to 1,000 users with a device each", Floor: floor(FloorSend(1000)), Limit: 10 * time.Millisecond},
		{Op: SendCold(250, 4), Title: "the same to 250 users of whom nothing is known", Limit: 350 * time.Millisecond},
		{Op: GroupEncrypt(100, nil), Title: "encrypt 100 B for a group, through `Device`", Floor: floor(FloorGroupEncrypt(100)), Ratio: 1.15, Allocs: 20},
		{Op: GroupDecrypt(100, nil), Title: "decrypt it, plaintext staged", Floor: floor(FloorGroupDecrypt(100)), Ratio: 1.15, Allocs: 20},
		{Op: Hostile(), Title: "refuse a hostile message, 41 sessions", Limit: 150 * time.Millisecond},
		{Op: AttachmentEncrypt(file), Title: "encrypt an attachment of 4 MiB", Floor: floor(FloorAttachmentEncrypt(file)), Ratio: 1.15},
		{Op: AttachmentDecrypt(file), Title: "decrypt it as it arrives", Floor: floor(FloorAttachmentDecrypt(file)), Ratio: 1.15},
		{Op: AttachmentDecryptAt(file), Title: "decrypt it from a file, read twice", Floor: floor(FloorAttachmentDecrypt(file)), Ratio: 1.15},
	}
	return slices.Concat(rows, sealedRows(), hostingRows())
}
