package event

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRename_OldNamesLeadToTheType(t *testing.T) {
	r := NewRegistry()
	require.NoError(t, r.Rename("a.one", "b.one")) // before b.one is registered
	MustRegister[fields](r, "b.one", 4)
	require.NoError(t, r.Rename("z.one", "b.one"))
	require.NoError(t, r.Retire("gone"))

	for _, name := range []string{"a.one", "z.one", "b.one"} {
		c, ok := r.Current(name)
		require.True(t, ok, name)
		require.Equal(t, "b.one", c.Name())
	}
	_, ok := r.Current("gone")
	require.False(t, ok)
	_, ok = r.ByName("a.one")
	require.False(t, ok)
	require.Equal(t, []string{"a.one", "z.one"}, r.OldNames("b.one"))
	require.Equal(t, []string{"gone"}, r.Retired())
}

func TestRename_Refuses(t *testing.T) {
	r := NewRegistry()
	MustRegister[fields](r, "now", 1)
	require.NoError(t, r.Rename("before", "now"))
	require.NoError(t, r.Retire("gone"))
	for _, c := range []struct {
		what string
		err  error
		want error
	}{
		{"a registered name", r.Rename("now", "x"), ErrDuplicateType},
		{"twice", r.Rename("before", "x"), ErrDuplicateType},
		{"a retired name", r.Rename("gone", "now"), ErrDuplicateType},
		{"to itself", r.Rename("y", "y"), ErrDuplicateType},
		{"to a name that is none any more", r.Rename("y", "before"), ErrDuplicateType},
		{"a bad name", r.Rename("", "now"), ErrTypeName},
		{"to a bad name", r.Rename("y", "a b"), ErrTypeName},
		{"retire a registered name", r.Retire("now"), ErrDuplicateType},
		{"retire a renamed one", r.Retire("before"), ErrDuplicateType},
		{"retire a bad name", r.Retire(" "), ErrTypeName},
	} {
		require.ErrorIs(t, c.err, c.want, c.what)
	}
	for _, name := range []string{"before", "gone"} {
		_, err := Register[ownOrder](r, name, 1)
		require.ErrorIs(t, err, ErrDuplicateType, name)
	}
	r.Freeze()
	require.ErrorIs(t, r.Rename("y", "now"), ErrFrozen)
	require.ErrorIs(t, r.Retire("y"), ErrFrozen)
}

func TestOldestLiftable(t *testing.T) {
	r := NewRegistry()
	MustRegister[fields](r, "x", 5)
	require.Equal(t, uint16(5), r.OldestLiftable("x"))
	same := func(_, payload []byte) ([]byte, error) { return payload, nil }
	for _, from := range []uint16{1, 3, 4} {
		require.NoError(t, r.Upcast("x", from, same))
	}
	require.Equal(t, uint16(3), r.OldestLiftable("x"), "the step from 2 is missing")
	require.NoError(t, r.Upcast("x", 2, same))
	require.Equal(t, uint16(1), r.OldestLiftable("x"))
	require.Zero(t, r.OldestLiftable("y"))
}
