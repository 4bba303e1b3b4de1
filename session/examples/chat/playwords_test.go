package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The texts of both languages have the same places for names.
func TestPlayWords(t *testing.T) {
	for en, id := range playWords {
		require.Equal(t, strings.Count(en, "%"), strings.Count(id, "%"), en)
	}
	for _, s := range []phrase{
		timerScene, codeLine, opensScene, movesScene, stripsScene, replaysScene, tellsScene, staleScene,
		declinesScene, agreesScene, buyLine, sellLine, bothLine, movedLine, thanksLine, answerHint, openHint, refusedHint,
	} {
		require.NotEmpty(t, s.id)
		require.NotEqual(t, s.en, s.id)
		require.Equal(t, strings.Count(s.en, "%"), strings.Count(s.id, "%"), s.en)
	}
}
