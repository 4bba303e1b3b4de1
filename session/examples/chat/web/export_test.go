package web

// BuildFrom builds another page than the chat's.
var BuildFrom = build
