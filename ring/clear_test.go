package ring

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestHasPointers(t *testing.T) {
	for _, v := range []any{0, uint8(1), 1.5, 2i, struct{}{}, [3]int{}, [0]*int{}, struct {
		a int
		b [2]float64
	}{}} {
		require.False(t, hasPointers(reflect.TypeOf(v)), "%T", v)
	}
	for _, v := range []any{"", new(int), []int{}, map[int]int{}, [1]string{}, struct{ e error }{}, func() {}, make(chan int)} {
		require.True(t, hasPointers(reflect.TypeOf(v)), "%T", v)
	}
	r, err := New[string](Options{})
	require.NoError(t, err)
	require.True(t, r.HasPointers())
}

func TestClear_SlotsAreEmptyBehindIt(t *testing.T) {
	for name, clear := range map[string]func(*[]byte){"zero": nil, "func": func(b *[]byte) { *b = (*b)[:0] }} {
		r, err := New[[]byte](Options{Slots: 8})
		require.NoError(t, err)
		var got []string
		last, err := r.Consume("last", HandlerFunc[[]byte](func(_ int64, span [][]byte) error {
			for _, b := range span {
				got = append(got, string(b))
			}
			return nil
		}), ConsumerOptions{})
		require.NoError(t, err)
		_, err = r.Consume("clear", Clear(clear), ConsumerOptions{After: []*Consumer{last}})
		require.NoError(t, err)
		require.NoError(t, r.Start())
		for range 20 {
			_, err := r.PublishFunc(1, func(_ int64, a, _ [][]byte) error {
				if len(a[0]) != 0 || clear == nil && a[0] != nil {
					t.Errorf("%s: not cleared: %q", name, a[0])
				}
				a[0] = append(a[0], "event"...)
				return nil
			})
			require.NoError(t, err)
		}
		require.NoError(t, r.Close(within(t)))
		require.Len(t, got, 20)
		for i := range 8 {
			require.Empty(t, r.slots[i])
			require.Equal(t, clear == nil, r.slots[i] == nil, name)
		}
	}
}
