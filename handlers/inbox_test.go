package handlers

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// An image that no inbox can have made is refused: what is a repeat would be found by it.
func TestDecodeInbox_Impossible(t *testing.T) {
	many := make([]SourcePlace, 2*recentOffsets+1)
	for i := range many {
		many[i] = SourcePlace{int64(i), int64(i) + 1}
	}
	good := InboxImage{"q", []SourcePlace{{0, 1}, {5, 7}}, many[8 : len(many)-1]}
	back, err := DecodeInbox(AppendInbox(nil, []InboxImage{good}))
	require.NoError(t, err)
	require.Equal(t, []InboxImage{good}, back)
	for name, bad := range map[string]InboxImage{
		"offsets-descend":       {"q", nil, []SourcePlace{{2, 1}, {1, 2}}},
		"offset-twice":          {"q", nil, []SourcePlace{{2, 1}, {2, 2}}},
		"sequences-descend":     {"q", nil, []SourcePlace{{1, 2}, {2, 1}}},
		"sequence-of-none":      {"q", nil, []SourcePlace{{0, 0}}},
		"marks-behind-the-rest": {"q", []SourcePlace{{5, 5}}, []SourcePlace{{4, 6}}},
		"too-many":              {"q", nil, many},
	} {
		_, err := DecodeInbox(AppendInbox(nil, []InboxImage{bad}))
		require.ErrorIs(t, err, errImage, name)
	}
}
