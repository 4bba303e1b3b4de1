package main

import (
	"io"
	"os"
	"strings"

	"rsc.io/qr"
)

// quietZone is how many light modules a QR code has around it.
const quietZone = 4

// drawQR draws data as a QR code of half blocks, two rows of modules a line, the
// light ones in the colour of text: for a terminal that is dark. It draws
// nothing of more than 2,331 bytes.
func drawQR(w io.Writer, data []byte) error {
	code, err := qr.Encode(string(data), qr.M)
	if err != nil {
		return err
	}
	var text strings.Builder
	for y := -quietZone; y < code.Size+quietZone; y += 2 {
		for x := -quietZone; x < code.Size+quietZone; x++ {
			text.WriteString(halves(code.Black(x, y), code.Black(x, y+1) || y+1 == code.Size+quietZone))
		}
		text.WriteByte('\n')
	}
	_, err = io.WriteString(w, text.String())
	return err
}

// halves returns the character whose upper and lower half are dark or not.
func halves(upper, lower bool) string {
	switch {
	case upper && lower:
		return " "
	case upper:
		return "▄"
	case lower:
		return "▀"
	}
	return "█"
}

// writeQR writes the same QR code as a PNG.
func writeQR(path string, data []byte) error {
	code, err := qr.Encode(string(data), qr.M)
	if err != nil {
		return err
	}
	return os.WriteFile(path, code.PNG(), 0o644)
}
