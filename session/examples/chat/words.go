package main

// A text is said in English or, with -lang id, in Indonesian: all that has to do
// with who holds the keys is. What a label says is not here: hosting.Label.Lines
// has the words for that, which no app should change.
type text struct{ en, id string }

func (t text) in(lang string) string {
	if lang == "id" {
		return t.id
	}
	return t.en
}

var movedText = text{"%s (%s) has the keys of this account from now on", "sejak kini %s (%s) memegang kunci akun ini"}
