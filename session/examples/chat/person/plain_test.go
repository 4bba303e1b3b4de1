package person

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/examples/chat/post"
	"github.com/gembok-e2ee/gembok/session/hosting"
)

// Whatever a person can meet has a sentence in both languages, and a word that is the
// same in both.
func TestPlain(t *testing.T) {
	for code, all := range map[string][]error{
		"asks":      {&ConsentError{Name: "toko"}, &hosting.ConsentRequiredError{Account: toko1.User, State: "PENDING"}},
		"declined":  {&ConsentError{Name: "toko", Declined: true}, &hosting.ConsentRequiredError{Account: toko1.User, State: "DECLINED"}},
		"changed":   {&ChangedError{"budi"}, &session.UntrustedIdentityError{Address: budi1}},
		"gone":      {post.ErrGone, fmt.Errorf("%w (502)", post.ErrGone), context.DeadlineExceeded, &session.DirectoryError{Err: post.ErrGone}},
		"nonsense":  {errNonsense, session.ErrMalformed},
		"unknown":   {post.ErrUnknown, &session.DirectoryError{Err: post.ErrUnknown}},
		"removed":   {post.ErrRemoved},
		"relayfull": {post.ErrFull},
		"busy":      {post.ErrDiffers, session.ErrUnsettled},
		"rejected":  {post.ErrRejected},
		"large":     {post.ErrLarge, plainly("large", longText, 1)},
		"name":      {post.ErrName},
		"number":    {ErrNumber},
		"offer":     {ErrOffer},
		"full":      {keystore.ErrFull},
		"second":    {keystore.ErrLocked},
		"newer":     {keystore.ErrNewerFormat},
		"old":       {keystore.ErrRolledBack},
		"damaged":   {keystore.ErrCorrupt, session.ErrCorrupt},
		"closed":    {keystore.ErrClosed},
		"storage":   {keystore.ErrCommitUnknown, keystore.ErrReadOnly},
		"stripped":  {hosting.ErrLabelStripped},
		"stale":     {hosting.ErrLabelStale},
		"mismatch":  {hosting.ErrLabelMismatch},
		"expired":   {hosting.ErrManifestExpired},
		"label":     {hosting.ErrControllerChangedForKey, hosting.ErrSharedKeyAcrossControllers, hosting.ErrLabelText},
		"hosted":    {session.ErrHosted},
		"link":      {session.ErrLink},
		"blocked":   {session.ErrBlocked},
		"forged":    {session.ErrAuth, plainly("forged", fileChangeText)},
		"stopped":   {context.Canceled},
		"nothing":   {plainly("nothing", nothingText, "budi").because(errors.New("x"))},
		"failed":    {errors.New("something else")},
	} {
		for _, err := range all {
			got, en := Plain("en", fmt.Errorf("here: %w", err))
			require.Equal(t, code, got, err)
			got, id := Plain("id", err)
			require.Equal(t, code, got, err)
			require.NotEmpty(t, en)
			require.NotEqual(t, en, id)
			require.NotContains(t, en+id, "/consent", "what one types is for the terminal")
			require.NotContains(t, en+id, "%!")
		}
	}
	for _, s := range sentences {
		require.NotEmpty(t, s.text.en)
		require.NotEqual(t, s.text.en, s.text.id)
		require.False(t, strings.Contains(s.text.en+s.text.id, "%"))
	}
}

// What was announced is there in the language that is spoken now.
func TestSetLang(t *testing.T) {
	_, ani, awan, _ := customers(t)
	require.NoError(t, awan.Write(t.Context(), "ani", "we have moved"))
	require.NoError(t, ani.receiveSome(t.Context()))
	says := func() Line {
		all, err := ani.History(t.Context(), "toko")
		require.NoError(t, err)
		return all[1]
	}
	require.Equal(t, "who holds the key of toko has changed. New:", says().Text)
	ani.SetLang("id")
	require.Equal(t, "pemegang kunci toko berubah. Yang baru:", says().Text)
	require.Contains(t, strings.Join(says().Lines, "\n"), "pihak ketiga, yang dapat membaca percakapan ini.")
	c, err := ani.Conversation(t.Context(), "toko")
	require.NoError(t, err)
	require.Contains(t, c.Asks.Text, "Tidak ada yang dikirim kepada toko")
	require.Contains(t, strings.Join(c.Asks.Lines, "\n"), "dipegang PT Awan Teduh")
	_, text := ani.Plain(ani.Write(t.Context(), "toko", "two"))
	require.Equal(t, "tidak dikirim: toko menunggu jawaban Anda", text)
}
