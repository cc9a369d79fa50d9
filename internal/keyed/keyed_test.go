package keyed_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace/event/pack"
	"github.com/headrace/headrace/internal/keyed"
)

type entry struct {
	version, sequence int64
	value             string
}

func row(e *entry) keyed.Row[string] {
	return keyed.Row[string]{Version: &e.version, Sequence: &e.sequence, Value: &e.value}
}

var errEmpty = errors.New("empty")

// plain encodes a string as itself, and refuses the empty one in both directions.
type plain struct{}

func (plain) Append(dst []byte, v *string) ([]byte, error) {
	if *v == "" {
		return dst, errEmpty
	}
	return append(dst, *v...), nil
}

func (plain) Decode(data []byte, v *string) error {
	if *v = string(data); *v == "" {
		return errEmpty
	}
	return nil
}

func TestDecode_WhatAppendWrote(t *testing.T) {
	for _, table := range []map[string]*entry{
		{},
		{"b": {2, 20, "two"}, "a": {1, -1, "one"}, "": {0, 1 << 62, "none"}},
	} {
		data, err := keyed.Append([]byte("before"), table, row, plain{})
		require.NoError(t, err)
		require.Equal(t, "before", string(data[:6]))
		got, err := keyed.Decode(data[6:], row, plain{})
		require.NoError(t, err)
		require.Equal(t, table, got)
	}
}

// The bytes are part of the format of snapshots: rows by key, each of four.
func TestAppend_Format(t *testing.T) {
	data, err := keyed.Append(nil, map[string]*entry{"b": {2, 9, "x"}, "a": {1, 8, "yz"}}, row, plain{})
	require.NoError(t, err)
	require.Equal(t, "\x92\x94\xa1a\x01\x08\xc4\x02yz\x94\xa1b\x02\x09\xc4\x01x", string(data))
}

func TestAppend_CodersErrorNamesTheKey(t *testing.T) {
	_, err := keyed.Append(nil, map[string]*entry{"bad": {}}, row, plain{})
	require.ErrorIs(t, err, errEmpty)
	require.ErrorContains(t, err, `"bad"`)
}

func TestDecode_Refuses(t *testing.T) {
	one := func(dst []byte, key, value string) []byte {
		dst = pack.AppendString(pack.AppendArrayHeader(dst, 4), key)
		return pack.AppendBytes(pack.AppendInt(pack.AppendInt(dst, 1), 2), []byte(value))
	}
	good := one(one(pack.AppendArrayHeader(nil, 2), "a", "x"), "b", "y")
	_, err := keyed.Decode(good, row, plain{})
	require.NoError(t, err)
	for n := range good {
		_, err := keyed.Decode(good[:n], row, plain{})
		require.ErrorIs(t, err, keyed.ErrFormat, "cut to %d bytes", n)
	}
	_, err = keyed.Decode(append(good, 0), row, plain{})
	require.ErrorIs(t, err, keyed.ErrFormat, "one byte more")
	_, err = keyed.Decode(one(one(pack.AppendArrayHeader(nil, 2), "a", "x"), "a", "y"), row, plain{})
	require.ErrorIs(t, err, keyed.ErrFormat)
	require.ErrorContains(t, err, `"a" is there twice`)
	_, err = keyed.Decode(one(pack.AppendArrayHeader(nil, 1), "a", ""), row, plain{})
	require.ErrorIs(t, err, errEmpty)
	require.ErrorContains(t, err, `"a"`)
}
