package interop

// OpenCommand is Open with another child, and another patience.
var OpenCommand = open
