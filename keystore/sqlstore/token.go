package sqlstore

import "bytes"

// A token is drawn for each attempt at a Commit, and stored with it, so that it
// can be found out afterwards whether it was made. The tokens of the latest
// Commits are kept, newest first, so that the one at n*tokenSize belongs to
// the newest version less n.
const (
	tokenSize    = 8
	recentTokens = 64
)

// hasToken tells whether a Commit is among the latest.
func hasToken(tokens, token []byte) bool { return bytes.Contains(tokens, token) }
